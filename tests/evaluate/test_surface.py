"""The bag of words: what it can and cannot learn, and its known figures on real groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rm.evaluate.rankings import kind_accuracy, rankings
from rm.evaluate.scored import ScoredGroup
from rm.evaluate.surface import surface_baseline
from rm.groups import Candidate, Group, load_groups


def group(number: int, problem: str | None = None, good: str = "therefore we", bad: str = "whatever comes") -> Group:
    candidates = (
        Candidate(f"{good} add {number}00 apples", True, "positive"),
        Candidate(f"{bad} add {number}00 apples", False, "slip"),
    )
    return Group(str(number), problem or f"Problem {number}", candidates)


def margins(scores: tuple[np.ndarray, ...]) -> list[float]:
    return [float(own[0] - own[1]) for own in scores]


def test_wording_is_learned_across_folds():
    result = surface_baseline([group(i) for i in range(10)])
    assert result.protocol.startswith("5-fold by problem")
    assert min(margins(result.scores)) > 0


def test_wording_is_learned_from_training_groups():
    result = surface_baseline([group(0)], [group(i) for i in range(1, 5)])
    assert result.protocol == "trained on 4 other groups"
    assert margins(result.scores)[0] > 0


def test_few_problems_make_fewer_folds():
    result = surface_baseline([group(0), group(1), group(2)])
    assert result.protocol.startswith("3-fold")


def test_one_problem_is_too_few_whatever_its_ids():
    assert surface_baseline([group(0)]).scores is None
    result = surface_baseline([group(0, "How many?"), group(1, "how  many?")])
    assert result.scores is None
    assert "two problems" in result.protocol


def test_the_same_problem_never_stands_on_both_sides():
    # Each problem has wording of its own: only a trace of the same problem could give it away.
    groups = [group(i, f"Problem {i // 2}", f"alpha{i // 2}", f"omega{i // 2}") for i in range(10)]
    assert margins(surface_baseline(groups).scores) == pytest.approx([0.0] * 10)


def test_training_groups_that_share_a_problem_are_left_out():
    result = surface_baseline([group(0)], [group(0), group(1), group(2)])
    assert result.protocol == "trained on 2 other groups (1 that share a problem with the evaluated ones left out)"
    assert surface_baseline([group(0)], [group(0)]).scores is None


def test_texts_without_words_give_no_scores():
    wordless = [
        Group(str(i), str(i), (Candidate("1 + 1", True, "positive"), Candidate("!", False, "slip"))) for i in (1, 2)
    ]
    result = surface_baseline(wordless)
    assert result.scores is None
    assert "no words" in result.protocol


def test_the_known_figures_on_gsm8k_groups(shared_data: Path):
    groups = load_groups(shared_data / "gsm8k_groups_dev.jsonl")
    result = surface_baseline(groups, load_groups(shared_data / "gsm8k_groups_train.jsonl")[:2500])
    scored = [unscored(each) for each in groups]
    columns = rankings(scored, result.scores)
    assert columns["pair_accuracy"].mean() == pytest.approx(0.69, abs=0.01)
    assert columns["group_accuracy"].mean() == pytest.approx(0.17, abs=0.02)
    by_kind = {
        kind: np.nanmean(kind_accuracy(scored, result.scores, kind))
        for kind in ("unsupported_conclusion", "swapped_steps")
    }
    assert by_kind == pytest.approx({"unsupported_conclusion": 1.0, "swapped_steps": 0.53}, abs=0.01)


def unscored(each: Group) -> ScoredGroup:
    """The group with scores that no test reads."""
    k = len(each.candidates)
    return ScoredGroup(each, np.zeros(k), np.zeros(k), np.zeros((k, 1)), np.zeros((k, 1)), np.zeros(k, dtype=bool))
