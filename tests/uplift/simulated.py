"""An executor of known success rates, a verifier for it, and a measurement to be killed: a module and a script.

python simulated.py OUT CACHE CALLS SECONDS_PER_CALL [PLAN]

measures `problems(8)`, or 24 by a PLAN other than `sampled`; notes every call in the file CALLS.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rm.uplift.cache import BaselineCache
from rm.uplift.estimate import Sampled
from rm.uplift.executors.base import Completion, LikelihoodExecutor, Lost, Prompt, Sampling, Usage
from rm.uplift.plans import Calibrated, Likelihood
from rm.uplift.problems import Problem, Trace
from rm.uplift.setup import Setup
from rm.uplift.trials import TrialLimits, measure
from rm.uplift.verifiers.base import Verdict

WITH, WITHOUT = 0.8, 0.3
"""Success rates: with a trace that reads `good`, and without any. A trace that reads `bad` halves the second."""


def success_rate(prompt: str, spread: float = 0.0) -> float:
    """A known part by the trace, and a little by the prompt, so that no two are alike."""
    rate = WITH if "good" in prompt else WITHOUT / 2 if "bad" in prompt else WITHOUT
    return rate + spread * (random.Random(prompt).random() - 0.5)


def written(prompt: str, seed: int, spread: float = 0.0) -> str:
    """`right` at the rate of the prompt's trace, else `wrong`."""
    draw = random.Random(hashlib.sha256(f"{seed} {prompt}".encode()).digest()).random()
    return "right" if draw < success_rate(prompt, spread) else "wrong"


class Simulated(LikelihoodExecutor):
    """Succeeds at rates known by the trace; what it writes depends on prompt and seed alone.

    Args:
        seconds: that a call takes.
        lost: share of completions that are lost, at random, whatever would have been written.
        slots: calls that are served at once.
        calls_file: gets a line for every completion or likelihood asked for.
        spread: of the rates around those that the traces have.
    """

    fingerprint = "simulated-1"
    usage = Usage()

    def __init__(
        self,
        seconds: float = 0.0,
        lost: float = 0.0,
        slots: int = 10_000,
        calls_file: Path | None = None,
        spread: float = 0.0,
    ) -> None:
        self.spread = spread
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

    async def log_likelihood(self, prompt: Prompt, answer: str) -> float | Lost:
        """The log of the success rate, which is all that `right` depends on."""
        async with self._slots:
            await asyncio.sleep(self.seconds)
        self.asked.append((prompt.text, -1))
        if self._calls_file:
            with self._calls_file.open("a") as file:
                file.write(f"{hashlib.sha256(prompt.text.encode()).hexdigest()} {answer}\n")
        if self._chance.random() < self.lost:
            return Lost("http 503", "the server is busy")
        return math.log(success_rate(prompt.text, self.spread))

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, prompt: Prompt, seed: int) -> Completion | Lost:
        if self._chance.random() < self.lost:
            return Lost("http 503", "the server is busy")
        return Completion(written(prompt.text, seed, self.spread))


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


PLANS = {"sampled": Sampled(4, 8), "likelihood": Likelihood(), "calibrated": Calibrated(0.5, Sampled(4, 8))}


def main(out: str, cache: str, calls: str, seconds: str, plan: str = "sampled") -> None:
    """Measure as the tests expect it."""
    count = 8 if plan == "sampled" else 24
    executor = Simulated(seconds=float(seconds), slots=4, calls_file=Path(calls))
    setup = Setup(executor, {"math": Says()}, PLANS[plan])
    limits = TrialLimits(samples_per_call=2)
    if cache == "none":
        asyncio.run(measure(problems(count), setup, out=out, limits=limits))
        return
    with BaselineCache(cache) as opened:
        asyncio.run(measure(problems(count), setup, out=out, cache=opened, limits=limits))


if __name__ == "__main__":
    main(*sys.argv[1:])
