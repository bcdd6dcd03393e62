"""A forest as tensors: one row of T tokens that any decoder can run, and who may see whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rm.prefix.blocks import Block, cut
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
        blocks: with `segments`, the calls of the attention, which fill the row; else none.
        known: segments that are not in the row, since their keys and values are there already. With `segments` only.
        wanted: segments whose keys and values the forward pass writes here.
    """

    input_ids: Tensor
    position_ids: Tensor
    last: Tensor
    subtree_end: Tensor
    forest: Forest
    path: Path
    blocks: tuple[Block, ...] = ()
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

    def block_bias(self, block: Block, dtype: torch.dtype) -> Tensor | None:
        """(length, depth + length): a block's tokens against what is above it and itself. Made once.

        None for a root alone, whose attention is simply causal.
        """
        single = block.end == block.first + 1
        if single and not block.above:
            return None
        if (block, dtype) not in self._made:
            self._made[block, dtype] = self._segment_bias(block, dtype) if single else self._subtree_bias(block, dtype)
        return self._made[block, dtype]

    def place(self, index: int) -> int:
        """Where a segment starts in the row, from which known ones are left out."""
        segments = self.forest.segments
        return segments[index].start - sum(segments[each].length for each in self.known if each < index)

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

    def _subtree_bias(self, block: Block, dtype: torch.dtype) -> Tensor:
        start = self.place(block.first)
        ends = self.subtree_end[start : start + block.length] - start
        place = torch.arange(block.length, device=ends.device)
        visible = (place[None, :] <= place[:, None]) & (place[:, None] < ends[None, :])
        above = visible.new_ones(block.length, block.depth)
        return _bias(torch.cat([above, visible], dim=1), dtype)

    def _segment_bias(self, block: Block, dtype: torch.dtype) -> Tensor:
        """Views of one matrix, for the blocks of one segment below others."""
        single = [each for each in self.blocks if each.above and each.end == each.first + 1]
        deepest = max(each.depth for each in single)
        if dtype not in self._made:
            rows = max(each.length for each in single)
            place = torch.arange(deepest + rows, device=self.subtree_end.device)
            self._made[dtype] = _bias(place[None, :] <= deepest + place[:rows, None], dtype)
        return self._made[dtype][: block.length, deepest - block.depth : deepest + block.length]


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
        blocks=cut(forest, known=known) if path == "segments" else (),
        known=known,
        wanted=wanted or {},
    )
