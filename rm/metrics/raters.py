"""How well several raters agree who rate the same things: exact agreement, weighted kappa, intraclass correlation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm.metrics.agreement import quadratic_kappa


@dataclass(frozen=True)
class RaterAgreement:
    """Agreement on one quality; a figure is NaN where it is not defined.

    Args:
        n: things that at least two raters rated.
        exact: share of pairs of ratings of one thing that have the same level.
        kappa: quadratic-weighted Cohen's kappa of the levels, in [-1, 1], mean over the pairs of raters for which it is
            defined.
        icc: ICC(2,1) of the scores, absolute agreement of single raters, over the things that every rater rated.
    """

    n: int
    exact: float
    kappa: float
    icc: float


def rater_agreement(scores: ArrayLike, levels: ArrayLike, n_levels: int) -> RaterAgreement:
    """Agreement of R raters on N things.

    Args:
        scores: (N, R) float; NaN where a rater gave none.
        levels: (N, R) int in 0..n_levels-1, the scores as levels; negative where there is none.
        n_levels: of the rubric.

    Raises:
        ValueError: arrays that are not (N, R) both.

    Source: Cohen 1968 for kappa; Shrout and Fleiss 1979, "Intraclass correlations", for ICC(2,1).
    """
    values, given = np.asarray(scores, dtype=np.float64), np.asarray(levels, dtype=np.int64)
    if values.shape != given.shape or given.ndim != 2:
        raise ValueError(f"expected two arrays (things, raters), got {values.shape} and {given.shape}")
    same = pairs = 0
    kappas = []
    for one, other in itertools.combinations(given.T, 2):
        both = (one >= 0) & (other >= 0)
        if both.any():
            pairs += int(both.sum())
            same += int((one[both] == other[both]).sum())
            kappas.append(quadratic_kappa(one[both], other[both], n_levels))
    defined = [kappa for kappa in kappas if not np.isnan(kappa)]
    return RaterAgreement(
        n=int(((given >= 0).sum(axis=1) >= 2).sum()),
        exact=same / pairs if pairs else np.nan,
        kappa=float(np.mean(defined)) if defined else np.nan,
        icc=intraclass_correlation(values[~np.isnan(values).any(axis=1)]),
    )


def intraclass_correlation(scores: NDArray[np.float64]) -> float:
    """ICC(2,1): two-way random effects, absolute agreement, single rater.

    Args:
        scores: (N, R) float, complete.

    Returns:
        At most 1; NaN for fewer than two things or raters, or where all scores are equal.

    Source: Shrout and Fleiss 1979, p. 423.
    """
    n, k = scores.shape
    if n < 2 or k < 2:
        return np.nan
    rows, columns, mean = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    between_rows = k * ((rows - mean) ** 2).sum() / (n - 1)
    between_columns = n * ((columns - mean) ** 2).sum() / (k - 1)
    residual = ((scores - rows[:, None] - columns[None, :] + mean) ** 2).sum() / ((n - 1) * (k - 1))
    whole = between_rows + (k - 1) * residual + k * (between_columns - residual) / n
    return float((between_rows - residual) / whole) if whole > 0 else np.nan
