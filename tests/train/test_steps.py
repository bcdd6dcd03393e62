"""Single steps against a plain loop, and what the log tells of them."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from rm.config import TrainConfig
from rm.groups import load_groups
from rm.model.create import Recipe, create_model
from rm.rubric import Rubric
from rm.text import Encoder, collate, pad
from rm.train import train
from rm.train.data import tokenize_groups
from rm.train.objective import Objective

MakeConfig = Callable[..., TrainConfig]
Log = Callable[[Path], list[dict[str, Any]]]

MATH = Rubric.load("math")


# ---- the step ---------------------------------------------------------------------------------------------------


def one_plain_step(base: Path, train_file: Path, rate: float) -> dict[str, torch.Tensor]:
    """The oracle: each group alone through the model, the mean of the losses, one step of plain descent."""
    recipe = Recipe(backbone=str(base), rubric=MATH, dtype="float32", lora_rank=0, max_length=256)
    loaded = create_model(recipe, torch.device("cpu"), seed=18)
    encoder = Encoder(loaded.tokenizer, 256)
    tokenized = tokenize_groups(load_groups(train_file, MATH), encoder, MATH, "refuse")
    loss = TrainConfig().loss
    objective = Objective(loss.ranking, loss.dimensions, loss.temperature, asdict(loss.weights))
    losses = []
    for group in tokenized.groups:
        members = group.members("all", 0, 0)
        ids, mask = pad([member.input_ids for member in members], encoder.pad_id)
        batch = collate([members], len(MATH.dimensions))
        losses.append(objective(loaded.model(ids, mask), batch, torch.Generator()).loss)
    torch.cat(losses).mean().backward()
    return {
        name: (parameter - rate * parameter.grad).detach() if parameter.grad is not None else parameter.detach()
        for name, parameter in loaded.model.named_parameters()
    }


@pytest.mark.parametrize("sharing", ["plain", "segments", "tree_mask"])
@pytest.mark.parametrize("tokens", [1, 150, 100_000])
def test_a_step_descends_the_mean_over_its_groups_whatever_the_micro_batches(
    config: MakeConfig, base: Path, train_file: Path, run: Path, tokens: int, sharing: str
) -> None:
    rate = 0.1
    plain_descent = {"train.optimizer": "sgd", "train.learning_rate": rate, "train.weight_decay": 0.0}
    one_step = {"train.max_steps": 1, "train.groups_per_step": 10, "train.max_grad_norm": 1e9}
    way = {"train.tokens_per_microbatch": tokens, "model.prefix_sharing": sharing}
    train(config(**plain_descent, **one_step, **way))
    expected = one_plain_step(base, train_file, rate)
    found = load_file(run / "model" / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_heads_may_have_a_learning_rate_of_their_own(config: MakeConfig, base: Path, run: Path) -> None:
    train(config(**{"train.learning_rate": 1e-12, "train.head_learning_rate": 1e-2}))
    before, after = load_file(base / "model.safetensors"), load_file(run / "model" / "model.safetensors")
    for name, weights in before.items():
        torch.testing.assert_close(after[f"model.{name}"], weights, rtol=0, atol=1e-8)
    assert after["total_head.bias"].abs() > 1e-3


def test_training_learns(config: MakeConfig, run: Path, log: Log) -> None:
    train(config(**{"train.max_steps": 30}))
    losses = [line["loss"] for line in log(run) if "loss" in line]
    assert losses[-1] < losses[0] - 0.5


def test_bfloat16_autocast_keeps_the_weights_in_float32(config: MakeConfig, run: Path) -> None:
    train(config(**{"train.autocast": "bfloat16", "train.max_steps": 2}))
    assert {each.dtype for each in load_file(run / "model" / "model.safetensors").values()} == {torch.float32}


# ---- the log ----------------------------------------------------------------------------------------------------


def test_the_log_tells_each_part_of_the_loss(config: MakeConfig, run: Path, log: Log) -> None:
    weights = {"ranking": 1.0, "dimensions": 0.2, "total": 0.5}
    train(config())
    steps = [line for line in log(run) if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    for line in steps:
        assert line["loss"] == pytest.approx(sum(weights[name] * line[f"loss_{name}"] for name in weights), abs=1e-5)
    assert steps[0]["loss_ranking"] == pytest.approx(math.log(3), abs=0.1)  # three candidates, told apart by nothing
    assert steps[0]["loss_dimensions"] == pytest.approx(5 * math.log(5), abs=0.5)


def test_the_log_averages_over_the_steps_between_its_lines(
    config: MakeConfig, run: Path, log: Log, tmp_path: Path
) -> None:
    train(config())
    train(config(**{"train.log_every": 2, "output": str(tmp_path / "pairs")}))
    singles = [line["loss_dimensions"] for line in log(run) if "loss" in line]
    pairs = [line["loss_dimensions"] for line in log(tmp_path / "pairs") if "loss" in line]
    assert pairs == pytest.approx([(singles[0] + singles[1]) / 2, (singles[2] + singles[3]) / 2], abs=1e-5)


def test_the_log_counts_tokens_and_what_was_computed_for_them(
    config: MakeConfig, base: Path, train_file: Path, log: Log, tmp_path: Path
) -> None:
    encoder = Encoder(PreTrainedTokenizerFast.from_pretrained(base), 256)
    tokenized = tokenize_groups(load_groups(train_file, MATH), encoder, MATH, "refuse").groups
    groups = [[member.input_ids for member in each.members("all", 0, 0)] for each in tokenized]
    lengths = [list(map(len, members)) for members in groups]
    lines = {}
    for sharing in ("plain", "segments"):
        one_step = {"train.max_steps": 1, "train.groups_per_step": 10, "train.tokens_per_microbatch": 1}
        train(config(**one_step, **{"model.prefix_sharing": sharing, "output": str(tmp_path / sharing)}))
        lines[sharing] = log(tmp_path / sharing)[0]
        assert lines[sharing]["tokens"] == sum(map(sum, lengths))
    padded = sum(max(each) * len(each) for each in lengths)  # a micro-batch holds one group
    assert lines["plain"]["computed_tokens"] == padded
    assert lines["plain"]["padding_share"] == pytest.approx(1 - sum(map(sum, lengths)) / padded, abs=1e-4)
    # The three traces of a problem differ from the result on; what comes before it is computed once.
    shared = [sum(1 for _ in takewhile(lambda at: len(set(at)) == 1, zip(*each, strict=False))) for each in groups]
    assert lines["segments"]["computed_tokens"] == sum(map(sum, lengths)) - 2 * sum(shared)
    assert lines["segments"]["padding_share"] == 0


def test_the_log_counts_groups_without_labels(config: MakeConfig, run: Path, log: Log, tmp_path: Path) -> None:
    bare = tmp_path / "bare.jsonl"
    row = {"problem": "What ?", "positive_pool": [{"reasoning": "so"}], "negative_bank": [{"reasoning": "it"}]}
    bare.write_text("".join(json.dumps({**row, "problem_id": f"p{i}"}) + "\n" for i in range(4)))
    result = train(config(**{"data.train": [str(bare)], "train.max_steps": 1}))
    line = log(run)[0]
    assert (line["skipped_dimensions"], line["skipped_total"]) == (1.0, 1.0)  # a share of the step's groups
    assert "skipped_ranking" not in line
    assert any("8 of 8 training traces have no rubric labels" in note for note in result.notes)


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed (extra: tracking)")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_offline_writes_beside_the_run(
    config: MakeConfig, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR", "WANDB_LOG_MODEL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(config(**{"tracking.wandb": True, "tracking.mode": "offline", "train.max_steps": 2}))
    import wandb

    wandb.finish()
    assert list((run / "wandb").glob("offline-run-*"))
