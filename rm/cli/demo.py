"""`tracelift-rm demo`: the whole way on the shipped models: train, evaluate, export, score, reward, planners."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from contextlib import nullcontext, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

STEPS = 40
OUT = "runs/demo"
_MADE_WITH = ({"run/run.json"}, {"evaluation/metrics.json"})


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `demo`."""
    from rm.cli.scoring import positive

    parser = subparsers.add_parser(
        "demo", help="the whole way in a few minutes, without a network", description=__doc__
    )
    parser.add_argument("--out", metavar="DIR", default=OUT, help=f"gets everything the demo makes ({OUT})")
    parser.add_argument("--steps", metavar="N", type=positive, default=STEPS, help=f"training steps ({STEPS})")
    parser.add_argument("--force", action="store_true", help="replace DIR")
    parser.add_argument("--json", action="store_true", help="print metrics.json, and nothing else, on stdout")
    parser.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    from rm.files import check_directory

    out = Path(args.out)
    check_directory(out, args.force, made_with=_MADE_WITH)
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        code = _whole_way(out, args.steps)
    if args.json and not code:
        print((out / "evaluation" / "metrics.json").read_text(encoding="utf-8"), end="")
    return code


def _whole_way(out: Path, steps: int) -> int:
    from rm.cli.main import main
    from rm.lab import SAMPLE_DEV, SAMPLE_TRAIN

    started = time.monotonic()
    run, evaluation, export = str(out / "run"), str(out / "evaluation"), str(out / "export")
    reward = str(out / "reward")
    rows, scores, rewards = out / "rows.jsonl", out / "scores.jsonl", out / "rewards.jsonl"
    commands = [
        (
            "1/7 Train a LoRA reward model on sample groups.",
            [
                *(
                    "train",
                    "--model.backbone",
                    "tiny",
                    "--data.train",
                    str(SAMPLE_TRAIN),
                    "--data.dev",
                    str(SAMPLE_DEV),
                ),
                *("--train.max_steps", str(steps), "--train.groups_per_step", "8"),
                *("--train.learning_rate", "1e-3", "--train.eval_every", str(max(1, steps // 2))),
                *("--output", run, "--force"),
            ],
        ),
        (
            "2/7 Evaluate it on held-out groups, beside chance, the longest and a bag of words.",
            ["evaluate", run, str(SAMPLE_DEV), "--surface-train", str(SAMPLE_TRAIN), "--out", evaluation, "--force"],
        ),
        (
            "3/7 Export it, load it again, compare.",
            ["export", run, export, "--merge", "--dtype", "float32", "--force"],
        ),
        (
            "4/7 Score two traces with the export: a sound one, and the held-out one with the worst labels.",
            ["score", export, "--input", str(rows), "--output", str(scores), "--force"],
        ),
        (
            "5/7 Make one reward of it: formula, reward model and executor in one directory that others can load.",
            [
                *("reward", "export", reward, "--model", run, "--metrics", f"{evaluation}/metrics.json"),
                *("--dtype", "float32", "--force"),
                *("--formula", "tracelift-math-v1", "--tasks", "math", "--uplift.executor.kind", "arithmetic"),
                *("--uplift.plan.kind", "sampled", "--uplift.plan.runs", "8", "--uplift.cache", "none"),
            ],
        ),
        (
            "6/7 Reward the two traces, as a planner's trainer would, and say why.",
            ["reward", "score", reward, "--input", str(rows), "--output", str(rewards), "--force", "--explain"],
        ),
        (
            "7/7 Train two planners in a tiny world, by outcomes alone and by TraceLift, and measure what they write. "
            "A few steps: the figures say nothing yet.",
            ["lab", "run", "--short", "--out", str(out / "lab"), "--force"],
        ),
    ]
    if find_spec("trl") is None:
        commands = commands[:-1]
        print('Without step 7, which trains planners: pip install "tracelift-rm[rl]"', file=sys.stderr)
    for title, command in commands:
        print(f"\n== {title}\n   tracelift-rm {_shown(command)}", file=sys.stderr)
        if command[0] == "score":
            rows.write_text("".join(json.dumps(row) + "\n" for row in _example(SAMPLE_DEV)), encoding="utf-8")
        code = main(command)
        if code:
            return code
        if command[0] == "score":
            for line in scores.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                print(f"score {row['score']:.3f}  {row['reasoning'].splitlines()[-1]}")
    print(_next(out, time.monotonic() - started))
    return 0


def _example(dev: Path) -> list[dict[str, str]]:
    """The held-out trace with the lowest total label, behind a sound one for the same problem: a clear case."""
    groups = map(json.loads, dev.read_text(encoding="utf-8").splitlines())
    flawed = [(group, negative) for group in groups for negative in group["negative_bank"]]
    group, worst = min(flawed, key=lambda pair: pair[1]["rubric"]["total"])
    pair = (group["positive_pool"][0], worst)
    problem = {key: group[key] for key in ("problem_id", "problem", "reference_solution", "task_type")}
    return [
        {**problem, "reasoning": each["reasoning"], "completion": f"<reasoning>\n{each['reasoning']}\n</reasoning>"}
        for each in pair
    ]


def _shown(command: list[str]) -> str:
    """The command as a user can copy it; files below the current directory by their way from there."""
    here = Path.cwd()
    shown = [os.path.relpath(part) if Path(part).is_relative_to(here) else part for part in command]
    return shlex.join(shown)


def _next(out: Path, seconds: float) -> str:
    return f"""
Done in {seconds:.0f} s. Look at {out / "evaluation" / "report.html"}
The experiment of step 7 in full, half an hour or more on two cores: tracelift-rm lab run --out runs/lab

With a real model and groups of your own:
  tracelift-rm groups check groups.jsonl --rubric math
  tracelift-rm groups split groups.jsonl --out data
  tracelift-rm train --config configs/train-math-7b.yaml --output runs/math \\
      --data.train data/train.jsonl --data.dev data/dev.jsonl
  tracelift-rm evaluate runs/math data/dev.jsonl --surface-train data/train.jsonl --out runs/math-evaluation
  tracelift-rm export runs/math exports/math --merge
  tracelift-rm reward export exports/reward --model runs/math --config configs/reward-math.yaml"""
