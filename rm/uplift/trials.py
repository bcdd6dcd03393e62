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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rm.errors import TraceLiftError
from rm.files import check_file, write_text_whole
from rm.uplift.arms import ArmRuns, SharedRuns
from rm.uplift.cache import BaselineCache
from rm.uplift.calibrated import with_predictions
from rm.uplift.estimate import Counts
from rm.uplift.journal import Journal
from rm.uplift.likelihoods import Likelihoods
from rm.uplift.meter import FailureLimit, Meter, Progress, Tally
from rm.uplift.plans import Calibrated, Likelihood, Plan
from rm.uplift.problems import Problem, Trace
from rm.uplift.results import BASELINE_ONLY, Measurement, TraceResult, counted, with_shrunken_values
from rm.uplift.runs import Runner, Slot, every_trace, first_error
from rm.uplift.setup import Setup

KEPT = "What is done is kept; the same command goes on from there."
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
        ConfigError: `out` exists, or its work file is of another measurement or in use; the executor gives no
            likelihoods where the plan needs them, or the data is too little for a calibration.
        RunError: too much is lost, the cache is damaged, a file cannot be written; what is done is kept.
        ValueError: two problems have one id, or a task has no verifier.
    """
    if len({problem.problem_id for problem in problems}) < len(problems):
        raise ValueError("expected distinct problem ids")
    plan = setup.plan
    unknown = {problem.task for problem in problems} - setup.verifiers.keys()
    if unknown and not isinstance(plan, Likelihood):
        raise ValueError(f"no verifier for the tasks {sorted(unknown)}")
    chosen = plan.chosen(problems, setup.seed) if isinstance(plan, Calibrated) else []
    path = None if out is None else check_file(out, force)
    meter = Meter(limits.failures)
    tally = Tally(meter, on_progress)
    with nullcontext() if path is None else Journal(path, setup.identity(problems)) as journal:
        if journal:
            meter.resumed_runs = len(journal.logs) + sum(len(slots) for slots in journal.slots.values())
        calibration = None
        try:
            if isinstance(plan, Likelihood | Calibrated):
                scoring = Likelihoods(setup, meter, tally, journal, limits.attempts, limits.traces_at_once)
                results = await scoring.run(problems)
                if isinstance(plan, Calibrated):
                    trials = Trials(setup, plan.sampled, cache, limits, meter, tally, journal)
                    sampled = await trials.run(chosen)
                    results, calibration = with_predictions(results, sampled, plan.sampled.level, setup.seed)
            else:
                results = await Trials(setup, plan, cache, limits, meter, tally, journal).run(problems)
        except BaseExceptionGroup as group:
            error = first_error(group)
            if isinstance(error, TraceLiftError) and journal is not None and journal.holds_work:
                error.add_note(KEPT)
            raise error from None
        results = with_shrunken_values(results)
        if path is not None and journal is not None:
            write_text_whole(path, "".join(json.dumps(each.as_row()) + "\n" for each in results), force)
            journal.remove()
    return Measurement(tuple(results), meter.totals(), calibration)


class Trials:
    """The sampling part of a call of `measure`: what all its traces share; `rm.uplift.live` has one, too."""

    def __init__(
        self,
        setup: Setup,
        plan: Plan,
        cache: BaselineCache | None,
        limits: TrialLimits,
        meter: Meter,
        tally: Tally,
        journal: Journal | None,
    ) -> None:
        self.meter = meter
        self.setup = setup
        self.verifications = limits.verifications or 2 * (os.cpu_count() or 1)
        self._plan = plan
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
        self._traces_at_once = limits.traces_at_once
        self._journal = journal
        self._tally = tally

    async def run(self, problems: Sequence[Problem]) -> list[TraceResult]:
        """All traces."""
        self._tally.expect(sum(max(1, len(problem.traces)) for problem in problems))
        return await every_trace(problems, self._start, self._traces_at_once)

    def _start(self, problem: Problem) -> Callable[[int | None], Coroutine[Any, Any, TraceResult]]:
        baseline = self.arm(problem, None)
        return lambda trace: self._one(problem, baseline, trace)

    async def _one(self, problem: Problem, baseline: ArmRuns, trace: int | None) -> TraceResult:
        place = (problem.problem_id, trace)
        result = self._journal.results.get(place) if self._journal else None
        if result is None:
            slots, beside = await self.runs(problem, baseline, trace)
            result = self.result(problem, trace, slots, beside)
            if self._journal and all(slot.run for slot in (*slots, *beside)):  # else a later call tries again
                self._journal.add_result(place, result)
                await asyncio.to_thread(self._journal.sync)
        self._tally.one_more()
        return result

    async def runs(self, problem: Problem, baseline: ArmRuns, trace: int | None) -> tuple[list[Slot], list[Slot]]:
        """Slots of both arms, as many as the plan asks for; it is not asked again where nothing more came."""
        own = None if trace is None else self.arm(problem, trace)
        slots: list[Slot] = []
        beside: list[Slot] = []
        while more := self._plan.next(self._counts(slots), self._counts(beside)):
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
            self._tally.tell()

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
        estimate = self._plan.estimate(counts, baseline)
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


def _mean_score(slots: Sequence[Slot]) -> float | None:
    scores = [slot.run.score for slot in slots if slot.run is not None]
    return sum(scores) / len(scores) if scores else None


def _failed(slots: Sequence[Slot]) -> dict[str, int]:
    """Reason -> runs without success."""
    return counted(slot.run.reason for slot in slots if slot.run is not None and not slot.run.passed)


def _failures(slots: Sequence[Slot]) -> dict[str, int]:
    """Reason -> attempts that came to nothing."""
    return counted(reason for slot in slots for reason in slot.failures)
