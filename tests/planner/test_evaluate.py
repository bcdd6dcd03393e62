"""The real command on the taught planner and the shipped executor: figures are the runs', and a stop costs nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from rm.cli.main import main
from rm.lab import SAMPLE_DEV
from rm.planner.summary import Outcome, compare_planners, compared
from rm.planner.traces import ALONE
from rm.uplift.executors.arithmetic import ArithmeticExecutor
from rm.uplift.executors.transformers import TransformersExecutor

Row = dict[str, Any]
Argv = Callable[..., list[str]]
SAMPLES = 3


@pytest.fixture(scope="module")
def evaluate_argv(tmp_path_factory: pytest.TempPathFactory, planner: Path, problems: Path) -> Argv:
    """An evaluation of the taught planner on its problems; further arguments come last."""
    user = "<task>math</task>\n<type>math</type>\n<problem>\n{problem}\n</problem>\n<reasoning>\n"
    config = {
        "executor": {"kind": "arithmetic", "error_rate": 0.3},
        "planner_sampling": {"temperature": 1.0, "max_tokens": 64},
        "prompt": {"format": "plain", "system": "", "user": user},
        "samples": SAMPLES,
        "k": [1, 2],
        "cache": "none",
    }
    file = tmp_path_factory.mktemp("config") / "evaluate.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")

    def make(
        out: Path, *more: object, planners: Sequence[object] = (planner,), benchmark: Path = problems
    ) -> list[str]:
        start = ["planner", "evaluate", "--planner", *map(str, planners), "--benchmark", str(benchmark)]
        return [*start, "--config", str(file), "--out", str(out), *map(str, more)]

    return make


@pytest.fixture(scope="module")
def done(evaluate_argv: Argv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished evaluation."""
    out = tmp_path_factory.mktemp("done") / "evaluation"
    assert main(evaluate_argv(out)) == 0
    return out


def test_the_figures_are_those_of_the_runs(done, lines, planner):
    metrics = json.loads((done / "metrics.json").read_text())
    right: dict[str, list[int]] = defaultdict(list)
    alone: dict[str, float] = {}
    for row in lines(done / "results.jsonl"):
        assert row["kind"] == planner.name
        assert row["runs"] == 1
        assert row["baseline_runs"] in (0, 1, SAMPLES)
        right[row["problem_id"]].append(int(row["successes"]))
        alone[row["problem_id"]] = row["baseline_successes"] / SAMPLES
    assert len(right) == 4
    assert all(len(found) == SAMPLES for found in right.values())
    own = metrics["systems"][planner.name]
    mean = sum(sum(found) / SAMPLES for found in right.values()) / 4
    assert own["accuracy"]["value"] == pytest.approx(mean)
    assert 0 < mean < 1
    # pass@2 of three: both pairs that miss are without a right one.
    misses = [(3 - sum(found)) * (2 - sum(found)) / 6 for found in right.values()]
    assert own["pass_at_k"]["2"]["value"] == pytest.approx(1 - sum(misses) / 4)
    base = metrics["systems"]["none"]["accuracy"]["value"]
    assert base == pytest.approx(sum(alone.values()) / 4)
    assert own["gain"]["difference"] == pytest.approx(mean - base)
    assert own["accuracy"]["low"] <= mean <= own["accuracy"]["high"]
    assert metrics["lost_runs"] == 0


def test_traces_are_described(done, lines, planner):
    metrics = json.loads((done / "metrics.json").read_text())["traces"][planner.name]
    written = [each for row in lines(done / "traces.jsonl") for each in row["completions"]]
    assert metrics["traces"] == len(written) == 4 * SAMPLES
    assert metrics["mean_tokens"] == pytest.approx(sum(each["tokens"] for each in written) / len(written))
    assert metrics["cut_off"] == pytest.approx(sum(not each["finished"] for each in written) / len(written))
    page = (done / "report.html").read_text()
    assert "Where traces helped most" in page
    assert "<script" not in page
    assert "sampled by" not in page


