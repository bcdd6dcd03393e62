"""Correlation with length, against SciPy."""

import numpy as np
import pytest
import scipy.stats

from rm.metrics import length_correlation, longest_scores


@pytest.mark.parametrize("seed", range(5))
def test_is_scipy_spearman_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores, lengths = rng.choice([0.1, 0.4, 0.9], size=8), rng.integers(100, 104, size=8)
    assert length_correlation(scores, lengths) == pytest.approx(scipy.stats.spearmanr(scores, lengths).statistic)


def test_by_hand():
    # Ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * 2 / (4 * 15).
    assert length_correlation([0.1, 0.2, 0.3, 0.4], [10, 20, 900, 30]) == pytest.approx(0.8)


@pytest.mark.parametrize(("scores", "lengths"), [([0.5, 0.5], [1, 2]), ([0.1, 0.5], [7, 7]), ([0.1], [7]), ([], [])])
def test_without_variation_is_undefined(scores, lengths):
    assert np.isnan(length_correlation(scores, lengths))


def test_the_longest_baseline_correlates_perfectly_with_length():
    lengths = [120, 80, 400]
    assert length_correlation(longest_scores(lengths), lengths) == pytest.approx(1)


def test_different_lengths_are_refused_with_both():
    with pytest.raises(ValueError, match=r"scores \(3,\), lengths \(2,\)"):
        length_correlation([0.1, 0.2, 0.3], [1, 2])
