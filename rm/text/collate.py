"""Batches that keep groups whole.

Shapes: G groups, K candidates a group at most, N = all candidates of the batch in one flat list, T tokens,
D dimensions. The model works on the N candidates, however their tokens are laid out; the losses on (G, K), through
`slots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What the losses know of several groups; the tokens go to the model by themselves.

    Args:
        slots: (G, K) int64, the row of each candidate in the flat list; 0 where `mask` is False.
        mask: (G, K) bool, which slots hold a candidate.
        positive: (G, K) bool.
        labels: (N, D) int64 levels; -1 where unlabelled.
        total: (N,) float32 rubric total in [0, 1]; 0 where `labelled` is False.
        labelled: (N,) bool, whether the candidate has a rubric total.
        shortcut: (N,) float32 log-odds of being a positive by length or wording alone; 0 where not asked for.
    """

    slots: Tensor
    mask: Tensor
    positive: Tensor
    labels: Tensor
    total: Tensor
    labelled: Tensor
    shortcut: Tensor

    @property
    def num_groups(self) -> int:
        return self.slots.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})

    def gather(self, values: Tensor) -> Tensor:
        """(N,) -> (G, K): values of the candidates in their slots; what stands in empty slots means nothing."""
        return values[self.slots]


@dataclass(frozen=True)
class Member:
    """One candidate of a group, tokenized.

    Args:
        input_ids: at least one token.
        positive: whether the trace is a good one.
        labels: D levels, -1 where unlabelled.
        total: rubric total in [0, 1], or None.
        shortcut: log-odds of being a positive by length or wording alone.
    """

    input_ids: tuple[int, ...]
    positive: bool
    labels: tuple[int, ...]
    total: float | None
    shortcut: float = 0.0


def pad(
    sequences: Sequence[Sequence[int]], pad_id: int, side: Literal["left", "right"] = "right"
) -> tuple[Tensor, Tensor]:
    """Token lists -> (N, T) ids and (N, T) mask, int64."""
    width = max(map(len, sequences), default=0)
    ids = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, tokens in enumerate(sequences):
        span = slice(0, len(tokens)) if side == "right" else slice(width - len(tokens), width)
        ids[row, span] = torch.tensor(tokens, dtype=torch.long)
        mask[row, span] = 1
    return ids, mask


def collate(groups: Sequence[Sequence[Member]], num_dimensions: int) -> Batch:
    """Groups of members -> one batch. A group may have any number of members, none included."""
    flat = [member for group in groups for member in group]
    width = max(map(len, groups), default=0)
    slots = torch.zeros((len(groups), width), dtype=torch.long)
    mask = torch.zeros((len(groups), width), dtype=torch.bool)
    positive = torch.zeros((len(groups), width), dtype=torch.bool)
    start = 0
    for index, group in enumerate(groups):
        slots[index, : len(group)] = torch.arange(start, start + len(group))
        mask[index, : len(group)] = True
        positive[index, : len(group)] = torch.tensor([member.positive for member in group], dtype=torch.bool)
        start += len(group)
    return Batch(
        slots=slots,
        mask=mask,
        positive=positive,
        labels=torch.tensor([m.labels for m in flat], dtype=torch.long).reshape(len(flat), num_dimensions),
        total=torch.tensor([m.total or 0.0 for m in flat], dtype=torch.float32),
        labelled=torch.tensor([m.total is not None for m in flat], dtype=torch.bool),
        shortcut=torch.tensor([m.shortcut for m in flat], dtype=torch.float32),
    )
