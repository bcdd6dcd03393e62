"""The evaluation directory: what is in it, and that it is whole or not there."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import rm.evaluate.write
from rm.errors import ConfigError
from rm.evaluate.summary import summarize
from rm.evaluate.write import write_evaluation


@pytest.fixture
def evaluation(two_groups, scored_group, trace, rubric):
    labelled = trace("positive", 1.0, "é" * 7, {"plan": 2, "sums": 0}, 0.5, (2, 1), (1.5, 0.5))
    scored = [*two_groups, scored_group("three", [labelled, trace("slip", np.nan, "a\ud800")], source="c")]
    return scored, summarize(scored, rubric), rubric, {"model": "runs/best", "seed": 0}


def test_three_files_are_written(tmp_path, evaluation):
    write_evaluation(tmp_path / "out", *evaluation)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json",
        "scores.parquet",
        "report.html",
    }
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == evaluation[1] | {"provenance": {"model": "runs/best", "seed": 0}}


def test_scores_have_one_row_a_candidate(tmp_path, evaluation):
    write_evaluation(tmp_path / "out", *evaluation)
    rows = pq.read_table(tmp_path / "out" / "scores.parquet").to_pylist()
    assert [(row["problem_id"], row["candidate"]) for row in rows] == [
        ("one", 0), ("one", 1), ("one", 2), ("two", 0), ("two", 1), ("two", 2), ("three", 0), ("three", 1),
    ]  # fmt: skip
    assert rows[6] == {
        "problem_id": "three", "candidate": 0, "positive": True, "kind": "positive",
        "score": pytest.approx(0.7310585786), "logit": 1.0, "expected_plan": 1.5, "expected_sums": 0.5,
        "label_plan": 2, "label_sums": 0, "total": 0.5, "truncated": False, "source": "c",
        "reasoning_length": 7,
    }  # fmt: skip
    assert rows[7]["score"] is None
    assert rows[7]["expected_plan"] is None
    assert rows[7]["label_plan"] is None


def test_no_groups_give_an_empty_table_with_its_columns(tmp_path, rubric):
    write_evaluation(tmp_path / "out", [], summarize([], rubric), rubric, {})
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert table.num_rows == 0
    assert "expected_sums" in table.column_names


def test_an_existing_directory_is_refused_before_any_work(tmp_path, evaluation, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(rm.evaluate.write, "score_table", lambda *_: pytest.fail("work was done"))
    with pytest.raises(ConfigError, match="--force"):
        write_evaluation(tmp_path / "out", *evaluation)


def test_force_replaces_the_directory(tmp_path, evaluation):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    write_evaluation(tmp_path / "out", *evaluation, force=True)
    assert not (tmp_path / "out" / "old.txt").exists()


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_on_the_last_file_leaves_none(tmp_path, evaluation, monkeypatch, failure):
    def fail(*_: object) -> str:
        raise failure

    monkeypatch.setattr(rm.evaluate.write, "render_report", fail)
    with pytest.raises(failure):
        write_evaluation(tmp_path / "out", *evaluation)
    assert list(tmp_path.iterdir()) == []
