"""Baselines on disk: one file for several processes, some of which die."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from rm.errors import RunError
from rm.uplift.cache import SCHEMA_VERSION, BaselineCache, BaselineKey, problem_hash, sampling_text
from rm.uplift.executors.base import Sampling
from rm.uplift.problems import IOTest, Problem, Trace
from rm.uplift.runs import Run

KEY = BaselineKey("problem", "executor", "prompts", "sampling", "verifier")
RUNS = [Run(0, 10, True, 1.0), Run(1, 11, False, 0.25, "failed test")]

FILL = """
import sys
from rm.uplift.cache import BaselineCache, BaselineKey
from rm.uplift.runs import Run

path, rounds = sys.argv[1], int(sys.argv[2])
made = 0
for number in range(rounds):
    key = BaselineKey(f"problem {number}", "executor", "prompts", "sampling", "verifier")
    with BaselineCache(path) as cache:
        missing = set(range(16))
        while missing:
            taken = cache.take(key, missing)
            for index in sorted(taken.mine):
                cache.add(key, [Run(index, number * 100 + index, True, 1.0)])
                made += 1
                print(number, index, flush=True)
            missing -= taken.mine | taken.found.keys()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.sqlite"


def fill(path, rounds):
    return subprocess.Popen(
        [sys.executable, "-c", FILL, str(path), str(rounds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_runs_come_back_as_they_were(path):
    with BaselineCache(path) as cache:
        assert cache.take(KEY, [0, 1, 2]).mine == {0, 1, 2}
        cache.add(KEY, RUNS)
    with BaselineCache(path) as cache:
        taken = cache.take(KEY, [0, 1, 2])
    assert taken.found == {0: RUNS[0], 1: RUNS[1]}
    assert taken.mine == {2}


@pytest.mark.parametrize("part", ["problem", "executor", "prompts", "sampling", "verifier"])
def test_another_key_has_other_runs(path, part):
    with BaselineCache(path) as cache:
        cache.add(KEY, RUNS)
        assert cache.take(replace(KEY, **{part: "another"}), [0]).found == {}


def test_the_first_to_write_a_run_has_written_it(path):
    with BaselineCache(path) as cache:
        cache.add(KEY, RUNS)
        cache.add(KEY, [Run(0, 99, False, 0.0, "late")])
        assert cache.take(KEY, [0]).found == {0: RUNS[0]}


def test_a_run_claimed_by_one_is_not_given_to_another(path):
    with BaselineCache(path) as one, BaselineCache(path) as other:
        assert one.take(KEY, [0, 1]).mine == {0, 1}
        assert other.take(KEY, [0, 1, 2]).mine == {2}
        one.release(KEY, [0])
        assert other.take(KEY, [0, 1]).mine == {0}
        assert one.take(KEY, [0, 1]).mine == {1}


def test_claims_end_with_their_owner_or_their_lease(path):
    with BaselineCache(path) as other:
        with BaselineCache(path) as one:
            one.take(KEY, [0])
        assert other.take(KEY, [0]).mine == {0}
        with BaselineCache(path, lease_seconds=0.05) as brief:
            assert brief.take(KEY, [1]).mine == {1}
            time.sleep(0.1)
            assert other.take(KEY, [1]).mine == {1}


def test_processes_share_the_work_and_do_none_of_it_twice(path):
    started = [fill(path, 4) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in started]
    assert [(process.returncode, error) for process, (_, error) in zip(started, outputs, strict=True)] == [(0, "")] * 3
    made = [line for output, _ in outputs for line in output.splitlines()]
    assert sorted(made) == sorted(f"{number} {index}" for number in range(4) for index in range(16))


def test_a_killed_process_leaves_its_committed_runs_and_no_claim(path):
    with fill(path, 1000) as process:
        for _ in range(40):
            last = process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        said = [last, *process.stdout]
    number, index = map(int, [line for line in said if line.endswith("\n")][-1].split())
    key = replace(KEY, problem=f"problem {number}")
    with BaselineCache(path) as cache:
        taken = cache.take(key, range(16))
        assert taken.found.keys() >= set(range(index + 1))
        assert taken.found.keys() | taken.mine == set(range(16))
        assert cache.take(replace(KEY, problem="problem 1"), range(16)).found.keys() == set(range(16))
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def test_info_counts_by_executor(path):
    with BaselineCache(path) as cache:
        cache.add(KEY, RUNS)
        cache.add(replace(KEY, problem="second"), RUNS[:1])
        cache.add(replace(KEY, executor="another"), RUNS[:1])
        info = cache.info()
    assert (info.baselines, info.runs) == (3, 4)
    assert [(each.executor, each.baselines, each.runs) for each in info.executors] == [
        ("another", 1, 1),
        ("executor", 2, 3),
    ]
    assert info.executors[0].oldest <= info.executors[0].newest <= time.time()
    assert info.size_bytes > 0


def test_prune_removes_what_meets_all_conditions(path):
    with BaselineCache(path) as cache:
        cache.add(KEY, RUNS)
        cache.add(replace(KEY, executor="another"), RUNS)
        assert cache.prune(older_than=3600) == 0
        assert cache.prune(older_than=0, executor="nobody") == 0
        assert cache.prune(executor="another") == 2
        assert [each.executor for each in cache.info().executors] == ["executor"]
        assert cache.prune(older_than=0) == 2
        assert cache.info().baselines == 0
        cache.add(KEY, RUNS)
        assert cache.take(KEY, [0]).found == {0: RUNS[0]}


def test_a_newer_schema_is_refused(path):
    BaselineCache(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(RunError, match=r"cache\.sqlite was made by a newer version .* Upgrade"):
        BaselineCache(path)


def test_the_file_of_another_program_is_left_alone(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(RunError, match="another program"):
        BaselineCache(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "header", "pages"])
def test_a_damaged_file_is_named_with_what_to_do(path, damage):
    with BaselineCache(path) as cache:
        for number in range(50):
            cache.add(replace(KEY, problem=f"problem {number}"), RUNS)
    content = bytearray(path.read_bytes())
    match damage:
        case "text":
            content = bytearray(b"this is no database, whatever its name says" * 100)
        case "header":
            content[:16] = b"x" * 16
        case "pages":
            content[4096:] = b"\x07" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"cache\.sqlite is damaged .* Move it away"), BaselineCache(path) as cache:  # noqa: PT012
        cache.take(KEY, range(16))
        cache.info()


def test_a_place_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(RunError, match="cannot be used"):
        BaselineCache(tmp_path)


def test_a_problem_is_known_by_what_decides_a_run():
    problem = Problem("a", "2 + 2?", "math", answer="4")
    same = replace(problem, problem_id="b", traces=(Trace("Add."),), file="f.jsonl", line=3, raw={"x": 1})
    assert problem_hash(same) == problem_hash(problem)
    others = [
        replace(problem, problem="2 + 3?"),
        replace(problem, answer="5"),
        replace(problem, io_tests=(IOTest("", "4"),)),
        replace(problem, asserts="assert f() == 4"),
        replace(problem, entry_point="f"),
        replace(problem, task="code"),
    ]
    assert len({problem_hash(each) for each in [problem, *others]}) == 7


def test_every_field_of_the_sampling_counts():
    plain = Sampling()
    others = [replace(plain, **change) for change in ({"temperature": 0.7}, {"top_p": 0.9}, {"max_tokens": 9})]
    assert len({sampling_text(each) for each in [plain, *others, replace(plain, stop=("\n",))]}) == 5