def test_a_stopped_evaluation_goes_on(evaluate_argv, done, monkeypatch, tmp_path, run, lines):
    """The planner's engine fails after one problem; then the executor does; then all is as without a stop."""
    out = tmp_path / "evaluation"
    sample = TransformersExecutor.sample
    asked: list[str] = []

    async def planner_once(self: Any, prompt: Any, *rest: Any) -> Any:
        asked.append(prompt.text)
        if len(asked) > 1:
            raise OSError("the engine is gone")
        return await sample(self, prompt, *rest)

    monkeypatch.setattr(TransformersExecutor, "sample", planner_once)
    assert run(*evaluate_argv(out, "--at_once", "1")).code == 1
    monkeypatch.setattr(TransformersExecutor, "sample", sample)
    assert len(lines(out / "traces.jsonl")) == 1
    with (out / "traces.jsonl").open("a") as file:
        file.write('{"planner": "half a li')

    async def gone(self: Any, *rest: Any) -> Any:
        raise OSError("no executor")

    with monkeypatch.context() as patch:
        patch.setattr(ArithmeticExecutor, "sample", gone)
        assert run(*evaluate_argv(out)).code == 1
    assert len(lines(out / "traces.jsonl")) == 4
    assert not (out / "metrics.json").exists()
    assert main(evaluate_argv(out)) == 0
    ours, theirs = (json.loads((each / "metrics.json").read_text()) for each in (out, done))
    assert ours["systems"] == theirs["systems"]


def test_an_unfinished_evaluation_of_something_else_is_told(evaluate_argv, monkeypatch, tmp_path, run):
    out = tmp_path / "evaluation"

    async def gone(self: Any, *rest: Any) -> Any:
        raise OSError("no executor")

    with monkeypatch.context() as patch:
        patch.setattr(ArithmeticExecutor, "sample", gone)
        assert run(*evaluate_argv(out, planners=("none",))).code == 1
    other = run(*evaluate_argv(out, "--samples", "2", planners=("none",)))
    assert other.code == 2
    assert "unfinished evaluation of something else" in other.err
    assert run(*evaluate_argv(out, "--samples", "2", "--force", planners=("none",))).code == 0


