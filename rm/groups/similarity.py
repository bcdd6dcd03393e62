"""How alike problems are: shingles, MinHash clusters of near-duplicates, and the overlap of two sets.

The similarity of two problems is the Jaccard similarity of their sets of character 5-grams (spacing, case and
character forms normalised; numbers kept). Unrelated GSM8K problems measure 0.1 to 0.25; the same story with
other numbers, or turned around to ask for another quantity, 0.4 and up. Meaning is not compared: a paraphrase
or a translation goes unnoticed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse
from tqdm import tqdm

SHINGLE = 5
DEFAULT_THRESHOLD = 0.5
LOWEST_THRESHOLD = 0.4

# Candidate pairs share all 4 values of at least one of 64 bands: a chance of 1 - (1 - J^4)^64, that is .81 at
# J = .4, .98 at .5, .9999 at .6 (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4).
_BANDS, _ROWS = 64, 4
_BLOCK = 256


class Statement(Protocol):
    """A problem to compare; a `Group` is one."""

    @property
    def problem_id(self) -> str:
        """What messages call it."""

    @property
    def problem(self) -> str:
        """Its text."""

    @property
    def problem_key(self) -> str:
        """Its text, normalised."""


@dataclass(frozen=True)
class NearPair:
    """Two problems on two sides, with their Jaccard similarity in [0, 1]."""

    similarity: float
    dev_id: str
    train_id: str
    dev_problem: str
    train_problem: str


@dataclass(frozen=True)
class Overlap:
    """How far a development set is contained in a training set, by exact Jaccard similarity (no sketch).

    Args:
        threshold: from where on a pair counts as near-duplicates.
        highest: largest similarity of any pair, in [0, 1].
        exact_duplicates: dev problems that stand in the training set, normalised.
        near_duplicates: dev problems whose closest training problem reaches the threshold (exact ones too).
        closest: for each dev problem its closest training problem, most similar pairs first.
    """

    threshold: float
    highest: float
    exact_duplicates: int
    near_duplicates: int
    closest: tuple[NearPair, ...]


def shingles_of(text: str) -> set[str]:
    """The shingles of a normalised text; one shorter than a shingle is a single one."""
    return {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}


@dataclass(frozen=True)
class Shingles:
    """Problems as sets of shingles: a (problems, vocabulary) matrix of 0 and 1, and a hash a shingle."""

    matrix: sparse.csr_array
    hashes: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> Shingles:
        """Shingles of normalised texts; one shorter than a shingle is a single shingle."""
        vocabulary: dict[str, int] = {}
        columns: list[int] = []
        ends = [0]
        for text in texts:
            columns += [vocabulary.setdefault(shingle, len(vocabulary)) for shingle in shingles_of(text)]
            ends.append(len(columns))
        ones = np.ones(len(columns), dtype=np.int32)
        matrix = sparse.csr_array((ones, columns, ends), shape=(len(ends) - 1, len(vocabulary)))
        hashes = np.fromiter((zlib.crc32(s.encode()) for s in vocabulary), dtype=np.uint32, count=len(vocabulary))
        return cls(matrix, hashes)

    @property
    def sizes(self) -> np.ndarray:
        """Number of shingles of each problem."""
        return np.diff(self.matrix.indptr)

    def similarity(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Exact Jaccard similarities of the problems `left[i]` and `right[i]`."""
        shared = self.matrix[left].multiply(self.matrix[right]).sum(axis=1)
        return shared / (self.sizes[left] + self.sizes[right] - shared)


def near_duplicates(shingles: Shingles, threshold: float, *, progress: bool = False) -> np.ndarray:
    """Pairs of problems at or above the threshold: found by MinHash LSH, kept by their exact similarity.

    Args:
        threshold: Jaccard similarity, from 0.4 (below, the sketch misses too many pairs) to 1.
        progress: a bar on stderr.

    Returns:
        (P, 2) indices, the smaller one first. A pair near the threshold may be missed (see above).
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
    pairs: list[tuple[int, int]] = []
    rows = tqdm(range(shingles.matrix.shape[0]), "near-duplicates", unit=" problems", disable=not progress)
    for i in rows:
        start, end = shingles.matrix.indptr[i : i + 2]
        sketch = MinHash(num_perm=_BANDS * _ROWS, hashfunc=int)
        sketch.update_batch(shingles.hashes[shingles.matrix.indices[start:end]])
        pairs += [(j, i) for j in index.query(sketch)]
        index.insert(i, sketch)
    if not pairs:
        return np.empty((0, 2), dtype=np.int64)
    found = np.array(sorted(pairs))
    return found[shingles.similarity(found[:, 0], found[:, 1]) >= threshold]


def clusters(count: int, pairs: np.ndarray) -> np.ndarray:
    """(count,) number of the connected component of each of `count` problems, linked by `pairs`."""
    ones = np.ones(len(pairs), dtype=bool)
    links = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return sparse.csgraph.connected_components(links, directed=False)[1]


def closest(shingles: Shingles, queries: np.ndarray, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each query problem, its most similar problem of the pool, by exact comparison with all of them.

    Args:
        queries: (Q,) indices of problems.
        pool: (N,) indices of problems, at least one.

    Returns:
        (Q,) indices of problems of the pool (the first one among equals) and (Q,) similarities.
    """
    by_shingle = shingles.matrix[pool].T.tocsr()
    best = np.empty(len(queries), dtype=np.int64)
    similarity = np.empty(len(queries))
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        shared = (shingles.matrix[block] @ by_shingle).toarray()
        jaccard = shared / (shingles.sizes[block][:, None] + shingles.sizes[pool][None, :] - shared)
        at = jaccard.argmax(axis=1)
        best[start : start + len(block)] = pool[at]
        similarity[start : start + len(block)] = jaccard[np.arange(len(block)), at]
    return best, similarity


