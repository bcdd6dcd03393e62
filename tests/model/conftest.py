"""Reward models to save, load and score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rm.model import LoadedModel, RewardOutput
from rm.model.create import Recipe, create_model
from rm.rubric import Rubric
from rm.text import Encoder, Row, pad

CPU = torch.device("cpu")


@pytest.fixture
def rows() -> list[Row]:
    """Rows of very different lengths."""
    return [
        Row("What is 3 + 4?", "3 + 4 = 7.", "math", "arithmetic"),
        Row("What is 3 + 4?", "3 + 4 = 8.", "math", "arithmetic"),
        Row("Sam has 3 apples and buys 4 more. How many are there?", "3 and 4 make 7. " * 6, "math"),
        Row("Add.", "x", "code", tests="assert add(1, 2) == 3"),
    ]


@pytest.fixture
def fresh(backbone: Callable[..., Path]) -> Callable[..., LoadedModel]:
    """A new reward model on a random backbone, its heads wide enough for scores to differ."""

    def build(family: str = "qwen2", rubric: Rubric | None = None, spread: float = 1.0, **recipe: Any) -> LoadedModel:
        settings = {"dtype": "float32", "lora_rank": 0, **recipe}
        if "backbone" not in settings:
            settings["backbone"] = str(backbone(family))
        loaded = create_model(Recipe(rubric=rubric or Rubric.load("math"), **settings), CPU, seed=0)
        widen(loaded, spread)
        (loaded.peft or loaded.model).eval()
        return loaded

    return build


def widen(loaded: LoadedModel, spread: float) -> None:
    """Draw what trains in an adapter, and every head, from N(0, spread): as if it had been trained."""
    generator = torch.Generator().manual_seed(1)
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name or "dimension_heads" in name or "total_head" in name:
            scale = 0.1 if "lora_B" in name else spread
            with torch.no_grad():
                value.normal_(std=scale, generator=generator)


@pytest.fixture
def outputs(rows: list[Row]) -> Callable[..., RewardOutput]:
    """What a model says of the rows, padded on a side."""

    def compute(loaded: LoadedModel, side: Any = "right", of: Sequence[Row] = rows) -> RewardOutput:
        encoder = Encoder(loaded.tokenizer, 500)
        ids, mask = pad([item.input_ids for item in encoder.encode(of)], encoder.pad_id, side)
        with torch.no_grad():
            return loaded.model.eval()(ids, mask)

    return compute


@pytest.fixture
def train_briefly(rows: list[Row]) -> Callable[[LoadedModel], dict[str, Tensor]]:
    """One large step on what is trainable; gives the gradients by parameter name."""

    def step(loaded: LoadedModel) -> dict[str, Tensor]:
        network: nn.Module = loaded.peft or loaded.model
        network.train()
        encoder = Encoder(loaded.tokenizer, 500)
        ids, mask = pad([item.input_ids for item in encoder.encode(rows)], encoder.pad_id)
        network(input_ids=ids, attention_mask=mask).logit.square().sum().backward()
        gradients = {name: p.grad.clone() for name, p in loaded.model.named_parameters() if p.grad is not None}
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter -= 1e-3 * parameter.grad
                    parameter.grad = None
        network.eval()
        return gradients

    return step
