"""`tracelift-rm serve` as a process: it listens, refuses what it should, and on SIGTERM finishes its work."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture
def served(trained: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start the command; the process and its address."""
    processes = []

    def start(*options: str, model: Path = trained) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "rm.cli.main", "serve", str(model), "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving "), process.communicate()[1]
        return process, line.split(" on ")[1].split()[0]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_sigterm_finishes_what_was_accepted(served):
    process, url = served("--wait-ms", "1000")
    answers: list[httpx.Response] = []
    items = [{"problem": "What is 2 plus 3 ?", "reasoning": f"2 plus 3 makes {n} ."} for n in range(20)]
    asking = threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/score", json={"items": items})))
    asking.start()
    while "tracelift_queued_texts 20" not in httpx.get(f"{url}/metrics").text:
        assert asking.is_alive()
    process.send_signal(signal.SIGTERM)
    asking.join(60)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "All accepted requests are answered." in err
    assert "Traceback" not in err
    assert len([item for item in answers[0].json()["scores"] if item["score"] is not None]) == 20
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_sigint_is_an_interruption(served):
    process, url = served()
    assert httpx.get(f"{url}/ready").status_code == 200
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_bundle_is_served_and_refused_when_a_byte_of_it_is_another(served, run, trained, files, tmp_path):
    bundle = tmp_path / "bundle"
    config = Path("configs/reward-arithmetic.yaml")
    exported = run("reward", "export", "--model", trained, "--config", config, bundle, "--probes", files["dev"])
    assert exported.code == 0, exported.err
    _, url = served("--uplift.plan.runs", "2", model=bundle)
    row = {"problem": "What is 2 plus 3 ?", "reference_solution": "5", "completion": "2 + 3 = 5"}
    answer = httpx.post(f"{url}/reward", json={"items": [row]}).json()["rewards"][0]
    assert answer["reward"] is not None
    assert answer["parts"]["uplift"]["runs"] == 2
    assert run("serve", bundle, "--dtype", "bfloat16", "--port", 0).code == 2
    reward = bundle / "reward.json"
    reward.write_text(json.dumps({**json.loads(reward.read_text()), "formula": "exec-only-v1"}))
    refused = run("serve", bundle, "--port", 0)
    assert refused.code == 2
    assert "reward.json" in refused.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "--api-key-env"),
        (["--api-key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY"),
        (["--port", "70000"], "65535"),
        (["--max-items", "10", "--queue", "5"], "--queue"),
        (["--queue", "0"], "positive"),
        (["--wait-ms", "nan"], "milliseconds"),
        (["--substitute", "inf"], "a number"),
        (["--uplift.seed", "3"], "an option of bundles"),
    ],
)
def test_wrong_usage_is_told(run, trained, options, told):
    assert "NO_SUCH_KEY" not in os.environ
    ran = run("serve", trained, "--port", 0, *options)
    assert ran.code == 2
    assert told in ran.err


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ran = run("serve", "no-such-model-either", "--port", other.getsockname()[1])
    assert ran.code == 1
    assert "--port" in ran.err


def test_a_model_that_is_not_there_is_told(run, tmp_path):
    ran = run("serve", tmp_path / "nothing", "--port", 0)
    assert ran.code == 2
    assert "nothing" in ran.err
