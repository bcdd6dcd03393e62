"""Ordinal loss: values from paper and a slow oracle."""

from math import log

import numpy as np
import pytest
import scipy.special
import torch

from rm.losses import ordinal


def test_by_hand():
    # Probabilities 1/2, 1/4, 1/4 and label 1: P(y > 0) = 1/2 wanted, P(y <= 1) = 3/4 wanted.
    logits = torch.tensor([[[log(2), 0.0, 0.0]]])
    expected = -(log(1 / 2) + log(3 / 4)) / 2
    assert ordinal(logits, torch.tensor([[1]])).item() == pytest.approx(expected)


def test_is_binary_cross_entropy_on_cumulative_probabilities():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 3, 5)), rng.integers(0, 5, size=(6, 3))
    p = scipy.special.softmax(logits, axis=2)
    expected = np.zeros(6)
    for n in range(6):
        for d in range(3):
            above = [p[n, d, threshold + 1 :].sum() for threshold in range(4)]
            wanted = [labels[n, d] > threshold for threshold in range(4)]
            expected[n] += np.mean([-np.log(a if w else 1 - a) for a, w in zip(above, wanted, strict=True)])
    value = ordinal(torch.from_numpy(logits), torch.from_numpy(labels))
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_two_levels_are_cross_entropy():
    logits, labels = (
        torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[0, 1]] * 5),
    )
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum(1)
    torch.testing.assert_close(ordinal(logits, labels), expected)


def test_a_miss_by_two_levels_costs_more_than_a_miss_by_one():
    peaked = 6 * torch.eye(5).unsqueeze(1)  # candidate n is sure of level n
    costs = ordinal(peaked, torch.full((5, 1), 4))
    assert torch.all(costs[:-1] > costs[1:])


def test_unlabelled_dimensions_add_zero_and_get_no_gradient():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    value = ordinal(logits, torch.tensor([[-1, 2, -1], [-1, -1, -1]]))
    torch.testing.assert_close(value[0], ordinal(logits[:1, 1:2], torch.tensor([[2]]))[0])
    value.sum().backward()
    assert value[1] == 0
    assert torch.all(logits.grad[0, [0, 2]] == 0)
    assert torch.all(logits.grad[1] == 0)


@pytest.mark.parametrize("label", range(5))
def test_extreme_logits_are_finite(label):
    logits = torch.tensor([[[1e4, -1e4, 0.0, 1e4, -1e4]]], requires_grad=True)
    value = ordinal(logits, torch.tensor([[label]]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(logits.grad).all()


def test_gradients_are_those_of_finite_differences():
    logits = torch.randn(3, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    labels = torch.tensor([[0, 4], [2, -1], [3, 1]])
    assert torch.autograd.gradcheck(lambda x: ordinal(x, labels), (logits,))


def test_no_candidates_give_no_losses():
    assert ordinal(torch.zeros(0, 3, 5), torch.zeros(0, 3, dtype=torch.int64)).shape == (0,)


def test_bfloat16_is_computed_in_float32():
    assert (
        ordinal(torch.zeros(1, 2, 5, dtype=torch.bfloat16), torch.zeros(1, 2, dtype=torch.int64)).dtype == torch.float32
    )


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_logits_without_levels_are_refused(shape):
    with pytest.raises(ValueError, match="L >= 2, got"):
        ordinal(torch.zeros(shape), torch.zeros(2, 3, dtype=torch.int64))


def test_different_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        ordinal(torch.zeros(2, 3, 5), torch.zeros(2, 4, dtype=torch.int64))
