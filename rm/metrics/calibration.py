"""Does a score mean what it says: the score against the share of positives, or against the labelled total."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Args:
        low, high: lowest and highest score in the bin.
        count: candidates in it, >= 1.
        mean_score, mean_outcome: their means.
    """

    low: float
    high: float
    count: int
    mean_score: float
    mean_outcome: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram and its summary.

    Args: bins: from the lowest scores to the highest; empty where there is no candidate. expected_error: mean
        over candidates of their bin's |mean score - mean outcome| (the ECE); NaN if no bin. largest_error:
        the largest of these gaps (the MCE); NaN if no bin. bias: mean score - mean outcome over all; NaN if
        no bin.
    """

    bins: tuple[ReliabilityBin, ...]
    expected_error: float
    largest_error: float
    bias: float


def reliability(scores: ArrayLike, outcomes: ArrayLike, *, n_bins: int = 10) -> Reliability:
    """Reliability of scores in bins of (about) equal mass.

    Equal scores are never split between bins, so heavily tied scores give fewer bins. The expected error
    shrinks with the number of bins and grows, for perfect scores too, with the noise of small bins: compare
    only figures of the same data and the same `n_bins`.

    Args:
        scores: (N,) float in [0, 1].
        outcomes: (N,) what the score should predict, in [0, 1]: 1 for positives and 0 for negatives, or the
            labelled rubric total; NaN leaves the candidate out.
        n_bins: most bins, >= 1.

    Raises:
        ValueError: different shapes, no bins, a score that is not finite.

    Source: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; equal mass:
    Nguyen & O'Connor 2015.
    """
    all_scores = np.asarray(scores, dtype=np.float64)
    all_outcomes = np.asarray(outcomes, dtype=np.float64)
    if all_scores.shape != all_outcomes.shape or all_scores.ndim != 1:
        raise ValueError(
            f"expected 1-D arrays of one length, got scores {all_scores.shape}, outcomes {all_outcomes.shape}"
        )
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    if not np.all(np.isfinite(all_scores)):
        raise ValueError("scores must be finite")
    keep = ~np.isnan(all_outcomes)
    return _diagram(all_scores[keep], all_outcomes[keep], n_bins)


def _diagram(scores: NDArray[np.float64], outcomes: NDArray[np.float64], n_bins: int) -> Reliability:
    if not len(scores):
        return Reliability(bins=(), expected_error=np.nan, largest_error=np.nan, bias=np.nan)

    bins = tuple(
        ReliabilityBin(
            low=float(scores[members].min()),
            high=float(scores[members].max()),
            count=int(members.sum()),
            mean_score=float(scores[members].mean()),
            mean_outcome=float(outcomes[members].mean()),
        )
        for members in _equal_mass(scores, n_bins)
    )
    gaps = np.array([abs(each.mean_score - each.mean_outcome) for each in bins])
    counts = np.array([each.count for each in bins])
    return Reliability(
        bins=bins,
        expected_error=float(np.average(gaps, weights=counts)),
        largest_error=float(gaps.max()),
        bias=float(scores.mean() - outcomes.mean()),
    )


def _equal_mass(scores: NDArray[np.float64], n_bins: int) -> list[NDArray[np.bool_]]:
    """Masks of the non-empty bins, lowest first; a candidate's bin is set by the middle rank of its score."""
    _, block, size = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - size / 2  # of each block of equal scores, in 0..N
    bin_of = np.minimum((middle / len(scores) * n_bins).astype(int), n_bins - 1)[block]
    return [bin_of == each for each in np.unique(bin_of)]
