"""A measurement that is killed and started again: nothing twice, and the same results."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rm.errors import ConfigError, RunError
from rm.uplift.journal import Journal
from rm.uplift.results import LikelihoodResult, TraceResult
from rm.uplift.runs import Run, Slot

SCRIPT = Path(__file__).with_name("simulated.py")
IDENTITY = {"data": "abc", "seed": 0}
RESULT = TraceResult(
    "p",
    0,
    "positive",
    0.5,
    0.1,
    0.9,
    "sampled",
    4,
    4,
    4,
    8,
    notes=("short",),
    failed_runs={"wrong": 1},
    likelihood=LikelihoodResult(1.5, None, -2.0, 1, 0, 12),
)
SLOTS = [Slot(0, Run(0, 7, True, 1.0)), Slot(1, Run(1, 8, False, 0.5, "failed test"), ("lost: timeout",))]


def start(out, cache, calls, seconds, plan="sampled"):
    return subprocess.Popen([sys.executable, str(SCRIPT), str(out), str(cache), str(calls), str(seconds), plan])


@pytest.mark.parametrize("cached", [True, False], ids=["cache", "no cache"])
def test_killed_and_repeated_it_gives_the_same_and_asks_for_nothing_finished_again(tmp_path, cached):
    def cache(name):
        return tmp_path / f"{name}.sqlite" if cached else "none"

    whole, out = tmp_path / "whole.jsonl", tmp_path / "uplift.jsonl"
    calls, calls_whole = tmp_path / "calls", tmp_path / "calls_whole"
    uninterrupted = start(whole, cache("whole"), calls_whole, 0)
    process = start(out, cache("killed"), calls, 0.1)
    journal = tmp_path / ".uplift.jsonl.partial"
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and (not journal.exists() or journal.read_bytes().count(b"result") < 6):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    asked_before = calls.read_text().splitlines()

    assert start(out, cache("killed"), calls, 0).wait() == 0
    assert uninterrupted.wait() == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.exists()
    asked = Counter(calls.read_text().splitlines())
    assert set(asked) == set(calls_whole.read_text().splitlines())
    assert 0 < len(asked_before) < len(asked)
    twice = sum(asked.values()) - len(asked)
    assert twice <= 4 * 2  # what the 4 slots, of 2 completions each, had under way


@pytest.mark.parametrize(("plan", "kept"), [("likelihood", b'"log"'), ("calibrated", b'"result"')])
def test_likelihoods_that_are_there_are_not_asked_for_again(tmp_path, plan, kept):
    """Killed among the likelihoods, and among the runs that follow them."""
    whole, out = tmp_path / "whole.jsonl", tmp_path / "uplift.jsonl"
    calls, calls_whole = tmp_path / "calls", tmp_path / "calls_whole"
    uninterrupted = start(whole, "none", calls_whole, 0, plan)
    process = start(out, "none", calls, 0.05, plan)
    journal = tmp_path / ".uplift.jsonl.partial"
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and (not journal.exists() or journal.read_bytes().count(kept) < 6):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    asked_before = calls.read_text().splitlines()

    assert start(out, "none", calls, 0, plan).wait() == 0
    assert uninterrupted.wait() == 0
    assert out.read_bytes() == whole.read_bytes()
    asked = Counter(calls.read_text().splitlines())
    assert set(asked) == set(calls_whole.read_text().splitlines())
    assert 0 < len(asked_before) < len(asked)
    assert sum(asked.values()) - len(asked) <= 4 * 2  # what was under way


def test_what_is_written_comes_back(tmp_path):
    with Journal(tmp_path / "out", IDENTITY) as journal:
        journal.add_log(("p", 0), "masked", -0.1)
        journal.add_slots(("p", None), SLOTS)
        journal.add_slots(("p", 1), [Slot(0, None, ("lost: timeout",))])
        journal.add_result(("p", 0), RESULT)
        journal.sync()
    with Journal(tmp_path / "out", IDENTITY) as journal:
        assert journal.slots == {("p", None): {0: SLOTS[0], 1: SLOTS[1]}}
        assert journal.results == {("p", 0): RESULT}
        assert journal.logs == {(("p", 0), "masked"): -0.1}
        journal.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rest", [b'{"of": ["p", 0], "resu', b"{", b'{"of": ["p", 0], "result": {}}'])
def test_half_a_last_line_is_dropped(tmp_path, rest):
    with Journal(tmp_path / "out", IDENTITY) as journal:
        journal.add_result(("p", 0), RESULT)
    path = tmp_path / ".out.partial"
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    with Journal(tmp_path / "out", IDENTITY) as journal:
        assert journal.results == {("p", 0): RESULT}
        journal.add_result(("p", 1), replace(RESULT, trace=1))
    assert path.read_bytes().startswith(whole)
    with Journal(tmp_path / "out", IDENTITY) as journal:
        assert len(journal.results) == 2


def test_half_a_header_is_no_header(tmp_path):
    (tmp_path / ".out.partial").write_bytes(b'{"format": 1, "iden')
    with Journal(tmp_path / "out", IDENTITY) as journal:
        assert journal.results == {}


def test_a_measurement_of_something_else_is_refused_with_what_differs(tmp_path):
    with Journal(tmp_path / "out", IDENTITY) as journal:
        journal.add_result(("p", 0), RESULT)
    with pytest.raises(ConfigError, match=r"(?s)something else:\n  seed: 0 then, 1 now\nRepeat.*remove the file"):
        Journal(tmp_path / "out", {**IDENTITY, "seed": 1})


def test_where_nothing_was_done_nothing_is_left(tmp_path):
    with Journal(tmp_path / "out", IDENTITY) as journal:
        assert journal.path.exists()
        header = journal.path.read_bytes()
    assert not journal.path.exists()
    journal.path.write_bytes(header)  # as a kill leaves it
    with Journal(tmp_path / "out", {**IDENTITY, "seed": 1}) as journal:
        journal.add_result(("p", 0), RESULT)
    with Journal(tmp_path / "out", {**IDENTITY, "seed": 1}) as journal:
        assert journal.results == {("p", 0): RESULT}


def test_a_line_that_is_none_of_ours_is_named(tmp_path):
    with Journal(tmp_path / "out", IDENTITY) as journal:
        journal.add_slots(("p", 0), SLOTS)
    path = tmp_path / ".out.partial"
    path.write_text(path.read_text() + "no JSON\n" + json.dumps({"of": ["p", 0], "runs": []}) + "\n")
    with pytest.raises(RunError, match=r"\.out\.partial:3: not a line of a work file"):
        Journal(tmp_path / "out", IDENTITY)


def test_two_processes_do_not_write_one_file(tmp_path):
    with Journal(tmp_path / "out", IDENTITY), pytest.raises(ConfigError, match="Another process is writing"):
        Journal(tmp_path / "out", IDENTITY)


def test_a_full_disk_leaves_whole_lines(tmp_path):
    """A limit on the size of files ends a write as a full disk does: what fits is written, and no more."""
    with Journal(tmp_path / "out", IDENTITY) as journal:
        before = journal.path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
        try:
            with pytest.raises(RunError, match="No space left"):
                journal.add_result(("p", 0), RESULT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert journal.path.read_bytes() == before
        journal.add_result(("p", 0), RESULT)
    with Journal(tmp_path / "out", IDENTITY) as journal:
        assert journal.results == {("p", 0): RESULT}
