"""Sandboxed runs a second against one fresh interpreter a run without any sandbox, in one run of this script.

    python tests/benchmarks/sandbox.py [--runs 50] [--workers 2] [--rounds 12]

The program reads two numbers and prints their sum; every output is checked. The ways take turns in short rounds, so
that other load on the machine meets all of them; medians of the rounds are compared, and their spread is told. Two
ways without a sandbox: one test after another, as the official code runs them, and as many at once as the sandbox has
workers.

Beside it stands what depends least on other load: processor time a run, of all processes together and of this one;
the sandbox's includes the start of its workers. The last line is a single run in a worker that has been idle. Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rm.uplift.sandbox import Sandbox

PROGRAM = "import sys\nprint(sum(map(int, sys.stdin.read().split())))\n"
IDLE_RUNS, IDLE_SECONDS = 30, 0.03


@dataclass
class Way:
    """What one way took: runs a second of each round; processor seconds of all rounds, here and in child processes."""

    rates: list[float] = field(default_factory=list)
    own: float = 0.0
    children: float = 0.0

    def add(self, runs: int, seconds: float, own: float, children: float = 0.0) -> None:
        self.rates.append(runs / seconds)
        self.own += own
        self.children += children

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def cpu_of_children() -> float:
    """Processor seconds of all processes that this one, or one of theirs, has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fresh(number: int) -> None:
    """One interpreter for one run."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=f"{number} 1", capture_output=True, text=True, check=True
    )
    if done.stdout.strip() != str(number + 1):
        raise RuntimeError(f"wrong output {done.stdout!r}")


def one_by_one(runs: int) -> None:
    for number in range(runs):
        fresh(number)


def at_once(runs: int, workers: int) -> None:
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(fresh, range(runs)))


def measure_fresh(way: Way, runs: int, work: Callable[[], None]) -> None:
    start, own, children = time.perf_counter(), time.process_time(), cpu_of_children()
    work()
    way.add(runs, time.perf_counter() - start, time.process_time() - own, cpu_of_children() - children)


async def measure_sandboxed(way: Way, runs: int, sandbox: Sandbox) -> None:
    """Without the processor time inside of the sandbox, which is told when it has been closed."""
    start, own = time.perf_counter(), time.process_time()
    results = await asyncio.gather(*(sandbox.run(PROGRAM, f"{number} 1") for number in range(runs)))
    way.add(runs, time.perf_counter() - start, time.process_time() - own)
    wrong = [result for number, result in enumerate(results) if result.stdout.strip() != str(number + 1)]
    if wrong:
        raise RuntimeError(f"wrong output {wrong[0]}")


async def idle_latency(sandbox: Sandbox) -> float:
    """Median seconds of a run that finds a worker idle."""
    seconds: list[float] = []
    for _ in range(IDLE_RUNS):
        await asyncio.sleep(IDLE_SECONDS)
        start = time.perf_counter()
        await sandbox.run(PROGRAM, "1 1")
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


async def measure(runs: int, workers: int, rounds: int) -> tuple[Sequence[Way], float]:
    """(one by one, at once, sandboxed), and the latency of a sandboxed run."""
    single, several, walled = ways = Way(), Way(), Way()
    warm_up = 4 * workers
    before = cpu_of_children()
    async with Sandbox(workers=workers) as sandbox:
        await measure_sandboxed(Way(), warm_up, sandbox)  # all workers have started
        for _ in range(rounds):
            measure_fresh(single, runs, lambda: one_by_one(runs))
            measure_fresh(several, runs, lambda: at_once(runs, workers))
            await measure_sandboxed(walled, runs, sandbox)
        latency = await idle_latency(sandbox)
    inside = cpu_of_children() - before - single.children - several.children
    walled.children = inside * rounds * runs / (rounds * runs + warm_up + IDLE_RUNS)
    return ways, latency


def row(name: str, way: Way, runs: int, walled: Way) -> str:
    cpu, of_walled = ((each.own + each.children) / runs * 1e3 for each in (way, walled))
    against = ("", "") if way is walled else (f"{walled.rate / way.rate:.2f}x", f"{cpu / of_walled:.2f}x")
    spread = f"{way.rate:.0f} ({min(way.rates):.0f} to {max(way.rates):.0f})"
    return f"| {name} | {spread} | {against[0]} | {cpu:.1f} ({way.own / runs * 1e3:.1f}) | {against[1]} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="of each way in each round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    print(f"Load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.\n")
    (single, several, walled), latency = asyncio.run(measure(args.runs, args.workers, args.rounds))
    runs = args.runs * args.rounds
    print("| way | runs a second | sandbox against it | processor ms a run (in this process) | sandbox against it |")
    print("|---|---|---|---|---|")
    print(row("fresh interpreter, one after another", single, runs, walled))
    print(row(f"fresh interpreter, {args.workers} at once", several, runs, walled))
    print(row(f"sandbox, {args.workers} workers", walled, runs, walled))
    print(f"\nA sandboxed run in an idle worker: {latency * 1e3:.1f} ms.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
