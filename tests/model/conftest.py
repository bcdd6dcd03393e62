"""Rows for reward models to score and to train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rm.model import LoadedModel, RewardOutput
from rm.text import Encoder, Row, pad


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
