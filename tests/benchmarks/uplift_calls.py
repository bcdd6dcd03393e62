"""Executor calls and wall time of an uplift measurement against the official order of calls, in one run of this script.

    python tests/benchmarks/uplift_calls.py [--problems 64] [--delay 0.05] [--slots 16]

A server of its own process on loopback (tests/uplift/openai_server.py) writes every completion in 50 ms, 16 at once,
also those that one request asks for together; what it writes depends on prompt and seed, at known success rates.

The official order: for each of the 4 completions of a problem 1 call for its outcome, 3 with it and 3 without, one
after another, the baseline anew for each completion; re-enacted here with the same HTTP client, a connection that is
kept, and the same comparison of answers. Ours: `measure` through the real `openai` executor at equal samples, which
are 4 runs with each completion and 3 of its problem alone, with the cache empty, then filled; work file, results and
cache are on disk as always, and the probe's requests are counted.

"Calls" are completions written, since a server works for each; "requests" go over the wire. "Error" is the mean of
measured less true uplift, as a check that all of them measure the same. The table is Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import httpx

from rm.uplift.cache import BaselineCache
from rm.uplift.estimate import Sampled
from rm.uplift.executors.base import Sampling
from rm.uplift.executors.config import OpenAIConfig
from rm.uplift.executors.openai import OpenAIExecutor
from rm.uplift.problems import Problem
from rm.uplift.prompts import executor_prompt
from rm.uplift.setup import Setup
from rm.uplift.trials import measure
from rm.uplift.verifiers.exact import ExactVerifier

UPLIFT_TESTS = Path(__file__).parents[1] / "uplift"
MODEL = "served-1"
SAMPLING = Sampling(temperature=0.5, max_tokens=64)
RUNS = 3
"""Of each arm, officially."""
TRACES = ("good one", "good two", "bad", "idle")


def load(name: str) -> ModuleType:
    """A helper module of the uplift tests."""
    spec = importlib.util.spec_from_file_location(name, UPLIFT_TESTS / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(UPLIFT_TESTS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulated = load("simulated")
TRUTH = {
    "good": simulated.WITH - simulated.WITHOUT,
    "bad": simulated.WITHOUT / 2 - simulated.WITHOUT,
    "idle": 0.0,
}


@dataclass(frozen=True)
class Outcome:
    """What one way took and found. Args: uplift: of every trace, problem by problem."""

    name: str
    seconds: float
    calls: int
    requests: int
    uplift: Sequence[float]


def serve(told: Connection, delay: float, slots: int) -> None:
    """The server's process: tells its address, and stops when it is told anything."""

    async def main() -> None:
        async with load("openai_server").Server(delay=delay, slots=slots, write=simulated.written) as server:
            told.send(server.address)
            await asyncio.to_thread(told.recv)

    asyncio.run(main())


@contextmanager
def server(delay: float, slots: int) -> Iterator[str]:
    """The address of a server that is running."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, delay, slots), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join()


def official_order(address: str, problems: Sequence[Problem]) -> Outcome:
    """One call after another, 7 for every completion of a problem."""
    verifier = ExactVerifier()
    values: list[float] = []
    calls = 0

    def passes(client: httpx.Client, problem: Problem, reasoning: str | None) -> bool:
        nonlocal calls
        calls += 1
        body = {
            "model": MODEL,
            "prompt": executor_prompt(problem, reasoning).text,
            "temperature": SAMPLING.temperature,
            "max_tokens": SAMPLING.max_tokens,
            "seed": calls,
        }
        reply = client.post(f"{address}/completions", json=body).raise_for_status().json()
        return asyncio.run(verifier.verify(reply["choices"][0]["text"], problem)).outcome == "passed"

    start = time.perf_counter()
    with httpx.Client(timeout=60) as client:
        for problem in problems:
            for trace in problem.traces:
                passes(client, problem, trace.reasoning)  # the completion's own outcome
                with_trace = [passes(client, problem, trace.reasoning) for _ in range(RUNS)]
                without = [passes(client, problem, None) for _ in range(RUNS)]
                values.append((sum(with_trace) - sum(without)) / RUNS)
    return Outcome("official order, one by one", time.perf_counter() - start, calls, calls, values)


async def ours(name: str, address: str, problems: Sequence[Problem], folder: Path) -> Outcome:
    """The same samples by `measure`; a second call finds the baselines in the cache."""
    start = time.perf_counter()
    executor = OpenAIExecutor(OpenAIConfig([address], MODEL))
    try:
        with BaselineCache(folder / "baselines.sqlite") as cache:
            setup = Setup(executor, {"math": ExactVerifier()}, Sampled(1 + RUNS, RUNS), sampling=SAMPLING)
            measurement = await measure(problems, setup, cache=cache, out=folder / f"{name}.jsonl")
    finally:
        await executor.close()
    values = [result.value for result in measurement.results if result.value is not None]
    usage = executor.usage
    return Outcome(name, time.perf_counter() - start, usage.samples, usage.calls, values)


def mean_error(outcome: Outcome, problems: Sequence[Problem]) -> float:
    """Mean over all traces of measured less true uplift, in [-2, 2]."""
    truths = [TRUTH[trace.reasoning.split()[0]] for problem in problems for trace in problem.traces]
    return statistics.fmean(value - truth for value, truth in zip(outcome.uplift, truths, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that a completion takes")
    parser.add_argument("--slots", type=int, default=16, help="completions that the server writes at once")
    args = parser.parse_args()
    problems = simulated.problems(args.problems, TRACES)
    with server(args.delay, args.slots) as address, tempfile.TemporaryDirectory() as folder:
        cold = asyncio.run(ours("ours, cold cache", address, problems, Path(folder)))
        warm = asyncio.run(ours("ours, warm cache", address, problems, Path(folder)))
        official = official_order(address, problems)
    print(f"{len(problems)} problems x {len(TRACES)}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.\n")
    print(
        "| way | seconds | times faster | calls | times fewer | requests | times fewer | at the slots' limit | error |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for each in (official, cold, warm):
        limit = each.calls * args.delay / (1 if each is official else args.slots) / each.seconds
        print(
            f"| {each.name} | {each.seconds:.2f} | {official.seconds / each.seconds:.1f} | {each.calls} "
            f"| {official.calls / each.calls:.2f} | {each.requests} | {official.requests / each.requests:.2f} "
            f"| {limit:.0%} | {mean_error(each, problems):+.3f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
