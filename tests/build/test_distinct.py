"""Repeated problems in a stream, against the exact similarity."""

from __future__ import annotations

import random

import pytest

from rm.build.distinct import Distinct
from rm.groups.similarity import SHINGLE

WORDS = [f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrstp"]


def text(seed: int, words: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def jaccard(first: str, second: str) -> float:
    a, b = ({each[i : i + SHINGLE] for i in range(len(each) - SHINGLE + 1)} for each in (first, second))
    return len(a & b) / len(a | b)


def test_equal_problems_are_found_at_any_threshold():
    for threshold in (0.5, 0.8, 1.0):
        distinct = Distinct(threshold)
        assert [distinct.first_like(key) for key in ("abc", "other", "abc", "abc")] == [None, None, 0, 0]


def test_near_duplicates_are_found_and_others_are_not():
    distinct = Distinct(0.8)
    originals = [text(seed) for seed in range(300)]
    assert [distinct.first_like(each) for each in originals] == [None] * 300
    for number, original in enumerate(originals[:50]):
        near = original.replace(original.split()[20], "zzz", 1)
        assert jaccard(original, near) > 0.9
        assert distinct.first_like(near) == number
        far = " ".join((*original.split()[:20], *text(number + 1000, 20).split()))
        assert jaccard(original, far) < 0.6
        assert distinct.first_like(far) is None


def test_at_1_only_equal_ones_count():
    distinct = Distinct(1.0)
    original = text(0)
    assert distinct.first_like(original) is None
    assert distinct.first_like(original + " x") is None


def test_text_that_many_problems_share_does_not_slow_it_down():
    """The bands of a common beginning fill up, and are passed over."""
    distinct = Distinct(0.95)
    common = text(0, 60)
    found = [distinct.first_like(f"{common} {text(seed, 15)}") for seed in range(1, 400)]
    assert found.count(None) == len(found)


@pytest.mark.parametrize("key", ["", "a", "ab c"])
def test_short_problems_have_one_shingle(key):
    distinct = Distinct(0.8)
    assert distinct.first_like(key) is None
    assert distinct.first_like(key) == 0
