"""Jaccard similarity, clusters and overlap, against set arithmetic in plain Python."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rm.groups.schema import Candidate, Group
from rm.groups.similarity import Shingles, closest, clusters, near_duplicates, overlap


def jaccard(left: str, right: str) -> float:
    a, b = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in (left, right))
    return len(a & b) / len(a | b)


def group(problem_id: str, problem: str) -> Group:
    return Group(problem_id, problem, (Candidate("r", True, "positive"), Candidate("s", False, "negative")))


def texts_with_near_copies(count: int) -> list[str]:
    """Random word texts; every third is a copy of the one before it with one to nine words exchanged."""
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefghij", k=generator.randint(2, 8))) for _ in range(200)]
    texts: list[str] = []
    for i in range(count):
        if i % 3 == 2:
            tokens = texts[-1].split()
            for at in generator.sample(range(len(tokens)), generator.randint(1, 9)):
                tokens[at] = generator.choice(words)
        else:
            tokens = generator.choices(words, k=40)
        texts.append(" ".join(tokens))
    return texts


def test_similarity_is_exact() -> None:
    texts = ["abcdefg", "abcdefh", "xyz", "xyz", "", "abcdefg and more of it"]
    shingles = Shingles.of(texts)
    for i, left in enumerate(texts):
        for j, right in enumerate(texts):
            expected = pytest.approx(jaccard(left, right))
            assert shingles.similarity(np.array([i]), np.array([j])) == expected


@pytest.mark.parametrize("threshold", [0.5, 0.7, 1.0])
def test_near_duplicates_are_those_of_all_pairs_compared(threshold: float) -> None:
    texts = texts_with_near_copies(60)
    texts.append(texts[7])
    similarity = {(j, i): jaccard(texts[j], texts[i]) for i in range(len(texts)) for j in range(i)}
    expected = {pair for pair, value in similarity.items() if value >= threshold}
    found = near_duplicates(Shingles.of(texts), threshold)
    assert {tuple(pair) for pair in found.tolist()} == expected
    assert (7, 60) in expected
    assert threshold == 1.0 or 5 <= len(expected) <= 25


def test_clusters_are_chains_of_pairs() -> None:
    numbers = clusters(6, np.array([[0, 3], [3, 5], [1, 2]]))
    together = {frozenset(np.flatnonzero(numbers == number).tolist()) for number in numbers}
    assert together == {frozenset({0, 3, 5}), frozenset({1, 2}), frozenset({4})}
    assert len(set(clusters(3, np.empty((0, 2), dtype=int)).tolist())) == 3


def test_closest_is_that_of_all_compared() -> None:
    texts = texts_with_near_copies(40)
    queries, pool = np.arange(30, 40), np.arange(30)
    best, similarity = closest(Shingles.of(texts), queries, pool)
    for query, at, value in zip(queries, best, similarity, strict=True):
        assert value == pytest.approx(max(jaccard(texts[query], texts[i]) for i in pool))
        assert value == pytest.approx(jaccard(texts[query], texts[at]))


def test_overlap() -> None:
    train = [group("t1", "Add two and three apples."), group("t2", "How fast does the train go?")]
    dev = [
        group("d1", "Something else altogether"),
        group("d2", "add TWO and  three apples."),
        group("d3", "Add two and four apples."),
    ]
    found = overlap(train, dev, threshold=0.4)
    assert (found.highest, found.exact_duplicates, found.near_duplicates) == (1.0, 1, 2)
    assert [(pair.dev_id, pair.train_id) for pair in found.closest[:2]] == [("d2", "t1"), ("d3", "t1")]
    assert found.closest[1].similarity == pytest.approx(
        jaccard("add two and four apples.", "add two and three apples.")
    )
    assert len(found.closest) == 3


def test_overlap_with_nothing() -> None:
    assert overlap([], [group("d", "x")]).highest == 0.0
    assert overlap([group("t", "x")], []).closest == ()
