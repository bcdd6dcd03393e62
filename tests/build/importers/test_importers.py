"""Rows of others to traces: each form by a row that a person wrote down from its description."""

from __future__ import annotations

from typing import Any

import pytest

from rm.build.importers.base import Dropped, RowReader, Trace
from rm.build.importers.official import level_of
from rm.build.importers.table import IMPORTERS, detect_importer, find_importer
from rm.errors import ConfigError
from rm.groups.rows import Row
from rm.rubric import Rubric

MATH, CODE = (Rubric.load(name).dimension_names for name in ("math", "code"))
TEN = dict.fromkeys(MATH, 7)


def traces(row: dict[str, Any], judge: Any = None) -> tuple[list[Trace], dict[str, int]]:
    dropped = Dropped()
    found = list(detect_importer(row, "f:1").traces(RowReader(Row(1, row, "f"), dropped, judge)))
    return found, dict(dropped.counts)


def positive(**fields: Any) -> dict[str, Any]:
    return {"problem": "2 + 2?", "reason_clean": "2 + 2 = 4", "action_gt": "4", "source_row_index": 7, **fields}


def negative(**fields: Any) -> dict[str, Any]:
    row = {
        "raw_negative_clean": "2 + 2 = 5",
        "negative_kind": "slip",
        "negative_index": 1,
        "parent_source_row_index": 7,
    }
    return {"problem": "2 + 2?", **row, "rubric_scores": TEN, "rubric_score": 6.5, **fields}


class TestOfficial:
    def test_a_sound_trace_of_mathematics_has_the_highest_labels(self):
        [trace], dropped = traces(positive(rubric_scores=TEN, rubric_score=7))
        assert (trace.reasoning, trace.positive, trace.key, trace.reference) == ("2 + 2 = 4", True, "7", "4")
        assert trace.rubric == {**dict.fromkeys(MATH, 4), "total": 1.0}
        assert dropped == {}

    def test_a_flawed_trace_joins_its_parent_and_is_labelled_by_the_judge(self):
        [trace], _ = traces(negative(judge_meta={"model": "m"}, rubric_label="bad"))
        assert (trace.reasoning, trace.positive, trace.key, trace.kind) == ("2 + 2 = 5", False, "7", "slip")
        assert trace.rubric == {**dict.fromkeys(MATH, 3), "total": 0.65}
        assert trace.metadata == {"negative_index": 1, "rubric_label": "bad", "judge_meta": {"model": "m"}}

    @pytest.mark.parametrize(
        ("score", "level"), [(0, 0), (1.9, 0), (2, 1), (7, 3), (8, 4), (10, 4), (-1, None), (11, None), ("7", None)]
    )
    def test_the_judges_scores_become_levels(self, score, level):
        assert level_of(score) == level

    def test_code_is_told_by_its_dimensions_and_its_sound_traces_are_judged(self):
        [trace], _ = traces(positive(rubric_scores=dict.fromkeys(CODE, 9), rubric_score=8))
        assert trace.task_type == "code"
        assert trace.rubric == {**dict.fromkeys(CODE, 4), "total": 0.8}

    def test_nested_negatives_and_texts_that_fall_back(self):
        nested = [{"raw_negative_clean": "5", "negative_kind": "slip"}, "6", {}]
        found, dropped = traces(positive(reason_clean="", raw_reason="raw", generated_negatives=nested))
        assert [(t.reasoning, t.positive, t.kind, t.key) for t in found] == [
            ("raw", True, "negative", "7"),
            ("5", False, "slip", "7"),
            ("6", False, "negative", "7"),
        ]
        assert dropped == {"no reasoning": 1}

    @pytest.mark.parametrize("scores", [{**TEN, MATH[0]: None}, {**TEN, MATH[0]: 12}, {}, "7"])
    def test_labels_that_are_not_all_there_are_left_out_and_counted(self, scores):
        [trace], dropped = traces(negative(rubric_scores=scores))
        assert trace.rubric is None
        assert list(dropped.values()) == [1]


def prm(*steps: Any, finish: str = "solution", **question: Any) -> dict[str, Any]:
    question = {"problem": "P?", "ground_truth_answer": "4", **question}
    return {"question": question, "label": {"steps": list(steps), "finish_reason": finish}}


def step(*offered: tuple[str, int | None], chosen: int | None = None, human: str | None = None) -> dict[str, Any]:
    completions = [{"text": text, "rating": rating, "flagged": False} for text, rating in offered]
    return {"completions": completions, "chosen_completion": chosen, "human_completion": human}


class TestPrm800k:
    def test_a_sound_solution_and_what_was_offered_wrong_on_the_way(self):
        row = prm(step(("a", 1)), step(("b", -1), ("c", 0), chosen=1), step(("d", -1), human="e"))
        found, dropped = traces(row)
        assert [(t.reasoning, t.positive, t.metadata) for t in found] == [
            ("a\nb", False, {"first_error_step": 1}),
            ("a\nc\nd", False, {"first_error_step": 2}),
            ("a\nc\ne", True, {}),
        ]
        assert {t.kind for t in found if not t.positive} == {"wrong_step_at_end"}
        assert (found[0].problem, found[0].reference, dropped) == ("P?", "4", {})

    def test_a_wrong_solution_is_taken_whole_where_it_is_there(self):
        steps = (step(("a", 1)), step(("b", -1)))
        [whole], _ = traces(prm(*steps, finish="found_error", pre_generated_steps=["a", "b", "c"]))
        [part], _ = traces(prm(*steps, finish="found_error"))
        assert (whole.reasoning, whole.kind, whole.metadata) == ("a\nb\nc", "wrong_step", {"first_error_step": 1})
        assert (part.reasoning, part.kind) == ("a\nb", "wrong_step_at_end")

    def test_several_wrong_ones_at_the_end_and_nothing_chosen(self):
        found, _ = traces(prm(step(("a", 1)), step(("b", -1), ("c", -1)), finish="found_error"))
        assert [(t.reasoning, t.positive) for t in found] == [("a\nb", False), ("a\nc", False)]

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (prm(step(("a", 1)), finish="give_up"), "gave up"),
            (prm(step(("a", 1)), finish="bad_problem"), "problem bad"),
            (prm(), "no labelled steps"),
            (prm(step(("a", 1)), problem=" "), "no problem"),
            (prm(step(("a", None))), "without a rating"),
            (prm(step()), "no completion"),
            (prm(step(("a", 1)), finish="found_error"), "without a wrong step"),
        ],
    )
    def test_what_cannot_be_used_is_counted(self, row, reason):
        found, dropped = traces(row)
        assert found == []
        assert [reason in told for told in dropped] == [True]


