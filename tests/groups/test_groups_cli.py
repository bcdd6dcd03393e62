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
    assert err.splitlines()[50:] == ["... and 20 more; --json gives more.", "70 errors."]


def test_check_sums_up_warnings_by_kind(row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    bare = {"positive_pool": [{"reasoning": "x"}], "negative_bank": [{"reasoning": "y"}]}
    path = write(*[row(f"p{i}", **bare) for i in range(5)])
    assert run("check", path, "--rubric", "math") == 0
    out, err = capsys.readouterr()
    assert out.startswith("groups ")
    assert err.splitlines()[0] == "warning: no rubric labels (5)"
    assert err.splitlines()[-1] == "  ... and 2 more; --json gives more."
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
    assert err == [
        "warning: labels of unknown dimensions (3)",
        *(
            f"  {path}:1: positive_pool[0].rubric.{name} = 1, and so in 79 more places, "
            "expected a dimension of the rubric math. Ignored."
            for name in labels
        ),
    ]
    assert run("check", path, "--rubric", "math", "--json") == 0
    out, after = capsys.readouterr()
    assert json.loads(out)["warning_counts"] == {"labels of unknown dimensions": 3}
    assert after == ""


def test_check_keeps_the_first_of_very_many_and_counts_all(
    row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = {"positive_pool": [{"reasoning": "x"}], "negative_bank": [{"reasoning": "y"}]}
    rows = [row(f"p{i}", problem=f"Problem {i}", **bare) for i in range(1200)]
    assert run("check", write(*rows), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (len(report["warnings"]), report["warning_counts"]) == (1000, {"no rubric labels": 1200})
    assert run("check", write(*["nonsense"] * 3, row(), *["{}"] * 3000), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (len(report["errors"]), report["error_count"]) == (10_000, 3 + 4 * 3000)


STORIES = ("Tom has 2 apples and buys 3 more.", "How fast does the train go from A to B?", "Fold the paper in half.")


def test_check_against_another_set(row: MakeRow, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    groups = write(*[row(f"p{i}", problem=text) for i, text in enumerate(STORIES)])
    questions = write(
        {"question": "tom has 2  apples and buys 3 more."},
        {"problem": "How fast does the train go from B to C?", "problem_id": "q"},
        *[{"question": f"Something else altogether, number {i}, which is long."} for i in range(20)],
        name="test.jsonl",
    )
    assert run("check", groups, "--against", questions) == 0
    out = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(out) if line.startswith("overlap: "))
    assert out[at] == (
        f"overlap: of 3 problems in {groups}, against {questions}: 1 exact duplicate, 2 near-duplicates "
        "(similarity 0.5 and up); highest similarity 1.000"
    )
    assert out[at + 2] == f"  1.000  rows.jsonl p0: {STORIES[0]}"
    assert out[at + 3] == f"         test.jsonl {questions}:1: tom has 2 apples and buys 3 more."
    assert run("check", groups, "--against", questions, "--max-overlap", "2") == 0
    assert run("check", groups, "--against", questions, "--max-overlap", "1", "--json") == 1
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == "2 shared problems, more than 1."


def test_check_against_says_what_is_wrong(row: MakeRow, write: Write) -> None:
    groups = write(row())
    with pytest.raises(DataError, match=r"other.jsonl:1: problem = '', expected text that is not blank"):
        run("check", groups, "--against", write({"text": "x"}, name="other.jsonl"))
    with pytest.raises(ConfigError, match="Name it: --against FILE"):
        run("check", groups, "--max-overlap", "0")


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
