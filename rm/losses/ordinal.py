"""Ordinal loss for rubric dimensions: a label two levels off costs more than one that is next to it."""

from __future__ import annotations

import torch
from torch import Tensor

from rm.losses._shapes import check_same_shape, masked_logsumexp, widen


def ordinal(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy on the cumulative probabilities of the L-way softmax, summed over dimensions.

        loss_d = mean over thresholds l = 0..L-2 of -log P(y > l) where label > l, else -log P(y <= l)

    The heads stay L-way classifiers, as official checkpoints have them; only the loss knows that levels are
    ordered.

    Args:
        logits: (N, D, L) float for N candidates, D dimensions, L >= 2 levels.
        labels: (N, D) int64 in 0..L-1; negative where the dimension is not labelled, which then adds 0.

    Returns:
        (N,) loss a candidate.

    Raises:
        ValueError: shapes do not fit, with the shapes.

    Source: the thresholds and their targets are those of Frank & Hall 2001, "A Simple Approach to Ordinal
    Classification"; on one softmax, it is the logarithmic kin of the ranked probability score (Epstein 1969).
    """
    if logits.dim() != 3 or logits.shape[2] < 2:
        raise ValueError(f"expected logits (N, D, L) with L >= 2, got {tuple(logits.shape)}")
    check_same_shape(2, **{"logits without levels": logits[..., 0], "labels": labels})
    log_p = widen(logits).log_softmax(dim=2)
    levels = torch.arange(logits.shape[2], device=logits.device)
    thresholds = levels[:-1]
    above = levels > thresholds.unsqueeze(1)  # (L-1, L): level is above threshold
    beyond = labels.unsqueeze(2) > thresholds  # (N, D, L-1): label is above threshold
    right_side = above == beyond.unsqueeze(3)  # (N, D, L-1, L): level is on the label's side of the threshold
    log_right = masked_logsumexp(log_p.unsqueeze(2).expand(right_side.shape), right_side)
    return -log_right.mean(dim=2).masked_fill(labels < 0, 0.0).sum(dim=1)
