"""kill -9, in mid-training and inside a save, then `--resume`: the same curve, samples and weights as without the kill.

And two processes under a launcher, over gloo on the CPU: their rewards are the scorer's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main
from rm.reward.scorer import TraceLiftReward

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("default")

Row = dict[str, Any]
Lines = Callable[[Path], list[Row]]
CLOCKS = {"seconds", "step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss"}
MOMENTS = {
    "before a step": 4,
    "weights are saved, the optimizer is not": 2,
    "all is saved, the marker is not": 2,
    "the final model is written, not renamed": 1,
}
"""Each moment, and the time at which it is fatal. Checkpoints come every two steps of four."""
GREEDY = ("--grpo.options", "{top_k: 1}", "--grpo.steps", "2", "--grpo.learning_rate", "1e-9")
"""Whatever the number of processes, a problem's completions are the same."""


@pytest.fixture(scope="module")
def outputs(
    train_argv: Callable[..., list[str]], run_processes: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A run that was left in peace, one killed at each moment, and runs of one and two processes."""
    root = tmp_path_factory.mktemp("runs")
    outputs = {name: root / str(place) for place, name in enumerate(("whole", *MOMENTS, "one", "two"))}
    jobs = [{"argv": train_argv(outputs["whole"])}]
    jobs += [{"argv": train_argv(outputs[moment]), "kill": [moment, n]} for moment, n in MOMENTS.items()]
    jobs.append({"argv": train_argv(outputs["one"], *GREEDY)})
    jobs.append({"argv": train_argv(outputs["two"], *GREEDY, "--grpo.per_device_batch_size", 4), "processes": 2})
    codes = run_processes(jobs)
    assert codes == [[0], *([-signal.SIGKILL] for _ in MOMENTS), [0], [0, 0]]
    return outputs


def logged(lines: Lines, output: Path) -> list[Row]:
    """The log but for its clocks."""
    return [{key: row[key] for key in row if key not in CLOCKS} for row in lines(output / "log.jsonl")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_continues_the_curve(outputs, train_argv, same_weights, lines, moment):
    output, whole = outputs[moment], outputs["whole"]
    assert not (output / "model").exists()
    assert main(train_argv(output, "--resume")) == 0
    # Prefixes that a reward model has seen before are not computed again, which shows in the seventh digit.
    assert logged(lines, output) == [pytest.approx(row, abs=1e-5) for row in logged(lines, whole)]
    samples, others = lines(output / "samples.jsonl"), lines(whole / "samples.jsonl")
    assert [row["item"] for row in samples] == [row["item"] for row in others]
    assert rewards_of(samples) == pytest.approx(rewards_of(others), abs=1e-5)
    same_weights(output / "model", whole / "model", atol=1e-6)
    kept = sorted(path.name for path in (output / "checkpoints").iterdir())
    assert kept == sorted(path.name for path in (whole / "checkpoints").iterdir())


def rewards_of(rows: list[Row]) -> list[float]:
    return [row["result"]["reward"] for row in rows]


def by_problem(rows: list[Row]) -> dict[tuple[int, str], list[Row]]:
    found: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["step"], row["item"]["problem_id"]), []).append(row)
    return found


def check_rewards(rows: list[Row], bundle: Path) -> None:
    """They are what the bundle gives the same completions."""
    with TraceLiftReward.from_pretrained(bundle) as reward:
        again = reward.score_sync([row["item"] for row in rows])
    assert rewards_of(rows) == pytest.approx([each.reward for each in again], abs=1e-5)


def test_two_processes_reward_what_one_does(outputs, bundle, lines):
    one, two = (by_problem(lines(outputs[name] / "samples.jsonl")) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for place, rows in one.items():
        assert [row["item"] for row in rows] == [row["item"] for row in two[place]]
        assert rewards_of(two[place]) == pytest.approx(rewards_of(rows), abs=1e-5)
    check_rewards(lines(outputs["two"] / "samples.jsonl"), bundle)
    for single, double in zip(logged(lines, outputs["one"]), logged(lines, outputs["two"]), strict=True):
        assert single.keys() == double.keys()
        for name in ("reward", "tracelift/rm", "tracelift/end_to_end", "groups/dead", "completions/mean_length"):
            assert double.get(name) == pytest.approx(single.get(name), abs=1e-5)


@pytest.mark.long
def test_torchrun_trains(train_argv, bundle, tmp_path, lines):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    options = ("--grpo.steps", "2", "--grpo.per_device_batch_size", "4", "--json")
    command = [*torchrun, "-m", "rm.cli.main", *train_argv(tmp_path / "run", *options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["steps"] == 2  # one process speaks for both
    rows = lines(tmp_path / "run" / "samples.jsonl")
    assert len(rows) == 2 * 8
    assert [(row["group"], row["member"]) for row in rows[:8]] == [(g, m) for g in range(2) for m in range(4)]
    check_rewards(rows, bundle)
