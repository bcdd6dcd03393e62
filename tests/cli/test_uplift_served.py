"""`uplift` from the command line against a server that refuses, breaks, hangs, or goes away, and after a kill -9."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main
from rm.uplift.verifiers import table

PROJECT = Path(__file__).parents[2]
KEY = "sk-very-secret-0123456789"
PROBE = 4
"""Requests before the first of the measurement; a few more, and there is something to keep."""
LATER = PROBE + 12

spec = importlib.util.spec_from_file_location("openai_server", PROJECT / "tests" / "uplift" / "openai_server.py")
serving = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serving)
Answer, as_json, served = serving.Answer, serving.as_json, serving.served


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    """12 problems of two traces."""
    rows = [
        {
            "problem_id": f"p{i}",
            "problem": f"What is {i} + 1?",
            "task_type": "math",
            "reference_solution": "7",
            "traces": [f"It is {i + 1}.", "Think."],
        }
        for i in range(12)
    ]
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def options(data: Path, out: Path, address: str) -> list[str]:
    settings = {
        "executor.kind": "openai",
        "executor.model": "served-1",
        "executor.endpoints": address,
        "executor.concurrency": "4",
        "executor.retries": "1",
        "executor.timeout_s": "2",
        "executor.backoff_s": "0.01",
        "executor.backoff_max_s": "0.02",
        "executor.breaker_pause_s": "0.02",
        "plan.kind": "sampled",
        "plan.runs": "3",
        "plan.baseline_runs": "4",
        "attempts": "2",
        "cache": "none",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return ["uplift", str(data), "--out", str(out), *words]


def later(answer: Any) -> Callable[[int, dict[str, Any]], Any]:
    """Goes wrong for good once some results are there."""
    return lambda number, body: answer if number >= LATER else None


def always(answer: Any) -> Callable[[int, dict[str, Any]], Any]:
    return lambda number, body: answer


def silent(number: int, body: dict[str, Any]) -> Any:
    return as_json({"choices": [{"text": "", "finish_reason": "stop"}] * body.get("n", 1)})


def a_third(prompt: str, seed: int) -> str:
    """7, which is right, for a third of the seeds."""
    return str(6 + seed % 3)


HTML = Answer(body=b"<!DOCTYPE html><html><body>Welcome</body></html>")
CUT = Answer(body=b'{"choices": [{"text": "7"')
REFUSED = as_json({"error": {"message": f"Incorrect API key provided: {KEY}."}}, 401)
UNKNOWN = as_json({"error": {"message": "The model does not exist."}}, 404)
BAD: dict[str, tuple[Any, int, str]] = {  # what the server does, exit code, what is told
    "html page": (always(HTML), 1, "No endpoint answers: html page"),
    "html page later": (later(HTML), 1, "completions were lost, more than the limit of 50%"),
    "truncated": (always(CUT), 1, "No endpoint answers: broken json"),
    "truncated later": (later(CUT), 1, "broken json"),
    "hangs": (always(Answer(hang=True)), 1, "no answer in 0.3 s"),
    "hangs later": (later(Answer(hang=True)), 1, "no answer in 0.3 s"),
    "dies later": (later(Answer(cut=0)), 1, "connection"),
    "refused key": (always(REFUSED), 2, "refuses access (HTTP 401): Incorrect API key provided: ***. Check the key"),
    "refused key later": (later(REFUSED), 2, "environment variable MY_KEY"),
    "wrong model": (always(UNKNOWN), 2, "The model does not exist. It serves: served-1, served-2."),
    "nothing but empty": (silent, 2, "empty completions"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_server_is_told_in_a_sentence_and_what_is_done_is_kept(
    case: str, problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, code, told = BAD[case]
    monkeypatch.setenv("MY_KEY", KEY)
    out = tmp_path / "out.jsonl"
    with served(fault=fault) as server:
        command = [*options(problems, out, server.address), "--executor.api_key_env", "MY_KEY"]
        quick = ["--executor.timeout_s", "0.3"] if "hangs" in case else []
        assert main([*command, *quick]) == code
        error = capsys.readouterr().err
        assert told in error
        assert "Traceback" not in error
        assert KEY not in error
        assert ("What is done is kept; the same command goes on from there." in error) == ("later" in case)
        assert not out.exists()
        if "later" in case:
            before = len(server.bodies)
            server.fault = always(None)
            assert main([*command, *quick]) == 0
            assert 0 < len(server.bodies) - before < 4 + 36 + PROBE
            assert len(out.read_text().splitlines()) == 24


def test_nobody_listens(problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served() as server:
        pass
    assert main(options(problems, tmp_path / "out.jsonl", server.address)) == 1
    assert f"No endpoint answers: connection: {server.address}" in capsys.readouterr().err


def test_empty_completions_are_counted_failures(
    problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(fault=lambda number, body: silent(number, body) if number >= PROBE else None) as server:
        assert main(options(problems, tmp_path / "out.jsonl", server.address)) == 0
    assert "Failed runs: 120 empty completion." in capsys.readouterr().out


def test_killed_and_repeated_it_asks_for_nothing_finished_again_and_gives_the_same(
    problems: Path, tmp_path: Path
) -> None:
    """kill -9 of the real command in mid-run, then the same command; beside it one that nobody interrupts."""

    def start(server: Any, out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "rm.cli.main", *options(problems, out, server.address)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def asked(server: Any) -> Counter[tuple[str, int]]:
        """(prompt, seed) of every completion that was asked for, without the probe's."""
        bodies = [body for body in server.bodies if body["max_tokens"] > 24]
        return Counter((body["prompt"], body["seed"] + i) for body in bodies for i in range(body.get("n", 1)))

    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    with served(delay=0.1, slots=8, write=a_third) as server, served(write=a_third) as other:
        uninterrupted = start(other, whole)
        process = start(server, out)
        work = tmp_path / ".out.jsonl.partial"
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and (not work.exists() or work.read_bytes().count(b'"result"') < 4):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not out.exists()
        before = asked(server)
        server.delay = 0.0
        assert start(server, out).wait() == 0
        assert uninterrupted.wait() == 0
        once = asked(other)
    assert out.read_bytes() == whole.read_bytes()
    assert asked(server).keys() == once.keys()
    assert 0 < before.total() < once.total() == 120
    assert asked(server).total() - 120 <= 4 * 4  # of the 4 requests under way when it was killed