def bench(label: Any, right: bool | None, steps: Any = ("one", "two", "three")) -> dict[str, Any]:
    steps = list(steps) if isinstance(steps, tuple) else steps
    return {
        "id": "x-0",
        "generator": "m",
        "problem": "P?",
        "steps": steps,
        "label": label,
        "final_answer_correct": right,
    }


class TestProcessBench:
    @pytest.mark.parametrize(
        ("label", "right", "sound", "kind"),
        [(-1, True, True, ""), (1, False, False, "wrong_step"), (2, True, False, "wrong_step_right_answer")],
    )
    def test_label_is_the_first_wrong_step(self, label, right, sound, kind):
        [trace], _ = traces(bench(label, right))
        assert (trace.reasoning, trace.positive) == ("one\ntwo\nthree", sound)
        assert sound or (trace.kind, trace.metadata) == (kind, {"model": "m", "first_error_step": label})

    @pytest.mark.parametrize("row", [bench(3, False), bench("1", False), bench(-1, False), bench(0, False, [])])
    def test_what_contradicts_itself_is_counted(self, row):
        found, dropped = traces(row)
        assert (found, sum(dropped.values())) == ([], 1)


class TestMathShepherd:
    PROBLEM = "Sam has 2 + 2 apples. How many?"

    def row(self, *signs: str) -> dict[str, Any]:
        texts = [f"Step {i + 1}: so {i}." for i in range(len(signs))]
        marked = "\n".join(f"{text} ки" for text in texts)
        labelled = "\n".join(f"{text} {sign}" for text, sign in zip(texts, signs, strict=True))
        return {"input": f"{self.PROBLEM} {marked}", "label": f"{self.PROBLEM} {labelled}", "task": "GSM8K"}

    def test_signs_after_steps(self):
        [sound], _ = traces(self.row("+", "+"))
        [flawed], _ = traces(self.row("+", "-", "-"))
        assert (sound.problem, sound.reasoning, sound.positive) == (self.PROBLEM, "Step 1: so 0.\nStep 2: so 1.", True)
        assert (flawed.positive, flawed.metadata, flawed.source) == (False, {"first_error_step": 1}, "GSM8K")

    def test_a_missing_sign_is_counted(self):
        row = self.row("+", "-")
        assert traces({**row, "label": row["label"][:-1]})[0] == []


SAMPLED = {"question": "2 + 2?", "answers": ["4", "5", " "], "correct": [True, 0, 1], "reference_answer": "4"}


class TestSamples:
    def test_right_and_wrong_answers_of_a_model(self):
        found, dropped = traces({**SAMPLED, "model": "m", "id": 3})
        assert [(t.reasoning, t.positive, t.kind) for t in found] == [
            ("4", True, "wrong_answer"),
            ("5", False, "wrong_answer"),
        ]
        assert {(t.problem_id, t.reference, t.metadata["model"]) for t in found} == {("3", "4", "m")}
        assert dropped == {"a blank answer, or one that is no text": 1}

    def test_answers_are_judged_where_nothing_says_what_is_right(self):
        row = {key: value for key, value in SAMPLED.items() if key != "correct"}
        asked = []

        def judge(answers, reference):
            asked.append((list(answers), reference))
            return [True, None, False]

        found, dropped = traces(row, judge)
        assert asked == [(["4", "5", " "], "4")]
        assert ([t.positive for t in found], sum(dropped.values())) == ([True], 2)
        assert traces({**row, "reference_answer": ""}, judge)[0] == []
        assert traces({**row, "tests": "assert f()"}, judge)[0] == []

    @pytest.mark.parametrize("fields", [{"correct": [True]}, {"correct": "yes"}, {"question": ""}, {"answers": []}])
    def test_what_does_not_fit_is_counted(self, fields):
        found, dropped = traces({**SAMPLED, **fields})
        assert (found, sum(dropped.values())) == ([], 1)


def test_an_unknown_name_or_form_lists_the_choices():
    with pytest.raises(ConfigError, match="Choose one of: official, step-labels, samples"):
        find_importer("prm")
    with pytest.raises(ConfigError) as error:
        detect_importer({"text": "x", "score": 1}, "f.jsonl:1")
    assert "its fields are: text, score." in str(error.value)
    assert all(each.fields in str(error.value) for each in IMPORTERS.values())
    with pytest.raises(ConfigError, match="groups already"):
        detect_importer({"positive_pool": []}, "f.jsonl:1")
    with pytest.raises(ConfigError, match="its fields are: int"):
        detect_importer(7, "f.jsonl:1")
