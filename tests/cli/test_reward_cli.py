"""`reward export|show|check|score|push` from the command line, on a trained run and the arithmetic executor."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from rm.cli.reward import BATCH
from rm.errors import RunError
from rm.reward.scorer import TraceLiftReward
from rm.workfile import WorkFile

QUICK = ["--uplift.cache", "none", "--uplift.plan.kind", "sampled", "--uplift.plan.runs", "2"]


@pytest.fixture(scope="module")
def bundle(trained: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run of two steps, exported once."""
    from rm.cli.main import main

    out = tmp_path_factory.mktemp("bundle") / "reward"
    argv = ["reward", "export", out, "--model", trained, "--probes", files["dev"], *QUICK]
    assert main([str(each) for each in argv]) == 0
    return out


@pytest.fixture
def rows(write) -> Path:
    """Completions of one problem."""
    problem = {"problem_id": "p", "problem": "What is 3 plus 4 ?", "reference_solution": "7"}
    texts = ["<reasoning>3 + 4 = 7</reasoning>", "3 plus 4 makes 8 .", ""]
    return write(*[{**problem, "completion": text} for text in texts])


def test_export_tells_what_was_written(run, trained, files, tmp_path):
    out = tmp_path / "reward"
    metrics = tmp_path / "metrics.json"
    metrics.write_text('{"pair_accuracy": 0.75, "intervals": {}}')
    argv = ["reward", "export", out, "--model", trained, "--probes", files["dev"], "--metrics", metrics, *QUICK]
    ran = run(*argv, "--json")
    report = json.loads(ran.out)
    assert (ran.code, report["model"], report["probes"]) == (0, "merged", 12)
    assert "| pair accuracy | 0.750 |" in (out / "README.md").read_text()
    assert run(*argv).code == 2
    assert run(*argv, "--force").code == 0


def test_show_check_and_score(run, bundle, rows, tmp_path):
    shown = run("reward", "show", bundle)
    assert shown.code == 0
    assert "tracelift-math-v1: 0.5 * end_to_end + 0.5 * rm * uplift" in shown.out
    assert json.loads(run("reward", "show", bundle, "--json").out)["config"]["formula"] == "tracelift-math-v1"
    checked = json.loads(run("reward", "check", bundle, "--json").out)
    assert (checked["probes"], checked["executor"]) == (12, "answers")
    scored = run("reward", "score", bundle, "--input", rows, "--output", tmp_path / "out.jsonl", "--explain")
    assert scored.code == 0
    assert scored.out.count("reward ") >= 3
    assert "of 2 runs with the trace" in scored.out
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["problem_id"] for row in found] == ["p"] * 3
    assert found[0]["parts"]["uplift"]["value"] == 1.0
    assert found[0]["reward"] > found[1]["reward"]
    printed = run("reward", "score", bundle, "--input", rows, "--output", "-")
    assert [json.loads(line)["reward"] for line in printed.out.splitlines()] == [row["reward"] for row in found]


def test_options_of_this_machine(run, bundle, rows, tmp_path):
    ran = run("reward", "score", bundle, "--input", rows, "--output", tmp_path / "o", "--uplift.plan.runs", "3")
    assert ran.code == 0
    assert "rewards will differ from those of the bundle" in ran.err
    assert json.loads((tmp_path / "o").read_text().splitlines()[0])["parts"]["uplift"]["runs"] == 3


def test_an_executor_that_is_down_fails_the_check(run, trained, files, tmp_path):
    out = tmp_path / "reward"
    server = ["--uplift.executor.kind", "openai", "--uplift.executor.model", "m"]
    address = ["--uplift.executor.endpoints", "http://127.0.0.1:9/v1", "--uplift.executor.retries", "0"]
    argv = ["reward", "export", out, "--model", trained, "--probes", files["dev"], *server, *address]
    assert run(*argv).code == 0
    ran = run("reward", "check", out)
    assert ran.code == 1
    assert "127.0.0.1:9" in ran.err
    assert "not asked" in run("reward", "check", out, "--no-executor").out


def test_rows_that_cannot_be_rewarded_are_named_by_line(run, bundle, write, tmp_path):
    bad = write({"problem": "1 + 1?", "reference_solution": "2", "completion": "2"}, {"problem": "1 + 1?"})
    ran = run("reward", "score", bundle, "--input", bad, "--output", tmp_path / "out.jsonl")
    assert ran.code == 1
    assert f"{bad}:2: completion = missing, expected text." in ran.err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--formula", "best-v1"], "There is no formula 'best-v1'. Choose one of: tracelift-math-v1"),
        (["--weights", "{rm: 1}"], "weights.rm: tracelift-math-v1 has no such weight"),
        (["--rubric_floor", "2"], "rubric_floor = 2"),
        (["--uplift.plann.runs", "2"], "--uplift.plann.runs: no such option"),
        (["--formula", "tracelift-code-v1", "--uplift.partial", "true"], "uplift.partial"),
        (["--prior.with_trace", "[1]", "--prior.baseline", "[1, 2]"], "prior.with_trace"),
    ],
)
def test_a_configuration_that_cannot_be(run, trained, tmp_path, argv, message):
    ran = run("reward", "export", tmp_path / "out", "--model", trained, *argv)
    assert ran.code == 2
    assert message in ran.err


