"""`uplift` from the command line: the shipped sample groups, with the executor that needs no model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rm.cli.main import main
from rm.lab import TINY_BASE

GROUPS = str(TINY_BASE.parent / "data" / "groups_dev.jsonl")
QUICK = ["--executor.kind", "arithmetic", "--plan.kind", "sampled", "--plan.runs", "2", "--plan.baseline_runs", "2"]


def run(*arguments: object) -> int:
    return main(["uplift", *map(str, arguments)])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "uplift.jsonl"


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_row_a_trace_a_summary_and_a_page(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(GROUPS, *QUICK, "--cache", "none", "--limit", 3, "--out", out) == 0
    found = rows(out)
    assert {row["problem_id"] for row in found} == {row["problem_id"] for row in rows(Path(GROUPS))[:3]}
    assert all(row["runs"] == 1 or row["runs"] == 2 for row in found)
    positives = [row["value"] for row in found if row["kind"] == "positive"]
    assert positives == [1.0] * len(positives)
    assert json.loads(out.with_suffix(".summary.json").read_text())["problems"] == 3
    assert "<svg" in out.with_suffix(".html").read_text()
    assert "positives" in capsys.readouterr().out


def test_json_prints_the_summary(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(GROUPS, *QUICK, "--cache", "none", "--limit", 1, "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.with_suffix(".summary.json").read_text())


def test_what_is_there_is_not_replaced_without_force(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.with_suffix(".html").write_text("mine")
    assert run(GROUPS, *QUICK, "--cache", "none", "--limit", 1, "--out", out) == 2
    assert "--force" in capsys.readouterr().err
    assert out.with_suffix(".html").read_text() == "mine"
    assert not out.exists()
    assert run(GROUPS, *QUICK, "--cache", "none", "--limit", 1, "--out", out, "--force") == 0


@pytest.mark.parametrize(("limit", "told"), [(40, "of 40 problems is 8; 10 are sampled"), (60, "")])
def test_a_calibration_tells_that_it_samples_more_than_its_share(
    limit: int, told: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--executor.kind", "transformers", "--executor.path", "tiny", "--plan.kind", "calibrated"]
    assert run(GROUPS, *options, "--limit", limit, "--out", out, "--check") == 0
    error = capsys.readouterr().err
    assert told in error
    assert ("are sampled" in error) == bool(told)


def test_a_log_has_no_progress_bars(out: Path) -> None:
    options = ["--executor.kind", "transformers", "--executor.path", "tiny", "--plan.kind", "likelihood"]
    command = [sys.executable, "-m", "rm.cli.main", "uplift", GROUPS, *options, "--limit", "1", "--out", str(out)]
    ran = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    assert "Loading" not in ran.stderr
    assert "\r" not in ran.stderr


def test_a_task_type_that_names_no_task_is_told_once(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = {"problem": "2 + 3?", "task_type": "physics", "reference_solution": "5"}
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({**problem, "problem_id": str(n)}) + "\n" for n in range(3)))
    assert run(file, *QUICK, "--out", out, "--check") == 0
    assert capsys.readouterr().err.count("3 problems: task_type = 'physics' names neither math nor code") == 1


def test_check_reads_everything_and_writes_nothing(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(GROUPS, *QUICK, "--out", out, "--check") == 0
    assert "Data and configuration are sound." in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--executor.knid", "openai"], "--executor.kind"),
        (["--executor.kind", "openai", "--executor.model", "m"], "executor.endpoints"),
        (["--executor.kind", "nothing"], "executor.kind = 'nothing': choose one of openai, arithmetic"),
        (["--executor.path", "x"], "executor.kind = None: choose one of"),
        (["--plan.sign_probability", "0.3"], "plan: sign_probability"),
        (["--plan.runs", "0"], "plan.runs"),
        (["--sampling.top_p", "2"], "sampling.top_p"),
        (["--executor.kind", "arithmetic", "--executor.path", "x"], "executor.path"),
    ],
)
def test_a_wrong_configuration_is_told_before_anything_is_done(
    arguments: list[str], told: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(GROUPS, "--out", out, *arguments) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_without_an_output_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(GROUPS, *QUICK) == 2
    assert "--out" in capsys.readouterr().err


def test_data_that_cannot_be_checked_is_told_line_by_line(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"problem_id": "a", "problem": "What?"}\n{"problem_id": "b"}\n')
    assert run(bad, *QUICK, "--out", out) == 1
    told = capsys.readouterr().err
    assert "bad.jsonl:1" in told
    assert "bad.jsonl:2" in told


def test_baselines_are_kept_and_looked_after(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cache" / "baselines.sqlite"
    noisy = [
        "--executor.kind",
        "arithmetic",
        "--executor.error_rate",
        "0.5",
        "--plan.kind",
        "sampled",
        "--plan.runs",
        "2",
    ]
    for _ in range(2):
        assert run(GROUPS, *noisy, "--cache", cache, "--limit", 2, "--out", out, "--force") == 0
    assert "32 taken from the cache" in capsys.readouterr().out
    assert run("cache", "info", "--cache", cache, "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 32
    assert run("cache", "prune", "--cache", cache) == 2
    assert run("cache", "prune", "--cache", cache, "--all", "--json") == 0
    assert '"removed": 32' in capsys.readouterr().out
    assert run("cache", "info", "--cache", tmp_path / "nowhere") == 2


def test_the_tiny_base_can_be_an_executor(out: Path) -> None:
    """Not a good one: it was trained on traces, not on these prompts. But it runs, in this process."""
    options = ["--executor.kind", "transformers", "--executor.path", TINY_BASE, "--plan.kind", "official"]
    assert run(GROUPS, *options, "--cache", "none", "--sampling.max_tokens", 8, "--limit", 1, "--out", out) == 0
    assert all(row["runs"] == 3 for row in rows(out))


TINY = ["--executor.kind", "transformers", "--executor.path", TINY_BASE, "--cache", "none"]


def test_the_tiny_base_gives_likelihoods(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(GROUPS, *TINY, "--plan.kind", "likelihood", "--limit", 2, "--out", out) == 0
    found = rows(out)
    nats = [row["likelihood"] for row in found]
    assert all(isinstance(each, dict) and each["value_nats"] is not None and each["baseline_nats"] < 0 for each in nats)
    assert {row["value"] for row in found} == {None}
    assert "nats, answer masked" in capsys.readouterr().out
    assert "nats" in out.with_suffix(".html").read_text()
    assert json.loads(out.with_suffix(".summary.json").read_text())["likelihood"]["traces"] == len(found)


def test_calibrated_says_which_traces_were_sampled(out: Path) -> None:
    plan = ["--plan.kind", "calibrated", "--plan.runs", 2, "--plan.baseline_runs", 2, "--sampling.max_tokens", 4]
    assert run(GROUPS, *TINY, *plan, "--limit", 12, "--out", out) == 0
    sampled = {row["problem_id"] for row in rows(out) if row["method"] == "sampled"}
    assert len(sampled) == 10
    assert all(row["runs"] == (2 if row["problem_id"] in sampled else 0) for row in rows(out))
    assert json.loads(out.with_suffix(".summary.json").read_text())["calibration"]["sampled_problems"] == 10


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--executor.kind", "arithmetic", "--plan.kind", "likelihood"], "plan.kind = likelihood: executor.kind"),
        (["--executor.kind", "arithmetic", "--plan.kind", "calibrated"], "plan.kind = calibrated: executor.kind"),
        (
            [
                "--executor.kind=openai",
                "--executor.model=m",
                "--executor.endpoints=http://127.0.0.1:1/v1",
                "--executor.api=chat",
                "--plan.kind=likelihood",
            ],
            "executor.api = chat",
        ),
        ([*TINY, "--plan.kind", "calibrated", "--limit", 3], "the data has 3"),
        ([*TINY, "--plan.kind", "calibrated", "--plan.calibration_share", 1.5], "plan.calibration_share"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused_before_anything_runs(
    arguments: list[object], told: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(GROUPS, *arguments, "--out", out) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()
