"""From likelihood values to success uplift: a regression fitted where both were measured.

The fit is judged by predictions for problems that it has not seen. Where the features leave the range of the fit
there is no prediction: a curve says nothing beyond its data. scikit-learn and scipy.stats load with the first fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm.uplift.estimate.counts import Counts, Estimate
from rm.uplift.estimate.likelihood import LikelihoodValue

Array = NDArray[np.float64]

LEAST_PROBLEMS = 10
"""Below this a cross-validation by problem says nothing."""
NO_RUNS = Counts(0.0, 0)


@dataclass(frozen=True)
class Features:
    """What the uplift of a trace is predicted from.

    Args:
        value: likelihood value, nats.
        masked: the same with the answer masked, nats.
        baseline: log p(answer | problem), nats.
        leak: 1 where the trace states the answer, else 0.
        log_length: natural log of 1 + the trace's length, in any unit that is always the same.
    """

    value: float
    masked: float
    baseline: float
    leak: float
    log_length: float

    @staticmethod
    def of(found: LikelihoodValue, length: int) -> Features | None:
        """None where a part was not measured. `length`: of the trace, >= 0."""
        if found.value is None or found.masked is None or found.baseline is None:
            return None
        return Features(found.value, found.masked, found.baseline, float(bool(found.leak)), float(np.log1p(length)))


@dataclass(frozen=True)
class CalibrationReport:
    """How well uplift is predicted for problems outside the fit. The truth here is sampled uplift, noise and all.

    Args:
        r2: share of the variance explained, <= 1; the sampling noise of the truth bounds it too.
        mean_absolute_error: of the held-out predictions, in [0, 2].
        rank_correlation: Spearman's, in [-1, 1]; NaN where predictions are constant.
        slope, intercept: of the truth on the prediction; 1 and 0 where calibrated. NaN where predictions are constant.
        half_width: of the interval, in [0, 2]: the quantile of the held-out absolute errors at the level, as in
            cross-conformal prediction (Vovk 2015); right on average over traces, not for each kind of trace.
        traces, problems: of the fit.
    """

    r2: float
    mean_absolute_error: float
    rank_correlation: float
    slope: float
    intercept: float
    half_width: float
    traces: int
    problems: int


class Calibration:
    """A fitted map from features to uplift, made by `calibrate`."""

    def __init__(self, model: Any, low: Array, high: Array, report: CalibrationReport, level: float) -> None:
        self._model = model
        self._low, self._high = low, high
        self.report = report
        self.level = level

    def predict(self, features: Sequence[Features]) -> Array:
        """(N,) predicted uplift in [-1, 1]; NaN where a feature lies outside the range of the fit."""
        if not features:
            return np.empty(0)
        table = _table(features)
        inside = ((table >= self._low) & (table <= self._high)).all(axis=1)
        return np.where(inside, _predicted(self._model, table), np.nan)

    def estimate(self, features: Features | None) -> Estimate:
        """One trace's uplift, without a run. The interval is for traces like those of the fit."""
        if features is None:
            return _unmeasured("no likelihood value")
        value = float(self.predict([features])[0])
        if np.isnan(value):
            return _unmeasured(f"outside the range of the fit: {', '.join(self._outside(features))}")
        half = self.report.half_width
        low, high = max(-1.0, value - half), min(1.0, value + half)
        return Estimate(value, low, high, "calibrated", NO_RUNS, NO_RUNS)

    def _outside(self, features: Features) -> list[str]:
        row = _table([features])[0]
        out = (row < self._low) | (row > self._high)
        return [field.name for field, is_out in zip(fields(Features), out, strict=True) if is_out]


def calibrate(
    features: Sequence[Features],
    uplifts: ArrayLike,
    problems: Sequence[str],
    *,
    weights: ArrayLike | None = None,
    folds: int = 5,
    level: float = 0.95,
) -> Calibration:
    """Fit on traces whose uplift was sampled; additive cubic splines with a ridge chosen by generalised CV.

    Args:
        features: (N,) of the traces.
        uplifts: (N,) sampled uplift, in [-1, 1].
        problems: (N,) problem ids; traces of a problem stay in one fold.
        weights: (N,) >= 0, such as the number of runs; equal by default.
        folds: of the cross-validation, >= 2.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: arrays of different lengths, uplift out of range, or fewer than LEAST_PROBLEMS problems.
    """
    from sklearn.model_selection import GroupKFold

    target = np.asarray(uplifts, dtype=np.float64)
    weight = np.ones(len(target)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(features) == len(target) == len(problems) == len(weight):
        raise ValueError(
            f"got {len(features)} features, {len(target)} uplifts, {len(problems)} problems, {len(weight)} weights"
        )
    if not (np.abs(target) <= 1).all():
        raise ValueError("uplift must lie in [-1, 1] and be measured")
    if len(set(problems)) < max(LEAST_PROBLEMS, folds):
        raise ValueError(f"a calibration needs {max(LEAST_PROBLEMS, folds)} problems, got {len(set(problems))}")
    table, held_out = _table(features), np.empty_like(target)
    for train, test in GroupKFold(folds).split(table, groups=list(problems)):
        held_out[test] = _predicted(_fitted(table[train], target[train], weight[train]), table[test])
    report = _report(target, held_out, len(set(problems)), level)
    model = _fitted(table, target, weight)
    return Calibration(model, table.min(axis=0), table.max(axis=0), report, level)


def _fitted(table: Array, target: Array, weight: Array) -> Any:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    curves = SplineTransformer(n_knots=5, degree=3, knots="uniform", extrapolation="constant")
    model = make_pipeline(curves, RidgeCV(alphas=np.logspace(-3, 3, 13)))
    return model.fit(table, target, ridgecv__sample_weight=weight)


def _predicted(model: Any, table: Array) -> Array:
    return np.clip(model.predict(table), -1.0, 1.0)


def _table(features: Sequence[Features]) -> Array:
    """(N, features) in the order of the fields."""
    rows = [[getattr(row, field.name) for field in fields(Features)] for row in features]
    table = np.array(rows, dtype=np.float64)
    if not np.isfinite(table).all():
        raise ValueError("features must be finite")
    return table


def _report(target: Array, predicted: Array, problems: int, level: float) -> CalibrationReport:
    from scipy.stats import spearmanr

    errors = np.abs(target - predicted)
    constant, count = np.ptp(predicted) < 1e-12, len(target)
    variance = target.var()
    slope, intercept = (np.nan, np.nan) if constant else np.polyfit(predicted, target, 1)
    rank = min(count, int(np.ceil((count + 1) * level)))
    return CalibrationReport(
        r2=float(1 - (errors**2).mean() / variance) if variance > 0 else np.nan,
        mean_absolute_error=float(errors.mean()),
        rank_correlation=np.nan if constant or variance == 0 else float(spearmanr(predicted, target).statistic),
        slope=float(slope),
        intercept=float(intercept),
        half_width=float(np.sort(errors)[rank - 1]),
        traces=count,
        problems=problems,
    )


def _unmeasured(why: str) -> Estimate:
    return Estimate(None, None, None, "calibrated", NO_RUNS, NO_RUNS, notes=(why,))
