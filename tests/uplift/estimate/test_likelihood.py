"""Likelihood values, their masked counterpart, and lost calls."""

import math

import pytest

from rm.uplift.estimate import Leak, likelihood_value

SOUND, TELLING = "Add the parts, then halve.", "Add the parts: 18."


def test_the_value_is_the_difference_in_nats():
    found = likelihood_value(SOUND, "18", with_trace=math.log(0.8), baseline=math.log(0.1))
    assert found.value == pytest.approx(math.log(8))
    assert found.baseline == pytest.approx(math.log(0.1))
    assert found.leak == Leak(0, 0)


def test_without_a_leak_the_masked_value_is_the_value():
    found = likelihood_value(SOUND, "18", with_trace=-1.0, baseline=-3.0)
    assert found.masked == 2.0


def test_a_leak_is_reported_with_the_value_of_the_masked_trace():
    found = likelihood_value(TELLING, "18", with_trace=-0.1, with_masked=-2.5, baseline=-3.1)
    assert found.value == pytest.approx(3.0)
    assert found.masked == pytest.approx(0.6)
    assert found.leak == Leak(1, 1)


@pytest.mark.parametrize(("with_trace", "baseline"), [(None, -1.0), (-1.0, None), (-math.inf, -1.0), (-1.0, -math.inf)])
def test_a_lost_or_infinite_log_is_not_measured(with_trace, baseline):
    found = likelihood_value(SOUND, "18", with_trace=with_trace, baseline=baseline)
    assert (found.value, found.masked) == (None, None)


def test_a_leak_without_the_masked_log_has_no_masked_value():
    found = likelihood_value(TELLING, "18", with_trace=-0.1, baseline=-3.1)
    assert found.value is not None
    assert found.masked is None


@pytest.mark.parametrize("log", [0.5, math.nan])
def test_impossible_logs_are_refused(log):
    with pytest.raises(ValueError, match="log-likelihood"):
        likelihood_value(SOUND, "18", with_trace=log, baseline=-1.0)
