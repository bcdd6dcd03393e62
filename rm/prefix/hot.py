"""Keys and values of prefixes that come again: completions of one prompt that arrive in different calls."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from rm.prefix.forest import grow, shared_length
from rm.prefix.packed import KeyValues, Packed, pack_forest

Tokens = tuple[int, ...]


class HotPrefixes:
    """A bounded store of prefixes, the least recently used going first.

    A prefix is kept once two sequences have begun with it, in one call or in two. For weights that do not change, and
    forward passes without gradients. Not for several threads at once.

    Args:
        max_bytes: of all keys and values together.
        min_length: tokens below which a prefix is not worth keeping.
        remembered: sequences of earlier calls that new ones are compared with.
    """

    def __init__(self, max_bytes: int, *, min_length: int = 64, remembered: int = 512) -> None:
        self._max_bytes = max_bytes
        self._min_length = min_length
        self._remembered = remembered
        self._kept: OrderedDict[Tokens, KeyValues] = OrderedDict()
        self._kept_sorted: list[Tokens] = []
        self._seen: deque[Tokens] = deque()
        self._seen_sorted: list[Tokens] = []
        self._bytes = 0
        self.reused_tokens = 0

    @property
    def bytes(self) -> int:
        """Of all that is kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def pack(self, rows: Sequence[Sequence[int]]) -> Packed:
        """One row for these sequences, without what is known; after the forward pass, `keep` takes what is new.

        Args:
            rows: token sequences, none empty. `last` of the result follows their order.
        """
        groups: list[list[Tokens]] = []
        order: list[int] = []
        sources: list[Tokens | None] = []
        for members in self._clusters(rows):
            group = [tuple(rows[index]) for index in members]
            prefix, source = self._prefix_of(group)
            # The prefix as a sequence of its own makes a segment end where it ends.
            groups.append([*group, prefix] if prefix else group)
            order += [*members, -1] if prefix else members
            sources += [*[None] * len(members), source] if prefix else [None] * len(members)
        forest = grow(groups)
        known: dict[int, KeyValues] = {}
        wanted: dict[int, KeyValues] = {}
        roots = {segment.end - 1: index for index, segment in enumerate(forest.segments) if not segment.ancestors}
        for place, (row, source) in enumerate(zip(order, sources, strict=True)):
            root = roots.get(forest.last[place]) if row < 0 else None
            if root is None:
                continue
            if source is None:
                wanted[root] = {}
            else:
                known[root] = self._take(source, forest.segments[root].length)
        self._remember(rows)
        last = {row: place for row, place in zip(order, forest.last, strict=True) if row >= 0}
        forest = replace(forest, last=tuple(last[row] for row in range(len(rows))))
        return pack_forest(forest, "segments", known=known, wanted=wanted)

    def clear(self) -> None:
        """Forget everything, as one must when the weights change."""
        self._kept.clear()
        self._kept_sorted.clear()
        self._seen.clear()
        self._seen_sorted.clear()
        self._bytes = 0

    def keep(self, packed: Packed) -> None:
        """Take over what a forward pass has written into `packed.wanted`."""
        for index, layers in packed.wanted.items():
            segment = packed.forest.segments[index]
            tokens = packed.forest.tokens[segment.start : segment.end]
            size = _size(layers)
            if not layers or tokens in self._kept or size > self._max_bytes:
                continue
            self._kept[tokens] = layers
            insort(self._kept_sorted, tokens)
            self._bytes += size
        while self._bytes > self._max_bytes:
            tokens, layers = self._kept.popitem(last=False)
            del self._kept_sorted[bisect_left(self._kept_sorted, tokens)]
            self._bytes -= _size(layers)

    def _clusters(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Rows that begin alike for long enough, by index."""
        order = sorted(range(len(rows)), key=lambda index: tuple(rows[index]))
        clusters = [order[:1]] if order else []
        for before, row in pairwise(order):
            if shared_length(rows[before], rows[row]) >= self._min_length:
                clusters[-1].append(row)
            else:
                clusters.append([row])
        return clusters

    def _prefix_of(self, group: Sequence[Tokens]) -> tuple[Tokens, Tokens | None]:
        """The prefix of a cluster that is worth knowing, empty if none, and what is kept that begins with it."""
        shared = min((shared_length(group[0], row) for row in group[1:]), default=len(group[0]))
        shared = min(shared, *(len(row) - 1 for row in group))  # a last token needs its own state
        kept, length = _closest(self._kept_sorted, group[0][:shared])
        if len(group) == 1:
            _, shared = _closest(self._seen_sorted, group[0][:shared])
        # What is known may be only the beginning, such as what all prompts begin with, of what is worth keeping.
        if length >= self._min_length > shared - length:
            return group[0][:length], kept
        return (group[0][:shared], None) if shared >= self._min_length else ((), None)

    def _take(self, tokens: Tokens, length: int) -> KeyValues:
        self._kept.move_to_end(tokens)
        self.reused_tokens += length
        return {layer: (k[:, :, :length], v[:, :, :length]) for layer, (k, v) in self._kept[tokens].items()}

    def _remember(self, rows: Sequence[Sequence[int]]) -> None:
        for row in rows:
            tokens = tuple(row)
            place = bisect_left(self._seen_sorted, tokens)
            if place < len(self._seen_sorted) and self._seen_sorted[place] == tokens:
                continue
            self._seen.append(tokens)
            self._seen_sorted.insert(place, tokens)
            if len(self._seen) > self._remembered:
                del self._seen_sorted[bisect_left(self._seen_sorted, self._seen.popleft())]


def _closest(candidates: Sequence[Tokens], tokens: Tokens) -> tuple[Tokens | None, int]:
    """Of sorted sequences the one that begins most like `tokens`, and for how long: a neighbour of its place."""
    place = bisect_left(candidates, tokens)
    near = candidates[max(0, place - 1) : place + 1]
    return max(((each, shared_length(each, tokens)) for each in near), key=lambda found: found[1], default=(None, 0))


def _size(layers: KeyValues) -> int:
    return sum(k.nbytes + v.nbytes for k, v in layers.values())
