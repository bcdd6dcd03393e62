"""Leaving out problems that were there before, word for word or nearly so, in one pass over a stream.

A problem is kept as a sketch of 64 bytes: MinHash (Broder 1997) of its character 5-grams, as in
`rm.groups.similarity`, of which only the lowest byte is kept for the estimate (b-bit MinHash, Li and König 2010).
Candidates are found by banding (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4). Memory grows
by about 400 bytes a problem.

Not covered: paraphrases and translations. The estimate has a standard error of .05 at .8.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rm.groups.similarity import SHINGLE

PERMUTATIONS = 64
_BANDS, _ROWS = 16, 4  # found with probability 1 - (1 - J^4)^16: .99996 at J = .8, .98 at .6
_LOW = 1 / 256
"""Share of lowest bytes that agree by chance."""
_FIRST_SLOTS = 1 << 14
_COMMON = 16
"""So many problems alike in a band make it common text; further ones are found by other bands."""


class Distinct:
    """Remembers problems, and finds the one that a new one repeats.

    Args:
        threshold: estimated Jaccard similarity from which on a problem is a repetition, in (0, 1]; at 1 only equal
            problems are.
    """

    def __init__(self, threshold: float) -> None:
        generator = np.random.default_rng(18)
        self._threshold = threshold
        self._multipliers = generator.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) * 2 + 1
        self._addends = generator.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)
        self._mixers = generator.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) * 2 + 1
        self._exact: dict[int, int] = {}
        self._low = np.empty((1024, PERMUTATIONS), dtype=np.uint8)
        self._count = 0
        self._slots = _Slots()

    def first_like(self, key: str) -> int | None:
        """The number (from 0, in order of calls) of an earlier problem that this one repeats; None, and it is
        remembered, where there is none.

        Args:
            key: the normalised problem (`Group.problem_key`).
        """
        number = self._count
        if (same := self._exact.get(hash(key))) is not None:
            return same
        if self._threshold < 1:
            minima = self._minima(key)
            low = (minima & np.uint64(255)).astype(np.uint8)
            bands = self._bands(minima)
            for other in sorted(self._slots.find(bands)):
                agreeing = float((self._low[other] == low).mean())
                if (agreeing - _LOW) / (1 - _LOW) >= self._threshold:
                    return other
            self._keep(low, bands)
        self._exact[hash(key)] = number
        self._count += 1
        return None

    def _minima(self, key: str) -> NDArray[np.uint64]:
        """(PERMUTATIONS,) smallest hash of any shingle under each; multiply-add-shift (Dietzfelbinger 1996)."""
        shingles = {key[i : i + SHINGLE] for i in range(max(1, len(key) - SHINGLE + 1))}
        hashes = np.fromiter((zlib.crc32(each.encode()) for each in shingles), dtype=np.uint64, count=len(shingles))
        return ((hashes[:, None] * self._multipliers + self._addends) >> np.uint64(32)).min(axis=0)

    def _bands(self, minima: NDArray[np.uint64]) -> list[int]:
        """(_BANDS,) one hash of 32 bits a band."""
        mixed = (minima * self._mixers).reshape(_BANDS, _ROWS).sum(axis=1)  # modulo 2^64
        return (mixed >> np.uint64(32)).tolist()

    def _keep(self, low: NDArray[np.uint8], bands: Sequence[int]) -> None:
        if self._count == len(self._low):
            self._low = np.concatenate([self._low, np.empty_like(self._low)])
        self._low[self._count] = low
        self._slots.add(bands, self._count)


class _Slots:
    """Hash of 32 bits -> numbers, open addressing in one array: the hash beside 32 bits of the number."""

    def __init__(self) -> None:
        self._table = np.zeros(_FIRST_SLOTS, dtype=np.uint64)  # 0: empty, so numbers are kept plus one
        self._used = 0

    def find(self, hashes: Sequence[int]) -> set[int]:
        """Numbers that were added under any of the hashes."""
        return {number for each in hashes for number in self._chain(each)[0]}

    def add(self, hashes: Sequence[int], number: int) -> None:
        """Remember a number under each of the hashes that is not common already."""
        if 2 * (self._used + len(hashes)) > len(self._table):
            self._grow()
        for each in hashes:
            numbers, free = self._chain(each)
            if len(numbers) < _COMMON:
                self._table[free] = each << 32 | (number + 1)
                self._used += 1

    def _chain(self, wanted: int) -> tuple[list[int], int]:
        """The numbers under a hash, and the first free place after them."""
        table, mask, at, numbers = self._table, len(self._table) - 1, wanted & (len(self._table) - 1), []
        while entry := int(table[at]):
            if entry >> 32 == wanted:
                numbers.append((entry & 0xFFFFFFFF) - 1)
            at = (at + 1) & mask
        return numbers, at

    def _grow(self) -> None:
        entries = self._table[self._table > 0].tolist()
        self._table = np.zeros(2 * len(self._table), dtype=np.uint64)
        for entry in entries:
            self._table[self._chain(entry >> 32)[1]] = entry
