"""Files of groups, read whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.errors import DataError
from rm.groups import load_groups
from rm.rubric import Rubric

MakeRow = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


def test_several_files_in_order(row: MakeRow, write: Write) -> None:
    lines = write(row("a"), row("b"))
    array = write(json.dumps([row("c")]), name="array.json")
    groups = load_groups([lines, str(array)], Rubric.load("math"))
    assert [(group.problem_id, group.file, group.line) for group in groups] == [
        ("a", str(lines), 1),
        ("b", str(lines), 2),
        ("c", str(array), 1),
    ]


def test_one_path_need_not_be_a_list(row: MakeRow, write: Write) -> None:
    path = write(row("a"))
    assert load_groups(path) == load_groups(str(path)) == load_groups([path])


def test_every_problem_of_every_file_is_told_at_once(row: MakeRow, write: Write, tmp_path: Path) -> None:
    first = write(row("a"), "nonsense", row("b", problem=""), name="first.jsonl")
    second = write(row("a"), name="second.jsonl")
    empty = write(name="empty.jsonl")
    missing = tmp_path / "missing.jsonl"
    with pytest.raises(DataError) as raised:
        load_groups([first, second, empty, missing])
    places = [(Path(p.file).name, p.line, p.field) for p in raised.value.problems]
    assert places == [
        ("first.jsonl", 2, ""),
        ("first.jsonl", 3, "problem"),
        ("second.jsonl", 1, "problem_id"),
        ("empty.jsonl", 0, ""),
        ("missing.jsonl", 0, ""),
    ]
    assert "first.jsonl:1 has this one" in str(raised.value)


def test_a_number_and_the_same_digits_are_one_id(row: MakeRow, write: Write) -> None:
    with pytest.raises(DataError, match="problem_id"):
        load_groups(write(row(problem_id=7), row(problem_id="7")))


def test_rubric_labels_are_checked_only_against_a_rubric(row: MakeRow, write: Write) -> None:
    path = write(row("a"))
    assert load_groups(path)[0].candidates[0].rubric
    with pytest.raises(DataError, match="plan_quality = missing"):
        load_groups(path, Rubric.load("code"))


def test_development_data_loads(shared_data: Path) -> None:
    groups = load_groups(shared_data / "gsm8k_groups_dev.jsonl", Rubric.load("math"))
    assert len(groups) == 400
    assert len(load_groups(shared_data / "prmbench_dev_groups.jsonl", Rubric.load("math"))) == 401
