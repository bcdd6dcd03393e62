"""How well the predicted levels of a rubric dimension agree with its labels, over all labelled candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import cohen_kappa_score, confusion_matrix


@dataclass(frozen=True)
class DimensionAgreement:
    """Agreement on one dimension; every figure is NaN where nothing is labelled.

    Args:
        n: labelled candidates.
        accuracy: share of candidates whose most probable level is the label.
        mae: mean absolute error of the expected level, in levels.
        kappa: quadratic-weighted Cohen's kappa of the most probable level, in [-1, 1]; 0 is what guessing by
            the marginals gets. NaN where labels and predictions are all one and the same level.
    """

    n: int
    accuracy: float
    mae: float
    kappa: float


def dimension_agreement(
    predicted: ArrayLike, expected: ArrayLike, labels: ArrayLike, n_levels: int
) -> DimensionAgreement:
    """Accuracy, mean absolute error and quadratic-weighted kappa of one dimension.

    Args:
        predicted: (N,) int in 0..n_levels-1, the most probable level.
        expected: (N,) float in [0, n_levels - 1], the expected level.
        labels: (N,) int in 0..n_levels-1; negative where unlabelled, which leaves the candidate out.
        n_levels: number of levels of the rubric.

    Raises:
        ValueError: arrays of different shapes, a level out of range.

    Source: Cohen 1968, "Weighted Kappa", computed by scikit-learn.
    """
    predicted, labels = _labelled(predicted, labels, n_levels)
    keep = labels >= 0
    expected = np.asarray(expected, dtype=np.float64)
    if expected.shape != labels.shape:
        raise ValueError(f"expected one shape, got expected {expected.shape}, labels {labels.shape}")
    predicted, expected, labels = predicted[keep], expected[keep], labels[keep]
    if not len(labels):
        return DimensionAgreement(n=0, accuracy=np.nan, mae=np.nan, kappa=np.nan)
    return DimensionAgreement(
        n=len(labels),
        accuracy=float(np.mean(predicted == labels)),
        mae=float(np.mean(np.abs(expected - labels))),
        kappa=quadratic_kappa(predicted, labels, n_levels),
    )


def confusion(predicted: ArrayLike, labels: ArrayLike, n_levels: int) -> NDArray[np.int64]:
    """(n_levels, n_levels) counts: rows the label, columns the prediction; unlabelled ones are left out.

    Args and Raises: as `dimension_agreement`.
    """
    predicted, labels = _labelled(predicted, labels, n_levels)
    keep = labels >= 0
    if not keep.any():
        return np.zeros((n_levels, n_levels), dtype=np.int64)
    return confusion_matrix(labels[keep], predicted[keep], labels=range(n_levels)).astype(np.int64)


def quadratic_kappa(predicted: NDArray, labels: NDArray, n_levels: int) -> float:
    """Quadratic-weighted Cohen's kappa of two (N,) arrays of levels in 0..n_levels-1, N >= 1, in [-1, 1].

    NaN where both are all one and the same level.
    """
    if np.all(predicted == labels[0]) and np.all(labels == labels[0]):
        return np.nan  # 0 / 0: no disagreement is possible, by chance either
    return float(cohen_kappa_score(labels, predicted, weights="quadratic", labels=range(n_levels)))


def _labelled(predicted: ArrayLike, labels: ArrayLike, n_levels: int) -> tuple[NDArray, NDArray]:
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or labels.ndim != 1:
        raise ValueError(f"expected 1-D arrays of one length, got predicted {predicted.shape}, labels {labels.shape}")
    for name, levels, lowest in (("predicted", predicted, 0), ("labels", labels, None)):
        if levels.size and (levels.max() >= n_levels or (lowest is not None and levels.min() < lowest)):
            raise ValueError(f"{name} must be levels 0..{n_levels - 1}, got {levels.min()}..{levels.max()}")
    return predicted, labels
