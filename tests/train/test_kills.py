"""kill -9, in mid-training and inside a save, then `--resume`: the same final weights as without the kill.

Dropout is on, so a resumed run only gets there if its random state is restored.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main

Same = Callable[..., None]
Processes = Callable[[list[dict[str, Any]]], list[list[int]]]

STEPS = 8
MOMENTS = {
    "before a step": 6,
    "weights are saved, the optimizer is not": 3,
    "all is saved, the marker is not": 3,
    "the best model is written, not renamed": 2,
    "the best model is renamed, the old one is there": 1,
}
"""Each moment, and the time at which it is fatal. Checkpoints and evaluations come every two steps."""


@dataclass(frozen=True)
class Runs:
    """A run that was left in peace, and one killed at each moment."""

    whole: Path
    killed: dict[str, Path]
    codes: dict[str, list[int]]
    argv: Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def runs(
    dropping_base: Path,
    train_file: Path,
    dev_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    run_processes: Processes,
) -> Runs:
    root = tmp_path_factory.mktemp("runs")

    def argv(output: Path) -> list[str]:
        return [
            *("train", "--model.backbone", str(dropping_base), "--model.dtype", "float32"),
            *("--model.head_dropout", "0.1", "--lora.rank", "4", "--lora.dropout", "0.2", "--train.autocast", "none"),
            *("--data.train", str(train_file), "--data.dev", str(dev_file), "--data.negatives_per_group", "1"),
            # At this rate ndcg rises three times, and by more than rounding; the moments of the best model need two.
            *("--train.max_steps", str(STEPS), "--train.groups_per_step", "4", "--train.learning_rate", "1e-2"),
            *("--train.eval_every", "2", "--train.log_every", "1", "--train.metric", "ndcg", "--output", str(output)),
        ]

    killed = {moment: root / f"killed-{index}" for index, moment in enumerate(MOMENTS)}
    jobs = [{"argv": argv(root / "whole")}]
    jobs += [{"argv": argv(killed[moment]), "kill": [moment, n]} for moment, n in MOMENTS.items()]
    first, *rest = run_processes(jobs)
    assert first == [0]
    return Runs(root / "whole", killed, dict(zip(MOMENTS, rest, strict=True)), argv)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_with_the_weights_of_a_whole_one(runs: Runs, moment: str, same_weights: Same) -> None:
    output = runs.killed[moment]
    assert runs.codes[moment] == [-signal.SIGKILL]
    assert not (output / "model").exists()
    assert main([*runs.argv(output), "--resume"]) == 0
    same_weights(output / "model", runs.whole / "model")
    last = Path("checkpoints") / f"checkpoint-{STEPS}"
    same_weights(output / last, runs.whole / last)
    assert contents(output) == contents(runs.whole)  # no half checkpoint, no half model is left behind
    assert steps_logged(output) == steps_logged(runs.whole)


def contents(output: Path) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*")}


def steps_logged(output: Path) -> list[tuple[int, list[str]]]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [(line["step"], sorted(line)) for line in lines]


def test_dropout_makes_the_random_state_matter(runs: Runs, tmp_path: Path) -> None:
    """Guards the tests above: without the state of its random numbers a resumed run ends elsewhere."""
    argv = runs.argv(tmp_path / "run")
    assert main(argv) == 0
    forgetful = tmp_path / "run" / "checkpoints"
    for path in forgetful.glob("checkpoint-8/*"):
        path.unlink()
    (forgetful / "checkpoint-8").rmdir()
    (forgetful / "checkpoint-6" / "rng_state.pth").unlink()
    assert main([*argv, "--resume"]) == 0
    name = Path("checkpoints") / "checkpoint-8" / "adapter_model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() != (runs.whole / name).read_bytes()


@pytest.mark.long
def test_a_command_killed_from_outside_goes_on(runs: Runs, tmp_path: Path, same_weights: Same) -> None:
    output = tmp_path / "run"
    command = [sys.executable, "-m", "rm.cli.main", *runs.argv(output)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        marker = output / "checkpoints" / "checkpoint-2" / "complete.json"
        while not marker.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    subprocess.run([*command, "--resume"], env=environment, check=True, capture_output=True)
    same_weights(output / "model", runs.whole / "model")
