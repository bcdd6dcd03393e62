"""Which tokens of a packed row attend in one call. Pure; no torch.

A call for every segment computes no pair that is thrown away, and many small calls; one masked call for the whole row
computes every pair. In between, a subtree, or neighbours below one segment, can share a call where the pairs thrown
away cost less than the calls spared. The cheapest cut of the row is found here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rm.prefix.forest import Forest

CALL_PAIRS = 60_000
"""Query-key pairs that take as long as one more call."""
CALL_ROWS = 32
"""Rows of queries that a call computes beyond its own, on average: kernels work on whole tiles."""


@dataclass(frozen=True)
class Block:
    """Consecutive segments that attend in one call: whole subtrees, or one segment without those below it.

    Args:
        first, end: segments [first, end).
        above: the segments that all of them see in full, root first.
        length: tokens of its own.
        depth: tokens above.
        cost: of its call, in query-key pairs.
    """

    first: int
    end: int
    above: tuple[int, ...]
    length: int
    depth: int
    cost: int


@dataclass(frozen=True)
class _Cut:
    """A part of the row as blocks."""

    blocks: tuple[Block, ...] = ()
    cost: int = 0


def cut(
    forest: Forest, *, known: Collection[int] = (), call_pairs: int = CALL_PAIRS, call_rows: int = CALL_ROWS
) -> tuple[Block, ...]:
    """The row as blocks, in its order. The segments above a block are blocks of one segment each.

    Args:
        forest: its segments make the row.
        known: roots that are not in the row, since their keys and values are there already.
        call_pairs, call_rows: what one more call costs; with 0 and 0 every segment is a block.
    """
    return _Cutter(forest, frozenset(known), call_pairs, call_rows).cut()


class _Cutter:
    def __init__(self, forest: Forest, known: frozenset[int], call_pairs: int, call_rows: int) -> None:
        self._segments = forest.segments
        self._known = known
        self._call_pairs = call_pairs
        self._call_rows = call_rows
        self._roots: list[int] = []
        self._below: list[list[int]] = [[] for _ in forest.segments]
        for index, segment in enumerate(forest.segments):
            (self._below[segment.ancestors[-1]] if segment.ancestors else self._roots).append(index)
        self._end = [index + 1 for index in range(len(forest.segments))]
        for index in reversed(range(len(forest.segments))):
            if self._below[index]:
                self._end[index] = self._end[self._below[index][-1]]

    def cut(self) -> tuple[Block, ...]:
        best: dict[int, _Cut] = {}
        for index in reversed(range(len(self._segments))):  # what is below before what is above
            below = self._neighbours(self._below[index], best)
            if index in self._known:
                best[index] = below
                continue
            alone, whole = self._block(index, index + 1), self._block(index, self._end[index])
            apart = _Cut(alone.blocks + below.blocks, alone.cost + below.cost)
            best[index] = min(whole, apart, key=lambda each: each.cost)
        return self._neighbours(self._roots, best).blocks

    def _neighbours(self, siblings: Sequence[int], best: dict[int, _Cut]) -> _Cut:
        """The cheapest way to cut neighbouring subtrees: each by itself, or runs of them as one block."""
        costs = [0]  # of the first 0, 1, 2 ... of them
        starts: list[int] = []  # where the last piece of them starts
        for index, sibling in enumerate(siblings):
            cost, start = costs[index] + best[sibling].cost, index
            for run_start, run_cost in self._runs(siblings, index):
                if costs[run_start] + run_cost < cost:
                    cost, start = costs[run_start] + run_cost, run_start
            costs.append(cost)
            starts.append(start)
        pieces: list[_Cut] = []
        end = len(siblings)
        while end:
            start, last = starts[end - 1], siblings[end - 1]
            pieces.append(best[last] if start == end - 1 else self._block(siblings[start], self._end[last]))
            end = start
        return _Cut(tuple(block for piece in reversed(pieces) for block in piece.blocks), costs[-1])

    def _runs(self, siblings: Sequence[int], last: int) -> Iterator[tuple[int, int]]:
        """Blocks of neighbours up to `last`, by where they start, and what they cost.

        Where one neighbour throws away as many pairs with the rest of a block as a call costs, it may as well stand
        apart, and so it may in every longer block.
        """
        if siblings[last] in self._known:
            return
        segments, end = self._segments, self._end[siblings[last]]
        depth = segments[siblings[last]].depth
        row_end = segments[end - 1].end
        for start in reversed(range(last)):
            place, after = (segments[siblings[at]].start for at in (start, start + 1))
            thrown_away = 2 * (after - place) * (row_end - after)
            if siblings[start] in self._known or thrown_away >= self._call_pairs + self._call_rows * depth:
                return
            yield start, self._cost(depth, row_end - place)

    def _block(self, first: int, end: int) -> _Cut:
        """Segments [first, end) in one call."""
        segment = self._segments[first]
        length = self._segments[end - 1].end - segment.start
        cost = self._cost(segment.depth, length)
        return _Cut((Block(first, end, segment.ancestors, length, segment.depth, cost),), cost)

    def _cost(self, depth: int, length: int) -> int:
        return self._call_pairs + (length + self._call_rows) * (depth + length)
