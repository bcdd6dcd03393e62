"""`tracelift-rm groups oracles`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rm.cli.main import main
from rm.uplift.sandbox import bubblewrap

ROWS = [
    {
        "problem_id": "double",
        "problem": "Double it.",
        "reference_solution": "def f(n):\n    return 2 * n\n",
        "tests": "assert f(1) == 2\nassert f(2) == 5",
        "entry_point": "f",
    },
    {"problem_id": "none", "problem": "Do it.", "reference_solution": "print(1)", "tests": ""},
    {"problem_id": "no program", "problem": "Do it."},
]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def arguments(seeds: Path, *more: str) -> list[str]:
    unsafe = [] if shutil.which("bwrap") else ["--unsafe-subprocess"]
    out = seeds.with_name("oracles.jsonl")
    return ["groups", "oracles", "--seeds", str(seeds), "--out", str(out), "--seconds", "5", *unsafe, *more]


def test_it_writes_rows_and_counts_what_was_left_out(seeds, capsys) -> None:
    assert main(arguments(seeds, "--json")) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["problems"], counts["oracles"], counts["tests"]) == (2, 1, {"given": 1})
    assert counts["dropped"] == {"reference: wrong answer": 1, "seed: no tests and no examples": 1}
    assert sum(counts["refused"].values()) == 1
    [row] = [json.loads(line) for line in seeds.with_name("oracles.jsonl").read_text().splitlines()]
    assert (row["problem_id"], row["entry_point"]) == ("double", "f")
    assert [(test["input"], test["output"]) for test in row["tests"]] == [("f(1)", "2")]


def test_it_replaces_nothing_without_force(seeds, capsys) -> None:
    assert main(arguments(seeds)) == 0
    assert "1 oracles of 2 problems" in capsys.readouterr().out
    assert main(arguments(seeds)) == 2
    assert "--force" in capsys.readouterr().err
    assert main(arguments(seeds, "--force")) == 0


def test_without_a_sandbox_it_refuses(seeds, capsys, monkeypatch) -> None:
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    command = [each for each in arguments(seeds) if each != "--unsafe-subprocess"]
    assert main(command) == 2
    assert "bubblewrap" in capsys.readouterr().err
    assert not seeds.with_name("oracles.jsonl").exists()


def test_a_missing_file_is_told(tmp_path, capsys) -> None:
    assert main(arguments(tmp_path / "absent.jsonl")) == 1
    assert "no such file" in capsys.readouterr().err
