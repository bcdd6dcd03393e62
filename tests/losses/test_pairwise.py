"""Values of the pairwise losses from paper."""

from math import exp, log

import numpy as np
import pytest
import torch

from rm.losses import pairwise_bounded, pairwise_logistic

ALL_FOUR = torch.ones(1, 4, dtype=torch.bool)


def test_logistic_by_hand():
    # Differences 0 (-log 1/2) and log 3 (-log 3/4); the two tied candidates form no pair.
    z, relevance = torch.tensor([[log(3), log(3), 0.0]]), torch.tensor([[1.0, 0.5, 0.5]])
    expected = (log(2) + log(4 / 3)) / 2
    assert pairwise_logistic(z, relevance, ALL_FOUR[:, :3]).item() == pytest.approx(expected)


def test_logistic_is_a_mean_over_pairs_by_a_slow_loop():
    rng = np.random.default_rng(0)
    z, relevance = rng.normal(size=6), rng.choice([0.0, 0.5, 1.0], size=6)
    costs = [np.log1p(np.exp(z[j] - z[i])) for i in range(6) for j in range(6) if relevance[i] > relevance[j]]
    args = torch.from_numpy(z)[None], torch.from_numpy(relevance)[None], torch.ones(1, 6, dtype=torch.bool)
    assert pairwise_logistic(*args).item() == pytest.approx(np.mean(costs))


def test_bounded_is_the_mean_over_positives_times_negatives():
    scores = torch.tensor([[0.9, 0.4, 0.7, 0.1]])
    positive = torch.tensor([[True, False, True, False]])
    margins = [0.9 - 0.4, 0.9 - 0.1, 0.7 - 0.4, 0.7 - 0.1]
    expected = sum(log(1 + exp(-m)) for m in margins) / 4
    assert pairwise_bounded(scores, positive, ALL_FOUR).item() == pytest.approx(expected)


def test_bounded_never_falls_below_its_floor():
    scores, positive = torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[True, False, False, False]])
    assert pairwise_bounded(scores, positive, ALL_FOUR).item() == pytest.approx(0.31326169)


def test_bounded_refuses_graded_relevance_in_place_of_the_mark():
    scores = torch.zeros(1, 4)
    with pytest.raises(ValueError, match=r"positive must be a boolean tensor, got torch\.float32"):
        pairwise_bounded(scores, scores, ALL_FOUR)
