"""Uplift from likelihoods: how much more probable the known answer gets with the trace, for one forward a trace.

A trace that states the answer raises its probability without helping; so leaks are counted, and the value of the
trace with the answer masked stands beside the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan

from rm.uplift.estimate.leaks import Leak, find_leak


@dataclass(frozen=True)
class LikelihoodValue:
    """How much a trace raises the log-probability of the answer.

    Args:
        value: log p(answer | problem, trace) - log p(answer | problem), in nats; None where one was not measured.
        masked: `value` of the trace with the answer masked (`mask_answer`): equal to `value` without a leak, None
            where there is one and the masked trace was not measured.
        baseline: log p(answer | problem), in nats.
        leak: occurrences of the answer in the trace.
    """

    value: float | None
    masked: float | None
    baseline: float | None
    leak: Leak


def likelihood_value(
    trace: str,
    answer: str,
    *,
    with_trace: float | None,
    baseline: float | None,
    with_masked: float | None = None,
) -> LikelihoodValue:
    """Value of a trace from log-likelihoods of the answer, each in nats and <= 0, None where the call was lost.

    Args:
        trace, answer: as the executor read them; for the leak.
        with_trace: log p(answer | problem, trace).
        baseline: log p(answer | problem).
        with_masked: log p(answer | problem, mask_answer(trace, answer)); needed only where there is a leak.

    Returns:
        Differences; one of infinite logs (an answer ruled out) is not measured.

    Raises:
        ValueError: a log above 0 or NaN.
    """
    leak = find_leak(trace, answer)
    value = _difference(with_trace, baseline)
    masked = _difference(with_masked, baseline) if leak else value
    return LikelihoodValue(
        value=value,
        masked=masked,
        baseline=baseline,
        leak=leak,
    )


def _difference(log1: float | None, log0: float | None) -> float | None:
    for log in (log1, log0):
        if log is not None and (isnan(log) or log > 0):
            raise ValueError(f"a log-likelihood must be at most 0, got {log}")
    if log1 is None or log0 is None or not isfinite(log1) or not isfinite(log0):
        return None
    return log1 - log0
