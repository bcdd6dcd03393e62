"""The bag-of-words baseline: how well a ranking does that only looks at the surface of the reasoning.

TF-IDF of word 1-2-grams and a class-balanced logistic regression (C = 10) tell positives from negatives. It
never sees the problem, so what it gets right is a habit of wording that the data's makers left behind; a
ranking accuracy means little without it. It learns from groups given for that, else from the evaluated ones,
5-fold by problem. scikit-learn is loaded on use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rm.groups import Group

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

FOLDS = 5


@dataclass(frozen=True)
class SurfaceResult:
    """What the baseline gave, or why it could give nothing.

    Args:
        scores: one (K,) float64 array a group, in the groups' order, unbounded; None where it cannot learn.
        protocol: in words, what it was trained on; or the reason why there are no scores.
    """

    scores: tuple[np.ndarray, ...] | None
    protocol: str


def surface_baseline(groups: Sequence[Group], train: Sequence[Group] | None = None) -> SurfaceResult:
    """Scores every candidate of `groups` by the words of its reasoning.

    Args:
        groups: the evaluated groups.
        train: groups to learn from; those that share a problem with `groups` are left out. Without them the
            baseline is trained on `groups` themselves, in folds that keep each problem on one side.
    """
    if train is None:
        return _cross_validated(groups)
    evaluated = {group.problem_key for group in groups}
    kept = [group for group in train if group.problem_key not in evaluated]
    shared = len(train) - len(kept)
    left_out = f" ({shared} that share a problem with the evaluated ones left out)" if shared else ""
    if not kept:
        return SurfaceResult(None, f"no training group left{left_out}")
    scores = _fit_and_score(kept, groups)
    if scores is None:
        return SurfaceResult(None, "the training groups hold no words to learn from")
    return SurfaceResult(tuple(scores), f"trained on {_counted(len(kept), 'other group')}{left_out}")


def _cross_validated(groups: Sequence[Group]) -> SurfaceResult:
    from sklearn.model_selection import GroupKFold

    keys = [group.problem_key for group in groups]
    folds = min(FOLDS, len(set(keys)))
    if folds < 2:
        return SurfaceResult(None, "it needs at least two problems to learn from one and be tried on another")
    scores: list[np.ndarray] = [np.empty(0)] * len(groups)
    for inside, outside in GroupKFold(folds).split(keys, groups=keys):
        fold_scores = _fit_and_score([groups[i] for i in inside], [groups[i] for i in outside])
        if fold_scores is None:
            return SurfaceResult(None, "the groups hold no words to learn from")
        for i, group_scores in zip(outside, fold_scores, strict=True):
            scores[i] = group_scores
    return SurfaceResult(tuple(scores), f"{folds}-fold by problem on the evaluated groups")


def _fit_and_score(train: Sequence[Group], groups: Sequence[Group]) -> list[np.ndarray] | None:
    """(K,) decision values a group; None where no training text holds a word."""
    texts = [candidate.reasoning for group in train for candidate in group.candidates]
    positive = [candidate.positive for group in train for candidate in group.candidates]
    pipeline = _pipeline()
    analyze = pipeline["tfidfvectorizer"].build_analyzer()
    if not any(analyze(text) for text in texts):
        return None
    pipeline.fit(texts, positive)
    sizes = [len(group.candidates) for group in groups]
    flat = pipeline.decision_function([c.reasoning for group in groups for c in group.candidates])
    return np.split(flat, np.cumsum(sizes)[:-1])


def linear_classifier() -> LogisticRegression:
    """What tells positives from negatives by features of the surface."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000)


def _pipeline() -> Pipeline:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), linear_classifier())


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
