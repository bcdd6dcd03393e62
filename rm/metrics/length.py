"""How much of a ranking is the length of the reasoning, the cheapest thing a reward model can mislearn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata


def length_correlation(scores: ArrayLike, lengths: ArrayLike) -> float:
    """Spearman's rank correlation between score and length of the reasoning, within one group.

    Within the group, so that problems that need long answers do not count; the figure of a data set is the
    mean over its groups.

    Args:
        scores: (K,) float.
        lengths: (K,) number of characters (or any other length) of each candidate's reasoning.

    Returns: A value in [-1, 1]; above 0 the model prefers long reasoning. NaN where scores or lengths are all
        equal, and below two candidates. Two candidates can only give -1 or 1.

    Source: Spearman 1904, with mid-ranks for ties.
    """
    scores, lengths = np.asarray(scores, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    if scores.shape != lengths.shape or scores.ndim != 1:
        raise ValueError(f"expected 1-D arrays of one length, got scores {scores.shape}, lengths {lengths.shape}")
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(lengths) == 0:
        return np.nan
    return float(np.corrcoef(rankdata(scores), rankdata(lengths))[0, 1])


def longest_scores(lengths: ArrayLike) -> NDArray[np.float64]:
    """(K,) scores of the baseline that takes the longest reasoning for the best: the lengths themselves."""
    return np.asarray(lengths, dtype=np.float64)
