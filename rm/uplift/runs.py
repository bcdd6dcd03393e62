"""One run: a completion drawn, judged, and counted; and what happens when it comes to nothing.

A call that is lost for a reason that does not depend on what would have been written is asked for again under the
same seed, and counts in neither direction. An empty or cut-off completion is a failed attempt: else an executor
could be kept from failing by keeping it from finishing. So is a trace that leaves the executor no room.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from rm.errors import RunError, TraceLiftError
from rm.uplift.executors.base import PROMPT_TOO_LONG, Completion, Executor, Lost, Prompt, Sampling
from rm.uplift.meter import Meter
from rm.uplift.problems import Problem, Task
from rm.uplift.verifiers.base import Verdict, Verifier

ArmName = Literal["with_trace", "baseline"]

LOST, UNJUDGED = "lost: ", "unjudged: "
EMPTY = "empty completion"
CUT_OFF = "cut off"
LONGEST_PROMPT = 500_000
"""Characters of a prompt with a trace (some 128,000 tokens of English); a longer one is shown to no executor."""
_SEEDS = 2**30  # servers take 31 bits; the rest is room for the index

_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """A judged run.

    Args:
        index: its place in its arm, from 0.
        seed: that it was drawn with.
        passed: whether the verifier passed it.
        score: partial success in [0, 1].
        reason: how it failed; empty where it passed.
    """

    index: int
    seed: int
    passed: bool
    score: float
    reason: str = ""


@dataclass(frozen=True)
class Slot:
    """A place in an arm after all that was tried to fill it.

    Args:
        index: from 0.
        run: None where every attempt came to nothing.
        failures: reasons of the attempts that came to nothing, in order: `lost: timeout`, `unjudged: dead worker`.
    """

    index: int
    run: Run | None
    failures: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Completions asked for. A lost one was asked for again, one that could not be judged was not."""
        lost = sum(reason.startswith(LOST) for reason in self.failures)
        return lost + (self.run is not None or len(self.failures) > lost)


@dataclass(frozen=True)
class Arm:
    """What its runs have in common. Run i is drawn with the seed `first_seed + i`."""

    name: ArmName
    problem: Problem
    prompt: Prompt
    first_seed: int


Keep = Callable[[Sequence[Slot]], Awaitable[None]]
"""What is done with slots as soon as a call's completions are judged."""


