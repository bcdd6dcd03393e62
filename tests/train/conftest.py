"""A random base, groups of sums to train it on, and configurations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rm.config import TrainConfig, build_config
from rm.rubric import Rubric

Row = dict[str, Any]
MakeConfig = Callable[..., TrainConfig]

DIMENSIONS = Rubric.load("math").dimension_names
PROCESSES = Path(__file__).with_name("processes.py")


def sum_row(index: int, wrong: int = 2) -> Row:
    """One right trace and some that are wrong by a little; the texts differ in length from group to group."""
    a, b = index % 17, (index * 7) % 23
    good = {**dict.fromkeys(DIMENSIONS, 4), "total": 1.0}
    bad = {**dict.fromkeys(DIMENSIONS, 1), DIMENSIONS[0]: 4, "total": 0.3}
    detour = " so it makes" * (index % 5)
    return {
        "problem_id": f"sum{index}",
        "source": "tests",
        "task_type": "math",
        "problem": f"What is {a} plus {b} ? " + "What is it ? " * (index % 3),
        "positive_pool": [{"reasoning": f"{a} plus {b}{detour} makes {a + b} .", "rubric": good}],
        "negative_bank": [
            {"reasoning": f"{a} plus {b}{detour} makes {a + b + off} .", "negative_kind": f"off{off}", "rubric": bad}
            for off in range(1, wrong + 1)
        ],
    }


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny tensors gain nothing from threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base(word_base: Callable[..., Path]) -> Path:
    return word_base(positions=256)


@pytest.fixture(scope="session")
def dropping_base(word_base: Callable[..., Path]) -> Path:
    return word_base(positions=256, dropout=0.2)


@pytest.fixture(scope="session")
def train_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten groups of one positive and two negatives."""
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", [sum_row(i) for i in range(10)])


@pytest.fixture(scope="session")
def dev_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five groups about other sums."""
    return write_rows(tmp_path_factory.mktemp("data") / "dev.jsonl", [sum_row(i, wrong=3) for i in range(20, 25)])


@pytest.fixture
def config(base: Path, train_file: Path, tmp_path: Path) -> MakeConfig:
    """A quick configuration in float32; dotted keyword arguments (`**{"train.max_steps": 4}`) change it."""

    def make(**changes: Any) -> TrainConfig:
        tree: dict[str, Any] = {
            "model": {"backbone": str(base), "dtype": "float32"},
            "lora": {"rank": 0},
            "data": {"train": [str(train_file)]},
            "train": {"max_steps": 4, "groups_per_step": 4, "learning_rate": 1e-2, "autocast": "none", "log_every": 1},
            "output": str(tmp_path / "run"),
        }
        for key, value in changes.items():
            section, _, name = key.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[name or key] = value
        return build_config(TrainConfig, tree)

    return make


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where the configuration's run goes."""
    return tmp_path / "run"


@pytest.fixture
def log() -> Callable[[Path], list[dict[str, Any]]]:
    """The lines of a run's log."""
    return lambda run: [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def same_weights() -> Callable[..., None]:
    """Two model directories hold the same tensors, to within `atol`."""

    def check(one: Path, other: Path, atol: float = 0.0) -> None:
        files = sorted(path.name for path in one.glob("*.safetensors"))
        assert files
        assert files == sorted(path.name for path in other.glob("*.safetensors"))
        for name in files:
            left, right = load_file(one / name), load_file(other / name)
            assert left.keys() == right.keys()
            for key in left:
                torch.testing.assert_close(left[key], right[key], rtol=0.0, atol=atol, msg=lambda m, k=key: f"{k}: {m}")

    return check


@pytest.fixture(scope="session")
def run_processes() -> Callable[[list[dict[str, Any]]], list[list[int]]]:
    """Runs jobs as real processes (see processes.py); gives each job's exit codes, negative for a signal."""

    def run(jobs: list[dict[str, Any]]) -> list[list[int]]:
        done = subprocess.run(
            [sys.executable, str(PROCESSES)],
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        print(done.stderr, file=sys.stderr)  # shown where a test fails
        return json.loads(done.stdout.splitlines()[-1])

    return run
