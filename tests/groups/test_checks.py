"""What `groups check` warns of, and its statistics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.groups.checks import CheckReport, check_groups
from rm.groups.summary import Lengths
from rm.rubric import Rubric

MakeRow = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


def places(report: CheckReport) -> list[tuple[str, int, str]]:
    return [(warned.kind, warned.problem.line, warned.problem.field) for warned in report.warnings]


def pool(*totals: float | None, name: str = "r") -> list[dict[str, Any]]:
    return [{"reasoning": f"{name}{i}", "rubric": {"rigour": 1, "total": t}} for i, t in enumerate(totals)]


def test_a_clean_file_has_neither_errors_nor_warnings(row: MakeRow, write: Write) -> None:
    report = check_groups(write(row("a"), row("b")), Rubric.load("math"))
    assert report.ok
    assert report.warnings == ()


def test_errors_are_those_of_reading_and_good_rows_are_still_summarised(row: MakeRow, write: Write) -> None:
    report = check_groups(write(row("a"), row("a"), "{}"))
    assert not report.ok
    assert [error.line for error in report.errors] == [2, 3, 3, 3, 3]
    assert report.summary is not None
    assert report.summary.groups == 1


def test_missing_labels(row: MakeRow, write: Write) -> None:
    none = row("a", positive_pool=[{"reasoning": "x"}], negative_bank=[{"reasoning": "y"}])
    some = row("b", negative_bank=[{"reasoning": "y"}])
    report = check_groups(write(none, some))
    assert places(report) == [("no rubric labels", 1, "rubric"), ("no rubric labels", 2, "rubric")]
    assert [warned.problem.found for warned in report.warnings] == [
        "0 of 2 traces labelled",
        "1 of 2 traces labelled",
    ]


def test_the_same_problem_under_two_ids(row: MakeRow, write: Write) -> None:
    first = write(row("a", problem="How many?  Add 2 and 3."), row("b", problem="How many? Add 2 and 4."))
    second = write(row("c", problem="how MANY? add 2\nand 3. "), name="second.jsonl")
    report = check_groups([first, second])
    assert places(report) == [("the same problem under two ids", 1, "problem")]
    assert report.warnings[0].problem.file == str(second)


def test_a_trace_in_both_pools(row: MakeRow, write: Write) -> None:
    both = row("a")
    both["negative_bank"][0]["reasoning"] = both["positive_pool"][0]["reasoning"] + "\n"
    assert ("a trace both positive and negative", 1, "negative_bank[0].reasoning") in places(check_groups(write(both)))


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        ((1.0,), (0.5, 0.2), []),
        ((0.5,), (0.5, 0.5), [("all-tied groups", "total")]),
        (
            (0.5, 0.9),
            (0.4, 0.5, 0.7),
            [("positives not on top", f"negative_bank[{i}].rubric.total") for i in (1, 2)],
        ),
        ((None,), (0.9,), []),
        ((0.5,), (0.5, None), [("positives not on top", "negative_bank[0].rubric.total")]),
    ],
)
def test_totals(row: MakeRow, write: Write, positives: Any, negatives: Any, expected: Any) -> None:
    report = check_groups(write(row(positive_pool=pool(*positives), negative_bank=pool(*negatives, name="flawed"))))
    assert [(kind, field) for kind, _, field in places(report)] == expected


def test_lengths_are_estimated_in_bytes(row: MakeRow, write: Write) -> None:
    value = row()
    value["positive_pool"][0]["reasoning"] = "x" * 200
    value["negative_bank"][0]["reasoning"] = "\u00e9" * 101
    report = check_groups(write(value), max_length=100)
    assert places(report) == [("unfittable lengths", 1, "negative_bank[0].reasoning")]


def test_statistics(row: MakeRow, write: Write) -> None:
    one = row("a", positive_pool=pool(1.0, 0.9), negative_bank=pool(0.1), tests="assert f()", source="s")
    two = row("b", reference_solution="", negative_bank=[{"reasoning": "y" * 9, "negative_kind": "slip"}])
    summary = check_groups(write(one, two)).summary
    assert summary is not None
    assert (summary.groups, summary.candidates, summary.labelled, summary.with_total) == (2, 5, 4, 4)
    assert (summary.with_reference, summary.with_tests) == (1, 1)
    assert (summary.positives_per_group, summary.negatives_per_group) == ({1: 1, 2: 1}, {1: 2})
    assert list(summary.kinds.items()) == [("positive", 3), ("negative", 1), ("slip", 1)]
    assert (summary.sources, summary.task_types) == ({"s": 1, "tests": 1}, {"math": 2})
    assert summary.labels["rigour"] == {1: 3}
    assert summary.labels["answer_support"] == {4: 1}
    assert summary.reasoning_characters.longest == 10


def test_quantiles_by_hand() -> None:
    assert Lengths.of([5]) == Lengths(5, 5, 5, 5)
    assert Lengths.of(list(range(101))) == Lengths(50, 90, 99, 100)


def test_the_report_is_json(row: MakeRow, write: Write) -> None:
    report = check_groups(write(row("a", positive_pool=pool(0.1)), "{}"))
    read = json.loads(json.dumps(report.to_dict()))
    assert read["ok"] is False
    assert read["errors"][0]["field"] == "problem_id"
    assert Counter(warning["kind"] for warning in read["warnings"]) == {"positives not on top": 1}
    assert read["statistics"]["groups"] == 1


@pytest.mark.parametrize("name", ["gsm8k_groups_dev", "prmbench_dev_groups"])
def test_development_data_has_no_errors(shared_data: Path, name: str) -> None:
    report = check_groups(shared_data / f"{name}.jsonl", Rubric.load("math"))
    assert report.ok
    assert {warned.kind for warned in report.warnings} <= {"no rubric labels", "unfittable lengths"}
