"""The difference of rates and the plan of fixed numbers."""

import numpy as np
import pytest
import scipy.stats

from rm.uplift.estimate import OFFICIAL, Counts, Sampled, newcombe, newcombe_interval


def test_value_interval_and_counts_stand_together():
    with_trace, baseline = Counts(9, 10), Counts(3, 10)
    found = newcombe(with_trace, baseline)
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == newcombe_interval(with_trace, baseline)
    assert (found.with_trace, found.baseline, found.method) == (with_trace, baseline, "sampled")


@pytest.mark.parametrize(("with_trace", "baseline", "arm"), [((0, 0), (3, 16), "trace"), ((3, 4), (0, 0), "baseline")])
def test_an_arm_without_runs_gives_no_value_and_says_so(with_trace, baseline, arm):
    found = newcombe(Counts(*with_trace), Counts(*baseline))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert arm in found.notes[0]


def test_the_plan_asks_for_what_is_missing():
    plan = Sampled(runs=8, baseline_runs=16)
    assert plan.next(Counts(0, 0), Counts(0, 0)) == (8, 16)
    assert plan.next(Counts(3, 6), Counts(9, 20)) == (2, 0)
    assert plan.next(Counts(3, 8), Counts(9, 16)) is None
    assert plan.estimate(Counts(3, 8), Counts(9, 16)) == newcombe(Counts(3, 8), Counts(9, 16))


def test_a_plan_without_runs_is_refused():
    with pytest.raises(ValueError, match="at least one run"):
        Sampled(runs=0)


def test_the_official_numbers_show_an_effect_where_there_is_none_in_69_percent():
    outcomes = scipy.stats.binom(OFFICIAL.runs, 0.5).pmf(np.arange(4))
    assert (OFFICIAL.runs, OFFICIAL.baseline_runs) == (3, 3)
    assert 1 - outcomes @ outcomes == pytest.approx(0.69, abs=0.005)
