"""Reliability of scores, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from rm.metrics import ReliabilityBin, reliability


def test_two_bins_by_hand():
    result = reliability([0.9, 0.1, 0.2, 0.7], [1, 0, 1, 0], n_bins=2)
    low, high = result.bins
    assert low == ReliabilityBin(low=0.1, high=0.2, count=2, mean_score=pytest.approx(0.15), mean_outcome=0.5)
    assert high == ReliabilityBin(low=0.7, high=0.9, count=2, mean_score=pytest.approx(0.8), mean_outcome=0.5)
    assert result.expected_error == pytest.approx((0.35 + 0.3) / 2)
    assert result.largest_error == pytest.approx(0.35)
    assert result.bias == pytest.approx(1.9 / 4 - 0.5)


def test_distinct_scores_are_binned_as_scikit_learn_bins_quantiles():
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=200)
    outcomes = (rng.uniform(size=200) < scores**2).astype(int)
    shares, means = calibration_curve(outcomes, scores, n_bins=10, strategy="quantile")
    bins = reliability(scores, outcomes, n_bins=10).bins
    assert [each.count for each in bins] == [20] * 10
    np.testing.assert_allclose([each.mean_outcome for each in bins], shares)
    np.testing.assert_allclose([each.mean_score for each in bins], means)


def test_equal_scores_stay_in_one_bin():
    result = reliability([0.5] * 7 + [0.8], [1, 0, 1, 0, 1, 0, 1, 1], n_bins=4)
    assert [(each.low, each.high, each.count) for each in result.bins] == [(0.5, 0.5, 7), (0.8, 0.8, 1)]


def test_scores_that_are_shares_have_no_error():
    result = reliability([0.25] * 4 + [0.75] * 4, [1, 0, 0, 0, 1, 1, 1, 0])
    assert result.expected_error == pytest.approx(0)
    assert result.bias == pytest.approx(0)


def test_graded_outcomes_are_averaged():
    assert reliability([0.4, 0.6], [0.3, 0.9], n_bins=1).bins[0].mean_outcome == pytest.approx(0.6)


def test_candidates_without_an_outcome_are_left_out():
    with_gap = reliability([0.1, 0.5, 0.9], [0, float("nan"), 1])
    assert with_gap == reliability([0.1, 0.9], [0, 1])


@pytest.mark.parametrize(("scores", "outcomes"), [([], []), ([0.3], [float("nan")])])
def test_nothing_to_compare_is_undefined(scores, outcomes):
    result = reliability(scores, outcomes)
    assert result.bins == ()
    assert np.isnan([result.expected_error, result.largest_error, result.bias]).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"scores \(2,\), outcomes \(1,\)"):
        reliability([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
        reliability([0.1], [1], n_bins=0)
    with pytest.raises(ValueError, match="scores must be finite"):
        reliability([float("nan")], [1])


def test_a_tie_goes_where_its_middle_lies_and_bins_count_by_their_candidates():
    result = reliability([0.1] * 3 + [0.5] * 5, [0, 0, 0, 1, 1, 1, 1, 0], n_bins=2)
    assert [each.count for each in result.bins] == [3, 5]
    assert result.expected_error == pytest.approx((3 * 0.1 + 5 * 0.3) / 8)