@pytest.mark.parametrize(("done", "told"), [(0, "Interrupted."), (1, "Interrupted. What is done is kept")])
def test_ctrl_c_says_that_work_is_kept_only_where_there_is_some(
    problems: Path, tmp_path: Path, done: int, told: str
) -> None:
    work = tmp_path / ".out.jsonl.partial"
    with served(delay=0.3, slots=2, write=a_third) as server:
        command = [sys.executable, "-m", "rm.cli.main", *options(problems, tmp_path / "out.jsonl", server.address)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None and (len(server.bodies) <= PROBE or not work.exists()):
                time.sleep(0.01)
            while process.poll() is None and work.read_bytes().count(b"\n") < 1 + done:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith(told)
    assert ("kept" in error) == work.exists() == bool(done)


class Throws:
    """A verifier with a defect."""

    version = "throws-1"

    async def verify(self, completion: str, problem: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("limit", "told"), [("2", ""), ("12", "completions could not be judged, more than the limit")])
def test_a_verifier_that_throws_judges_nothing(
    limit: str,
    told: str,
    problems: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(table.VERIFIERS, "math", (table.MathOptions, lambda options: Throws()))
    out = tmp_path / "out.jsonl"
    with served() as server:
        assert main([*options(problems, out, server.address), "--limit", limit]) == 1
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    if told:
        assert told in output.err
        assert "verifier raised ZeroDivisionError" in output.err
        return
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["value"] for row in found] == [None] * 4
    assert found[0]["failures"] == {"unjudged: verifier raised ZeroDivisionError": 6}
    assert "4 could not be measured" in output.out
