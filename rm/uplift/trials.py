"""All runs of a batch, with and without traces, drawn and judged at the same time.

    setup = Setup(executor, {"math": verifier}, Sampled(runs=8))
    measurement = asyncio.run(measure(problems, setup, cache=cache, out=path))

Nothing waits for what it does not need: a completion is judged while others are drawn, and the traces of a problem
run beside its baseline, which is measured once. How many calls are open is the executor's own affair.

**Same seed, same results**, whatever the order, the number of runs at once, how much the cache holds and how often the
measurement was killed: run i of an arm is drawn with a seed of its own, and a trace is compared with exactly the first
m baseline runs, where m is what its plan asked for, however many there are. This holds where completions depend on
prompt, sampling and seed alone, where the cache was filled under the same seed, and where nothing is lost for good.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rm.files import check_file, write_text_whole
from rm.uplift.arms import ArmRuns, SharedRuns
from rm.uplift.cache import BaselineCache
from rm.uplift.estimate import Counts
from rm.uplift.journal import Journal
from rm.uplift.meter import FailureLimit, Meter, Totals
from rm.uplift.problems import Problem, Trace
from rm.uplift.results import BASELINE_ONLY, Measurement, TraceResult, with_shrunken_values
from rm.uplift.runs import Runner, Slot, first_error
from rm.uplift.setup import Setup

GREEDY = "temperature 0: one run an arm, since all would be the same"


@dataclass(frozen=True)
class TrialLimits:
    """How much at once, and how long something is tried.

    Args:
        verifications: verdicts under way at once; 0 for twice the number of processors.
        samples_per_call: completions that one call may ask for, see `Runner`.
        attempts: how often a lost completion is asked for in all.
        traces_at_once: measured at the same time; bounds memory.
        failures: when to stop.
    """

    verifications: int = 0
    samples_per_call: int = 8
    attempts: int = 10
    traces_at_once: int = 256
    failures: FailureLimit = field(default_factory=FailureLimit)


@dataclass(frozen=True)
class Progress:
    """How far it is: traces done of all, and what that took so far."""

    done: int
    of: int
    totals: Totals


async def measure(
    problems: Sequence[Problem],
    setup: Setup,
    *,
    cache: BaselineCache | None = None,
    out: str | Path | None = None,
    force: bool = False,
    limits: TrialLimits = TrialLimits(),
    on_progress: Callable[[Progress], None] | None = None,
) -> Measurement:
    """The uplift of every trace, and the baseline of problems that have none.

    Args:
        problems: with distinct `problem_id`s.
        setup: how it is measured.
        cache: baselines are taken from it and put into it.
        out: results file (JSON Lines, a row a trace in the order of the input), there whole at the end. Until then a
            hidden work file beside it holds what is done; the same call goes on from it.
        force: whether `out` may exist.
        limits: how much at once.
        on_progress: called in the event loop as runs are judged and traces done.

    Returns:
        Results in the order of problems and traces.

    Raises:
        ConfigError: `out` exists, or its work file is of another measurement or in use.
        RunError: too much is lost, the cache is damaged, a file cannot be written; what is done is kept.
        ValueError: two problems have one id, or a task has no verifier.
    """
    if len({problem.problem_id for problem in problems}) < len(problems):
        raise ValueError("expected distinct problem ids")
    if unknown := {problem.task for problem in problems} - setup.verifiers.keys():
        raise ValueError(f"no verifier for the tasks {sorted(unknown)}")
    path = None if out is None else check_file(out, force)
    with nullcontext() if path is None else Journal(path, setup.identity(problems)) as journal:
        trials = Trials(setup, cache, limits, journal, on_progress)
        try:
            results = await trials.run(problems)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        results = with_shrunken_values(results)
        if path is not None and journal is not None:
            write_text_whole(path, "".join(json.dumps(each.as_row()) + "\n" for each in results), force)
            journal.remove()
    return Measurement(tuple(results), trials.meter.totals())


class Trials:
    """What the traces of one call of `measure` share; `rm.uplift.live` has one for as long as it is open."""

    def __init__(
        self,
        setup: Setup,
        cache: BaselineCache | None,
        limits: TrialLimits,
        journal: Journal | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.meter = Meter(limits.failures)
        self.setup = setup
        self.verifications = limits.verifications or 2 * (os.cpu_count() or 1)
        self._cache = cache
        self._runner = Runner(
            setup.executor,
            setup.verifiers,
            setup.sampling,
            self.meter,
            verifications=self.verifications,
            samples_per_call=limits.samples_per_call,
            attempts=limits.attempts,
        )
        self._gate = asyncio.Semaphore(limits.traces_at_once)
        self._journal = journal
        if journal:
            self.meter.resumed_runs = sum(len(slots) for slots in journal.slots.values())
        self._on_progress = on_progress
        self._done = 0
        self._of = 0

    async def run(self, problems: Sequence[Problem]) -> list[TraceResult]:
        """All traces, started in the order of the input."""
        self._of = sum(max(1, len(problem.traces)) for problem in problems)
        tasks: list[asyncio.Task[TraceResult]] = []
        async with asyncio.TaskGroup() as group:
            for problem in problems:
                baseline = self.arm(problem, None)
                places: Sequence[int | None] = range(len(problem.traces)) or [None]
                for trace in places:
                    await self._gate.acquire()
                    task = group.create_task(self._one(problem, baseline, trace))
                    task.add_done_callback(lambda _: self._gate.release())
                    tasks.append(task)
        return [task.result() for task in tasks]

    async def _one(self, problem: Problem, baseline: ArmRuns, trace: int | None) -> TraceResult:
        place = (problem.problem_id, trace)
        result = self._journal.results.get(place) if self._journal else None
        if result is None:
            slots, beside = await self.runs(problem, baseline, trace)
            result = self.result(problem, trace, slots, beside)
            if self._journal and all(slot.run for slot in (*slots, *beside)):  # else a later call tries again
                self._journal.add_result(place, result)
                await asyncio.to_thread(self._journal.sync)
        self._done += 1
        self._tell()
        return result

    async def runs(self, problem: Problem, baseline: ArmRuns, trace: int | None) -> tuple[list[Slot], list[Slot]]:
        """Slots of both arms, as many as the plan asks for; it is not asked again where nothing more came."""
        own = None if trace is None else self.arm(problem, trace)
        slots: list[Slot] = []
        beside: list[Slot] = []
        while more := self.setup.plan.next(self._counts(slots), self._counts(beside)):
            n, m = len(slots) + more[0], len(beside) + more[1]
            if self.setup.sampling.temperature == 0:
                n, m = min(n, 1), min(m, 1)
            judged = self._counts(slots).runs + self._counts(beside).runs
            if own is None:
                return [], await baseline.first(m)
            async with asyncio.TaskGroup() as group:
                with_trace = group.create_task(own.first(n))
                without = group.create_task(baseline.first(m))
            slots, beside = with_trace.result(), without.result()
            if self._counts(slots).runs + self._counts(beside).runs == judged:
                break
        return slots, beside

    def arm(self, problem: Problem, trace: int | None, kept: Mapping[int, Slot] | None = None) -> ArmRuns:
        """The runs of a trace, or of the baseline; `kept` are runs that it begins with, besides the journal's."""
        place = (problem.problem_id, trace)

        def keep(slots: Sequence[Slot]) -> None:
            if self._journal:
                self._journal.add_slots(place, slots)
            self._tell()

        shared = None
        if self._cache is not None and trace is None:
            shared = SharedRuns(self._cache, self.setup.key(problem))
        return ArmRuns(
            self.setup.arm(problem, trace),
            self._runner,
            self.meter,
            shared=shared,
            kept=kept or (self._journal.slots.get(place, {}) if self._journal else {}),
            keep=keep,
        )

    def _counts(self, slots: Sequence[Slot]) -> Counts:
        runs = [slot.run for slot in slots if slot.run is not None]
        return Counts.of(run.score if self.setup.partial else float(run.passed) for run in runs)

    def result(self, problem: Problem, trace: int | None, slots: Sequence[Slot], beside: Sequence[Slot]) -> TraceResult:
        """What the slots of both arms say of a trace."""
        own = Trace("", BASELINE_ONLY) if trace is None else problem.traces[trace]
        counts, baseline = self._counts(slots), self._counts(beside)
        estimate = self.setup.plan.estimate(counts, baseline)
        return TraceResult(
            problem_id=problem.problem_id,
            trace=trace,
            kind=own.kind,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            method=estimate.method,
            successes=counts.successes,
            runs=counts.runs,
            baseline_successes=baseline.successes,
            baseline_runs=baseline.runs,
            score_mean=_mean_score(slots),
            baseline_score_mean=_mean_score(beside),
            notes=(*estimate.notes, *((GREEDY,) if self.setup.sampling.temperature == 0 else ())),
            failed_runs=_failed(slots),
            baseline_failed_runs=_failed(beside),
            failures=_failures(slots),
            baseline_failures=_failures(beside),
            samples=sum(slot.samples for slot in slots),
            rm_score=own.rm_score,
            total=own.total,
        )

    def _tell(self) -> None:
        if self._on_progress:
            self._on_progress(Progress(self._done, self._of, self.meter.totals()))


def _mean_score(slots: Sequence[Slot]) -> float | None:
    scores = [slot.run.score for slot in slots if slot.run is not None]
    return sum(scores) / len(scores) if scores else None


def _failed(slots: Sequence[Slot]) -> dict[str, int]:
    """Reason -> runs without success."""
    return _counted(slot.run.reason for slot in slots if slot.run is not None and not slot.run.passed)


def _failures(slots: Sequence[Slot]) -> dict[str, int]:
    """Reason -> attempts that came to nothing."""
    return _counted(reason for slot in slots for reason in slot.failures)


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    """By reason, in the order of the alphabet: rows do not depend on which came first."""
    return dict(sorted(Counter(reasons).items()))
