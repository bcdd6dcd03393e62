"""The pool: order, streams, exit codes, replacement, cancelling, closing, and machines that carry no sandbox."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from rm.errors import ConfigError
from rm.uplift.sandbox import Limits, RunResult, Sandbox, bubblewrap
from rm.uplift.sandbox.worker import Worker, WorkerLost

LIMITS = Limits(cpu_seconds=5, wall_seconds=10)
pytestmark = pytest.mark.usefixtures("needs_bubblewrap")


def run_all(*programs: tuple[str, str], limits: Limits = LIMITS, workers: int = 2) -> list[RunResult]:
    async def main() -> list[RunResult]:
        async with Sandbox(limits, workers=workers) as sandbox:
            return list(await asyncio.gather(*(sandbox.run(*program) for program in programs)))

    return asyncio.run(main())


def children() -> set[str]:
    """Processes that this one has started and that have not been waited for."""
    own, found = str(os.getpid()), set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if path.read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                found.add(path.parent.name)
        except OSError:
            continue
    return found


def test_runs_at_once_come_back_in_order():
    before = children()
    results = run_all(*[("print(int(input()) ** 2)", str(number)) for number in range(40)], workers=4)
    assert [result.stdout for result in results] == [f"{number**2}\n" for number in range(40)]
    assert all(result.ok and 0 < result.seconds < 10 for result in results)
    assert children() == before


STREAMS = {
    "unicode": ("s = input()\nprint(s[::-1], len(s))", "äß漢😀", "😀漢ßä 4\n", ""),
    "no input": ("import sys\nprint(repr(sys.stdin.read()))", "", "''\n", ""),
    "lines": ("import sys\nprint([line for line in sys.stdin])", "a\nb", "['a\\n', 'b']\n", ""),
    "descriptor": ("import os\nos.write(1, os.read(0, 9))\nos.write(2, b'e')", "abc", "abc", "e"),
    "path": ("print(open('/dev/stdin').read(), open(0).read())", "abc", "abc abc\n", ""),
    "not utf-8": ("import sys\nsys.stdout.buffer.write(b'a\\xff')", "", "a\ufffd", ""),
    "to both": ("import sys\nprint('out')\nprint('err', file=sys.stderr)", "", "out\n", "err\n"),
    "as main": ("print(__name__, __import__('sys').argv, __file__)", "", "__main__ ['main.py'] /tmp/main.py\n", ""),
    "at exit": ("import atexit\natexit.register(print, 'bye')\nprint('hi')", "", "hi\nbye\n", ""),
    "finalizer": ("class A:\n  def __del__(self): print('gone')\na = A()", "", "gone\n", ""),
    "cycle": ("class A:\n  def __del__(self): print('gone')\na = A()\na.a = a", "", "gone\n", ""),
    "own stream": (
        "import sys\nsys.stdout = open(1, 'w', closefd=False)\nprint('a')\nsys.stdout = None",
        "",
        "a\n",
        "",
    ),
    "closed stream": ("import sys\nprint('a')\nsys.stdout.close()", "", "a\n", ""),
    "forgotten stream": ("out = open(1, 'w', closefd=False)\nout.write('a')", "", "a", ""),
    "fork": ("import os\nif os.fork(): os.wait()\nelse: print('child')\nprint('both')", "", "child\nboth\nboth\n", ""),
    "thread": ("import threading\nthreading.Timer(0.1, print, ['late']).start()", "", "late\n", ""),
    "pool": ("from multiprocessing import Pool\nprint(Pool(2).map(abs, [-1, 2]))", "", "[1, 2]\n", ""),
    "asyncio": ("import asyncio\nasyncio.run(asyncio.sleep(0))\nprint(1)", "", "1\n", ""),
    "pickle": ("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)", "", "True\n", ""),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\nprint(f(50_000))",
        "",
        "50000\n",
        "",
    ),
    "set order": ("print({'a', 'b', 'c', 'd', 'e'} == set('abcde'))", "", "True\n", ""),
}


@pytest.fixture(scope="module")
def streams() -> dict[str, RunResult]:
    return dict(zip(STREAMS, run_all(*[(source, stdin) for source, stdin, _, _ in STREAMS.values()]), strict=True))


@pytest.mark.parametrize("name", STREAMS)
def test_streams_are_those_of_an_interpreter(streams, name):
    assert (streams[name].stdout, streams[name].stderr) == STREAMS[name][2:]
    assert streams[name].ok


EXITS = {
    "": 0,
    "raise SystemExit": 0,
    "exit(7)": 7,
    "quit()": 0,
    "import sys; sys.exit('message')": 1,
    "import os; os._exit(300 % 256)": 44,
    "1 / 0": 1,
    "x = (": 1,
    "x = '\ud800'": 1,
    "\0": 1,
    "raise KeyboardInterrupt": 1,
    "import numpy": 1,
    "raise SystemExit(-1)": 255,
    "import os; print(1); os.close(1)": 120,
}


@pytest.fixture(scope="module")
def exits() -> dict[str, RunResult]:
    return dict(zip(EXITS, run_all(*[(source, "") for source in EXITS]), strict=True))


@pytest.mark.parametrize("source", EXITS, ids=ascii)
def test_exit_codes_are_those_of_an_interpreter(exits, source):
    assert (exits[source].status, exits[source].exit_code) == ("exited", EXITS[source])


def test_a_traceback_shows_the_program_and_nothing_of_ours(exits):
    lines = exits["1 / 0"].stderr.splitlines()
    assert lines[:3] == [
        "Traceback (most recent call last):",
        '  File "/tmp/main.py", line 1, in <module>',
        "    1 / 0",
    ]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "trusted" not in exits["x = ("].stderr
    assert "ModuleNotFoundError" in exits["import numpy"].stderr


def test_a_big_input_arrives_whole():
    text = "0123456789" * 2_000_000
    (result,) = run_all(("import sys\ns = sys.stdin.read()\nprint(len(s), s[-3:])", text))
    assert result.stdout == "20000000 789\n"


def test_every_run_starts_empty():
    leave = "import builtins, random, json\nbuiltins.mark = json.mark = 1\nrandom.seed(1)\nopen('/tmp/mark', 'w')"
    look = "import builtins, json, os\nprint(hasattr(builtins, 'mark'), hasattr(json, 'mark'), os.listdir('/tmp'))"
    results = run_all((leave, ""), (look, ""), (leave, ""), (look, ""), workers=1)
    assert [result.stdout for result in results[1::2]] == ["False False ['main.py']\n"] * 2


def test_string_hashes_are_the_same_in_every_worker():
    results = run_all(*[("print(hash('trace'))", "")] * 4, workers=2)
    assert len({result.stdout for result in results}) == 1


def test_random_numbers_are_not():
    results = run_all(*[("import random\nprint(random.random())", "")] * 4, workers=1)
    assert len({result.stdout for result in results}) == 4


def test_output_of_exactly_the_limit_passes():
    limits = Limits(output_bytes=1000, wall_seconds=10)
    whole, cut = run_all(("print('x' * 999)", ""), ("print('x' * 1000)", ""), limits=limits)
    assert (whole.status, len(whole.stdout), cut.status, len(cut.stdout)) == ("exited", 1000, "output", 1000)


def test_a_fraction_of_a_second_is_a_limit_too():
    (result,) = run_all(("while True: pass", ""), limits=Limits(cpu_seconds=0.2, wall_seconds=10))
    assert result.status == "timeout"
    assert result.seconds < 5


def test_a_memory_error_that_the_program_handles_is_no_failure():
    source = "try: x = bytearray(1 << 40)\nexcept MemoryError: print('less, then')"
    (result,) = run_all((source, ""))
    assert (result.status, result.exit_code, result.stdout) == ("exited", 0, "less, then\n")


def worker_of(sandbox: Sandbox) -> Worker:
    (worker,) = sandbox._runner._alive
    return worker


def test_a_dead_worker_is_replaced_before_its_next_run():
    async def main() -> RunResult:
        async with Sandbox(LIMITS, workers=1) as sandbox:
            worker_of(sandbox).kill()
            return await sandbox.run("print(1)")

    assert asyncio.run(main()).stdout == "1\n"


def test_a_worker_that_dies_under_a_program_counts_against_the_program():
    async def main() -> tuple[RunResult, RunResult]:
        async with Sandbox(LIMITS, workers=1) as sandbox:
            running = asyncio.create_task(sandbox.run("import time\ntime.sleep(60)"))
            await asyncio.sleep(1)
            signal.pidfd_send_signal(worker_of(sandbox)._supervisor, signal.SIGKILL)
            return await running, await sandbox.run("print(1)")

    lost, following = asyncio.run(main())
    assert (lost.status, lost.exit_code, following.stdout) == ("killed", None, "1\n")


def test_a_run_without_a_worker_fails_to_start_and_says_why(monkeypatch):
    async def main() -> list[RunResult]:
        async with Sandbox(LIMITS, workers=1) as sandbox:
            monkeypatch.setattr(Worker, "start", classmethod(no_start))
            worker_of(sandbox).kill()
            lost = [await sandbox.run("print(1)"), await sandbox.run("print(1)")]
            monkeypatch.undo()
            return [*lost, await sandbox.run("print(1)"), await sandbox.run("print(1)")]

    async def no_start(*_: object) -> Worker:
        raise WorkerLost("no memory for another process")

    *lost, again, well = asyncio.run(main())
    assert [result.status for result in lost] == ["failed_to_start"] * 2
    assert lost[1].stderr == "no memory for another process"
    assert "exited" in (again.status, well.status), "a later run finds a worker again"
    assert well.stdout == "1\n"


def test_a_cancelled_run_is_killed_and_its_worker_replaced():
    async def main() -> tuple[RunResult, float]:
        async with Sandbox(Limits(wall_seconds=60), workers=1) as sandbox:
            run = asyncio.create_task(sandbox.run("import time\ntime.sleep(50)"))
            await asyncio.sleep(0.5)
            start = time.monotonic()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            return await sandbox.run("print(1)"), time.monotonic() - start

    before = children()
    result, seconds = asyncio.run(main())
    assert result.stdout == "1\n"
    assert seconds < 30
    assert children() == before


def test_closing_ends_runs_and_those_who_wait():
    async def main() -> list[RunResult]:
        sandbox = Sandbox(Limits(wall_seconds=60), workers=1)
        await sandbox.start()
        runs = [asyncio.create_task(sandbox.run("import time\ntime.sleep(50)")) for _ in range(3)]
        await asyncio.sleep(0.5)
        await sandbox.close()
        return [*(await asyncio.gather(*runs)), await sandbox.run("print(1)")]

    before = children()
    results = asyncio.run(main())
    assert {(result.status, result.stderr) for result in results} == {
        ("failed_to_start", "the sandbox has been closed")
    }
    assert children() == before


def test_an_interrupted_caller_leaves_nothing():
    """Ctrl-C: asyncio.run cancels the main task, and the sandbox is closed on the way out."""

    async def main() -> None:
        async with Sandbox(Limits(wall_seconds=60)) as sandbox:
            asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), signal.SIGINT)
            await asyncio.gather(*(sandbox.run("import time\ntime.sleep(50)") for _ in range(4)))

    before = children()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert children() == before


def test_it_works_in_the_event_loop_of_another_thread():
    results: list[RunResult] = []
    thread = threading.Thread(target=lambda: results.extend(run_all(("print(1)", ""))))
    thread.start()
    thread.join()
    assert results[0].stdout == "1\n"


def test_no_descriptor_is_left_open():
    run_all(("print(1)", ""))
    before = len(os.listdir("/proc/self/fd"))
    run_all(("print(1)", ""))
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_bubblewrap_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        run_all(("print(1)", ""))


def test_where_bubblewrap_is_forbidden_it_says_what_to_do(monkeypatch, tmp_path):
    forbidden = tmp_path / "bwrap"
    words = "--as-pid-1 --info-fd --cap-add --perms --size"
    forbidden.write_text(
        f'#!/bin/sh\n[ "$1" = --help ] && echo "{words}" && exit\n'
        'echo "bwrap: No permissions to create new namespace" >&2\nexit 1\n'
    )
    forbidden.chmod(0o755)
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: str(forbidden))
    with pytest.raises(ConfigError, match=r"(?s)No permissions to create.*user namespaces.*unsafe_subprocess"):
        run_all(("print(1)", ""))


def test_an_old_bubblewrap_is_named(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: "/bin/true")
    with pytest.raises(ConfigError, match="too old"):
        run_all(("print(1)", ""))


def test_an_unknown_processor_is_named(monkeypatch):
    monkeypatch.setattr(bubblewrap.platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match="x86_64 or aarch64"):
        run_all(("print(1)", ""))


def test_a_sandbox_has_to_be_started_first():
    with pytest.raises(RuntimeError, match="start the sandbox first"):
        asyncio.run(Sandbox().run("print(1)"))


def test_limits_are_checked_all_at_once():
    with pytest.raises(ConfigError) as caught:
        Limits(cpu_seconds=0, processes=-1, memory_bytes=1 << 20)
    assert len(caught.value.problems) == 3
    with pytest.raises(ConfigError, match="workers = 0"):
        Sandbox(workers=0)
