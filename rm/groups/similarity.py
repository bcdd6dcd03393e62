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

import numpy as np
from scipy import sparse
from tqdm import tqdm

from rm.groups.schema import Group

SHINGLE = 5
DEFAULT_THRESHOLD = 0.5
LOWEST_THRESHOLD = 0.4

# Candidate pairs share all 4 values of at least one of 64 bands: a chance of 1 - (1 - J^4)^64, that is .81 at
# J = .4, .98 at .5, .9999 at .6 (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4).
_BANDS, _ROWS = 64, 4
_BLOCK = 256


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
            shingles = {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}
            columns += [vocabulary.setdefault(shingle, len(vocabulary)) for shingle in shingles]
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


def overlap(train: Sequence[Group], dev: Sequence[Group], threshold: float = DEFAULT_THRESHOLD) -> Overlap:
    """How much of the development problems stands in the training set. Seconds for some thousand problems.

    Args:
        train: groups trained on; may be empty.
        dev: groups evaluated on; may be empty.
        threshold: similarity from which on two problems count as near-duplicates, in (0, 1].
    """
    if not train or not dev:
        return Overlap(threshold, 0.0, 0, 0, ())
    groups = [*train, *dev]
    shingles = Shingles.of(group.problem_key for group in groups)
    queries = np.arange(len(train), len(groups))
    best, similarity = closest(shingles, queries, np.arange(len(train)))
    pairs = [
        NearPair(float(s), groups[q].problem_id, groups[b].problem_id, groups[q].problem, groups[b].problem)
        for q, b, s in zip(queries, best, similarity, strict=True)
    ]
    train_keys = {group.problem_key for group in train}
    return Overlap(
        threshold=threshold,
        highest=max(pair.similarity for pair in pairs),
        exact_duplicates=sum(group.problem_key in train_keys for group in dev),
        near_duplicates=int((similarity >= threshold).sum()),
        closest=tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.dev_id))),
    )
