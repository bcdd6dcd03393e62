"""How well the scores of one group order its candidates.

Every function takes the 1-D arrays of *one group* of K candidates and returns one float; undefined is NaN,
never 0. Averages and intervals come after, over groups (`rm.metrics.bootstrap`). Candidates with equal scores
are tied: accuracies, reciprocal rank and NDCG are the expectation over random ways to break the tie, tau-b
has its own correction. So the result is the same on every run, and no order of the file leaks into it.

- scores: (K,) float, higher is better, finite.
- positive: (K,) bool.
- relevance: (K,) float >= 0, higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, spearmanr


@dataclass(frozen=True)
class GroupRanking:
    """The ranking metrics of one group, under their names in `metrics.json`; NaN where undefined."""

    pair_accuracy: float
    group_accuracy: float
    mrr: float
    ndcg: float
    kendall_tau: float
    tie_rate: float


def rank_group(scores: ArrayLike, positive: ArrayLike, relevance: ArrayLike) -> GroupRanking:
    """All ranking metrics of a group.

    Raises:
        ValueError: arrays of different lengths, scores that are not finite.
    """
    return GroupRanking(
        pair_accuracy=pair_accuracy(scores, positive),
        group_accuracy=group_accuracy(scores, positive),
        mrr=reciprocal_rank(scores, positive),
        ndcg=ndcg(scores, relevance),
        kendall_tau=kendall_tau(scores, relevance),
        tie_rate=tie_rate(scores),
    )


def chance_group(positive: ArrayLike, relevance: ArrayLike) -> GroupRanking:
    """What scores drawn at random would get in this group: exact expectations, no sampling.

    Random scores order the candidates as a tie between all of them would be broken, so the expectation is
    each metric's value at constant scores. Kendall's tau is 0 by symmetry (NaN where the relevance is all
    tied), and random scores of a continuous kind never tie.
    """
    relevance = np.asarray(relevance, dtype=float)
    constant = np.zeros(len(relevance))
    return GroupRanking(
        pair_accuracy=pair_accuracy(constant, positive),
        group_accuracy=group_accuracy(constant, positive),
        mrr=reciprocal_rank(constant, positive),
        ndcg=ndcg(constant, relevance),
        kendall_tau=0.0 if _varies(relevance) else np.nan,
        tie_rate=0.0 if len(relevance) > 1 else np.nan,
    )


def pair_accuracy(scores: ArrayLike, positive: ArrayLike) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher; a tie counts 0.5.

    NaN without a positive or without a negative. It is the group's ROC AUC (Hanley & McNeil 1982).
    """
    scores, positive = _scores_and_positive(scores, positive)
    difference = scores[positive, None] - scores[None, ~positive]
    return float(np.mean((np.sign(difference) + 1) / 2)) if difference.size else np.nan


def group_accuracy(scores: ArrayLike, positive: ArrayLike) -> float:
    """1 where the best-scored candidate is a positive, else 0; a tie for the top earns its share.

    NaN without a positive or without a negative.
    """
    scores, positive = _scores_and_positive(scores, positive)
    if not _both_kinds(positive):
        return np.nan
    return float(np.mean(positive[scores == scores.max()]))


def reciprocal_rank(scores: ArrayLike, positive: ArrayLike) -> float:
    """1 / rank of the best-ranked positive, ranks from 1; its mean over groups is the MRR.

    Where the best positives share their score with negatives, the expectation over random orders of that tie:
    with t tied candidates, p of them positive, the first positive comes j-th with probability
    C(t - j, p - 1) / C(t, p). NaN without a positive or without a negative.
    """
    scores, positive = _scores_and_positive(scores, positive)
    if not _both_kinds(positive):
        return np.nan
    best = scores[positive].max()
    above, tied = int(np.sum(scores > best)), scores == best
    t, p = int(np.sum(tied)), int(np.sum(tied & positive))
    return float(sum(comb(t - j, p - 1) / comb(t, p) / (above + j) for j in range(1, t - p + 2)))


