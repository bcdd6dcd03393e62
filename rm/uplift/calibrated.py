"""Uplift of all traces from likelihoods of all and runs of some: predictions, and the means of whole populations.

Traces of the sampled problems keep what their runs say. Those of the others get what a regression fitted to the
sampled ones says, with an interval from held-out errors; one unlike all sampled ones gets no value. The means do not
rest on the regression: they are those of the sampled problems, corrected by a control variate (`estimate.control`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rm.uplift.estimate import AdjustedMean, Calibration, Features, adjusted_mean, calibrate
from rm.uplift.estimate.control import LEAST_SAMPLED
from rm.uplift.results import POSITIVE, CalibrationResult, LikelihoodResult, TraceResult, counted

METHOD = "calibrated"
BOUND_NATS = 5.0
"""The control variate is the likelihood value within these bounds, so that a few huge ones do not spoil a line. Not the
masked one: runs see what a trace states."""
POPULATIONS: Mapping[str, Callable[[TraceResult], bool]] = {
    "all": lambda result: True,
    "positives": lambda result: result.kind == POSITIVE,
    "negatives": lambda result: bool(result.kind) and not result.positive,
}


def with_predictions(
    scored: Sequence[TraceResult], sampled: Sequence[TraceResult], level: float, seed: int
) -> tuple[list[TraceResult], CalibrationResult]:
    """All results, and how they came about.

    Args:
        scored: every trace with its `likelihood`.
        sampled: the runs of those of a random part of the problems.
        level: of the intervals, in (0, 1).
        seed: of the folds of the control variate.
    """
    runs = {(each.problem_id, each.trace): each for each in sampled}
    both = [_merged(each, runs[place]) for each in scored if (place := (each.problem_id, each.trace)) in runs]
    calibration, why_not = _fitted(both, level)
    known = {(each.problem_id, each.trace): each for each in both}
    results = [known.get((each.problem_id, each.trace)) or _predicted(each, calibration, why_not) for each in scored]
    return results, CalibrationResult(
        report=calibration.report if calibration else None,
        why_not=why_not,
        sampled_problems=len({each.problem_id for each in both}),
        sampled_traces=len(both),
        predicted_traces=sum(each.method == METHOD and each.value is not None for each in results),
        means={name: _mean(results, belongs, level, seed) for name, belongs in POPULATIONS.items()},
    )


def _merged(scored: TraceResult, sampled: TraceResult) -> TraceResult:
    return replace(
        sampled,
        likelihood=scored.likelihood,
        notes=(*sampled.notes, *scored.notes),
        failures=counted(sampled.failures, scored.failures),
        baseline_failures=counted(sampled.baseline_failures, scored.baseline_failures),
    )


def _features(found: LikelihoodResult | None) -> Features | None:
    if found is None or found.value_nats is None or found.masked_nats is None or found.baseline_nats is None:
        return None
    return Features(
        value=found.value_nats,
        masked=found.masked_nats,
        baseline=found.baseline_nats,
        leak=float(found.leaks > 0),
        log_length=math.log1p(found.length),
    )


def _fitted(sampled: Sequence[TraceResult], level: float) -> tuple[Calibration | None, str]:
    """The calibration, or why there is none."""
    rows = [
        (found, each.value, each)
        for each in sampled
        if (found := _features(each.likelihood)) is not None and each.value is not None
    ]
    try:
        fit = calibrate(
            [found for found, _, _ in rows],
            [value for _, value, _ in rows],
            [each.problem_id for _, _, each in rows],
            weights=[each.runs for _, _, each in rows],
            level=level,
        )
    except ValueError as error:
        return None, f"no calibration: {error}"
    return fit, ""


def _predicted(scored: TraceResult, calibration: Calibration | None, why_not: str) -> TraceResult:
    if scored.trace is None:
        return scored
    if calibration is None:
        return replace(scored, method=METHOD, notes=(*scored.notes, why_not))
    found = calibration.estimate(_features(scored.likelihood))
    return replace(
        scored, value=found.value, low=found.low, high=found.high, method=METHOD, notes=(*scored.notes, *found.notes)
    )


def _mean(
    results: Sequence[TraceResult], belongs: Callable[[TraceResult], bool], level: float, seed: int
) -> AdjustedMean | None:
    """The problem is the unit. One whose runs or likelihoods were lost is left out."""
    cheap: dict[str, list[float]] = {}
    sampled: dict[str, list[float]] = {}
    for each in results:
        if each.trace is None or not belongs(each) or each.likelihood is None or each.likelihood.value_nats is None:
            continue
        cheap.setdefault(each.problem_id, []).append(min(BOUND_NATS, max(-BOUND_NATS, each.likelihood.value_nats)))
        if each.runs and each.value is not None:
            sampled.setdefault(each.problem_id, []).append(each.value)
    if len(sampled) < LEAST_SAMPLED:
        return None
    places = {problem_id: index for index, problem_id in enumerate(cheap)}
    return adjusted_mean(
        [float(np.mean(each)) for each in cheap.values()],
        [places[problem_id] for problem_id in sampled],
        [float(np.mean(each)) for each in sampled.values()],
        seed=seed,
        level=level,
    )
