"""Log-odds of length and wording: out of fold, bounded, and left away where nothing is asked."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rm.groups import Candidate, Group
from rm.train.shortcuts import LARGEST, shortcut_scores


def group(number: int, good: str, *bad: str) -> Group:
    candidates = [Candidate(good, True, "positive"), *(Candidate(text, False, "flawed") for text in bad)]
    return Group(f"p{number}", f"problem {number}", tuple(candidates))


def test_nothing_is_asked_and_nothing_is_learnt():
    assert all((scores == 0).all() for scores in shortcut_scores([group(0, "a", "b"), group(1, "a", "b")], "none"))


def test_one_problem_alone_teaches_nothing():
    assert (shortcut_scores([group(0, "a b c", "a")], "surface")[0] == 0).all()


def test_the_longer_trace_is_the_likelier_where_positives_are_longer():
    groups = [group(i, "one two three four five six", "one two three", "one two") for i in range(20)]
    for scores in shortcut_scores(groups, "length"):
        assert scores[0] > scores[1] > scores[2]


def test_words_are_seen_where_length_says_nothing():
    groups = [group(i, f"so {i} follows", f"surely {i} follows") for i in range(20)]
    for by_words, by_length in zip(shortcut_scores(groups, "surface"), shortcut_scores(groups, "length"), strict=True):
        assert by_words[0] > by_words[1] + 1
        assert by_length[0] == pytest.approx(by_length[1])


def test_a_problem_does_not_teach_its_own_scores():
    draw = random.Random(0)
    groups = [group(i, *(f"w{draw.randrange(10**9)} x" for _ in range(2))) for i in range(30)]
    gaps = [scores[0] - scores[1] for scores in shortcut_scores(groups, "surface")]
    assert np.abs(gaps).max() < 0.5  # in-sample, words that occur once would tell all of them apart


def test_scores_are_bounded():
    groups = [group(i, "long " * 500, "x") for i in range(20)]
    assert max(np.abs(scores).max() for scores in shortcut_scores(groups, "surface")) <= LARGEST
