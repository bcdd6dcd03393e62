"""A random base, a reward model trained on it for two steps, files of groups, and the command line in-process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2Model

from rm.cli.main import main
from rm.rubric import Rubric

Row = dict[str, Any]
DIMENSIONS = Rubric.load("math").dimension_names
WORDS = "What is plus ? makes , so it . < > / [ ] task type problem reasoning math tests"


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


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Rows as JSON Lines; text and bytes go in as lines of their own."""

    def to_file(*rows: Row | str | bytes, name: str = "rows.jsonl") -> Path:
        lines = [row if isinstance(row, str | bytes) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
        return path

    return to_file


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a few thousand parameters, always the same, and a tokenizer of whole words."""
    directory = tmp_path_factory.mktemp("base")
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        [WORDS, " ".join(map(str, range(60)))], trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]"])
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"pad_token_id": 1, "bos_token_id": None, "eos_token_id": None}
    config = Qwen2Config(vocab_size=len(fast), num_key_value_heads=1, max_position_embeddings=128, **shape, **ends)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Qwen2Model(config).save_pretrained(directory)
    fast.save_pretrained(str(directory))
    return directory


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
            *("--lora.rank", "4", "--data.train", str(files["train"]), "--train.max_steps", "2"),
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
