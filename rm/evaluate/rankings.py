"""From scored groups to one value a group and metric: what summaries and comparisons average over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields

import numpy as np

from rm.evaluate.scored import ScoredGroup
from rm.groups import Group
from rm.metrics import GroupRanking, chance_group, longest_scores, pair_accuracy, rank_group

RANKING_METRICS = tuple(field.name for field in fields(GroupRanking))

Columns = dict[str, np.ndarray]
"""(G,) float64 under each name of RANKING_METRICS; NaN where a group leaves the metric undefined."""


def relevance_of(group: Group, margin: float = 0.1) -> np.ndarray:
    """(K,) graded relevance, as in training: the rubric total where labelled, else 1 for positives and 0 for
    negatives; a positive that is not `margin` above the best negative is lifted to just that."""
    positive = np.array([candidate.positive for candidate in group.candidates], dtype=bool)
    relevance = np.array([float(c.positive) if c.total is None else c.total for c in group.candidates])
    best_negative = np.max(relevance[~positive], initial=-np.inf)
    return np.where(positive, np.maximum(relevance, best_negative + margin), relevance)


def lengths(group: Group) -> np.ndarray:
    """(K,) characters of each candidate's reasoning."""
    return np.array([len(candidate.reasoning) for candidate in group.candidates], dtype=np.float64)


def model_rankings(scored: Sequence[ScoredGroup]) -> Columns:
    """How the model ranks each group, by its logit."""
    return rankings(scored, [each.logits for each in scored])


def longest_rankings(scored: Sequence[ScoredGroup]) -> Columns:
    """How the baseline ranks that takes the longest reasoning for the best."""
    return rankings(scored, [longest_scores(lengths(each.group)) for each in scored])


def rankings(scored: Sequence[ScoredGroup], scores: Sequence[np.ndarray]) -> Columns:
    """How `scores`, one (K,) array a group, rank the groups."""
    pairs = zip(scored, scores, strict=True)
    return _columns(rank_group(own, each.positive, relevance_of(each.group)) for each, own in pairs)


def chance_rankings(scored: Sequence[ScoredGroup]) -> Columns:
    """What random scores would get in each group, in expectation."""
    return _columns(chance_group(each.positive, relevance_of(each.group)) for each in scored)


def kinds(scored: Sequence[ScoredGroup]) -> list[str]:
    """The kinds of the negatives, in alphabetical order."""
    return sorted({candidate.kind for each in scored for candidate in each.group.negatives})


def kind_accuracy(scored: Sequence[ScoredGroup], scores: Sequence[np.ndarray], kind: str) -> np.ndarray:
    """(G,) share of each group's pairs of a positive and a negative of `kind` that are ordered right.

    NaN for groups without such a negative.
    """
    values = []
    for each, own in zip(scored, scores, strict=True):
        members = np.array([c.positive or c.kind == kind for c in each.group.candidates], dtype=bool)
        values.append(pair_accuracy(own[members], each.positive[members]))
    return np.array(values, dtype=np.float64)


def kind_pairs(scored: Sequence[ScoredGroup], kind: str) -> int:
    """Number of pairs of a positive and a negative of `kind`."""
    return sum(
        len(each.group.positives) * sum(candidate.kind == kind for candidate in each.group.negatives) for each in scored
    )


def _columns(groups: Iterator[GroupRanking]) -> Columns:
    rows = [astuple(group) for group in groups]
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(RANKING_METRICS))
    return dict(zip(RANKING_METRICS, values.T, strict=True))
