"""Sums of scores: what they may be, and how many pass-or-fail runs they are worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm.uplift.estimate import Counts

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_counts_of_scores_are_their_sums():
    counts = Counts.of([1.0, 0.5, 0.0, 0.25])
    assert (counts.successes, counts.runs, counts.squares) == (1.75, 4, 1.3125)
    assert counts.rate == 0.4375


def test_no_runs_have_no_rate():
    assert Counts(0.0, 0).rate is None
    assert Counts.of([]).effective_runs == 0


@pytest.mark.parametrize(
    ("successes", "runs", "squares"),
    [(3, 2, None), (-1, 2, None), (0, -1, None), (1, 2, 1.5), (1, 2, 0.25), (1, 0, None)],
)
def test_impossible_sums_are_refused(successes, runs, squares):
    with pytest.raises(ValueError, match=r"score|successes"):
        Counts(successes, runs, squares)


def test_added_counts_are_those_of_all_runs():
    assert Counts.of([1, 0.5]) + Counts.of([0.25]) == Counts.of([1, 0.5, 0.25])
    assert Counts(2, 3) + Counts(1, 1) == Counts(3, 4)
    assert Counts(2, 3) + Counts.of([0.5]) == Counts(2.5, 4, 2.25)  # 2 of 3 passed: squares 2


@given(SCORES)
def test_scores_of_partial_success_are_worth_at_least_their_number(scores):
    counts = Counts.of(scores)
    assert counts.effective_runs >= counts.runs * (1 - 1e-12)


@pytest.mark.parametrize("successes", [0, 1, 7, 16])
def test_pass_or_fail_runs_are_worth_their_number(successes):
    assert Counts(successes, 16, successes).effective_runs == Counts(successes, 16).effective_runs == 16


def test_equal_partial_scores_are_not_taken_for_certainty():
    assert Counts.of([0.5] * 16).effective_runs == pytest.approx(16 * 4.5 / 0.5)  # largest 16/4, nothing seen


def test_variance_decides_in_large_samples():
    scores = np.random.default_rng(0).beta(5, 5, size=20_000)  # variance 1/44 against 1/4
    assert Counts.of(scores).effective_runs / 20_000 == pytest.approx(11, rel=0.05)
