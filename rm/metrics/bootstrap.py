"""From one value a group to a figure with its interval, and to the difference between two models.

The group is the unit: its candidates share a problem and are not independent. Groups whose value is NaN
(undefined) are left out of the mean and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

DRAWS_AT_ONCE = 2_000_000  # memory bound of a chunk of resamples: 16 MB of indices


@dataclass(frozen=True)
class Summary:
    """A metric over groups: `mean` over the `n` groups where it is defined, bootstrap interval `low`..`high`.

    `undefined` groups had no value. `mean` is NaN at n = 0, the interval at n < 2.
    """

    mean: float
    low: float
    high: float
    n: int
    undefined: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the `n` groups where both are defined.

    `low`..`high` is the bootstrap interval of the difference; `p` the two-sided p-value of the paired
    randomisation test, the chance of a difference this large if the two models were exchangeable within each
    group. NaN at n < 2.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int


def summarize(
    values: ArrayLike, *, seed: int, n_resamples: int = 2000, level: float = 0.95, share: bool = False
) -> Summary:
    """Mean, bootstrap interval and counts of a metric given by group.

    Args:
        values: (G,) one value a group, NaN where undefined.
        seed, n_resamples, level: see `bootstrap_interval`.
        share: whether values are shares in [0, 1]. Where all are 0 or all 1, resampling finds no spread; the interval
            is Wilson's then, of as many trials as there are groups.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    values = _one_a_group(values)
    defined = values[~np.isnan(values)]
    low, high = bootstrap_interval(defined, seed=seed, n_resamples=n_resamples, level=level)
    if share and low == high and low in (0.0, 1.0):
        squared = float(ndtri((1 + level) / 2)) ** 2
        reach = squared / (len(defined) + squared)
        low, high = (0.0, reach) if low == 0 else (1 - reach, 1.0)
    return Summary(
        mean=float(defined.mean()) if len(defined) else np.nan,
        low=low,
        high=high,
        n=len(defined),
        undefined=len(values) - len(defined),
    )


def bootstrap_interval(
    values: ArrayLike, *, seed: int, n_resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over groups.

    Args:
        values: (G,) one value a group; NaN groups are left out.
        seed: of the resamples; the same seed and number of groups draw the same resamples.
        n_resamples: number of resamples, >= 1.
        level: coverage aimed at, in (0, 1). With few groups (below about 30) the true coverage is lower.

    Returns:
        (low, high), NaN with fewer than two defined groups.

    Source: Efron 1979; Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    values = _one_a_group(values)
    _check_settings(n_resamples, level)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return np.nan, np.nan

    def resampled_means(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        return values[rng.integers(len(values), size=(count, len(values)))].mean(axis=1)

    means = _in_chunks(resampled_means, len(values), n_resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, seed: int, n_resamples: int = 2000, level: float = 0.95
) -> PairedDifference:
    """Difference a - b of two models measured on the same groups, in the same order.

    Args:
        a, b: (G,) one value a group; groups where either is NaN are left out.
        seed, n_resamples, level: see `bootstrap_interval`; `n_resamples` also counts the random sign changes
            of the test, so that p is never below 1 / (n_resamples + 1).

    Raises:
        ValueError: different numbers of groups.

    Source: paired randomisation test: Fisher 1935; for ranking metrics: Smucker et al. 2007, "A Comparison of
    Statistical Significance Tests for Information Retrieval Evaluation".
    """
    a, b = _one_a_group(a), _one_a_group(b)
    if a.shape != b.shape:
        raise ValueError(f"expected values of the same groups, got a {a.shape}, b {b.shape}")
    differences = a - b
    differences = differences[~np.isnan(differences)]
    low, high = bootstrap_interval(differences, seed=seed, n_resamples=n_resamples, level=level)
    return PairedDifference(
        difference=float(differences.mean()) if len(differences) else np.nan,
        low=low,
        high=high,
        p=_randomisation_p(differences, n_resamples, seed) if len(differences) > 1 else np.nan,
        n=len(differences),
    )


def _randomisation_p(differences: NDArray[np.float64], n_resamples: int, seed: int) -> float:
    """Two-sided p-value of the mean under random signs, the observed signs counted as one of the draws."""

    def flipped_sums(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        return rng.choice([-1.0, 1.0], size=(count, len(differences))) @ differences

    sums = np.abs(_in_chunks(flipped_sums, len(differences), n_resamples, seed))
    observed = abs(differences.sum())
    tolerance = 1e-12 * np.abs(differences).sum()  # equal sums may differ in the last bit
    return float((1 + np.sum(sums >= observed - tolerance)) / (1 + n_resamples))


def _in_chunks(
    draw: Callable[[np.random.Generator, int], NDArray[np.float64]],
    n_groups: int,
    n_resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """(n_resamples,) results of `draw(rng, count)`, a bounded number of groups x resamples at once."""
    rng = np.random.default_rng(seed)
    chunk = max(1, DRAWS_AT_ONCE // n_groups)
    return np.concatenate([draw(rng, min(chunk, n_resamples - start)) for start in range(0, n_resamples, chunk)])


def _one_a_group(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"expected one value a group, got shape {values.shape}")
    return values


def _check_settings(n_resamples: int, level: float) -> None:
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
