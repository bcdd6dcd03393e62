"""A real server, `transformers serve` on loopback with the tiny executor, and the same model in this process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main
from rm.lab import SAMPLE_DEV, TINY_EXECUTOR

pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
pytest.importorskip("openai", reason="transformers serve needs openai")

PROBLEMS, RUNS, BASELINE_RUNS = 5, 4, 8
START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until its health page answers; what it wrote, where it died instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, log = free_port(), tmp_path_factory.mktemp("serve") / "log.txt"
    start = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", start, "serve", str(TINY_EXECUTOR), *options], stdout=out, stderr=out, env=offline
        )
        try:
            wait_for(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def measured(out: Path, *executor: object) -> list[dict[str, Any]]:
    """The rows of a whole run from the command line."""
    plan = ["--plan.kind", "sampled", "--plan.runs", RUNS, "--plan.baseline_runs", BASELINE_RUNS]
    options = [*executor, *plan, "--sampling.max_tokens", 12, "--cache", "none", "--limit", PROBLEMS, "--out", out]
    assert main(["uplift", str(SAMPLE_DEV), *map(str, options)]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("here") / "uplift.jsonl"
    return measured(out, "--executor.kind", "transformers", "--executor.path", "tiny", "--executor.dtype", "float32")


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_served_and_in_process_agree_within_their_intervals(
    api: str, address: str, in_process: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ["--executor.kind", "openai", "--executor.endpoints", address, "--executor.model", TINY_EXECUTOR]
    served = measured(tmp_path / "uplift.jsonl", *server, "--executor.api", api)
    assert "ignores n: samples are asked for one by one." in capsys.readouterr().err
    key = ("problem_id", "trace", "kind")
    assert [[row[name] for name in key] for row in served] == [[row[name] for name in key] for row in in_process]
    for there, here in zip(served, in_process, strict=True):
        assert (there["runs"], there["baseline_runs"], there["failures"]) == (RUNS, BASELINE_RUNS, {})
        assert there["low"] <= here["high"], there
        assert here["low"] <= there["high"], there
    assert all(row["value"] > 0.5 for row in served if row["kind"] == "positive")
