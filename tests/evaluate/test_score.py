"""Rows and groups through a real, random reward model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from rm.errors import DataError
from rm.evaluate.score import Scorer, check_score_rows, row_of, rows_of, score_rows
from rm.groups import Candidate, Group
from rm.model import LoadedModel, RewardModel, save_reward_model
from rm.rubric import Rubric
from rm.text import Row

MATH = Rubric.load("math")
ROWS: list[dict[str, Any]] = [
    {"problem": "What is 3 + 4?", "reasoning": "3 + 4 = 7.", "id": 17},
    {"problem": "What is 3 + 4?", "reasoning": "8, I think. " * 8, "task_type": "guess"},
    {"problem": "Add.", "reasoning": "Return a + b.", "task_name": "code", "tests": "assert add(1, 2) == 3"},
]
GROUPS = [
    Group("one", "What is 3 + 4?", tuple(Candidate(text, k == 0, "slip") for k, text in enumerate(["7.", "8.", "9."]))),
    Group("two", "Add.", (Candidate("a + b", True, "positive"), Candidate("x" * 400, False, "long")), tests=["t"]),
]


@pytest.fixture
def loaded(fresh: Callable[..., LoadedModel]) -> LoadedModel:
    return fresh()


def test_results_keep_the_rows_and_their_order(loaded):
    results = score_rows(loaded, ROWS)
    assert [{key: result[key] for key in row} for row, result in zip(ROWS, results, strict=True)] == ROWS


def test_a_result_has_a_score_and_a_level_a_dimension(loaded):
    for row, result in zip(ROWS, score_rows(loaded, ROWS), strict=True):
        assert set(result) == {*row, "score", "dimensions"}
        assert 0 <= result["score"] <= 1
        assert tuple(result["dimensions"]) == MATH.dimension_names
        assert all(0 <= level <= 4 for level in result["dimensions"].values())


def test_the_input_rows_are_not_changed(loaded):
    before = [dict(row) for row in ROWS]
    score_rows(loaded, ROWS)
    assert before == ROWS


def test_a_row_scores_the_same_whatever_stands_beside_it(loaded):
    together = [result["score"] for result in score_rows(loaded, ROWS)]
    alone = [score_rows(loaded, [row])[0]["score"] for row in ROWS]
    assert together == pytest.approx(alone, abs=1e-5)


def test_no_rows_give_no_results(loaded):
    assert score_rows(loaded, []) == []


def test_a_directory_will_do_for_a_model(loaded, tmp_path):
    save_reward_model(loaded.model, loaded.tokenizer, tmp_path / "saved")
    found = [result["score"] for result in score_rows(tmp_path / "saved", ROWS)]
    assert found == pytest.approx([result["score"] for result in score_rows(loaded, ROWS)], abs=1e-5)


def test_a_model_from_the_public_api_will_do(loaded, tmp_path):
    save_reward_model(loaded.model, loaded.tokenizer, tmp_path / "saved")
    model = RewardModel.from_pretrained(tmp_path / "saved")
    found = [result["score"] for result in score_rows(model, ROWS)]
    assert found == pytest.approx([result["score"] for result in score_rows(loaded, ROWS)], abs=1e-5)


def test_a_row_that_cannot_fit_has_no_score_and_says_why(loaded):
    rows = [*ROWS, {"problem": "p", "reasoning": "x" * 900}]
    *fitting, last = Scorer(loaded, max_length=500).results(rows)
    assert (last["score"], last["dimensions"]) == (None, None)
    assert "more than 500" in last["unscorable"]
    assert [result["score"] for result in fitting] == pytest.approx(
        [result["score"] for result in score_rows(loaded, ROWS)], abs=1e-5
    )


def test_where_no_row_fits_every_score_is_missing(loaded):
    results = Scorer(loaded, max_length=16).results(ROWS)
    assert [result["score"] for result in results] == [None] * 3


def test_scoring_tells_its_progress(loaded):
    done: list[int] = []
    Scorer(loaded, tokens_per_batch=1).results(ROWS, done.append)
    assert done == [1, 1, 1]


def test_a_row_s_task_is_the_rubric_s_name_unless_it_says_otherwise():
    assert row_of(ROWS[0], MATH).task_name == "math"
    assert row_of(ROWS[2], MATH).task_name == "code"
    assert row_of({**ROWS[0], "task_name": None}, MATH).task_name == "math"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"task_type": "a", "metadata": {"task_type": "b"}, "source": "c", "task_name": "d"}, "a"),
        ({"metadata": {"task_type": "b"}, "source": "c", "task_name": "d"}, "b"),
        ({"source": "c", "task_name": "d"}, "c"),
        ({"task_name": "d"}, "d"),
        ({"task_type": None, "metadata": None, "source": None}, "math"),
        ({}, "math"),
    ],
)
def test_a_row_s_type_falls_back_to_its_task(fields, expected):
    assert row_of({"problem": "p", "reasoning": "r", **fields}, MATH).task_type == expected


def test_a_group_s_rows_share_all_but_the_reasoning():
    assert rows_of(GROUPS[1], MATH) == [
        Row("Add.", "a + b", "math", "unknown", '["t"]'),
        Row("Add.", "x" * 400, "math", "unknown", '["t"]'),
    ]


def test_groups_are_scored_as_their_rows_are(loaded):
    scored = Scorer(loaded).groups(GROUPS)
    rows = [
        {"problem": g.problem, "reasoning": c.reasoning, "task_type": "unknown", "tests": g.tests or ""}
        for g in GROUPS
        for c in g.candidates
    ]
    assert [item.group for item in scored] == GROUPS
    found = np.concatenate([item.scores for item in scored])
    assert found.tolist() == pytest.approx([result["score"] for result in score_rows(loaded, rows)], abs=1e-5)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-np.concatenate([item.logits for item in scored]))), atol=1e-5)


def test_a_candidate_that_cannot_fit_is_not_a_number_and_its_neighbours_are_scored(loaded):
    first, second = Scorer(loaded, max_length=250).groups(GROUPS)
    assert first.scorable
    assert not second.scorable
    assert math.isnan(second.scores[1])
    assert math.isnan(second.logits[1])
    assert np.isnan(second.expected_levels[1]).all()
    assert (second.predicted_levels[1] == -1).all()
    assert np.isfinite(second.scores[0])


def test_a_cut_problem_is_marked(loaded):
    long = Group("three", "p" * 600, (Candidate("r", True, "positive"), Candidate("s", False, "slip")))
    scored = Scorer(loaded, max_length=300).groups([GROUPS[0], long])
    assert [item.truncated.tolist() for item in scored] == [[False] * 3, [True] * 2]


def test_the_length_limit_is_that_of_training_by_default(loaded):
    loaded.model.config.text_max_length = 123
    assert Scorer(loaded).encoder.max_length == 123
    assert Scorer(loaded, max_length=45).encoder.max_length == 45


def test_tests_are_shown_where_training_showed_them(loaded):
    shown = score_rows(loaded, ROWS[2:])[0]["score"]
    loaded.model.config.include_tests = False
    hidden = score_rows(loaded, ROWS[2:])[0]["score"]
    without = {key: value for key, value in ROWS[2].items() if key != "tests"}
    assert hidden != shown
    assert hidden == pytest.approx(score_rows(loaded, [without])[0]["score"], abs=1e-6)


def test_prompts_that_come_again_score_as_on_their_own(loaded):
    scorer = Scorer(loaded)
    problem = "What is the sum of all these numbers? " * 4
    for call in range(4):
        row = {"problem": problem, "reasoning": f"It is {call}."}
        expected = Scorer(loaded, prefix_sharing="plain").results([row])[0]["score"]
        assert scorer.results([row])[0]["score"] == pytest.approx(expected, abs=1e-5)


def test_a_step_of_training_between_two_calls_counts(loaded):
    scorer = Scorer(loaded)
    rows = [{"problem": "What is the sum of all these numbers? " * 4, "reasoning": f"It is {k}."} for k in range(3)]
    before = [result["score"] for result in scorer.results(rows)]
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(1.5)
    after = [result["score"] for result in scorer.results(rows)]
    expected = [result["score"] for result in Scorer(loaded, hot_prefix_bytes=0).results(rows)]
    assert after == pytest.approx(expected, abs=1e-5)
    assert after != pytest.approx(before, abs=1e-3)


def test_weights_that_are_rounded_between_two_calls_count(loaded):
    scorer = Scorer(loaded)
    rows = [{"problem": "What is the sum of all these numbers? " * 4, "reasoning": f"It is {k}."} for k in range(3)]
    scorer.results(rows)
    loaded.model.model.bfloat16()
    after = [result["score"] for result in scorer.results(rows)]
    expected = [result["score"] for result in Scorer(loaded, hot_prefix_bytes=0).results(rows)]
    assert after == pytest.approx(expected, abs=1e-2)


def test_weights_that_are_replaced_between_two_calls_count(loaded):
    scorer = Scorer(loaded)
    rows = [{"problem": "What is the sum of all these numbers? " * 4, "reasoning": f"It is {k}."} for k in range(3)]
    scorer.results(rows)
    replaced = {name: value * 1.5 for name, value in loaded.model.state_dict().items()}
    loaded.model.load_state_dict(replaced, assign=True)
    after = [result["score"] for result in scorer.results(rows)]
    expected = [result["score"] for result in Scorer(loaded, hot_prefix_bytes=0).results(rows)]
    assert after == pytest.approx(expected, abs=1e-5)


def test_drift_is_next_to_nothing_in_float32(loaded):
    drift = Scorer(loaded).drift(GROUPS)
    assert drift is not None
    assert drift.candidates == 5
    assert 0 <= drift.mean <= drift.largest < 1e-5
    assert drift.order_changes == 0


def test_drift_leaves_out_what_does_not_fit(loaded):
    drift = Scorer(loaded, max_length=250).drift(GROUPS)
    assert drift is not None
    assert drift.candidates == 4


def test_where_nothing_fits_there_is_no_drift(loaded):
    assert Scorer(loaded, max_length=16).drift(GROUPS) is None


def test_every_bad_row_is_told_with_its_line():
    rows = [
        (1, ROWS[0]),
        (2, {"problem": "p"}),
        (5, {"problem": " ", "reasoning": 3}),
        (6, ["p", "r"]),
        (9, {"problem": "p", "reasoning": "r", "task_type": 4}),
    ]
    with pytest.raises(DataError) as caught:
        check_score_rows(rows, "rows.jsonl")
    found = [(problem.line, problem.field) for problem in caught.value.problems]
    assert found == [(2, "reasoning"), (5, "problem"), (5, "reasoning"), (6, ""), (9, "task_type")]
    assert "rows.jsonl:2: reasoning = missing" in str(caught.value)


def test_bad_rows_are_refused_before_anything_is_scored(loaded):
    with pytest.raises(DataError, match="rows:2"):
        score_rows(loaded, [ROWS[0], {"problem": "p", "reasoning": ""}])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reasoning": "so \ud83d"}, "reasoning"),
        ({"mine": {"deep": ["fine", "\udc00"]}}, "mine"),
        ({"mine": {"\ud800": 1}}, "mine"),
        ({"\ud800": 1}, "\\ud800"),
    ],
)
def test_half_a_character_is_told_before_anything_is_scored(fields, field):
    with pytest.raises(DataError) as caught:
        check_score_rows([(1, ROWS[0]), (2, {**ROWS[1], **fields})], "rows.jsonl")
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [(2, field)]
    assert str(caught.value).isascii()
