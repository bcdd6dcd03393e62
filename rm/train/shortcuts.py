"""What a ranking could go by without reading the problem: length and wording, as log-odds of being a positive.

Added to the model's logit while training and left away afterwards, they take the credit for what they explain, so that
the model learns the rest: a product of experts.

Sources: Clark et al. 2019, "Don't Take the Easy Way Out"; He et al. 2019, "Unlearn Dataset Bias in Natural Language
Inference by Fitting the Residual". That length is such a shortcut for reward models: Singhal et al. 2023, "A Long Way
to Go". scikit-learn is loaded on use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rm.evaluate.surface import FOLDS, linear_classifier
from rm.groups import Group

Shortcut = Literal["none", "length", "surface"]
Array = NDArray[np.float64]

LARGEST = 4.0
"""Bound of the log-odds: beyond it a trace would weigh nothing at all."""


def shortcut_scores(groups: Sequence[Group], shortcut: Shortcut) -> list[Array]:
    """Out-of-fold log-odds that a candidate is a positive, from its surface alone.

    Args:
        groups: to learn from and to score, each problem scored by folds that it is not in.
        shortcut: `length` (words, against the group's mean), `surface` (words and word pairs, too), `none` (all 0).

    Returns:
        (K,) float64 in [-LARGEST, LARGEST] a group, in the groups' order; 0 where fewer than two problems are there.
    """
    sizes = [len(group.candidates) for group in groups]
    flat = np.zeros(sum(sizes))
    problems = np.repeat([group.problem_key for group in groups], sizes)
    folds = min(FOLDS, len(set(problems.tolist())))
    if shortcut != "none" and folds > 1:
        flat = _out_of_fold(groups, problems, folds, with_words=shortcut == "surface")
    return np.split(flat.clip(-LARGEST, LARGEST), np.cumsum(sizes)[:-1])


def _out_of_fold(groups: Sequence[Group], problems: NDArray[np.str_], folds: int, *, with_words: bool) -> Array:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import GroupKFold

    texts = [candidate.reasoning for group in groups for candidate in group.candidates]
    positive = np.array([candidate.positive for group in groups for candidate in group.candidates])
    features = csr_matrix(_lengths(groups)[:, None])
    if with_words:
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2 if len(texts) > 100 else 1, token_pattern=r"\S+")
        features = hstack([features, words.fit_transform(texts)]).tocsr()
    scores = np.zeros(len(texts))
    for inside, outside in GroupKFold(folds).split(texts, groups=problems):
        if positive[inside].all() or not positive[inside].any():
            continue
        model = linear_classifier()
        scores[outside] = model.fit(features[inside], positive[inside]).decision_function(features[outside])
    return scores


def _lengths(groups: Sequence[Group]) -> Array:
    """Log of the number of words, against the mean of the group; 0.1 is about a tenth longer."""
    logs = [np.log([1 + len(candidate.reasoning.split()) for candidate in group.candidates]) for group in groups]
    return np.concatenate([each - each.mean() for each in logs])
