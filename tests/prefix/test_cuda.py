"""What only a CUDA device can show: FlexAttention with gradients, and bfloat16."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModel, PreTrainedModel, Qwen2Config

from rm.prefix import Path, pack, packed_states, prepare

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

PATHS: list[Path] = ["segments", "tree_mask", "flex"]


@pytest.fixture
def backbone() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=500,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = AutoModel.from_config(config).cuda()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def groups() -> list[list[list[int]]]:
    draw = random.Random(0)
    found = []
    for _ in range(3):
        prompt = [draw.randrange(500) for _ in range(draw.randrange(50, 300))]
        found.append([prompt + [draw.randrange(500) for _ in range(draw.randrange(1, 90))] for _ in range(5)])
    return found


def alone(model: PreTrainedModel, rows: list[list[int]]) -> torch.Tensor:
    states = [model(input_ids=torch.tensor([row], device="cuda")).last_hidden_state[0, -1] for row in rows]
    return torch.stack(states)


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", PATHS)
def test_states_and_gradients_are_those_of_the_plain_way(backbone: PreTrainedModel, path: Path) -> None:
    rows = [row for group in groups() for row in group]
    target = torch.randn(len(rows), 256, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    expected = alone(backbone, rows)
    (expected * target).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in backbone.named_parameters()}
    backbone.zero_grad()
    assert prepare(backbone, path, longest=512).path == path
    packed = pack(groups(), path).to("cuda")
    found = packed_states(backbone, packed)[packed.last]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    (found * target).sum().backward()
    difference = sum((p.grad - gradients[name]).square().sum() for name, p in backbone.named_parameters()).sqrt()
    assert difference < 1e-3 * sum(gradient.square().sum() for gradient in gradients.values()).sqrt()


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", PATHS)
def test_bfloat16_is_as_near_as_it_can_be(backbone: PreTrainedModel, path: Path) -> None:
    rows = [row for group in groups() for row in group]
    with torch.no_grad():
        expected = alone(backbone, rows)
        half = backbone.to(torch.bfloat16)
        plain = (alone(half, rows).float() - expected).norm() / expected.norm()
        assert prepare(half, path, longest=512).path == path
        packed = pack(groups(), path).to("cuda")
        found = (packed_states(half, packed)[packed.last].float() - expected).norm() / expected.norm()
    assert found < 2 * plain + 1e-2