def overlap(
    train: Iterable[Statement],
    dev: Sequence[Statement],
    threshold: float = DEFAULT_THRESHOLD,
    *,
    progress: bool = False,
) -> Overlap:
    """How much of the development problems stands in the training set.

    Every pair is compared. The training set is gone through once and may be of any size; the memory needed is that of
    the development set's shingles. Seconds for some thousand problems on both sides, minutes for 1,000,000 against 400.

    Args:
        train: problems trained on; may be empty.
        dev: problems evaluated on; may be empty.
        threshold: similarity from which on two problems count as near-duplicates, in (0, 1].
        progress: a bar on stderr.
    """
    nothing = Overlap(threshold, 0.0, 0, 0, ())
    if not dev:
        return nothing
    nearest = _Nearest(dev)
    found = False
    block: list[Statement] = []
    for each in tqdm(train, "overlap", unit=" problems", disable=None if progress else True):
        found = True
        block.append(each)
        if len(block) == _BLOCK:
            nearest.compare(block)
            block = []
    if not found:
        return nothing
    if block:
        nearest.compare(block)
    pairs = [
        NearPair(similarity, each.problem_id, other[0], each.problem, other[1])
        for each, similarity, other in zip(dev, nearest.similarity.tolist(), nearest.others, strict=True)
    ]
    return Overlap(
        threshold=threshold,
        highest=max(pair.similarity for pair in pairs),
        exact_duplicates=sum(nearest.is_there),
        near_duplicates=int((nearest.similarity >= threshold).sum()),
        closest=tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.dev_id))),
    )


class _Nearest:
    """For each of D problems the most similar one of all that it was compared with; the first among equals.

    Args:
        dev: the problems.

    Attributes:
        similarity: (D,) to the nearest one.
        others: id and text of the nearest ones.
        is_there: whether the problem itself was among the others, normalised.
    """

    def __init__(self, dev: Sequence[Statement]) -> None:
        self._vocabulary: dict[str, int] = {}
        keys = [each.problem_key for each in dev]
        self._at: dict[str, list[int]] = {}
        columns, ends = [], [0]
        for number, key in enumerate(keys):
            self._at.setdefault(key, []).append(number)
            columns += [self._vocabulary.setdefault(shingle, len(self._vocabulary)) for shingle in shingles_of(key)]
            ends.append(len(columns))
        self._matrix = self._rows(columns, ends)
        self._sizes = np.diff(ends)
        self.similarity = np.full(len(dev), -1.0)
        self.others = [("", "")] * len(dev)
        self.is_there = [False] * len(dev)

    def compare(self, block: Sequence[Statement]) -> None:
        """Compare with some more problems."""
        columns: list[int] = []
        ends, sizes = [0], []
        for each in block:
            key = each.problem_key
            shingles = shingles_of(key)
            sizes.append(len(shingles))
            columns += [number for shingle in shingles if (number := self._vocabulary.get(shingle)) is not None]
            ends.append(len(columns))
            for number in self._at.get(key, ()):
                self.is_there[number] = True
        shared = (self._matrix @ self._rows(columns, ends).T.tocsr()).toarray()
        jaccard = shared / (self._sizes[:, None] + np.array(sizes)[None, :] - shared)
        nearest = jaccard.argmax(axis=1)
        similarity = jaccard[np.arange(len(nearest)), nearest]
        for number in np.flatnonzero(similarity > self.similarity).tolist():
            other = block[nearest[number]]
            self.others[number] = (other.problem_id, other.problem)
            self.similarity[number] = similarity[number]

    def _rows(self, columns: list[int], ends: list[int]) -> sparse.csr_array:
        ones = np.ones(len(columns), dtype=np.int32)
        return sparse.csr_array((ones, columns, ends), shape=(len(ends) - 1, len(self._vocabulary)))
