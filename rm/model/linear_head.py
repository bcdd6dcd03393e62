"""A linear head for states of texts, fitted by ridge regression. Pure numpy; N texts, H hidden, F folds.

The strength of the ridge is chosen by cross-validation over whole groups: traces of one problem are too alike for
one of them to test what was fitted to another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STRENGTHS = tuple(10.0**power for power in range(-7, 3))
"""Of the ridge, in units of the mean square of a state's entries."""
FOLDS = 5

Array = NDArray[np.float64]


def fit_head(states: Array, targets: Array, groups: Sequence[int]) -> Array:
    """Weights w that make `states @ w` come close to the targets. There is no intercept: stock heads have none.

    Args:
        states: (N, H).
        targets: (N,).
        groups: (N,) which problem a text belongs to; at least two different ones.

    Returns:
        (H,)

    Raises:
        ValueError: fewer than two groups, or values that are not finite.
    """
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f"a head needs at least 2 groups, found {len(names)}")
    if not (np.isfinite(states).all() and np.isfinite(targets).all()):
        raise ValueError("states and targets must be finite")
    fold = np.searchsorted(names, groups) % min(FOLDS, len(names))
    errors = np.zeros(len(STRENGTHS))
    for each in range(fold.max() + 1):
        held = fold == each
        weights = _ridge(states[~held], targets[~held], STRENGTHS)
        errors += np.square(states[held] @ weights - targets[held, None]).sum(axis=0)
    best = STRENGTHS[int(errors.argmin())]
    return _ridge(states, targets, (best,))[:, 0]


def _ridge(states: Array, targets: Array, strengths: Sequence[float]) -> Array:
    """(H, number of strengths): the minimisers of |states w - targets|^2 + N * scale * strength * |w|^2."""
    count, width = states.shape
    scale = float(np.square(states).mean()) or 1.0
    added = count * scale * np.array(strengths)
    if count > width:
        values, vectors = np.linalg.eigh(states.T @ states)
        inside = vectors.T @ (states.T @ targets)
        return vectors @ (inside[:, None] / (values.clip(0)[:, None] + added))
    values, vectors = np.linalg.eigh(states @ states.T)  # the same by the smaller matrix
    inside = vectors.T @ targets
    return states.T @ (vectors @ (inside[:, None] / (values.clip(0)[:, None] + added)))
