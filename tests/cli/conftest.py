"""A random base, a reward model trained on it for two steps, files of groups, and the command line in-process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main
from rm.rubric import Rubric

Row = dict[str, Any]
DIMENSIONS = Rubric.load("math").dimension_names


@dataclass(frozen=True)
class Ran:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process; usage errors, which argparse raises, are exit codes too."""

    def call(*argv: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(each) for each in argv])
        except SystemExit as stop:
            code = int(stop.code or 0)
        ran = Ran(code, *capsys.readouterr())
        if "--debug" not in argv:
            assert "Traceback" not in ran.err
        return ran

    return call


@pytest.fixture(scope="session")
def sum_row() -> Callable[..., Row]:
    """A group about a sum: one right trace, two that are wrong by a little; labelled unless told otherwise."""

    def make(index: int, labelled: bool = True, **fields: Any) -> Row:
        a, b = index % 17, (index * 7) % 23

        def trace(result: int, level: int) -> Row:
            rubric = {"rubric": {**dict.fromkeys(DIMENSIONS, level), "total": level / 4}} if labelled else {}
            return {"reasoning": f"{a} plus {b} makes {result} .", **rubric}

        return {
            "problem_id": f"sum{index}",
            "problem": f"What is {a} plus {b} ?",
            "positive_pool": [trace(a + b, 4)],
            "negative_bank": [{**trace(a + b + off, 1), "negative_kind": f"off{off}"} for off in (1, 2)],
            **fields,
        }

    return make


@pytest.fixture(scope="session")
def base(word_base: Callable[..., Path]) -> Path:
    """A backbone that reads 128 tokens."""
    return word_base(positions=128)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, sum_row: Callable[..., Row]) -> dict[str, Path]:
    """`train` (8 groups) and `dev` (4)."""
    root = tmp_path_factory.mktemp("groups")

    def put(name: str, indices: Sequence[int]) -> Path:
        path = root / f"{name}.jsonl"
        path.write_text("".join(json.dumps(sum_row(i)) + "\n" for i in indices))
        return path

    return {"train": put("train", range(8)), "dev": put("dev", range(20, 24))}


@pytest.fixture(scope="session")
def train_argv(base: Path, files: dict[str, Path]) -> Callable[..., list[str]]:
    """A training command of two steps; further arguments come last."""

    def make(output: Path, *more: object) -> list[str]:
        return [
            *("train", "--model.backbone", str(base), "--model.dtype", "float32", "--train.autocast", "none"),
            *([] if "--data.train" in more else ["--data.train", str(files["train"])]),
            *("--lora.rank", "4", "--train.max_steps", "2"),
            *("--train.groups_per_step", "4", "--train.learning_rate", "1e-2", "--output", str(output)),
            *map(str, more),
        ]

    return make


@pytest.fixture(scope="session")
def trained(
    train_argv: Callable[..., list[str]], files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output of a finished run, an adapter."""
    output = tmp_path_factory.mktemp("trained") / "run"
    assert main(train_argv(output, "--data.dev", files["dev"])) == 0
    return output
