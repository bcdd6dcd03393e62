"""The official score and its logit, against the plain formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rm.model import combine_heads

WEIGHTS = torch.tensor([0.3, 0.2, 0.2, 0.2, 0.1])


def draw(rows: int = 64, spread: float = 3.0, levels: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(18)
    logits = torch.randn(rows, len(WEIGHTS), levels, generator=generator) * spread
    return logits, torch.randn(rows, generator=generator) * spread


def official(logits: Tensor, total: Tensor | None, weights: Tensor) -> Tensor:
    """The official formula, term by term, with no thought of numerical range."""
    scores = []
    for row, logit in enumerate(logits.double()):
        rubric = 0.0
        for dimension, weight in zip(logit, weights.double(), strict=True):
            chances = dimension.exp() / dimension.exp().sum()
            rubric += weight * sum(level * chance for level, chance in enumerate(chances)) / (len(chances) - 1)
        scores.append(rubric if total is None else 0.5 * (rubric + 1 / (1 + (-total[row].double()).exp())))
    return torch.stack([torch.as_tensor(score) for score in scores])


@pytest.mark.parametrize("levels", [2, 5, 11])
@pytest.mark.parametrize("with_total", [True, False])
def test_the_score_is_the_official_one(levels, with_total):
    logits, total = draw(levels=levels)
    found = combine_heads(logits, total if with_total else None, WEIGHTS)
    expected = official(logits, total if with_total else None, WEIGHTS)
    torch.testing.assert_close(found.score.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("with_total", [True, False])
def test_the_logit_is_that_of_the_score(with_total):
    logits, total = draw()
    found = combine_heads(logits, total if with_total else None, WEIGHTS)
    expected = torch.logit(official(logits, total if with_total else None, WEIGHTS))
    torch.testing.assert_close(found.logit.double(), expected, rtol=1e-5, atol=1e-5)


def test_an_even_model_scores_one_half():
    found = combine_heads(torch.zeros(1, 5, 5), torch.zeros(1), WEIGHTS)
    assert found.score.tolist() == pytest.approx([0.5])
    assert found.logit.tolist() == pytest.approx([0.0], abs=1e-6)
    assert found.expected_levels.tolist() == [pytest.approx([2.0] * 5)]


def test_a_weight_moves_the_score_by_its_share():
    sure = torch.full((1, 5, 5), -100.0)
    sure[:, :, 0] = 100.0  # level 0 everywhere,
    sure[:, 0] = sure[:, 0].flip(-1)  # but the top level in the first dimension, which weighs 0.3
    assert combine_heads(sure, None, WEIGHTS).score.item() == pytest.approx(0.3)


def test_scores_that_round_to_one_are_still_ordered_by_the_logit():
    logits = torch.zeros(3, 5, 5)
    logits[:, :, 4] = torch.tensor([[40.0], [60.0], [80.0]])
    found = combine_heads(logits, torch.tensor([40.0, 60.0, 80.0]), WEIGHTS)
    assert set(found.score.tolist()) == {1.0}
    assert found.logit.diff().gt(10).all()


@pytest.mark.parametrize("size", [1e2, 1e4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_extreme_logits_give_finite_values_and_gradients(size, sign):
    logits = torch.zeros(2, 5, 5)
    logits[:, :, 4] = sign * size
    logits.requires_grad_()
    total = torch.tensor([sign * size, -sign * size], requires_grad=True)
    found = combine_heads(logits, total, WEIGHTS)
    found.logit.sum().backward()
    for value in (found.score, found.logit, logits.grad, total.grad):
        assert torch.isfinite(value).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_the_logit_keeps_its_order_at_ten_thousand():
    logits = torch.zeros(4, 5, 5)
    logits[:, :, 4] = torch.tensor([[-1e4], [-9e3], [9e3], [1e4]])
    total = torch.tensor([-1e4, -9e3, 9e3, 1e4])
    assert (combine_heads(logits, total, WEIGHTS).logit.diff() >= 0).all()


@pytest.mark.parametrize("quantity", ["score", "logit"])
def test_gradients_are_those_of_the_plain_formula(quantity):
    logits, total = (value.requires_grad_() for value in draw(rows=6, spread=1.0))
    getattr(combine_heads(logits, total, WEIGHTS), quantity).sum().backward()
    plain = [value.detach().clone().requires_grad_() for value in (logits, total)]
    score = official(*plain, WEIGHTS)
    (score if quantity == "score" else torch.logit(score)).sum().backward()
    torch.testing.assert_close(logits.grad, plain[0].grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(total.grad, plain[1].grad, rtol=1e-4, atol=1e-6)


def test_half_precision_heads_are_combined_in_float32():
    logits, total = draw()
    found = combine_heads(logits.bfloat16(), total.bfloat16(), WEIGHTS)
    assert {value.dtype for value in found} == {torch.float32}
    torch.testing.assert_close(
        found.logit, combine_heads(logits.bfloat16().float(), total.bfloat16().float(), WEIGHTS).logit
    )


def test_no_rows_are_no_error():
    found = combine_heads(torch.zeros(0, 5, 5), torch.zeros(0), WEIGHTS)
    assert found.score.shape == found.logit.shape == (0,)
