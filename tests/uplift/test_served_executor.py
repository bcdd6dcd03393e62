"""A real server, `transformers serve` on loopback with the tiny executor, and the same model in this process."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rm.cli.main import main
from rm.lab import SAMPLE_DEV, TINY_EXECUTOR

spec = importlib.util.spec_from_file_location("transformers_server", Path(__file__).with_name("transformers_server.py"))
transformers_server = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(transformers_server)

PROBLEMS, RUNS, BASELINE_RUNS = 5, 4, 8


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_server.serving(tmp_path_factory.mktemp("serve") / "log.txt") as address:
        yield address


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
