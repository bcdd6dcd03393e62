"""An interval for the difference of two rates that holds whenever the runs stop, and for whatever reason.

For one arm with s successes in n runs, the likelihood ratio of the Beta(1/2, 1/2) mixture against a rate p,

    M(p) = B(1/2 + s, 1/2 + n - s) / (B(1/2, 1/2) p^s (1 - p)^(n - s)),

is a martingale at the true p, and a supermartingale where scores are partial: a factor is exp of a linear function of
the score, so that by convexity a score of 0 or 1 with the same mean is the worst case. Runs of the two arms are
independent, so M1(p1) M0(p0) is one too, however past results decide which arm runs next, how often, and when to
stop; a baseline shared with other traces is no exception. By Ville's inequality the set {M1 M0 < 1 / (1 - level)}
covers the true pair of rates at all times at once with the stated level, and its projection covers their difference.

Source: Howard, Ramdas, McAuliffe & Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences"
(conjugate mixtures, sub-Bernoulli processes); Robbins 1970; for two arms Turner & Grünwald 2023, "Exact anytime-valid
confidence intervals for contingency tables and beyond". Waudby-Smith & Ramdas 2024 bet on the order of the scores too,
which pays for partial scores of small variance; sums are all that is kept here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, xlog1py, xlogy

from rm.uplift.estimate.counts import SLACK, Counts

Array = NDArray[np.float64]

MIXTURE = 0.5
BISECTIONS = 36
LOG_SLOPE = (-20.0, 25.0)
"""Log of the least and of the greatest multiplier that the search for an end looks at."""


def confidence_sequence(with_trace: Counts, baseline: Counts, level: float = 0.95) -> tuple[float, float]:
    """Time-uniform interval of rate(with_trace) - rate(baseline), in [-1, 1].

    Args:
        with_trace, baseline: independent runs, stopped by any rule.
        level: the chance that the interval covers the truth at every look at once is at least this, in (0, 1).
    """
    low, high = sequence_ends(with_trace.successes, with_trace.runs, baseline.successes, baseline.runs, level)
    return float(low), float(high)


def sequence_ends(s1: ArrayLike, n1: ArrayLike, s0: ArrayLike, n0: ArrayLike, level: float) -> tuple[Array, Array]:
    """`confidence_sequence` for arrays of sums of scores s and numbers of runs n, of any common shape."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    s1, n1, s0, n0 = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (s1, n1, s0, n0)))
    s1, s0 = _snapped(s1, n1), _snapped(s0, n0)
    budget = -np.log1p(-level)
    return -_greatest_difference(s0, n0, s1, n1, budget), _greatest_difference(s1, n1, s0, n0, budget)


def _snapped(s: Array, n: Array) -> Array:
    """Sums a rounding error away from none or all: there the log of a rate, itself rounded to 0 or 1, is infinite."""
    return np.where(s < SLACK, 0.0, np.where(s > n - SLACK, n, s))


def _greatest_difference(s1: Array, n1: Array, s0: Array, n0: Array, budget: float) -> Array:
    """The greatest p1 - p0 in the set where log M1(p1) + log M0(p0) < budget.

    Both logs are convex, so at that point they rise equally steeply, p1 upward and p0 downward. Bisection on the
    common slope; the steeper, the farther out.
    """
    inside, outside = (np.full(s1.shape, bound) for bound in LOG_SLOPE)
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        p1, p0 = _rates(middle, s1, n1, s0, n0)
        fits = _log_ratio(p1, s1, n1) + _log_ratio(p0, s0, n0) < budget
        inside, outside = np.where(fits, middle, inside), np.where(fits, outside, middle)
    p1, p0 = _rates(outside, s1, n1, s0, n0)
    return p1 - p0


def _rates(log_slope: Array, s1: Array, n1: Array, s0: Array, n0: Array) -> tuple[Array, Array]:
    slope = np.exp(log_slope)
    return _rate_at(slope, s1, n1), 1 - _rate_at(slope, n0 - s0, n0)


def _rate_at(slope: Array, s: Array, n: Array) -> Array:
    """The p >= s / n where log M rises by `slope`: slope p^2 + (n - slope) p - s = 0, without cancellation."""
    linear = n - slope
    root = np.sqrt(linear * linear + 4 * slope * s)
    positive = linear > 0
    p = np.where(positive, 2 * s / np.where(positive, linear + root, 1.0), (root - linear) / (2 * slope))
    return np.clip(p, 0.0, 1.0)


def _log_ratio(p: Array, s: Array, n: Array) -> Array:
    """log M(p); infinite where the runs rule p out."""
    misses = n - s
    mixture = betaln(MIXTURE + s, MIXTURE + misses) - betaln(MIXTURE, MIXTURE)
    return mixture - xlogy(s, p) - xlog1py(misses, -p)
