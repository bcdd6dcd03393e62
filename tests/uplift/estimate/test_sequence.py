"""The confidence sequence: against a search over all pairs of rates, and its coverage over all looks at once."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb

from rm.uplift.estimate import Counts, confidence_sequence
from rm.uplift.estimate.sequence import sequence_ends


@st.composite
def arms(draw):
    runs = draw(st.integers(0, 60))
    return Counts(draw(st.floats(0, runs)), runs)


def log_ratio(successes, runs, rates):
    """log of beta-binomial(1/2, 1/2) over binomial probability, both SciPy's."""
    mixture = scipy.stats.betabinom(runs, 0.5, 0.5).logpmf(successes) - np.log(comb(runs, successes))
    return mixture - scipy.stats.binom(runs, rates).logpmf(successes) + np.log(comb(runs, successes))


@pytest.mark.parametrize(
    ("first", "second"), [((4, 4), (2, 16)), ((30, 64), (31, 64)), ((0, 8), (0, 16)), ((7, 8), (16, 16))]
)
def test_the_ends_are_those_of_a_search_over_all_rates(first, second):
    grid = np.linspace(0, 1, 1501)
    with np.errstate(divide="ignore"):
        inside = log_ratio(*first, grid)[:, None] + log_ratio(*second, grid)[None, :] < np.log(20)
    differences = (grid[:, None] - grid[None, :])[inside]
    expected = differences.min(), differences.max()
    assert confidence_sequence(Counts(*first), Counts(*second)) == pytest.approx(expected, abs=2e-3)


@settings(deadline=None, max_examples=40)
@given(arms(), arms(), st.sampled_from([0.5, 0.95, 0.999]))
def test_the_interval_holds_the_difference_and_lies_in_range(first, second, level):
    low, high = confidence_sequence(first, second, level)
    assert -1 <= low <= high <= 1
    if first.runs and second.runs:
        assert low - 1e-9 <= first.rate - second.rate <= high + 1e-9


@settings(deadline=None, max_examples=40)
@given(arms(), arms())
def test_swapped_arms_flip_the_sign(first, second):
    low, high = confidence_sequence(first, second)
    assert confidence_sequence(second, first) == (-high, -low)


@settings(deadline=None, max_examples=40)
@given(arms(), arms())
def test_exchanged_success_and_failure_flip_the_sign(first, second):
    low, high = confidence_sequence(first, second)
    failed = (Counts(arm.runs - arm.successes, arm.runs) for arm in (first, second))
    assert confidence_sequence(*failed) == pytest.approx((-high, -low), abs=1e-6)


def test_no_runs_exclude_nothing():
    assert confidence_sequence(Counts(0, 0), Counts(0, 0)) == pytest.approx((-1, 1), abs=1e-6)


@pytest.mark.parametrize("error", [5e-324, 1e-300, 1e-15, 1e-10])
def test_rounding_errors_of_a_sum_change_nothing(error):
    exact = confidence_sequence(Counts(3, 3), Counts(0, 16))
    assert confidence_sequence(Counts(3 - error, 3), Counts(error, 16)) == pytest.approx(exact, abs=1e-6)


def test_more_runs_narrow_it():
    widths = []
    for runs in (4, 16, 64, 256, 4096):
        low, high = confidence_sequence(Counts(runs / 2, runs), Counts(runs / 4, runs))
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.11


def scores_of(kind, mean, rng, size):
    if kind == "pass or fail":
        return rng.random(size) < mean
    return np.where(rng.random(size) < 0.5, 0.0, 2 * mean)  # partial: as spread as scores of at most 2 * mean can be


@pytest.mark.parametrize("kind", ["pass or fail", "partial"])
@pytest.mark.parametrize(("p1", "p0"), [(0.5, 0.5), (0.45, 0.05), (0.02, 0.02)])
def test_coverage_over_every_look_at_once(kind, p1, p0):
    rng, trials, runs = np.random.default_rng(1), 300, 64
    sums1 = scores_of(kind, p1, rng, (trials, runs)).cumsum(axis=1)[:, ::2]
    sums0 = scores_of(kind, p0, rng, (trials, runs)).cumsum(axis=1)[:, ::2]
    n = np.arange(1, runs + 1)[::2]
    low, high = sequence_ends(sums1, n, sums0, n, 0.8)
    held = ((low <= p1 - p0) & (p1 - p0 <= high)).all(axis=1).mean()
    assert held >= 0.8
