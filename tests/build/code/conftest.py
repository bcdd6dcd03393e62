"""Seeds with programs, and the sandbox they run in (plain processes where this machine carries none)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rm.build.seed import Seed
from rm.errors import ConfigError
from rm.uplift.sandbox import Limits, Sandbox

PROGRAMS = {
    "primes": (
        "def count_primes(limit):\n"
        "    if limit < 2:\n"
        "        return 0\n"
        "    count = 0\n"
        "    for n in range(2, limit + 1):\n"
        "        prime = True\n"
        "        for d in range(2, int(n ** 0.5) + 1):\n"
        "            if n % d == 0:\n"
        "                prime = False\n"
        "                break\n"
        "        if prime:\n"
        "            count += 1\n"
        "    return count\n",
        "assert count_primes(10) == 4\nassert count_primes(11) == 5\nassert count_primes(25) == 9\n"
        "assert count_primes(0) == 0\nassert count_primes(2) == 1",
        "count_primes",
        "Write a function to count the primes up to a limit, the limit included.",
    ),
    "distinct": (
        "def distinct(items):\n"
        "    seen = set()\n"
        "    kept = []\n"
        "    for item in items:\n"
        "        if item not in seen and item >= 0:\n"
        "            seen.add(item)\n"
        "            kept.append(item)\n"
        "    return kept\n",
        "assert distinct([3, 1, 3, -2, 1, 0]) == [3, 1, 0]\nassert distinct([]) == []\nassert distinct([5, 5]) == [5]",
        "distinct",
        "Write a python function to keep the first of equal numbers, without negative ones, in their order.",
    ),
    "pairs": (
        "def best(scores, names):\n"
        "    pairs = list(zip(names, scores))\n"
        "    pairs.sort(key=lambda pair: pair[1], reverse=True)\n"
        "    return pairs[0][0] if pairs else None\n",
        "assert best([3, 9, 4], ['a', 'b', 'c']) == 'b'\nassert best([], []) is None",
        "best",
        "Write a function to find who has the best score.",
    ),
    "counts": (
        "def commonest(text):\n"
        "    counts = {}\n"
        "    for letter in text:\n"
        "        counts[letter] = counts.get(letter, 0) + 1\n"
        "    top = max(counts.values())\n"
        "    return sorted(letter for letter in counts if counts[letter] == top)\n",
        "assert commonest('abca') == ['a']\nassert commonest('baab') == ['a', 'b']",
        "commonest",
        "Write a function to find the commonest letters of a text, sorted.",
    ),
}


@pytest.fixture
def seeds() -> dict[str, Seed]:
    """By name: a program with a guard, one with a set, one that sorts, one that counts; each with its tests."""
    return {
        name: Seed(name, problem, program, task_type="code", tests=tests, entry_point=entry)
        for name, (program, tests, entry, problem) in PROGRAMS.items()
    }


@pytest.fixture
def in_sandbox() -> Callable[[Callable[[Sandbox], Awaitable[Any]]], Any]:
    """Runs `work(sandbox)` to its end."""

    def run(work: Callable[[Sandbox], Awaitable[Any]]) -> Any:
        return asyncio.run(_worked(work))

    return run


async def _worked(work: Callable[[Sandbox], Awaitable[Any]]) -> Any:
    limits = Limits(cpu_seconds=2, wall_seconds=10)
    sandbox = Sandbox(limits, workers=2)
    try:
        await sandbox.start()
    except ConfigError:
        sandbox = Sandbox(limits, workers=2, unsafe_subprocess=True)
        await sandbox.start()
    try:
        return await work(sandbox)
    finally:
        await sandbox.close()


@pytest.fixture(scope="session")
def mbpp() -> Path:
    path = Path(__file__).parents[4] / "shared" / "data" / "mbpp_problems.jsonl"
    if not path.exists():
        pytest.skip("needs ../shared/data/mbpp_problems.jsonl")
    return path
