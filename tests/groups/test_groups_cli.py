"""`groups check` and `groups split` on the command line: streams, exit codes, files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.cli import groups as verb
from rm.errors import ConfigError, DataError

MakeRow = Callable[..., dict[str, Any]]
Write = Callable[..., Path]

UNLIKE = (
    "apple brick cloud drone",
    "eagle flute grape house",
    "igloo jelly knife lemon",
    "mango nurse olive",
)


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers(required=True))
    args = parser.parse_args(["groups", *map(str, argv)])
    code: int = args.run(args)
    return code


def test_check_prints_a_table_where_all_is_well(row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", write(row("a"), row("b")), "--rubric", "math") == 0
    out, err = capsys.readouterr()
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert lines["groups"].strip() == "2"
    assert lines["with rubric labels"].strip() == "4 (100%)"
    assert lines["kinds"].strip() == "positive: 2, slip: 2"
    assert err == ""


def test_check_tells_errors_on_stderr_and_exits_with_1(
    row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(row("a"), row("a", problem=""), "nonsense")
    assert run("check", path) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{path}:2: problem_id = 'a', expected an id of its own ({path}:1 has this one). "
        "Give one of them another id, or leave one out.",
        f"{path}:2: problem = '', expected text that is not blank.",
        f"{path}:3: no JSON (Expecting value at character 1), expected one JSON object a line.",
        "3 errors.",
    ]


def test_check_caps_what_it_prints_but_not_the_json(
    row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(row(), *["nonsense"] * 70)
    assert run("check", path, "--json") == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["errors"]) == 70
    assert err.splitlines()[50:] == ["... and 20 more; --json gives all.", "70 errors."]


def test_check_sums_up_warnings_by_kind(row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    bare = {"positive_pool": [{"reasoning": "x"}], "negative_bank": [{"reasoning": "y"}]}
    path = write(*[row(f"p{i}", **bare) for i in range(5)])
    assert run("check", path, "--rubric", "math") == 0
    out, err = capsys.readouterr()
    assert out.startswith("groups ")
    assert err.splitlines()[0] == "warning: no rubric labels (5)"
    assert err.splitlines()[-1] == "  ... and 2 more; --json gives all."
    assert len(err.splitlines()) == 5


def test_labels_that_the_rubric_lacks_are_one_warning(
    row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = dict.fromkeys(("plan_quality", "test_awareness", "edge_case_reasoning"), 1)
    rows = [row(f"p{i}", problem=f"Problem {i}") for i in range(40)]
    for each in rows:
        for trace in (*each["positive_pool"], *each["negative_bank"]):
            trace["rubric"] = {**trace["rubric"], **labels}
    path = write(*rows)
    assert run("check", path, "--rubric", "math") == 0
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "warning: labels of unknown dimensions (240)"
    assert err[1].startswith(f"  {path}:1: positive_pool[0].rubric.plan_quality = 1, ")
    assert err[4:] == ["  ... and 237 more; --json gives all."]
    assert run("check", path, "--rubric", "math", "--json") == 0
    out, after = capsys.readouterr()
    assert len(json.loads(out)["warnings"]) == 240
    assert after == ""


def test_a_file_of_another_kind_is_one_error(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(*["a,b,c", "1,2,3"] * 50, name="table.csv")
    assert run("check", path) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{path}: a table such as CSV, expected JSON Lines or one JSON array, in UTF-8. "
        "Write each row as a JSON object.",
        "1 error.",
    ]


def test_check_with_an_unknown_rubric(row: MakeRow, write: Write) -> None:
    with pytest.raises(ConfigError, match="one of code, math"):
        run("check", write(row()), "--rubric", "maths")


def test_check_estimates_lengths_for_the_length_given(
    row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", write(row()), "--max-length", "4") == 0
    assert "unfittable lengths (2)" in capsys.readouterr().err


def test_split_writes_and_reports(
    row: MakeRow, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(*[row(f"p{i}", problem=problem) for i, problem in enumerate(UNLIKE)])
    assert run("split", path, "--dev-fraction", "0.25", "--seed", "18", "--out", tmp_path / "out", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["train"], report["dev"], report["clusters"]) == (3, 1, 4)
    assert report == json.loads((tmp_path / "out" / "split.json").read_text())
    assert len((tmp_path / "out" / "train.jsonl").read_text().splitlines()) == 3

    with pytest.raises(ConfigError, match="--force"):
        run("split", path, "--out", tmp_path / "out")
    assert run("split", path, "--dev-fraction", "0.5", "--out", tmp_path / "out", "--force") == 0
    assert "train 2 groups, dev 2 groups" in capsys.readouterr().out


def test_split_of_bad_rows_writes_nothing(row: MakeRow, write: Write, tmp_path: Path) -> None:
    path = write(row("a"), "nonsense")
    with pytest.raises(DataError):
        run("split", path, "--out", tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
