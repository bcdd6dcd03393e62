"""Intervals over training runs, against textbook values and against what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from rm.metrics.seeds import crossed_difference, t_interval


def test_students_interval_is_the_one_of_the_table():
    # Mean 3, sd sqrt(2.5), n = 5; t(0.975, 4) = 2.776: 3 -+ 2.776 * 1.5811 / 2.2361.
    assert t_interval([1, 2, 3, 4, 5]) == pytest.approx((1.0368, 4.9632), abs=1e-3)


def test_one_run_has_no_interval():
    assert np.isnan(t_interval([0.5])).all()


def test_equal_runs_have_an_interval_of_width_0():
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_arms_that_are_the_same_everywhere_differ_by_nothing():
    found = crossed_difference(np.full((3, 8), 0.5), np.full((2, 8), 0.25), seed=0)
    assert (found.difference, found.low, found.high) == (0.25, 0.25, 0.25)
    assert found.shown


def test_problems_are_drawn_for_both_arms_alike():
    """A difference that is the same for every problem has no error from the draw of problems."""
    a = np.tile(np.linspace(0, 1, 20), (2, 1))
    found = crossed_difference(a, a - 0.1, seed=0)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_the_spread_of_runs_is_in_the_interval():
    """Two runs at 0 and 1 of each arm, alike for every problem: by Welch 4.303 standard errors of sqrt(1/2), with 2
    degrees of freedom; a bootstrap would stop at -1 and 1."""
    a = np.array([[0.0] * 50, [1.0] * 50])
    found = crossed_difference(a, a, seed=0)
    assert (found.difference, found.low, found.high) == pytest.approx((0, -3.0424, 3.0424), abs=1e-3)
    assert not found.shown


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(120):
        problems = rng.normal(0, 0.2, 40)
        a = problems + rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 0.3, (8, 40))
        b = problems + rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 0.3, (8, 40))
        found = crossed_difference(a + 0.3, b, seed=trial, n_resamples=200)
        held += found.low <= 0.3 <= found.high
    assert held >= 105  # of 120 at 95%: 114 are due


def test_the_same_seed_gives_the_same_interval():
    a, b = np.random.default_rng(0).random((2, 3, 10))
    assert crossed_difference(a, b, seed=5) == crossed_difference(a, b, seed=5)


@pytest.mark.parametrize(("a", "b"), [([[1.0, 2.0]], [[1.0]]), ([1.0], [1.0]), (np.empty((0, 3)), np.ones((1, 3)))])
def test_other_shapes_are_refused(a, b):
    with pytest.raises(ValueError, match="expected values"):
        crossed_difference(a, b, seed=0)
