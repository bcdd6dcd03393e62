"""Plain processes, for those who insist: they work the same, are limited, and say loudly what they do not stop."""

from __future__ import annotations

import asyncio
import os
import tempfile

import pytest

from rm.uplift.sandbox import Limits, RunResult, Sandbox, bubblewrap

PROGRAMS = {
    "sum": ("print(sum(map(int, input().split())))", "1 2"),
    "exit code": ("exit(7)", ""),
    "exception": ("1 / 0", ""),
    "busy": ("while True: pass", ""),
    "memory": ("x = bytearray(1 << 30)", ""),
    "output": ("while True: print('x' * 1000)", ""),
    "crash": ("import os\nos.abort()", ""),
    "child": ("import os, time\nif not os.fork(): time.sleep(600)", ""),
    "main": ("import os\nprint(__name__, os.listdir('.'), dict(os.environ))", ""),
}


@pytest.fixture(scope="module")
def results() -> dict[str, RunResult]:
    async def main() -> dict[str, RunResult]:
        limits = Limits(cpu_seconds=1, wall_seconds=8, memory_bytes=1 << 28, output_bytes=1 << 16)
        async with Sandbox(limits, workers=4, unsafe_subprocess=True) as sandbox:
            runs = [sandbox.run(*program) for program in PROGRAMS.values()]
            return dict(zip(PROGRAMS, await asyncio.gather(*runs), strict=True))

    return asyncio.run(main())


def test_results_are_those_of_the_sandbox(results):
    told = {name: (result.status, result.exit_code) for name, result in results.items()}
    assert told == {
        "sum": ("exited", 0),
        "exit code": ("exited", 7),
        "exception": ("exited", 1),
        "busy": ("timeout", None),
        "memory": ("memory", 1),
        "output": ("output", 1),
        "crash": ("killed", -6),
        "child": ("exited", 0),
        "main": ("exited", 0),
    }
    assert results["sum"].stdout == "3\n"
    assert results["main"].stdout == "__main__ ['main.py'] {}\n"
    assert len(results["output"].stdout) == 1 << 16


def test_it_needs_no_bubblewrap_and_says_what_it_does_not_stop(monkeypatch, caplog):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)

    async def main() -> RunResult:
        async with Sandbox(unsafe_subprocess=True) as sandbox:
            return await sandbox.run("print(1)")

    assert asyncio.run(main()).stdout == "1\n"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "WITHOUT A SANDBOX" in record.message


def test_no_file_is_left(results):
    assert [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("tracelift-plain-")] == []