def first_seed(seed: int, problem: str, reasoning: str | None) -> int:
    """The seed of run 0 of an arm: the same whatever else is measured and in whichever order.

    Args:
        seed: of the measurement.
        problem: its hash.
        reasoning: the trace; None for the baseline.
    """
    digest = hashlib.sha256(json.dumps([seed, problem, reasoning]).encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SEEDS


class Runner:
    """Draws and judges runs. For one event loop.

    Args:
        executor: limits by itself how many calls it has open.
        verifiers: judge, each the problems of its task.
        sampling: how completions are drawn.
        meter: is told everything.
        verifications: how many may be under way at once.
        samples_per_call: how many completions a call may ask for, >= 1. A call covers runs of one arm that follow
            each other, so an executor whose sample j depends on seed + j alone gives the same runs for any value.
        attempts: how often a lost completion is asked for in all, >= 1.
    """

    def __init__(
        self,
        executor: Executor,
        verifiers: Mapping[Task, Verifier],
        sampling: Sampling,
        meter: Meter,
        *,
        verifications: int,
        samples_per_call: int,
        attempts: int,
    ) -> None:
        self._executor = executor
        self._verifiers = verifiers
        self._sampling = sampling
        self._meter = meter
        self._verifications = asyncio.Semaphore(verifications)
        self._samples_per_call = samples_per_call
        self._attempts = attempts

    async def run(self, arm: Arm, indexes: Iterable[int], keep: Keep) -> list[Slot]:
        """Fills the places given, all at once, and returns them in order; `keep` gets them as they come.

        Raises:
            TraceLiftError: the executor or verifier cannot go on at all, or too much is lost.
        """
        parts = await together(self._call_and_judge(arm, each, keep) for each in self._stretches(sorted(indexes)))
        return [slot for part in parts for slot in part]

    def _stretches(self, indexes: Sequence[int]) -> list[range]:
        """Indexes that follow each other, in pieces that one call may ask for."""
        found: list[range] = []
        for index in indexes:
            last = found[-1] if found else range(0)
            if last and last.stop == index and len(last) < self._samples_per_call:
                found[-1] = range(last.start, index + 1)
            else:
                found.append(range(index, index + 1))
        return found

    async def _call_and_judge(self, arm: Arm, indexes: range, keep: Keep) -> list[Slot]:
        answers = await self._call(arm, indexes)
        slots = await together(self._settle(arm, index, answer) for index, answer in zip(indexes, answers, strict=True))
        await keep(slots)
        return slots

    async def _settle(self, arm: Arm, index: int, answer: Completion | Lost) -> Slot:
        failures: list[str] = []
        while isinstance(answer, Lost):
            if _leaves_no_room(arm, answer):
                run = Run(index, arm.first_seed + index, False, 0.0, PROMPT_TOO_LONG)
                return Slot(index, run, tuple(failures))
            failures.append(f"{LOST}{answer.reason}")
            if len(failures) == self._attempts:
                return Slot(index, None, tuple(failures))
            [answer] = await self._call(arm, range(index, index + 1))
        verdict = await self._judge(answer, arm.problem)
        if verdict.outcome == "unjudged":
            failures.append(f"{UNJUDGED}{verdict.reason}")
            verdict = await self._judge(answer, arm.problem)
        if verdict.outcome == "unjudged":
            failures.append(f"{UNJUDGED}{verdict.reason}")
            return Slot(index, None, tuple(failures))
        run = Run(index, arm.first_seed + index, verdict.outcome == "passed", verdict.score, verdict.reason)
        return Slot(index, run, tuple(failures))

    async def _call(self, arm: Arm, indexes: range) -> Sequence[Completion | Lost]:
        if arm.name == "with_trace" and len(arm.prompt.user) > LONGEST_PROMPT:
            return [Lost(PROMPT_TOO_LONG)] * len(indexes)
        self._meter.calls += 1
        self._meter.samples[arm.name] += len(indexes)
        with self._meter.executing.piece():
            answers = await self._executor.sample(
                arm.prompt, len(indexes), self._sampling, arm.first_seed + indexes.start
            )
        if len(answers) != len(indexes):
            raise RunError(f"The executor gave {len(answers)} completions where {len(indexes)} were asked for.")
        for answer in answers:
            if _leaves_no_room(arm, answer):
                self._count(Verdict.failed(PROMPT_TOO_LONG))
            elif isinstance(answer, Lost):
                self._meter.lost[answer.reason] += 1
                self._meter.completions.came_to_nothing(answer.reason, answer.detail)
            else:
                self._meter.completions.came()
        return answers

    async def _judge(self, completion: Completion, problem: Problem) -> Verdict:
        if not completion.text.strip():
            verdict = Verdict.failed(EMPTY)
        elif not completion.finished:
            verdict = Verdict.failed(CUT_OFF)
        else:
            async with self._verifications:
                with self._meter.verifying.piece():
                    verdict = await self._verdict(completion.text, problem)
        self._count(verdict)
        return verdict

    async def _verdict(self, text: str, problem: Problem) -> Verdict:
        try:
            return await self._verifiers[problem.task].verify(text, problem)
        except TraceLiftError:
            raise  # it cannot work at all, and says why
        except Exception as error:  # noqa: BLE001 - whatever a verifier throws says nothing about the completion
            return Verdict.unjudged(f"verifier raised {type(error).__name__}")

    def _count(self, verdict: Verdict) -> None:
        if verdict.outcome == "unjudged":
            self._meter.unjudged[verdict.reason] += 1
            self._meter.verdicts.came_to_nothing(verdict.reason)
            return
        self._meter.verdicts.came()
        if verdict.outcome == "failed":
            self._meter.failed[verdict.reason] += 1


def _leaves_no_room(arm: Arm, answer: Completion | Lost) -> bool:
    """Whether a trace is so long that the executor cannot read it: a failed attempt, whoever asks."""
    return arm.name == "with_trace" and isinstance(answer, Lost) and answer.reason == PROMPT_TOO_LONG


async def together(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Runs all at once and returns their results in order; the first failure cancels the others.

    Raises:
        BaseExceptionGroup: of what failed; `first_error` finds the one to tell.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in coroutines]
    return [task.result() for task in tasks]


async def every_trace(
    problems: Sequence[Problem],
    start: Callable[[Problem], Callable[[int | None], Coroutine[Any, Any, _T]]],
    at_once: int,
) -> list[_T]:
    """All traces, started in the order of the input, and a None for a problem that has none; results in that order.

    Args:
        problems: with their traces.
        start: begins a problem, and gives what measures a trace of it.
        at_once: how many may be under way.
    """
    gate = asyncio.Semaphore(at_once)
    tasks: list[asyncio.Task[_T]] = []
    async with asyncio.TaskGroup() as group:
        for problem in problems:
            one = start(problem)
            places: Sequence[int | None] = range(len(problem.traces)) or [None]
            for trace in places:
                await gate.acquire()
                task = group.create_task(one(trace))
                task.add_done_callback(lambda _: gate.release())
                tasks.append(task)
    return [task.result() for task in tasks]


def first_error(group: BaseExceptionGroup) -> BaseException:
    """The error to tell of a group, however deep: the first that is meant for the user, else the first."""
    leaves = list(_leaves(group))
    return next((each for each in leaves if isinstance(each, TraceLiftError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
