"""`lab run`: planners trained with different rewards from the same start, in the same number of steps, and measured.

What lies in the directory of an experiment:

    experiment.json            sizes, arms, versions
    world/                     problems to train on, problems to measure on, groups for the reward models
    judges/NAME/, bundles/NAME/    reward models, each in a bundle with the executor
    runs/ARM/SEED/             planner/ (see `rm.planner`), curve.jsonl, evaluation.jsonl
    base/evaluation.jsonl      the planner before training
    report.html, table.json, curves/

A run is a process of its own (`python -m rm.lab.experiment DIR ARM SEED`) and is done once its `evaluation.jsonl` is
there; what is done is never done again, and a run that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rm.config import TrainConfig, load_config
from rm.errors import ConfigError, TraceLiftError
from rm.files import write_text_whole
from rm.lab import WORLD_PLANNER, WORLD_READER
from rm.lab.arms import ARMS, BASE, BASELINE_RUNS, JUDGES, RUNS, Judge
from rm.lab.stories import Story
from rm.lab.world import judge_trace, problem_row, story_of_row, world_stories
from rm.lab.world_groups import world_groups

SETTINGS = "experiment.json"
EVALUATION, CURVE, LOG, ALONE = "evaluation.jsonl", "curve.jsonl", "log.txt", "alone.json"


@dataclass(frozen=True)
class Size:
    """How large an experiment is; equal for all arms.

    Args:
        steps: optimizer steps of each planner.
        problems_per_step, completions: of each problem, as many are compared with each other.
        learning_rate: AdamW's peak, linear decay.
        train_problems, test_problems: how many; no problem is in both.
        judge_groups, judge_steps: the reward models' training.
        samples, runs: traces of each test problem, and runs of each executor with each.
    """

    steps: int = 150
    problems_per_step: int = 4
    completions: int = 8
    learning_rate: float = 4e-4
    train_problems: int = 600
    test_problems: int = 150
    judge_groups: int = 600
    judge_steps: int = 300
    samples: int = 2
    runs: int = 4


ENOUGH_STEPS = 50
"""Fewer steps show that everything works, and nothing else."""
FULL = Size()
SHORT = Size(
    steps=4, problems_per_step=2, train_problems=160, test_problems=24, judge_groups=32, judge_steps=6, samples=1
)


def open_experiment(out: Path, size: Size, resume: bool, force: bool = False) -> None:
    """Makes the directory, or sees that it is that of the same experiment.

    Args:
        out: the directory.
        size: of the experiment.
        resume: whether it may be there already.
        force: whether an experiment that is there is to be deleted first.

    Raises:
        ConfigError: there is something else, or an experiment that is neither to be resumed nor to be replaced.
    """
    file = out / SETTINGS
    if force and file.is_file():
        shutil.rmtree(out)
    if not file.is_file():
        if out.exists() and any(out.iterdir()):
            raise ConfigError(f"{out}: is there already and is no experiment. Choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_text_whole(file, json.dumps({"size": asdict(size)}, indent=2) + "\n")
        return
    there = stored_size(out)
    if not resume:
        raise ConfigError(
            f"{out}: holds an experiment. Give --resume to go on with it, --force to start anew, "
            "or choose another --out."
        )
    if there != size:
        short = "is" if there.steps < ENOUGH_STEPS else "is not"
        raise ConfigError(
            f"{out}: holds an experiment of another size: {there.steps} steps, {there.test_problems} test problems. "
            f"It {short} one of --short; give --short and --steps as then, or choose another --out."
        )


def stored_size(out: Path) -> Size:
    """That of the experiment in a directory. Raises: ConfigError where there is none."""
    try:
        return Size(**json.loads((out / SETTINGS).read_text(encoding="utf-8"))["size"])
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigError(f"{out}: holds no experiment that can be read ({SETTINGS}).") from None


def prepare(out: Path, size: Size, judges: Iterable[str], say: Callable[[str], None]) -> None:
    """Problems, groups, reward models, bundles, and the planner before training; what is there stays."""
    from rm.lab.measure import Protocol, measure_alone

    world = out / "world"
    if not (world / "test.jsonl").is_file():
        world.mkdir(exist_ok=True)
        # One draw, cut in parts: no problem stands in two of them.
        parts = (size.train_problems, size.judge_groups, max(8, size.judge_groups // 8), size.test_problems)
        stories = iter(world_stories("experiment", sum(parts)))
        train, judged, dev, test = ([next(stories) for _ in range(count)] for count in parts)
        _write_rows(world / "train.jsonl", [problem_row(story, f"train_{i:05d}") for i, story in enumerate(train)])
        for name, judge in JUDGES.items():
            _write_rows(world / f"groups_{name}.jsonl", world_groups(judged, 1, hard_kinds=judge.hard_kinds))
        _write_rows(world / "groups_dev.jsonl", world_groups(dev, 2))
        _write_rows(world / "test.jsonl", [problem_row(story, f"test_{i:05d}") for i, story in enumerate(test)])
    for name in judges:
        if not (out / "bundles" / name).is_dir():
            say(f"reward model: {JUDGES[name].what}")
            _make_bundle(out, size, name, JUDGES[name])
    if not (out / BASE / EVALUATION).is_file():
        say("planner before training")
        (out / BASE).mkdir(exist_ok=True)
        alone = measure_alone(test_stories(out), Protocol(runs=size.runs))
        write_text_whole(out / BASE / ALONE, json.dumps(alone) + "\n", force=True)
        evaluate(out, size, WORLD_PLANNER, out / BASE / EVALUATION, "listwise", seed=0)


def _make_bundle(out: Path, size: Size, name: str, judge: Judge) -> None:
    from rm.evaluate.score import rows_of
    from rm.groups import load_groups
    from rm.reward.config import RewardConfig
    from rm.reward.export import export_bundle
    from rm.train.run import train

    world, run = out / "world", out / "judges" / name
    options = {
        "model.backbone": "tiny",
        "lora.rank": "32",
        "lora.alpha": "64",
        "lora.dropout": "0.0",
        "loss.ranking": judge.ranking,
        "data.train": [str(world / f"groups_{name}.jsonl")],
        "data.dev": [str(world / "groups_dev.jsonl")],
        "train.max_steps": str(size.judge_steps),
        "train.groups_per_step": "8",
        "train.learning_rate": "1.5e-3",
        "train.head_learning_rate": "1e-3",
        "train.warmup_ratio": "0.05",
        "train.eval_every": str(size.judge_steps),
        "output": str(run),
    }
    train(load_config(TrainConfig, None, options), resume=run.is_dir())
    reward = {
        "formula": "tracelift-math-v1",
        "tasks": ["math"],
        "uplift.executor.kind": "transformers",
        "uplift.executor.path": str(WORLD_READER),
        "uplift.executor.template": "plain",
        "uplift.executor.dtype": "float32",
        "uplift.plan.kind": "sampled",
        "uplift.plan.runs": str(RUNS),
        "uplift.plan.baseline_runs": str(BASELINE_RUNS),
        "uplift.sampling.temperature": "1.0",
        "uplift.sampling.max_tokens": "8",
        "uplift.cache": "none",
    }
    probes = load_groups([world / "groups_dev.jsonl"])[:8]
    export_bundle(
        run,
        load_config(RewardConfig, None, reward),
        out / "bundles" / name,
        lambda rubric: [rows_of(group, rubric) for group in probes],
        dtype="float32",
        include_executor=True,
    )


def run_arm(out: Path, size: Size, name: str, seed: int) -> None:
    """One run: trained, its curve, measured. What it has done before is not done again."""
    from rm.planner.run import train

    place = out / "runs" / name / str(seed)
    place.mkdir(parents=True, exist_ok=True)
    result = train(planner_config(out, size, name, seed, place / "planner"), resume=(place / "planner").is_dir())
    _write_rows(place / CURVE, curve_of(place / "planner" / "samples.jsonl"))
    evaluate(out, size, result.model, place / EVALUATION, ARMS[name].judge, seed)
    shutil.rmtree(place / "planner" / "checkpoints", ignore_errors=True)


def planner_config(out: Path, size: Size, name: str, seed: int, run: Path) -> Any:
    """The configuration of `planner train` for an arm: arms differ in `reward` alone, seeds in `grpo.seed`."""
    from rm.config import LoraSettings
    from rm.lab.measure import MAX_TOKENS
    from rm.lab.pretrain_world import PROMPT
    from rm.planner.config import BaseConfig, GrpoSettings, PlannerConfig, PlannerData, RewardChoice

    arm = ARMS[name]
    batch = size.problems_per_step * size.completions
    return PlannerConfig(
        planner=BaseConfig(base=str(WORLD_PLANNER), dtype="float32"),
        lora=LoraSettings(rank=0),
        prompt=PROMPT,
        data=PlannerData(train=[str(out / "world" / "train.jsonl")]),
        reward=RewardChoice(
            source=str(out / "bundles" / arm.judge),
            name=arm.reward,
            weights=dict(arm.weights),
            overrides=dict(arm.overrides),
        ),
        grpo=GrpoSettings(
            steps=size.steps,
            num_generations=size.completions,
            per_device_batch_size=batch,
            temperature=1.0,
            max_completion_length=MAX_TOKENS,
            learning_rate=size.learning_rate,
            lr_scheduler="linear",
            autocast="none",
            seed=seed,
            save_every=max(1, size.steps // 2),
            keep_checkpoints=1,
        ),
        samples_per_step=batch,
        output=str(run),
    )


def curve_of(samples: Path) -> list[dict[str, Any]]:
    """Means a step over the completions that were learned from: rewards, their parts, and the truth."""
    from rm.lab.measure import truth_row
    from rm.planner.samples import completion_of
    from rm.reward.reasoning import extract_reasoning

    steps: dict[int, list[dict[str, Any]]] = {}
    for line in samples.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        trace = extract_reasoning(completion_of(record)).text
        parts = record["result"]["parts"]
        uplift = parts["uplift"] or {}
        told = {
            "reward": record["result"]["reward"],
            "end_to_end": parts["end_to_end"],
            "rm": parts["rm"],
            "uplift": uplift.get("value"),
            "characters": len(trace),
            **truth_row(judge_trace(story_of_row(record["item"]), trace)),
        }
        steps.setdefault(record["step"], []).append(told)
    return [{"step": step, **_means(rows)} for step, rows in sorted(steps.items())]


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in rows[0]:
        known = [float(row[name]) for row in rows if row[name] is not None]
        found[name] = sum(known) / len(known) if known else None
    return found


def evaluate(out: Path, size: Size, planner: Path, target: Path, judge: str, seed: int) -> None:
    """Measures a planner on the test problems, and writes a row a trace."""
    from rm.lab.measure import Protocol, measure_planner
    from rm.reward.bundle import load_bundle

    protocol = Protocol(samples=size.samples, runs=size.runs, seed=1000 + seed)
    scorer = load_bundle(out / "bundles" / judge).load_judge()
    _write_rows(target, measure_planner(planner, test_stories(out), protocol, scorer))


def test_stories(out: Path) -> list[Story]:
    """The problems that planners are measured on."""
    return [story_of_row(row) for row in read_rows(out / "world" / "test.jsonl")]


def run_all(
    out: Path, runs: Sequence[tuple[str, int]], workers: int, say: Callable[[str], None]
) -> list[tuple[str, int]]:
    """Every run that is not done, `workers` at a time, each in a process with one thread.

    Returns:
        The runs that failed; their last words are in `log.txt`.
    """
    left = [run for run in runs if not is_done(out, *run)]
    failed: list[tuple[str, int]] = []

    def one(run: tuple[str, int]) -> None:
        place = out / "runs" / run[0] / str(run[1])
        place.mkdir(parents=True, exist_ok=True)
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, "-m", "rm.lab.experiment", str(out), run[0], str(run[1])]
        with (place / LOG).open("a", encoding="utf-8") as log:
            code = subprocess.run(command, stdout=log, stderr=log, env={**os.environ, **threads}).returncode
        if code:
            failed.append(run)
        say(f"{run[0]}, seed {run[1]}: {'failed, see ' + str(place / LOG) if code else 'done'}")

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, left))
    return failed


def is_done(out: Path, arm: str, seed: int) -> bool:
    """Whether a run has been measured."""
    return (out / "runs" / arm / str(seed) / EVALUATION).is_file()


def read_rows(file: Path) -> list[dict[str, Any]]:
    """JSON Lines."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text_whole(file, "".join(json.dumps(row) + "\n" for row in rows), force=True)


def main(arguments: Sequence[str]) -> int:
    """One run of an experiment whose directory is there."""
    out = Path(arguments[0])
    try:
        run_arm(out, stored_size(out), arguments[1], int(arguments[2]))
    except TraceLiftError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
