"""Token sequences as a forest in which every shared prefix stands once. Pure; no torch.

N sequences become S segments, T tokens in all. A segment is a run of tokens that the same sequences pass through;
its ancestors, root first, hold everything that comes before it. Segments stand in depth-first order, so the tokens
that may see token j are exactly those from j to the end of its subtree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MIN_SAVING = 8
"""Tokens that a shared segment must save to be worth keeping track of."""


@dataclass(frozen=True)
class Segment:
    """A node of the forest.

    Args:
        start: where its tokens begin in the packed row.
        length: how many there are, at least 1.
        depth: tokens before it on its path: the position of its first token.
        ancestors: indices of the segments above it, root first.
        subtree_end: where the tokens of its subtree end in the packed row.
    """

    start: int
    length: int
    depth: int
    ancestors: tuple[int, ...]
    subtree_end: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Forest:
    """N sequences with their shared prefixes merged.

    Args:
        tokens: T token ids, segment after segment.
        segments: in depth-first order; their tokens fill `tokens` without a gap.
        last: N places in `tokens`, of each sequence's last token, in the order given.
        plain_tokens: tokens of the N sequences one by one.
    """

    tokens: tuple[int, ...]
    segments: tuple[Segment, ...]
    last: tuple[int, ...]
    plain_tokens: int

    def places(self, index: int) -> list[int]:
        """Where each token of a sequence stands in `tokens`, in the sequence's order."""
        last = self.last[index]
        own = next(segment for segment in self.segments if segment.start <= last < segment.end)
        path = (*(self.segments[above] for above in own.ancestors), own)
        return [place for segment in path for place in range(segment.start, segment.end)]

    @property
    def attended_pairs(self) -> int:
        """Query-key pairs of one layer's attention, each segment a rectangle: the fewest there can be."""
        return sum(segment.length * (segment.depth + segment.length) for segment in self.segments)


def grow(groups: Sequence[Sequence[Sequence[int]]], *, min_saving: int = MIN_SAVING, levels: int = 0) -> Forest:
    """Merge the shared prefixes within each group.

    Args:
        groups: of token sequences, none empty. Sequences of different groups share nothing.
        min_saving: tokens that merging must save for a segment to be made.
        levels: at most so many shared segments above each other; 0 sets no limit, 1 merges the common prefix alone.

    Raises:
        ValueError: an empty sequence, which has no last token.
    """
    builder = _Builder()
    for group in groups:
        if not all(len(sequence) for sequence in group):
            raise ValueError("a sequence without tokens cannot be packed")
        # Equal sequences are one, so that their states are equal to the last bit.
        places: dict[tuple[int, ...], list[int]] = {}
        for index, sequence in enumerate(group):
            places.setdefault(tuple(sequence), []).append(index)
        rows = sorted(places)
        builder.add(rows, [places[row] for row in rows], min_saving, levels)
    return builder.forest()


def shared_length(a: Sequence[int], b: Sequence[int]) -> int:
    """Tokens that two sequences have in common from the start."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # comparing slices is quick, comparing tokens one by one is not
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass
class _Open:
    """A segment whose subtree is not complete yet."""

    start: int
    length: int
    depth: int
    ancestors: tuple[int, ...]
    end: int = 0


class _Builder:
    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._segments: list[_Open] = []
        self._last: list[int] = []
        self._plain = 0

    def add(
        self, rows: Sequence[tuple[int, ...]], places: Sequence[Sequence[int]], min_saving: int, levels: int
    ) -> None:
        """Sorted rows of one group, no two equal, and where each stands in the group."""
        first = len(self._last)
        self._last += [0] * sum(map(len, places))
        self._plain += sum(len(row) * len(each) for row, each in zip(rows, places, strict=True))
        shared = [0, *(shared_length(a, b) for a, b in pairwise(rows))]
        pending: list[tuple[int, int, tuple[int, ...]]] = [(0, len(rows), ())] if rows else []
        while pending:
            low, high, above = pending.pop()
            depth = self._depth(above)
            if high - low == 1:
                path = self._extend(rows[low], depth, len(rows[low]), above)
                for place in places[low]:
                    self._last[first + place] = self._segments[path[-1]].start + self._segments[path[-1]].length - 1
                continue
            common = min(shared[low + 1 : high])
            clusters = list(_clusters(shared, low, high, common))
            if (common - depth) * (len(clusters) - 1) >= min_saving and (not levels or len(above) < levels):
                above = self._extend(rows[low], depth, common, above)
            elif levels and len(above) >= levels:
                clusters = [(row, row + 1) for row in range(low, high)]
            pending += [(*cluster, above) for cluster in reversed(clusters)]

    def forest(self) -> Forest:
        for segment in self._segments:
            segment.end = segment.start + segment.length
        for segment in self._segments:
            for index in segment.ancestors:
                above = self._segments[index]
                above.end = max(above.end, segment.start + segment.length)
        segments = (Segment(s.start, s.length, s.depth, s.ancestors, s.end) for s in self._segments)
        return Forest(tuple(self._tokens), tuple(segments), tuple(self._last), self._plain)

    def _depth(self, path: tuple[int, ...]) -> int:
        return self._segments[path[-1]].depth + self._segments[path[-1]].length if path else 0

    def _extend(self, row: tuple[int, ...], depth: int, end: int, above: tuple[int, ...]) -> tuple[int, ...]:
        """The path `above` with row[depth:end] below it; itself where that is empty."""
        if depth == end:
            return above
        self._segments.append(_Open(len(self._tokens), end - depth, depth, above))
        self._tokens += row[depth:end]
        return (*above, len(self._segments) - 1)


def _clusters(shared: Sequence[int], low: int, high: int, common: int) -> Iterator[tuple[int, int]]:
    """Runs of rows [low, high) that have more than `common` tokens in common."""
    start = low
    for row in range(low + 1, high):
        if shared[row] == common:
            yield start, row
            start = row
    yield start, high