def ndcg(scores: ArrayLike, relevance: ArrayLike) -> float:
    """Normalised discounted cumulative gain over all candidates, in [0, 1]; the gain is the relevance itself.

        DCG = sum_r gain_r / log2(1 + r),   NDCG = DCG / (DCG of the best order)

    Tied candidates share the mean of their gains. NaN where the relevance is all tied (every order is the
    best).

    Source: Järvelin & Kekäläinen 2002; ties by McSherry & Najork 2008, "Computing Information Retrieval
    Performance Measures Efficiently in the Presence of Tied Scores".

    Raises:
        ValueError: negative relevance.
    """
    scores, relevance = _scores_and_relevance(scores, relevance)
    if np.any(relevance < 0):
        raise ValueError(f"ndcg needs relevance >= 0, got {relevance.min()}")
    if not _varies(relevance):
        return np.nan
    discount = 1 / np.log2(np.arange(2, len(scores) + 2))
    _, block = np.unique(-scores, return_inverse=True)  # blocks of tied scores, the best first
    size = np.bincount(block)
    mean_gain = np.bincount(block, weights=relevance) / size
    gained = np.repeat(mean_gain, size) @ discount
    return float(gained / (np.sort(relevance)[::-1] @ discount))


def kendall_tau(scores: ArrayLike, relevance: ArrayLike) -> float:
    """Kendall's tau-b between scores and relevance, in [-1, 1].

    NaN where either is all tied: tau-b is 0 / 0 there. Source: Kendall 1945, "The Treatment of Ties in
    Ranking Problems".
    """
    scores, relevance = _scores_and_relevance(scores, relevance)
    if not (_varies(scores) and _varies(relevance)):
        return np.nan
    return float(kendalltau(scores, relevance, variant="b").statistic)


def spearman_rho(scores: ArrayLike, relevance: ArrayLike) -> float:
    """Spearman's rank correlation between scores and relevance, in [-1, 1]; tied values share their mean rank.

    NaN where either is all tied. Source: Spearman 1904, "The Proof and Measurement of Association between Two Things".
    """
    scores, relevance = _scores_and_relevance(scores, relevance)
    if not (_varies(scores) and _varies(relevance)):
        return np.nan
    return float(spearmanr(scores, relevance).statistic)


def tie_rate(scores: ArrayLike) -> float:
    """Share of the pairs of candidates with exactly equal scores, in [0, 1]; NaN below two candidates."""
    scores = _finite(scores)
    _, counts = np.unique(scores, return_counts=True)
    pairs = comb(len(scores), 2)
    return float(np.sum(counts * (counts - 1)) / 2 / pairs) if pairs else np.nan


def _varies(values: NDArray[np.floating]) -> bool:
    return len(values) > 1 and bool(np.any(values != values[0]))


def _both_kinds(positive: NDArray[np.bool_]) -> bool:
    return bool(positive.any() and not positive.all())


def _finite(scores: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"expected the 1-D scores of one group, got shape {scores.shape}")
    if not np.all(np.isfinite(scores)):
        raise ValueError(f"scores must be finite, got {scores}")
    return scores


def _scores_and_positive(scores: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores, positive = _finite(scores), np.asarray(positive)
    if positive.size and positive.dtype != np.bool_:
        raise ValueError(f"positive must be boolean, got {positive.dtype}")
    _check_shapes(scores, positive=positive)
    return scores, positive.astype(bool)


def _scores_and_relevance(scores: ArrayLike, relevance: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scores, relevance = _finite(scores), np.asarray(relevance, dtype=np.float64)
    _check_shapes(scores, relevance=relevance)
    if np.any(np.isnan(relevance)):
        raise ValueError(f"relevance must not be NaN, got {relevance}")
    return scores, relevance


def _check_shapes(scores: NDArray[np.float64], **other: NDArray) -> None:
    for name, values in other.items():
        if values.shape != scores.shape:
            raise ValueError(f"expected arrays of one length, got scores {scores.shape}, {name} {values.shape}")
