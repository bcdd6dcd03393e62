"""An executor of known success rates, a verifier for it, and a measurement to be killed: a module and a script.

python simulated.py OUT CACHE CALLS SECONDS_PER_CALL    # measures `problems(8)`; notes every call in the file CALLS
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rm.uplift.cache import BaselineCache
from rm.uplift.estimate import Sampled
from rm.uplift.executors.base import Completion, Executor, Lost, Prompt, Sampling, Usage
from rm.uplift.problems import Problem, Trace
from rm.uplift.setup import Setup
from rm.uplift.trials import TrialLimits, measure
from rm.uplift.verifiers.base import Verdict

WITH, WITHOUT = 0.8, 0.3
"""Success rates: with a trace that reads `good`, and without any. A trace that reads `bad` halves the second."""


class Simulated(Executor):
    """Succeeds at rates known by the trace; what it writes depends on prompt and seed alone.

    Args:
        seconds: that a call takes.
        lost: share of completions that are lost, at random, whatever would have been written.
        slots: calls that are served at once.
        calls_file: gets a line for every completion asked for.
    """

    fingerprint = "simulated-1"
    usage = Usage()

    def __init__(
        self, seconds: float = 0.0, lost: float = 0.0, slots: int = 10_000, calls_file: Path | None = None
    ) -> None:
        self.seconds = seconds
        self.lost = lost
        self.asked: list[tuple[str, int]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._slots = asyncio.Semaphore(slots)
        self._chance = random.Random(0)
        self._calls_file = calls_file

    async def sample(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> Sequence[Completion | Lost]:
        async with self._slots:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            await asyncio.sleep(self.seconds)
            self._at_once -= 1
        self.asked += [(prompt.text, seed + i) for i in range(n)]
        if self._calls_file:
            with self._calls_file.open("a") as file:
                file.writelines(f"{hashlib.sha256(prompt.text.encode()).hexdigest()} {seed + i}\n" for i in range(n))
        return [self._write(prompt, seed + i) for i in range(n)]

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, prompt: Prompt, seed: int) -> Completion | Lost:
        if self._chance.random() < self.lost:
            return Lost("http 503", "the server is busy")
        draw = random.Random(hashlib.sha256(f"{seed} {prompt.text}".encode()).digest()).random()
        rate = WITH if "good" in prompt.text else WITHOUT / 2 if "bad" in prompt.text else WITHOUT
        return Completion("right" if draw < rate else "wrong")


class Says:
    """Passes the text `right`; `half` is half a success."""

    version = "says-1"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.judged = 0
        self.most_at_once = 0
        self._at_once = 0

    async def verify(self, completion: str, problem: Problem) -> Verdict:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self.seconds)
        self._at_once -= 1
        self.judged += 1
        if completion == "half":
            return Verdict.failed("failed test", 0.5)
        return Verdict.passed() if completion == "right" else Verdict.failed("wrong answer")

    async def close(self) -> None:
        """Nothing is open."""


def problems(count: int, traces: Sequence[str] = ("good", "bad", "idle")) -> list[Problem]:
    """`count` problems, each with a trace of every text given."""
    return [
        Problem(
            problem_id=f"p{i}",
            problem=f"Problem {i}.",
            task="math",
            answer="right",
            traces=tuple(
                Trace(f"{text} {i}", "positive" if text == "good" else text, rm_score=0.5, total=float(text == "good"))
                for text in traces
            ),
        )
        for i in range(count)
    ]


def main(out: str, cache: str, calls: str, seconds: str) -> None:
    """Measure as the tests expect it."""
    executor = Simulated(seconds=float(seconds), slots=4, calls_file=Path(calls))
    setup = Setup(executor, {"math": Says()}, Sampled(4, 8))
    limits = TrialLimits(samples_per_call=2)
    if cache == "none":
        asyncio.run(measure(problems(8), setup, out=out, limits=limits))
        return
    with BaselineCache(cache) as opened:
        asyncio.run(measure(problems(8), setup, out=out, cache=opened, limits=limits))


if __name__ == "__main__":
    main(*sys.argv[1:])
