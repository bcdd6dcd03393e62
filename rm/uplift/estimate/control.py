"""The mean uplift of many traces from few sampled ones and a cheap value for all: a control variate.

Sampled uplift that goes along with the cheap value need not be sampled everywhere: the mean of the sampled ones is
corrected by how their cheap values miss the mean cheap value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]

FOLDS = 5
LEAST_SAMPLED = 10


@dataclass(frozen=True)
class AdjustedMean:
    """A mean over a population of traces.

    Args:
        mean: regression-adjusted, unbiased; may leave [-1, 1] by its error.
        standard_error: of `mean`.
        low, high: interval by Student's t, cut to [-1, 1], where the true mean lies.
        plain: mean of the sampled values alone.
        plain_error: its standard error.
        sampled, population: how many.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    plain: float
    plain_error: float
    sampled: int
    population: int


def adjusted_mean(
    cheap: ArrayLike, sampled: ArrayLike, uplifts: ArrayLike, *, seed: int, level: float = 0.95
) -> AdjustedMean:
    """Mean uplift of a population, from sampled uplift on a random part of it.

    The coefficient for a fold is fitted on the other folds, and the fold is compared with that part of the population
    that the others leave, from which it is a random draw whatever they are. So the mean is unbiased, and not only for
    large samples, whether or not the cheap value is any good; a bad one gains nothing.

    Args:
        cheap: (N,) a value for each unit, such as the likelihood value or a calibration fitted on *other* traces.
        sampled: (n,) different indices into it, drawn uniformly at random.
        uplifts: (n,) sampled uplift of those, each unbiased.
        seed: of the folds.
        level: of the interval, in (0, 1).

    Units must be independent: give means over a problem's traces where several traces share a problem.

    Raises:
        ValueError: fewer than LEAST_SAMPLED sampled units, arrays that do not fit, values that are not finite.

    Source: regression estimator of survey sampling (Cochran 1977, chapter 7) with cross-fitting; Angelopoulos et al.
    2023, "Prediction-powered inference".
    """
    cheap, y = np.asarray(cheap, dtype=np.float64), np.asarray(uplifts, dtype=np.float64)
    index = np.asarray(sampled, dtype=np.intp)
    _check(cheap, index, y, level)
    x, n, population = cheap[index], len(y), len(cheap)
    total, order = cheap.sum(), np.random.default_rng(seed).permutation(n)
    bounds = np.linspace(0, n, FOLDS + 1).astype(int)
    means, residuals = np.empty(FOLDS), np.empty(n)
    for fold, (start, end) in enumerate(pairwise(bounds)):
        own, others = order[start:end], np.concatenate([order[:start], order[end:]])
        slope = _slope(x[others], y[others])
        left = population - len(others)
        rest = y[own].mean() - slope * (x[own].mean() - (total - x[others].sum()) / left)
        means[fold] = (y[others].sum() + left * rest) / population
        residuals[own] = y[own] - y[others].mean() - slope * (x[own] - x[others].mean())
    mean, spread = float(np.average(means, weights=np.diff(bounds))), y.var(ddof=1)
    variance = (1 / n - 1 / population) * residuals.var(ddof=1) + spread / population
    half = float(stdtrit(n - 1, (1 + level) / 2) * np.sqrt(variance))
    return AdjustedMean(
        mean=mean,
        standard_error=float(np.sqrt(variance)),
        low=float(np.clip(mean - half, -1.0, 1.0)),
        high=float(np.clip(mean + half, -1.0, 1.0)),
        plain=float(y.mean()),
        plain_error=float(np.sqrt(spread / n)),
        sampled=n,
        population=population,
    )


def _slope(x: Array, y: Array) -> float:
    """Least squares; 0 where x does not vary."""
    deviation = x - x.mean()
    square = float(deviation @ deviation)
    return float(deviation @ y) / square if square > 0 else 0.0


def _check(cheap: Array, index: NDArray[np.intp], y: Array, level: float) -> None:
    if cheap.ndim != 1 or index.ndim != 1 or index.shape != y.shape:
        raise ValueError(
            f"expected (N,) values, (n,) indices and (n,) uplifts, got {cheap.shape}, {index.shape}, {y.shape}"
        )
    if len(y) < LEAST_SAMPLED:
        raise ValueError(f"expected at least {LEAST_SAMPLED} sampled units, got {len(y)}")
    if len(np.unique(index)) < len(index) or index.min() < 0 or index.max() >= len(cheap):
        raise ValueError("sampled must be different indices into the population")
    if not (np.isfinite(cheap).all() and np.isfinite(y).all()):
        raise ValueError("cheap values and uplifts must be finite; leave out what was not measured")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
