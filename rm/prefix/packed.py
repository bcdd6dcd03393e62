"""A forest as tensors: one row of T tokens that any decoder can run, and who may see whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rm.prefix.forest import Forest, grow

Path = Literal["segments", "tree_mask", "flex"]
PATHS: tuple[Path, ...] = get_args(Path)
KeyValues = dict[int, tuple[Tensor, Tensor]]
"""Layer -> keys and values of a segment, each (1, key-value heads, length, d), positions applied."""


@dataclass(frozen=True)
class Packed:
    """N sequences in one row, every shared prefix once.

    Args:
        input_ids: (1, T) int64.
        position_ids: (1, T) int64, each token's place in its own sequence.
        last: (N,) int64, where each sequence's last token stands in the row.
        subtree_end: (T,) int64; token q sees token k where k <= q < subtree_end[k].
        forest: what this is made of.
        path: how attention is computed, see `rm.prefix.attention`.
        known: segments that are not in the row, since their keys and values are there already. With `segments` only.
        wanted: segments whose keys and values the forward pass writes here.
    """

    input_ids: Tensor
    position_ids: Tensor
    last: Tensor
    subtree_end: Tensor
    forest: Forest
    path: Path
    known: Mapping[int, KeyValues] = field(default_factory=dict)
    wanted: Mapping[int, KeyValues] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def to(self, device: torch.device | str) -> Packed:
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            position_ids=self.position_ids.to(device),
            last=self.last.to(device),
            subtree_end=self.subtree_end.to(device),
        )

    def tree_bias(self, dtype: torch.dtype) -> Tensor:
        """(1, 1, T, T): 0 where the row's token sees the column's, else minus infinity. Made once."""
        if dtype not in self._made:
            place = torch.arange(self.subtree_end.shape[0], device=self.subtree_end.device)
            visible = (place[None, :] <= place[:, None]) & (place[:, None] < self.subtree_end[None, :])
            self._made[dtype] = _bias(visible, dtype)[None, None]
        return self._made[dtype]

    def segment_bias(self, index: int, dtype: torch.dtype) -> Tensor:
        """(length, depth + length): a segment's tokens against all of its path. Views of one matrix, made once."""
        segment = self.forest.segments[index]
        if dtype not in self._made:
            rows, deepest = self._below_roots()
            place = torch.arange(deepest + rows, device=self.subtree_end.device)
            visible = place[None, :] <= deepest + place[:rows, None]
            self._made[dtype] = _bias(visible, dtype)
        bias = self._made[dtype]
        deepest = bias.shape[1] - bias.shape[0]
        return bias[: segment.length, deepest - segment.depth : deepest + segment.length]

    def block_mask(self) -> Any:
        """The same as a block mask of FlexAttention. Made once."""
        if "block_mask" not in self._made:
            from torch.nn.attention.flex_attention import create_block_mask

            ends = self.subtree_end

            def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                return (key <= query) & (query < ends[key])

            length = ends.shape[0]
            self._made["block_mask"] = create_block_mask(visible, None, None, length, length, device=str(ends.device))
        return self._made["block_mask"]

    def _below_roots(self) -> tuple[int, int]:
        """Tokens of the longest segment that has ancestors, and of the longest path above one."""
        below = [segment for segment in self.forest.segments if segment.ancestors]
        return max(s.length for s in below), max(s.depth for s in below)


def _bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, float("-inf"))


def pack(groups: Sequence[Sequence[Sequence[int]]], path: Path = "segments") -> Packed:
    """Groups of token sequences -> one row. Sequences share within a group only.

    Raises:
        ValueError: an empty sequence.
    """
    return pack_forest(grow(groups), path)


def pack_forest(
    forest: Forest,
    path: Path = "segments",
    *,
    known: Mapping[int, KeyValues] | None = None,
    wanted: Mapping[int, KeyValues] | None = None,
) -> Packed:
    """A forest -> one row, without the segments that are `known`; none of these may end a sequence."""
    known = known or {}
    tokens: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    left_out = 0
    before = [0] * len(forest.tokens)  # tokens left out before each place
    for index, segment in enumerate(forest.segments):
        if index in known:
            left_out += segment.length
            continue
        tokens += forest.tokens[segment.start : segment.end]
        positions += range(segment.depth, segment.depth + segment.length)
        ends += [segment.subtree_end - left_out] * segment.length
        before[segment.start : segment.end] = [left_out] * segment.length
    return Packed(
        input_ids=torch.tensor([tokens], dtype=torch.long),
        position_ids=torch.tensor([positions], dtype=torch.long),
        last=torch.tensor([place - before[place] for place in forest.last], dtype=torch.long),
        subtree_end=torch.tensor(ends, dtype=torch.long),
        forest=forest,
        path=path,
        known=known,
        wanted=wanted or {},
    )
