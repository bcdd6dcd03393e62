"""`lab run` in its short form: the real tool chain on the shipped models, once; what is done is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rm.cli.main import main
from rm.errors import ConfigError
from rm.lab import experiment
from rm.lab.arms import ARMS
from rm.lab.experiment import SHORT, curve_of, open_experiment, planner_config, read_rows
from rm.lab.outcome import MEASURES

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of one arm and one seed."""
    out = tmp_path_factory.mktemp("lab") / "short"
    assert main(["lab", "run", "--short", "--steps", "2", "--arms", "tracelift", "--out", str(out)]) == 0
    return out


def test_every_held_out_trace_has_a_row(out):
    for file in (out / "base" / "evaluation.jsonl", out / "runs" / "tracelift" / "0" / "evaluation.jsonl"):
        rows = read_rows(file)
        assert [row["problem"] for row in rows] == list(range(SHORT.test_problems))
        assert all(set(MEASURES) <= row.keys() for row in rows)
        assert all(0 <= row[name] <= 1 for row in rows for name in ("reader", "strict", "soundness", "rm"))


def test_no_test_problem_is_trained_on(out):
    world = out / "world"
    texts = [{row["problem"] for row in read_rows(file)} for file in (world / "train.jsonl", world / "test.jsonl")]
    judged = {row["problem"] for row in read_rows(world / "groups_listwise.jsonl")}
    assert not texts[0] & texts[1]
    assert not judged & texts[1]


def test_the_curve_has_the_parts_and_the_truth_of_every_step(out):
    run = out / "runs" / "tracelift" / "0"
    curve = read_rows(run / "curve.jsonl")
    assert [row["step"] for row in curve] == [1, 2]
    samples = read_rows(run / "planner" / "samples.jsonl")
    assert len(samples) == 2 * SHORT.problems_per_step * SHORT.completions
    own = [row["result"]["reward"] for row in samples if row["step"] == 2]
    assert curve[1]["reward"] == pytest.approx(sum(own) / len(own))
    assert curve_of(run / "planner" / "samples.jsonl") == curve
    assert all(0 <= row["soundness"] <= 1 for row in curve)


def test_the_page_says_what_was_equal_and_that_few_steps_say_nothing(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "The figures say nothing" in page
    assert "hacked" not in page
    assert "2 steps of 2 problems with 8 completions" in page
    assert page.count("<svg") >= 4
    assert "<script" not in page
    assert str(out) not in page
    drawings = sorted(file.name for file in (out / "curves").iterdir())
    assert "soundness.svg" in drawings
    assert all(ElementTree.parse(out / "curves" / name).getroot().tag.endswith("}svg") for name in drawings)
    table = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert set(table) == {"base", "tracelift"}


def test_what_is_done_is_not_done_again(out, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("done already")

    monkeypatch.setattr(experiment, "_make_bundle", refuse)
    monkeypatch.setattr(experiment, "evaluate", refuse)
    monkeypatch.setattr(experiment.subprocess, "run", refuse)
    again = ["lab", "run", "--short", "--steps", "2", "--arms", "tracelift", "--out", str(out)]
    assert main([*again, "--resume"]) == 0
    assert main(again) == 2  # there is an experiment, and nobody said to go on with it


@pytest.mark.parametrize("words", [["--resume"], ["--resume", "--steps", "3"]])
def test_another_size_is_another_experiment(out, words, capsys):
    assert main(["lab", "run", *words, "--arms", "tracelift", "--out", str(out)]) == 2
    assert "of another size" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--force"]])
def test_a_foreign_directory_is_left_alone(tmp_path, capsys, words):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["lab", "run", "--short", *words, "--out", str(tmp_path)]) == 2
    assert "no experiment" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_report_needs_no_size_and_makes_no_experiment(out, tmp_path, capsys):
    assert main(["lab", "run", "--out", str(out), "--report", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) >= {"base", "tracelift"}
    assert main(["lab", "run", "--out", str(tmp_path / "none"), "--report"]) == 2
    assert "holds no experiment" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_experiment_is_replaced_where_that_is_asked_for(tmp_path):
    out = tmp_path / "lab"
    open_experiment(out, SHORT, resume=False)
    (out / "runs").mkdir()
    with pytest.raises(ConfigError, match="--force to start anew"):
        open_experiment(out, SHORT, resume=False)
    open_experiment(out, SHORT, resume=False, force=True)
    assert [file.name for file in out.iterdir()] == ["experiment.json"]


def test_an_unknown_arm_stops_before_anything_is_made(tmp_path, capsys):
    assert main(["lab", "run", "--short", "--arms", "best", "--out", str(tmp_path / "lab")]) == 2
    assert "no arm best" in capsys.readouterr().err
    assert not (tmp_path / "lab").exists()


def test_arms_differ_in_the_reward_and_seeds_in_the_seed_alone(tmp_path):
    from dataclasses import replace

    plain = planner_config(tmp_path, SHORT, "tracelift", 0, tmp_path / "run")
    for name in ARMS:
        other = planner_config(tmp_path, SHORT, name, 0, tmp_path / "run")
        assert replace(other, reward=plain.reward) == plain
    seeded = planner_config(tmp_path, SHORT, "tracelift", 7, tmp_path / "run")
    assert replace(seeded, grpo=replace(seeded.grpo, seed=0)) == plain


def test_a_run_that_fails_is_named_and_the_others_go_on(out, capsys, monkeypatch):
    """Its bundle is gone: that run fails, with its words in its log, and the page is written all the same."""
    arms = ["lab", "run", "--short", "--steps", "2", "--out", str(out), "--resume", "--arms", "tracelift", "exec-only"]
    bundle = out / "bundles" / "listwise" / "bundle.json"
    kept = bundle.read_text(encoding="utf-8")
    bundle.write_text("{}", encoding="utf-8")
    try:
        assert main(arms) == 1
    finally:
        bundle.write_text(kept, encoding="utf-8")
    assert "exec-only/0" in capsys.readouterr().err
    assert "bundle.json" in (out / "runs" / "exec-only" / "0" / "log.txt").read_text(encoding="utf-8")
