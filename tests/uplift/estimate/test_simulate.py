"""What stopping does to estimates, by simulation; the simulation itself against the plan followed call by call."""

import numpy as np
import pytest

from rm.uplift.estimate import Adaptive, Counts, simulate, stopping_bias

PLAN = Adaptive(looks=(4, 8, 16, 32), baseline_most=48)


def test_simulated_stops_are_those_of_the_plan():
    end = simulate(PLAN, np.full((20, 2), 0.6), np.full(20, 0.4), np.random.default_rng(0))
    for s1, n1, s0, n0 in zip(
        *(part.ravel() for part in (end.successes, end.runs, end.baseline_successes, end.baseline_runs)), strict=True
    ):
        assert PLAN.next(Counts(s1, int(n1)), Counts(s0, int(n0))) is None


def test_calls_count_a_shared_baseline_once():
    end = simulate(PLAN, np.full((5, 3), 1.0), np.zeros(5), np.random.default_rng(0))
    assert end.runs.tolist() == [[4, 4, 4]] * 5  # 4 of 4 against 0 of 16 settles it at once
    assert end.calls == 5 * (3 * 4 + 16)


@pytest.mark.parametrize(("rate", "baseline_rate"), [(0.5, 0.5), (0.8, 0.5), (0.05, 0.3), (0.98, 0.035)])
def test_the_interval_covers_the_truth_in_spite_of_the_stopping(rate, baseline_rate):
    assert stopping_bias(PLAN, rate, baseline_rate, seed=1, simulations=1500).coverage >= 0.95


def test_the_raw_difference_leans_away_from_zero():
    found = stopping_bias(PLAN, 0.65, 0.5, seed=0)
    assert 0.03 < found.raw < 0.1
    assert found.raw > 5 * found.error
    assert abs(found.shrunken) < found.raw


def test_without_stopping_there_is_no_bias():
    once = Adaptive(looks=(16,))
    found = stopping_bias(once, 0.65, 0.5, seed=0)
    assert abs(found.raw) < 3 * found.error
    assert (found.runs, found.baseline_runs) == (16, 24)


def test_large_effects_cost_less():
    large, none = (stopping_bias(PLAN, rate, 0.1, seed=0, simulations=500).runs for rate in (0.95, 0.1))
    assert large < 6
    assert none > 15


def test_the_seed_decides_everything():
    assert stopping_bias(PLAN, 0.5, 0.4, seed=3, simulations=200) == stopping_bias(
        PLAN, 0.5, 0.4, seed=3, simulations=200
    )
