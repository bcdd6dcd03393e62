"""Pointwise losses: each candidate by itself, against its rubric labels or its rubric total."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rm.losses._shapes import check_bool, check_same_shape, widen


def cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each dimension's levels, summed over dimensions as the official loss does.

    Args:
        logits: (N, D, L) float for N candidates, D dimensions, L levels.
        labels: (N, D) int64 in 0..L-1; negative where the dimension is not labelled, which then adds 0.
        label_smoothing: share of the target spread evenly over the levels, in [0, 1].

    Returns:
        (N,) loss a candidate.

    Raises:
        ValueError: shapes do not fit, with the shapes.
    """
    if logits.dim() != 3:
        raise ValueError(f"expected logits (N, D, L), got {tuple(logits.shape)}")
    check_same_shape(2, **{"logits without levels": logits[..., 0], "labels": labels})
    losses = F.cross_entropy(
        widen(logits).transpose(1, 2),  # (N, L, D): classes second
        labels.clamp(min=-1),
        ignore_index=-1,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    return losses.sum(dim=1)


def huber(probability: Tensor, total: Tensor, labelled: Tensor, *, delta: float = 1.0) -> Tensor:
    """Huber loss of the total head's probability against the rubric total; 0 where there is no total.

    With both in [0, 1] and the official delta of 1 this is half the squared error.

    Args:
        probability: (N,) float in [0, 1], sigmoid of the total head.
        total: (N,) float in [0, 1]; not read where unlabelled.
        labelled: (N,) bool, True where a total is given.
        delta: where the loss turns from quadratic to linear, > 0.

    Returns:
        (N,) loss a candidate.

    Raises:
        ValueError: shapes differ, with the shapes.

    Source: Huber 1964, "Robust Estimation of a Location Parameter".
    """
    check_same_shape(1, probability=probability, total=total, labelled=labelled)
    check_bool(labelled=labelled)
    probability = widen(probability)
    target = total.to(probability.dtype).where(labelled, 0.0)
    losses = F.huber_loss(probability, target, delta=delta, reduction="none")
    return losses.masked_fill(~labelled, 0.0)
