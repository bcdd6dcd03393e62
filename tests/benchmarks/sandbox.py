"""Sandboxed runs a second against one fresh interpreter a run without any sandbox, in one run of this script.

    python tests/benchmarks/sandbox.py [--runs 200] [--workers 2] [--rounds 3]

The program reads two numbers and prints their sum; every output is checked. The rounds of the ways alternate, so that
other load on the machine meets all of them, and the medians are compared. Two ways without a sandbox: one test
after another, as the official code runs them, and as many at once as the sandbox has workers. The table is Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from rm.uplift.sandbox import Sandbox

PROGRAM = "import sys\nprint(sum(map(int, sys.stdin.read().split())))\n"


def fresh(number: int) -> None:
    """One interpreter for one run."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=f"{number} 1", capture_output=True, text=True, check=True
    )
    if done.stdout.strip() != str(number + 1):
        raise RuntimeError(f"wrong output {done.stdout!r}")


def one_by_one(runs: int) -> float:
    """Runs a second."""
    start = time.perf_counter()
    for number in range(runs):
        fresh(number)
    return runs / (time.perf_counter() - start)


def at_once(runs: int, workers: int) -> float:
    """Runs a second."""
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(fresh, range(runs)))
    return runs / (time.perf_counter() - start)


async def sandboxed(sandbox: Sandbox, runs: int) -> float:
    """Runs a second."""
    start = time.perf_counter()
    results = await asyncio.gather(*(sandbox.run(PROGRAM, f"{number} 1") for number in range(runs)))
    seconds = time.perf_counter() - start
    wrong = [result for number, result in enumerate(results) if result.stdout.strip() != str(number + 1)]
    if wrong:
        raise RuntimeError(f"wrong output {wrong[0]}")
    return runs / seconds


async def measure(runs: int, workers: int, rounds: int) -> list[tuple[float, float, float]]:
    """(one by one, at once, sandboxed), each in runs a second, a row a round."""
    async with Sandbox(workers=workers) as sandbox:
        await sandboxed(sandbox, 4 * workers)  # all workers have started
        return [(one_by_one(runs), at_once(runs, workers), await sandboxed(sandbox, runs)) for _ in range(rounds)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rounds = asyncio.run(measure(args.runs, args.workers, args.rounds))
    single, several, walled = (statistics.median(column) for column in zip(*rounds, strict=True))
    print("| way | runs a second | sandbox against it |\n|---|---|---|")
    print(f"| fresh interpreter, one after another | {single:.1f} | {walled / single:.2f}x |")
    print(f"| fresh interpreter, {args.workers} at once | {several:.1f} | {walled / several:.2f}x |")
    print(f"| sandbox, {args.workers} workers | {walled:.1f} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
