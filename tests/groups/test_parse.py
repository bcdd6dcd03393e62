"""One row to one group: what is accepted, and what each error says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm.groups.parse import RowParser
from rm.rubric import Rubric

MakeRow = Callable[..., dict[str, Any]]
MISSING = object()
MATH = Rubric.load("math")


def fields_in_error(value: Any, rubric: Rubric | None = None) -> list[str]:
    parser = RowParser(rubric)
    group = parser.parse("f.jsonl", 3, value)
    assert (group is None) == bool(parser.errors)
    assert all((problem.file, problem.line) == ("f.jsonl", 3) for problem in parser.errors)
    return [problem.field for problem in parser.errors]


def test_every_field_of_a_whole_row(row: MakeRow) -> None:
    value = row(metadata={"task_type": "ignored"}, tests="assert f(1) == 2", extra=[1, None])
    group = RowParser(MATH).parse("f.jsonl", 3, value)
    assert group is not None
    assert (group.problem_id, group.source, group.task_type) == ("p1", "tests", "math")
    assert (group.reference_solution, group.tests) == ("4", "assert f(1) == 2")
    assert (group.file, group.line, group.raw) == ("f.jsonl", 3, value)
    assert [(c.reasoning, c.positive, c.kind, c.total) for c in group.candidates] == [
        ("2 + 2 = 4.", True, "positive", 1.0),
        ("2 + 2 = 5.", False, "slip", 0.4),
    ]
    assert group.candidates[0].rubric == {
        "problem_understanding": 4,
        "solution_strategy": 4,
        "step_coherence": 4,
        "calculation_correctness": 4,
        "answer_support": 4,
    }


def test_the_least_that_is_a_group() -> None:
    value = {
        "problem_id": 7,
        "problem": "Why?",
        "positive_pool": [{"reasoning": "a"}, {"reasoning": "b", "rubric": None}],
        "negative_bank": [{"reasoning": "c", "rubric": {}}],
    }
    group = RowParser(MATH).parse("f", 1, value)
    assert group is not None
    assert (group.problem_id, group.source, group.task_type, group.tests) == ("7", "unknown", "unknown", None)
    assert [(c.reasoning, c.kind, c.rubric, c.total) for c in group.candidates] == [
        ("a", "positive", None, None),
        ("b", "positive", None, None),
        ("c", "negative", None, None),
    ]
    assert [c.reasoning for c in group.positives] == ["a", "b"]
    assert [c.reasoning for c in group.negatives] == ["c"]


@pytest.mark.parametrize(
    ("fields", "task_type"),
    [
        ({"task_type": "a", "metadata": {"task_type": "b"}, "source": "c"}, "a"),
        ({"task_type": None, "metadata": {"task_type": "b"}, "source": "c"}, "b"),
        ({"task_type": "", "metadata": "free text", "source": "c"}, "c"),
        ({"task_type": None, "source": None}, "unknown"),
    ],
)
def test_task_type_falls_back_as_the_official_one(row: MakeRow, fields: dict[str, Any], task_type: str) -> None:
    group = RowParser().parse("f", 1, row(**fields))
    assert group is not None
    assert group.task_type == task_type


@pytest.mark.parametrize(
    ("fields", "tests"),
    [
        ({"tests_or_constraints": "a", "tests": "b"}, "a"),
        ({"tests_or_constraints": None, "tests": "b"}, "b"),
        ({"tests_or_constraints": " \n", "tests": ["b", 1]}, ["b", 1]),
        ({"tests": ""}, None),
        ({"tests": []}, None),
    ],
)
def test_tests_fall_back_and_blank_ones_are_none(row: MakeRow, fields: dict[str, Any], tests: Any) -> None:
    group = RowParser().parse("f", 1, row(**fields))
    assert group is not None
    assert group.tests == tests


@pytest.mark.parametrize("value", [None, 3, "text", [1], True])
def test_a_row_that_is_no_object(value: Any) -> None:
    assert fields_in_error(value) == [""]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("problem_id", value) for value in (MISSING, None, "", "  ", True, 1.5, ["p"])),
        *(("problem", value) for value in (MISSING, None, "", " \n", 3, "half \ud83d")),
        *(("positive_pool", value) for value in (MISSING, None, [], {}, "text", {"reasoning": "x"})),
        *(("negative_bank", value) for value in (MISSING, None, [], {}, "text")),
        ("source", "half \ud83d"),
        ("tests", [{"input": "half \ud83d"}]),
    ],
)
def test_a_wrong_field_is_the_only_error(row: MakeRow, field: str, value: Any) -> None:
    wrong = row(task_type="math")
    if value is MISSING:
        del wrong[field]
    else:
        wrong[field] = value
    assert fields_in_error(wrong) == [field]


@pytest.mark.parametrize("reasoning", [None, "", "\t", 3, ["step"], "half \udc00"])
def test_wrong_reasoning(row: MakeRow, reasoning: Any) -> None:
    pool = [{"reasoning": "fine"}, {"reasoning": reasoning}]
    assert fields_in_error(row(negative_bank=pool)) == ["negative_bank[1].reasoning"]


@pytest.mark.parametrize("entry", ["a trace", None, 3, ["a trace"]])
def test_a_candidate_that_is_no_object(row: MakeRow, entry: Any) -> None:
    assert fields_in_error(row(positive_pool=[entry])) == ["positive_pool[0]"]


@pytest.mark.parametrize("rubric", [None, MATH])
@pytest.mark.parametrize("total", [-0.1, 1.1, 7, float("nan"), float("inf"), "0.5", True, [0.5]])
def test_wrong_total(row: MakeRow, total: Any, rubric: Rubric | None) -> None:
    value = row()
    value["positive_pool"][0]["rubric"]["total"] = total
    assert fields_in_error(value, rubric) == ["positive_pool[0].rubric.total"]


@pytest.mark.parametrize("total", [0, 1, 0.0, 1.0, 0.35, None])
def test_right_total(row: MakeRow, total: Any) -> None:
    value = row()
    value["positive_pool"][0]["rubric"]["total"] = total
    assert fields_in_error(value, MATH) == []


@pytest.mark.parametrize("label", [MISSING, None, True, 2.5, 3.0, "3", -1, 5, [3]])
def test_wrong_label(row: MakeRow, label: Any) -> None:
    value = row()
    labels = value["negative_bank"][0]["rubric"]
    labels["step_coherence"] = label
    if label is MISSING:
        del labels["step_coherence"]
    assert fields_in_error(value, MATH) == ["negative_bank[0].rubric.step_coherence"]


def test_labels_reach_the_top_of_the_rubric_given(row: MakeRow) -> None:
    ten = Rubric.from_dict({"name": "ten", "levels": 10, "dimensions": [{"name": "rigour"}]})
    good, bad = row(), row()
    for value, label in ((good, 9), (bad, 10)):
        for candidate in value["positive_pool"] + value["negative_bank"]:
            candidate["rubric"] = {"rigour": label}
    assert fields_in_error(good, ten) == []
    assert fields_in_error(bad, ten) == ["positive_pool[0].rubric.rigour", "negative_bank[0].rubric.rigour"]


def test_labels_that_are_no_object(row: MakeRow) -> None:
    assert fields_in_error(row(positive_pool=[{"reasoning": "x", "rubric": [4, 4]}])) == ["positive_pool[0].rubric"]


def test_unknown_dimensions_are_left_out_with_a_warning(row: MakeRow) -> None:
    value = row()
    value["positive_pool"][0]["rubric"]["style"] = 2
    parser = RowParser(MATH)
    group = parser.parse("f", 1, value)
    assert group is not None
    assert "style" not in (group.candidates[0].rubric or {})
    assert [warned.problem.field for warned in parser.warnings] == ["positive_pool[0].rubric.style"]


def test_a_misspelt_key_is_warned_of_and_an_unknown_one_is_not(row: MakeRow) -> None:
    good = row()
    trace = {**good["negative_bank"][0], "negative_knd": "slip", "judge_notes": "none"}
    del trace["negative_kind"]
    parser = RowParser()
    wrong = {**good, "refrence_solution": "14", "difficulty": 3, "negative_bank": [trace]}
    del wrong["reference_solution"]
    group = parser.parse("groups.jsonl", 7, wrong)
    assert group is not None
    told = [str(warning.problem) for warning in parser.all_warnings()]
    assert len(told) == 2
    assert "groups.jsonl:7: refrence_solution = '14', expected the key reference_solution" in told[0]
    assert "negative_bank[0].negative_knd = 'slip', expected the key negative_kind" in told[1]


def test_a_key_beside_the_one_it_looks_like_is_no_mistake(row: MakeRow) -> None:
    parser = RowParser()
    assert parser.parse("groups.jsonl", 1, {**row(), "problem_ids": [1], "problems": 2}) is not None
    assert parser.all_warnings() == []


def test_without_a_rubric_whatever_can_be_a_label_is_kept(row: MakeRow) -> None:
    labels = {"rigour": 7, "clarity": 2.5, "note": "good", "flag": True, "depth": -1, "total": 0.5}
    parser = RowParser()
    group = parser.parse("f", 1, row(positive_pool=[{"reasoning": "x", "rubric": labels}]))
    assert group is not None
    assert group.candidates[0].rubric == {"rigour": 7}
    assert group.candidates[0].total == 0.5
    assert {warned.problem.field.rsplit(".")[-1] for warned in parser.warnings} == {
        "clarity",
        "note",
        "flag",
        "depth",
    }


def test_the_message_says_place_field_found_expected_and_fix(row: MakeRow) -> None:
    value = row()
    value["negative_bank"][0]["rubric"]["step_coherence"] = 7
    parser = RowParser(MATH)
    parser.parse("train.jsonl", 17, value)
    assert str(parser.errors[0]) == (
        "train.jsonl:17: negative_bank[0].rubric.step_coherence = 7, expected an integer 0-4. "
        "Correct the label, or use a rubric with more than 5 levels."
    )


def test_all_errors_of_a_row_are_told(row: MakeRow) -> None:
    value = row(problem="", positive_pool=[], negative_bank=[{"reasoning": ""}, 3])
    assert fields_in_error(value) == [
        "problem",
        "positive_pool",
        "negative_bank[0].reasoning",
        "negative_bank[1]",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
TRACES = JSON | st.lists(
    st.fixed_dictionaries({}, optional={"reasoning": JSON, "rubric": JSON, "negative_kind": JSON, "metadata": JSON}),
    max_size=2,
)
ROW_FIELDS = dict.fromkeys(("problem_id", "problem", "source", "task_type", "tests", "metadata"), JSON)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional={**ROW_FIELDS, "positive_pool": TRACES, "negative_bank": TRACES}))
def test_any_json_is_a_group_or_an_error(value: dict[str, Any]) -> None:
    for rubric in (None, MATH):
        fields_in_error(value, rubric)
