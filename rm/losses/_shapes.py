"""What the losses do with their arguments: check shapes, widen to float32, clear the padding."""

from __future__ import annotations

import torch
from torch import Tensor


def check_same_shape(dims: int, **tensors: Tensor) -> None:
    """Refuses tensors that differ in shape or do not have `dims` dimensions.

    Raises:
        ValueError: names every argument with its shape.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != dims:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"expected {dims}-dimensional tensors of one shape, got {listed}")


def check_bool(**tensors: Tensor) -> None:
    """Refuses masks that are not boolean: `~` on an integer mask would silently select everything.

    Raises:
        ValueError: names the argument and its dtype.
    """
    for name, tensor in tensors.items():
        if tensor.dtype != torch.bool:
            raise ValueError(f"{name} must be a boolean tensor, got {tensor.dtype}")


def widen(values: Tensor) -> Tensor:
    """The values in float32, or in float64 where they came so."""
    return values if values.dtype == torch.float64 else values.float()


def prepare(scores: Tensor, relevance: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The scores and relevance of a ranking loss, checked, widened, and with 0 in the padding.

    Whatever stood in the padding (NaN included) reaches neither the value nor the gradient.
    """
    check_same_shape(2, scores=scores, relevance=relevance, mask=mask)
    check_bool(mask=mask)
    return widen(scores).masked_fill(~mask, 0.0), widen(relevance).masked_fill(~mask, 0.0)


def ordered_pairs(relevance: Tensor, mask: Tensor) -> Tensor:
    """(G, K, K) bool: candidates i and j are both real and i is more relevant than j."""
    both = mask.unsqueeze(2) & mask.unsqueeze(1)
    return both & (relevance.unsqueeze(2) > relevance.unsqueeze(1))


def has_order(relevance: Tensor, mask: Tensor) -> Tensor:
    """(G,) bool: some candidate of the group outranks another, so that there is something to learn."""
    return ordered_pairs(relevance, mask).flatten(1).any(dim=1)


def masked_logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """log sum exp over the last dimension, where `mask`; 0 with zero gradient where it selects nothing."""
    empty = ~mask.any(dim=-1, keepdim=True)
    summed = values.masked_fill(~(mask | empty), float("-inf")).logsumexp(dim=-1)
    return summed.masked_fill(empty.squeeze(-1), 0.0)
