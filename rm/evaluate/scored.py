"""The result of scoring groups: what every metric, report and comparison starts from. No torch, no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rm.groups import Group


@dataclass(frozen=True)
class ScoredGroup:
    """One group with the scores of its K candidates, in the candidates' order. D dimensions, L levels.

    Args:
        group: the group as read.
        scores: (K,) float64 in [0, 1], the official score; NaN where the candidate could not be scored.
        logits: (K,) float64, unbounded: what ranks. Two scores that round to the same number still differ here.
        expected_levels: (K, D) float64 in [0, L - 1], the expected level of each dimension.
        predicted_levels: (K, D) int64, the most probable level; -1 where the candidate could not be scored.
        truncated: (K,) bool, whether the problem had to be cut to fit.
    """

    group: Group
    scores: np.ndarray
    logits: np.ndarray
    expected_levels: np.ndarray
    predicted_levels: np.ndarray
    truncated: np.ndarray

    @property
    def scorable(self) -> bool:
        """Whether every candidate has a score; a group that is not leaves the metrics and is counted."""
        return bool(np.isfinite(self.scores).all())

    @property
    def positive(self) -> np.ndarray:
        """(K,) bool."""
        return np.array([candidate.positive for candidate in self.group.candidates], dtype=bool)


@dataclass(frozen=True)
class BatchDrift:
    """How far scores move with the batch they are computed in: the same candidates scored alone and together."""

    candidates: int
    largest: float
    mean: float
    order_changes: int
