"""`groups import` on the command line: what it writes, says and counts."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rm.build.importers.run import import_groups
from rm.cli import groups as verb
from rm.errors import ConfigError, DataError
from rm.groups import load_groups
from rm.groups.checks import check_groups
from rm.rubric import Rubric

MATH = Rubric.load("math")


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers(required=True))
    args = parser.parse_args(["groups", "import", *map(str, argv)])
    code: int = args.run(args)
    return code


def official(count: int = 3) -> list[dict[str, Any]]:
    scores = {"rubric_scores": dict.fromkeys(MATH.dimension_names, 5), "rubric_score": 4}
    sound = [
        {"problem": f"{i} + 2?", "reason_clean": f"{i} + 2 = {i + 2}", "source_row_index": i, "action_gt": str(i + 2)}
        for i in range(count)
    ]
    flawed = [
        {"problem": row["problem"], "raw_negative_clean": f"{i} + 2 = {i + 2 + k}", "negative_kind": f"kind_{k}"}
        | {"parent_source_row_index": i, "negative_index": k, **scores}
        for i, row in enumerate(sound)
        for k in (1, 2)
    ]
    return [*flawed, *sound]


def test_official_files_become_groups_that_check_clean(write, tmp_path: Path, capsys) -> None:
    rows = official()
    first, second = write(*rows[:6], name="neg.jsonl"), write(*rows[6:], name="pos.jsonl")
    assert run(first, second, "--out", tmp_path / "out.jsonl") == 0
    out, err = capsys.readouterr()
    assert "Found raw files of the official TraceLift scripts (--from official)." in err
    assert out.startswith(f"9 rows, 9 traces, 3 groups: {tmp_path / 'out.jsonl'}\ngroups ")
    report = check_groups(tmp_path / "out.jsonl", MATH)
    assert (report.ok, report.warnings) == (True, ())
    group = load_groups(tmp_path / "out.jsonl", MATH)[0]
    assert [(c.kind, c.total, c.rubric["step_coherence"]) for c in group.candidates] == [
        ("positive", 1.0, 4),
        ("kind_1", 0.4, 2),
        ("kind_2", 0.4, 2),
    ]
    assert (group.problem_id, group.reference_solution) == ("tracelift_0", "2")


def test_the_same_files_give_the_same_bytes_and_a_limit_the_first_groups(write, tmp_path: Path) -> None:
    path = write(*official(5))
    for name in ("a", "b"):
        run(path, "--out", tmp_path / name)
    run(path, "--out", tmp_path / "c", "--limit", 2)
    text = (tmp_path / "a").read_text()
    assert text == (tmp_path / "b").read_text()
    assert (tmp_path / "c").read_text() == "".join(text.splitlines(keepends=True)[:2])


def test_samples_are_verified_by_real_verifiers(write, tmp_path: Path, capsys) -> None:
    rows = [
        {"question": "Half of 9?", "answers": ["It is 4.5", "#### 9/2", "so 4"], "reference": "#### 4.5", "model": "a"},
        {"question": "half of 9?", "answers": ["The answer is 5."], "reference": "4.5", "model": "b"},
        {"question": "No reference?", "answers": ["1", "2"]},
        {"question": "All right?", "answers": ["1", "1.0"], "correct": [True, True]},
    ]
    assert run(write(*rows), "--out", tmp_path / "out.jsonl", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["importer"], report["rows"], report["groups"]) == ("samples", 4, 1)
    assert report["dropped"] == {
        "neither `correct` nor a reference answer to verify by": 1,
        "groups without a flawed trace": 1,
    }
    assert report["examples"]["groups without a flawed trace"][0].endswith("rows.jsonl:4")
    [group] = load_groups(tmp_path / "out.jsonl")
    assert [(c.reasoning, c.positive, c.metadata["model"]) for c in group.candidates] == [
        ("It is 4.5", True, "a"),
        ("#### 9/2", True, "a"),
        ("so 4", False, "a"),
        ("The answer is 5.", False, "b"),
    ]


def test_samples_are_verified_inside_a_running_event_loop_as_a_notebook_has(write, tmp_path: Path) -> None:
    path = write({"question": "Half of 9?", "answers": ["It is 4.5", "so 4"], "reference": "4.5"})

    async def cell() -> int:
        return import_groups([str(path)], tmp_path / "out.jsonl").groups

    assert asyncio.run(cell()) == 1


def test_what_cannot_be_imported_writes_nothing(write, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(ConfigError, match=r"its fields are: text\."):
        run(write({"text": "x"}), "--out", out)
    with pytest.raises(ConfigError, match="--from prm"):
        run(write({"text": "x"}), "--out", out, "--from", "prm")
    with pytest.raises(DataError, match=r"none: 1 groups without a flawed trace \(.*rows.jsonl:1\)"):
        run(write({"question": "P?", "answers": ["a"], "correct": [True]}), "--out", out)
    with pytest.raises(DataError, match="no JSON"):
        run(write(*official(), "{"), "--out", out)
    with pytest.raises(ConfigError, match="is or holds the input"):
        run(path := write(*official()), "--out", path, "--force")
    assert [each.name for each in tmp_path.iterdir()] == ["rows.jsonl"]


def test_rows_of_another_form_and_broken_text_are_counted(write, tmp_path: Path, capsys) -> None:
    broken = {"question": "Half \ud83d?", "answers": ["1", "2"], "correct": [True, False]}
    fine = {"question": "Half of 9?", "answers": ["4.5", "4"], "correct": [True, False]}
    assert run(write(fine, {"text": 1}, 7, broken), "--out", tmp_path / "out.jsonl", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dropped"]["rows of another form than samples"] == 2
    assert report["dropped"]["rows with half a character (a lone surrogate)"] == 1
    assert report["groups"] == 1