def test_no_bundle_and_no_model(run, tmp_path, trained):
    assert "no such directory" in run("reward", "show", tmp_path / "none").err
    assert "bundle.json is missing" in run("reward", "check", trained).err
    assert "needs a reward model: --model RM" in run("reward", "export", tmp_path / "out").err


@pytest.mark.parametrize("name", ["reward-math", "reward-code", "reward-arithmetic"])
def test_the_shipped_configurations_are_sound(name):
    from rm.config import load_config
    from rm.reward.config import RewardConfig

    config = load_config(RewardConfig, Path(__file__).parents[2] / "configs" / f"{name}.yaml")
    assert config.recipe().formula.name in ("tracelift-math-v1", "tracelift-code-v1")


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (RunError("The executor is gone."), 1)])
def test_scoring_that_stops_goes_on_from_there(run, bundle, rows, tmp_path, monkeypatch, stop, code):
    score, calls = TraceLiftReward.score_sync, []

    def second_fails(self, items):
        calls.append(items)
        if len(calls) == 2:
            raise stop
        return score(self, items)

    monkeypatch.setattr("rm.cli.reward.BATCH", 2)
    monkeypatch.setattr(TraceLiftReward, "score_sync", second_fails)
    out, work = tmp_path / "rewards.jsonl", tmp_path / ".rewards.jsonl.partial"
    argv = ["reward", "score", bundle, "--input", rows, "--output", out]
    ran = run(*argv)
    assert (ran.code, out.exists(), work.exists()) == (code, False, True)
    assert "2 of 3 rows are done and kept" in ran.err

    other = run(*argv, "--uplift.plan.runs", "3")
    assert other.code == 2
    assert "uplift.plan.runs: 2 then, 3 now" in other.err
    assert "--force" in other.err

    assert run(*argv).code == 0
    assert [len(items) for items in calls] == [2, 1, 1]
    assert not work.exists()
    run("reward", "score", bundle, "--input", rows, "--output", tmp_path / "whole.jsonl")
    assert out.read_text() == (tmp_path / "whole.jsonl").read_text()


def test_a_stop_before_anything_was_done_promises_nothing(run, bundle, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(TraceLiftReward, "score_sync", Mock(side_effect=KeyboardInterrupt))
    ran = run("reward", "score", bundle, "--input", rows, "--output", tmp_path / "out.jsonl")
    assert ran.code == 130
    assert "done" not in ran.err


def test_force_starts_afresh_where_other_work_is_left(run, bundle, rows, tmp_path):
    out = tmp_path / "out.jsonl"
    with WorkFile(out, {"rows": "others"}, print) as work:
        work.append({"index": 0, "result": {"reward": 7.0}})
    argv = ["reward", "score", bundle, "--input", rows, "--output", out]
    assert run(*argv).code == 2
    assert run(*argv, "--force").code == 0
    assert 7.0 not in [json.loads(line)["reward"] for line in out.read_text().splitlines()]
    assert not work.path.exists()


def test_a_killed_command_is_repeated_and_goes_on(run, bundle, write, tmp_path):
    problem = {"problem": "What is 3 plus 4 ?", "reference_solution": "7"}
    rows = write(*[{**problem, "completion": f"3 plus 4 makes {n} ."} for n in range(3 * BATCH)])
    out, work = tmp_path / "rewards.jsonl", tmp_path / ".rewards.jsonl.partial"
    argv = ["reward", "score", str(bundle), "--input", str(rows), "--output", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "rm.cli.main", *argv], stderr=subprocess.DEVNULL)
    while process.poll() is None and (not work.exists() or work.read_bytes().count(b"\n") <= BATCH):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not out.exists()
    kept = work.read_bytes().count(b"\n") - 1
    assert BATCH <= kept < 3 * BATCH
    ran = run(*argv)
    assert ran.code == 0
    assert f"{kept:,} of 768 rows are done already" in ran.err
    assert not work.exists()
    assert run("reward", "score", bundle, "--input", rows, "--output", tmp_path / "whole.jsonl").code == 0
    again, whole = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("rewards.jsonl", "whole.jsonl")
    )
    assert [row["reward"] for row in again] == pytest.approx([row["reward"] for row in whole], abs=1e-5)
    assert [row["completion"] for row in again] == [row["completion"] for row in whole]
