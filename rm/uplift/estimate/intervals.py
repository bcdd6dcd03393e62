"""Intervals for a rate and for a difference of two rates, at a number of runs fixed in advance.

They do not hold where the runs were stopped by what they showed: see `sequence`.
"""

from __future__ import annotations

from math import hypot, sqrt

from scipy.special import ndtri

from rm.uplift.estimate.counts import Counts


def wilson(counts: Counts, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a rate.

    With partial scores the number of runs is `Counts.effective_runs`: the score interval of a quasi-binomial mean.

    Args:
        counts: of one arm.
        level: coverage aimed at, in (0, 1).

    Returns:
        (low, high) in [0, 1]; (0, 1) without runs.

    Source: Wilson 1927; Newcombe 1998, "Two-sided confidence intervals for the single proportion", method 3.
    """
    z = _quantile(level)
    p, n = counts.rate, counts.effective_runs
    if p is None:
        return 0.0, 1.0
    centre = p + z * z / (2 * n)
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, min(p, (centre - spread) / scale)), min(1.0, max(p, (centre + spread) / scale))


def newcombe_interval(with_trace: Counts, baseline: Counts, level: float = 0.95) -> tuple[float, float]:
    """Hybrid score interval of the difference of two independent rates.

    Each end is reached by moving both rates toward it along their own Wilson intervals, in quadrature.

    Args:
        with_trace, baseline: independent runs, their numbers fixed in advance.
        level: coverage aimed at, in (0, 1).

    Returns:
        (low, high) in [-1, 1] of rate(with_trace) - rate(baseline). An arm without runs may have any rate.

    Coverage is right on average, not at every pair of rates: with 8 and 16 runs and a level of 0.95 it falls to 0.87
    where one rate is near 0 and the other near 1 (Newcombe found the same least value).

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10; for
    arms that are not binomial, Zou & Donner 2008 (MOVER).
    """
    low1, high1 = wilson(with_trace, level)
    low0, high0 = wilson(baseline, level)
    if with_trace.rate is None or baseline.rate is None:
        return low1 - high0, high1 - low0
    p1, p0 = with_trace.rate, baseline.rate
    difference = p1 - p0
    low = difference - hypot(p1 - low1, high0 - p0)
    high = difference + hypot(high1 - p1, p0 - low0)
    return max(-1.0, low), min(1.0, high)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return float(ndtri((1 + level) / 2))
