"""`reward export|show|check|score|push` from the command line, on a trained run and the arithmetic executor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rm.errors import RunError
from rm.reward.scorer import TraceLiftReward

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
def test_what_is_done_is_kept_when_scoring_stops(run, bundle, rows, tmp_path, monkeypatch, stop, code):
    score, calls = TraceLiftReward.score_sync, []

    def second_fails(self, items):
        calls.append(items)
        if len(calls) == 2:
            raise stop
        return score(self, items)

    monkeypatch.setattr("rm.cli.reward.BATCH", 2)
    monkeypatch.setattr(TraceLiftReward, "score_sync", second_fails)
    out = tmp_path / "rewards.jsonl"
    ran = run("reward", "score", bundle, "--input", rows, "--output", out)
    kept = [json.loads(line) for line in Path(f"{out}.partial").read_text().splitlines()]
    assert (ran.code, len(kept), out.exists()) == (code, 2, False)
    assert "The first 2 of 3 rows are done" in ran.err
    assert kept[0]["formula"] == "tracelift-math-v1"
