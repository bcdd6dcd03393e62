"""Two processes (gloo, on the CPU) do what one does: the same weights, the same evaluations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main

Same = Callable[..., None]
Processes = Callable[[list[dict[str, Any]]], list[list[int]]]

# groups_per_step, tokens_per_microbatch. Of ten groups, 3 a step leave one for the last step of an epoch, so that a
# process has none; with so few tokens each group is a micro-batch, and one process has two of them, the other one.
SETTINGS = {"even": (4, 100_000), "uneven": (3, 1)}
STEPS = 20


def argv(base: Path, train_file: Path, dev_file: Path, output: Path, setting: str) -> list[str]:
    groups, tokens = SETTINGS[setting]
    return [
        *("train", "--model.backbone", str(base), "--model.dtype", "float32", "--train.autocast", "none"),
        *("--lora.rank", "4", "--lora.dropout", "0", "--data.train", str(train_file), "--data.dev", str(dev_file)),
        *("--train.max_steps", str(STEPS), "--train.eval_every", "10", "--train.learning_rate", "1e-3"),
        *("--train.log_every", "1", "--train.groups_per_step", str(groups)),
        *("--train.tokens_per_microbatch", str(tokens), "--output", str(output)),
    ]


@pytest.fixture(scope="module")
def outputs(
    base: Path, train_file: Path, dev_file: Path, tmp_path_factory: pytest.TempPathFactory, run_processes: Processes
) -> Callable[[str, int], Path]:
    """The output of a setting with so many processes."""
    root = tmp_path_factory.mktemp("distributed")

    def place(setting: str, processes: int) -> Path:
        return root / f"{setting.replace(' ', '-')}-{processes}"

    jobs = [
        {"argv": argv(base, train_file, dev_file, place(setting, processes), setting), "processes": processes}
        for setting in SETTINGS
        for processes in (1, 2)
    ]
    assert run_processes(jobs) == [[0] * job["processes"] for job in jobs]
    return place


def lines(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes_end_with_the_weights_of_one(
    outputs: Callable[[str, int], Path], setting: str, same_weights: Same
) -> None:
    last = Path("checkpoints") / f"checkpoint-{STEPS}"
    same_weights(outputs(setting, 2) / last, outputs(setting, 1) / last, atol=1e-5)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes_log_what_one_logs(outputs: Callable[[str, int], Path], setting: str) -> None:
    left_out = {"seconds", "padding_share", "train_runtime", "train_steps_per_second"}
    one, two = lines(outputs(setting, 1)), lines(outputs(setting, 2))
    assert len(one) == len(two)
    for single, double in zip(one, two, strict=True):
        assert single.keys() == double.keys()
        for name in single.keys() - left_out:
            assert double[name] == pytest.approx(single[name], abs=1e-5), name


@pytest.mark.long
def test_torchrun_equals_one_process(
    base: Path, train_file: Path, dev_file: Path, tmp_path: Path, same_weights: Same
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(argv(base, train_file, dev_file, one, "uneven")) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "rm.cli.main", *argv(base, train_file, dev_file, two, "uneven"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["steps"] == STEPS  # one process speaks for both
    same_weights(two / "model", one / "model", atol=1e-5)
