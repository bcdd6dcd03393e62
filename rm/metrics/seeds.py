"""What several training runs say together: seeds differ, and the problems that they are measured on differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True)
class Difference:
    """Of two arms' means, with an interval."""

    difference: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def t_interval(values: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean over runs.

    Args:
        values: (S,) one value a run, taken as draws from a normal distribution.
        level: coverage aimed at, in (0, 1).

    Returns:
        (low, high), NaN with fewer than two runs.

    Source: Student 1908.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def crossed_difference(
    a: ArrayLike, b: ArrayLike, *, seed: int, n_resamples: int = 2000, level: float = 0.95
) -> Difference:
    """Difference a - b of two arms, bootstrapped over problems and runs at once.

    A resample draws problems, the same for both arms, and runs of each arm, with replacement: so the interval covers
    other problems and other seeds. Of a few runs a bootstrap makes too little: the interval is never narrower than
    Welch's over the means of the runs. With one run of an arm it covers other problems alone, and is too narrow.

    Args:
        a: (S, P) one value a run and problem.
        b: (T, P) of the same problems in the same order.
        seed, n_resamples, level: see `rm.metrics.bootstrap.bootstrap_interval`.

    Raises:
        ValueError: other shapes, or no values.

    Source: the pigeonhole bootstrap, Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2); Welch
    1947.
    """
    one, other = _runs_by_problems(a), _runs_by_problems(b)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"expected values of the same problems, got a {one.shape}, b {other.shape}")
    rng = np.random.default_rng(seed)
    problems = _redrawn(one.shape[1], n_resamples, rng)
    found = np.zeros(n_resamples)
    for sign, values in ((1, one), (-1, other)):
        runs = _redrawn(len(values), n_resamples, rng)
        found += sign * np.einsum("ns,sp,np->n", runs, values, problems, optimize=True)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    difference = float(one.mean() - other.mean())
    half = _welch_half_width(one.mean(axis=1), other.mean(axis=1), level)
    return Difference(difference, float(min(low, difference - half)), float(max(high, difference + half)))


def _welch_half_width(a: NDArray[np.float64], b: NDArray[np.float64], level: float) -> float:
    """0 where there is one run of an arm, or runs do not differ."""
    if min(len(a), len(b)) < 2:
        return 0.0
    parts = np.array([values.var(ddof=1) / len(values) for values in (a, b)])
    if not parts.sum() > 0:
        return 0.0
    freedom = parts.sum() ** 2 / (parts**2 / np.array([len(a) - 1, len(b) - 1])).sum()
    return float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(parts.sum()))


def _redrawn(count: int, n_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, count) how much of a resample each one is: how often it was drawn / count."""
    return rng.multinomial(count, np.full(count, 1 / count), size=n_resamples) / count


def _runs_by_problems(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"expected values of runs by problems, got shape {values.shape}")
    return values