def test_planners_side_by_side_get_the_same_runs_for_the_same_traces(evaluate_argv, planner, tmp_path, run, lines):
    """A copy under another name: the same traces, the same runs, no difference."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in planner.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    ran = run(*evaluate_argv(tmp_path / "out", "--json", planners=("none", planner, copy)))
    assert ran.code == 0, ran.err
    metrics = json.loads(ran.out)
    systems = metrics["systems"]
    assert list(systems) == ["none", planner.name, "copy"]
    assert systems["copy"] == systems[planner.name]
    [compared] = metrics["comparisons"]
    assert (compared["planner"], compared["reference"]) == ("copy", planner.name)
    assert (compared["difference"], compared["low"], compared["high"], compared["p"]) == (0, 0, 0, 1)
    assert f"copy against {planner.name}, on the same problems" in (tmp_path / "out" / "report.html").read_text()


def test_planners_are_compared_with_the_first_problem_by_problem():
    def outcomes(*successes: int) -> list[Outcome]:
        return [Outcome(each, 4) for each in successes]

    lost = Outcome(0, 0)
    found = compare_planners(
        {ALONE: outcomes(0, 0, 0), "b": [*outcomes(1, 2), lost], "a": outcomes(3, 4, 4), "c": outcomes(1, 2, 0)}, 0
    )
    assert [(each["planner"], each["reference"], each["n"]) for each in found] == [("a", "b", 2), ("c", "b", 2)]
    assert [each["difference"] for each in found] == [0.5, 0.0]
    assert compared(found[0]).startswith("a against b, on the same problems: +50.0 points (+50.0 to +50.0), p ")
    assert compare_planners({ALONE: outcomes(1)}, 0) == []
    [nothing] = compare_planners({ALONE: [lost], "a": [lost], "b": [lost]}, 0)
    assert compared(nothing) == ""


def test_equal_traces_have_runs_of_their_own(evaluate_argv, tmp_path, run, lines):
    """A greedy planner writes one trace; the executor, which slips, is run on it as often as there are samples."""
    options = ("--planner_sampling.temperature", "0", "--samples", "8", "--executor.error_rate", "0.5")
    assert run(*evaluate_argv(tmp_path / "out", *options)).code == 0
    by_problem: dict[str, set[float]] = defaultdict(set)
    for row in lines(tmp_path / "out" / "traces.jsonl"):
        assert len({each["text"] for each in row["completions"]}) == 1
    for row in lines(tmp_path / "out" / "results.jsonl"):
        by_problem[row["problem_id"]].add(row["successes"])
    assert {0.0, 1.0} in by_problem.values()


def test_a_greedy_executor_has_one_run_without_a_trace_and_loses_none(evaluate_argv, tmp_path, run):
    ran = run(*evaluate_argv(tmp_path / "out", "--sampling.temperature", "0", "--json"))
    assert ran.code == 0, ran.err
    metrics = json.loads(ran.out)
    assert metrics["systems"]["none"]["runs"] == 4
    assert metrics["lost_runs"] == 0


def test_the_executor_alone(evaluate_argv, tmp_path, run):
    ran = run(*evaluate_argv(tmp_path / "out", "--limit", "3", planners=("none",), benchmark=SAMPLE_DEV))
    assert ran.code == 0, ran.err
    assert "none" in ran.out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["problems"] == 3
    assert metrics["traces"] == {}
    assert metrics["systems"]["none"]["runs"] == 3 * SAMPLES


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--k", "1", "4"), "pass@4 needs at least 4 samples"),
        (("--prompt.user", "no place"), "prompt.user: no {problem} in it"),
        (("--engine.kind", "arithmetic"), "engine"),
        (("--limit", "0"), "expected a positive number"),
        (("--executor.kind", "nothing"), "executor"),
    ],
)
def test_wrong_usage_is_told(evaluate_argv, tmp_path, run, options, told):
    ran = run(*evaluate_argv(tmp_path / "out", *options))
    assert ran.code == 2
    assert told in ran.err


def test_a_directory_without_a_language_model_is_told_and_leaves_nothing(evaluate_argv, bundle, planner, tmp_path, run):
    out, run_like = tmp_path / "evaluation", tmp_path / "run"
    run_like.mkdir()
    (run_like / "model").symlink_to(planner, target_is_directory=True)
    for name, message in (
        (run_like, f"holds no model (config.json). Did you mean {run_like / 'model'}?"),
        (bundle / "model", "RewardModel, which writes nothing. Name a language model."),
    ):
        for check in ((), ("--check",)):
            ran = run(*evaluate_argv(out, *check, planners=(name,)))
            assert (ran.code, message in ran.err) == (2, True)
            assert not out.exists()


def test_a_planner_that_is_not_there_is_told(evaluate_argv, tmp_path, run):
    ran = run(*evaluate_argv(tmp_path / "out", planners=("./nowhere",)))
    assert ran.code == 2
    assert "planner: path: no such directory: ./nowhere" in ran.err


@pytest.mark.parametrize(
    ("executor", "code", "told"),
    [
        ({"kind": "transformers", "path": "./nowhere"}, 2, "executor.path: no such directory: ./nowhere"),
        ({"kind": "openai", "endpoints": ["http://127.0.0.1:9/v1"], "model": "m", "retries": 0}, 1, "127.0.0.1:9"),
    ],
    ids=["directory", "server"],
)
def test_an_executor_that_cannot_be_had_is_told_before_traces_are_written(
    evaluate_argv, tmp_path, run, executor, code, told
):
    out = tmp_path / "out"
    argv = evaluate_argv(out)
    place = argv.index("--config") + 1
    config = yaml.safe_load(Path(argv[place]).read_text())
    argv[place] = str(tmp_path / "evaluate.yaml")
    Path(argv[place]).write_text(yaml.safe_dump({**config, "executor": executor}))
    ran = run(*argv)
    assert (ran.code, told in ran.err) == (code, True), ran.err
    assert not out.exists()


def test_a_finished_evaluation_is_not_replaced(evaluate_argv, done, run):
    before = (done / "metrics.json").read_bytes()
    ran = run(*evaluate_argv(done))
    assert ran.code == 2
    assert "exists already" in ran.err
    assert (done / "metrics.json").read_bytes() == before
    checked = run(*evaluate_argv(done, "--check"))
    assert checked.code == 0
    assert "problems         4" in checked.out


def test_an_executor_that_is_down_is_told(problems, tmp_path, run):
    down = ("--executor.kind", "openai", "--executor.model", "m", "--executor.retries", "0", "--cache", "none")
    where = ("--executor.endpoints", "http://127.0.0.1:9/v1", "--out", tmp_path / "out")
    ran = run("planner", "evaluate", "--planner", "none", "--benchmark", problems, *down, *where)
    assert ran.code == 1
    assert "127.0.0.1:9" in ran.err
