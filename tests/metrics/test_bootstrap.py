"""Intervals and paired differences, against SciPy, enumeration and the normal distribution."""

from itertools import product

import numpy as np
import pytest
import scipy.stats

from rm.metrics import bootstrap as module
from rm.metrics import bootstrap_interval, paired_difference, summarize


def accuracies(n: int = 300, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([0.0, 0.25, 0.5, 0.75, 1.0], size=n, p=[0.05, 0.1, 0.15, 0.3, 0.4])


def test_interval_is_that_of_scipy():
    values = accuracies()
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=8000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    # Quantiles of 8000 resamples are known to about 3% of a standard error.
    np.testing.assert_allclose(bootstrap_interval(values, seed=2, n_resamples=8000), expected, atol=2e-3)


def test_interval_has_the_width_of_the_normal_theory():
    values = accuracies()
    low, high = bootstrap_interval(values, seed=0, n_resamples=8000, level=0.9)
    assert high - low == pytest.approx(2 * 1.645 * values.std() / np.sqrt(len(values)), rel=0.06)


def test_interval_is_set_by_its_seed_alone():
    values = np.random.default_rng(0).normal(size=50)
    np.random.seed(0)
    first = bootstrap_interval(values, seed=3)
    np.random.seed(1)
    assert bootstrap_interval(values, seed=3) == first
    assert bootstrap_interval(values, seed=4) != first


def test_undefined_groups_are_left_out_and_counted():
    values = np.array([1.0, np.nan, 0.0, 1.0, np.nan])
    summary = summarize(values, seed=0)
    assert summary.mean == pytest.approx(2 / 3)
    assert (summary.n, summary.undefined) == (3, 2)
    assert (summary.low, summary.high) == bootstrap_interval([1.0, 0.0, 1.0], seed=0)


@pytest.mark.parametrize(("values", "mean"), [([], np.nan), ([np.nan], np.nan), ([0.7], 0.7)])
def test_fewer_than_two_groups_have_no_interval(values, mean):
    summary = summarize(values, seed=0)
    assert summary.mean == pytest.approx(mean, nan_ok=True)
    assert np.isnan([summary.low, summary.high]).all()


@pytest.mark.parametrize("n", [2, 12, 301])
def test_a_share_that_is_the_same_end_in_all_groups_has_wilsons_interval(n):
    """Resampling would find a width of 0, from two groups as from a thousand."""
    low, high = scipy.stats.binomtest(n, n).proportion_ci(0.95, method="wilson")
    right = summarize(np.ones(n), seed=0, share=True)
    assert (right.low, right.high) == pytest.approx((low, high))
    wrong = summarize(np.zeros(n), seed=0, share=True)
    assert (wrong.low, wrong.high) == pytest.approx((1 - high, 1 - low))
    assert summarize(np.ones(n), seed=0).low == 1.0  # what is no share keeps its own
    assert summarize(np.full(n, 0.5), seed=0, share=True).low == 0.5
    assert np.isnan(summarize([1.0], seed=0, share=True).low)


def test_chunks_leave_no_resample_out(monkeypatch):
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 700)
    low, high = bootstrap_interval(accuracies(100), seed=0, n_resamples=2001)
    monkeypatch.undo()
    np.testing.assert_allclose([low, high], bootstrap_interval(accuracies(100), seed=0, n_resamples=2001))


def test_paired_difference_is_a_minus_b_over_groups_that_both_have():
    result = paired_difference([1.0, 0.5, np.nan, 0.0], [0.0, 0.25, 1.0, np.nan], seed=0)
    assert result.difference == pytest.approx((1.0 + 0.25) / 2)
    assert result.n == 2


def test_pairing_takes_out_what_the_groups_share():
    hard = accuracies(200) * 0.8
    result = paired_difference(hard + 0.1, hard, seed=0)
    assert (result.low, result.high) == pytest.approx((0.1, 0.1))
    assert result.p == pytest.approx(1 / 2001)


def test_p_is_that_of_all_sign_changes():
    differences = np.array([0.5, 0.25, -0.25, 0.75, 0.1, 0.3])
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=6)]
    exact = np.mean(np.array(sums) >= differences.sum() - 1e-9)
    result = paired_difference(differences, np.zeros(6), seed=0, n_resamples=20_000)
    assert result.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_equal_models_differ_by_nothing():
    result = paired_difference(accuracies(), accuracies(), seed=0)
    assert (result.difference, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_one_common_group_has_a_difference_and_no_test():
    result = paired_difference([1.0, np.nan], [0.25, 0.5], seed=0)
    assert result.difference == 0.75
    assert np.isnan([result.low, result.high, result.p]).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"a \(2,\), b \(3,\)"):
        paired_difference([0.1, 0.2], [0.1, 0.2, 0.3], seed=0)
    with pytest.raises(ValueError, match="n_resamples must be at least 1, got 0"):
        bootstrap_interval([0.1, 0.2], seed=0, n_resamples=0)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        bootstrap_interval([0.1, 0.2], seed=0, level=95)
    with pytest.raises(ValueError, match=r"one value a group, got shape \(2, 2\)"):
        summarize(np.zeros((2, 2)), seed=0)
