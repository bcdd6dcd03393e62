"""Cross-entropy and Huber: values from paper and scikit-learn."""

from math import log

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.metrics import log_loss

from rm.losses import cross_entropy, huber

UNIFORM = torch.zeros(1, 2, 5)


def test_cross_entropy_is_a_sum_over_dimensions():
    assert cross_entropy(UNIFORM, torch.tensor([[0, 3]])).item() == pytest.approx(2 * log(5))


def test_cross_entropy_is_scikit_learn_log_loss_of_each_dimension():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(4, 3, 5)), rng.integers(0, 5, size=(4, 3))
    p = scipy.special.softmax(logits, axis=2)
    expected = [sum(log_loss([labels[n, d]], [p[n, d]], labels=range(5)) for d in range(3)) for n in range(4)]
    value = cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_unlabelled_dimensions_add_zero_and_get_no_gradient():
    logits = torch.randn(1, 2, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = cross_entropy(logits, torch.tensor([[-1, 2]]))
    assert value.item() == pytest.approx(cross_entropy(logits[:, 1:], torch.tensor([[2]])).item())
    value.sum().backward()
    assert torch.all(logits.grad[0, 0] == 0)


def test_a_candidate_without_labels_costs_zero():
    assert cross_entropy(UNIFORM, torch.tensor([[-1, -1]])).tolist() == [0.0]


def test_label_smoothing_spreads_the_target():
    # Probabilities 3/4 and 1/4, target 0.9 and 0.1.
    logits = torch.tensor([[[log(3), 0.0]]])
    expected = -(0.9 * log(3 / 4) + 0.1 * log(1 / 4))
    assert cross_entropy(logits, torch.tensor([[0]]), label_smoothing=0.2).item() == pytest.approx(expected)


def test_cross_entropy_of_extreme_logits_is_finite():
    logits = torch.tensor([[[1e4, -1e4, 0.0]]], requires_grad=True)
    value = cross_entropy(logits, torch.tensor([[1]]))
    value.sum().backward()
    assert value.item() == pytest.approx(2e4)
    assert torch.isfinite(logits.grad).all()


def test_cross_entropy_of_bfloat16_is_computed_in_float32():
    assert cross_entropy(UNIFORM.bfloat16(), torch.tensor([[0, 3]])).dtype == torch.float32


def test_cross_entropy_of_no_candidates():
    assert cross_entropy(torch.zeros(0, 2, 5), torch.zeros(0, 2, dtype=torch.int64)).shape == (0,)


@pytest.mark.parametrize("labels", [(1, 3), (2, 2)])
def test_cross_entropy_refuses_different_shapes_with_both(labels):
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(\d, \d\)"):
        cross_entropy(UNIFORM, torch.zeros(labels, dtype=torch.int64))


def test_huber_by_hand():
    # delta 0.5: 0.2 off is quadratic, 0.02; 0.8 off is linear, 0.5 * (0.8 - 0.25) = 0.275.
    value = huber(torch.tensor([0.5, 0.1]), torch.tensor([0.7, 0.9]), torch.tensor([True, True]), delta=0.5)
    assert value.tolist() == pytest.approx([0.02, 0.275])


def test_huber_does_not_read_a_missing_total():
    probability = torch.tensor([0.5, 0.5], requires_grad=True)
    value = huber(probability, torch.tensor([float("nan"), 0.0]), torch.tensor([False, True]))
    value.sum().backward()
    assert value.tolist() == [0.0, 0.125]
    assert probability.grad.tolist() == [0.0, 0.5]


def test_huber_gradients_are_those_of_finite_differences():
    probability = torch.tensor([0.2, 0.9, 0.4], dtype=torch.float64, requires_grad=True)
    total, labelled = torch.tensor([0.3, 0.1, 0.0], dtype=torch.float64), torch.tensor([True, True, False])
    assert torch.autograd.gradcheck(lambda p: huber(p, total, labelled, delta=0.5), (probability,))


def test_huber_refuses_different_shapes_with_both():
    with pytest.raises(ValueError, match=r"probability \(2,\), total \(3,\)"):
        huber(torch.zeros(2), torch.zeros(3), torch.ones(2, dtype=torch.bool))
