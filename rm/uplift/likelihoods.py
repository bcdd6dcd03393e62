"""How probable each trace makes the known answer: one forward pass a trace, one a problem, none of them sampled.

The known answer is the reference answer of a math problem and the reference program of a code problem, written as a
completion would be (`prompts.written_answer`). Where a trace states it, the trace is tried a second time with the
answer masked. Likelihoods are the model's own, at temperature 1, whatever completions are drawn with.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from rm.errors import ConfigError
from rm.uplift.estimate import find_leak, likelihood_value, mask_answer
from rm.uplift.executors.base import NO_LIKELIHOODS, LikelihoodExecutor, Lost
from rm.uplift.journal import Journal, LogName
from rm.uplift.meter import Meter, Tally
from rm.uplift.problems import Problem, Trace
from rm.uplift.prompts import known_answer, written_answer
from rm.uplift.results import BASELINE_ONLY, LIKELIHOOD, LikelihoodResult, TraceResult, counted
from rm.uplift.runs import LOST, every_trace
from rm.uplift.setup import Setup

NO_ANSWER = {"math": "no reference answer", "code": "no reference solution"}
NOT_FINITE = "no finite log-likelihood"
"""Of an answer that the model rules out, or whose computation overflowed."""

Log = tuple[float | None, tuple[str, ...]]
"""A log-likelihood, None where every attempt was lost; and the reasons of the attempts that were."""


class Likelihoods:
    """One pass over all traces.

    Args:
        setup: its executor gives likelihoods; verifiers and sampling play no part.
        meter, tally: are told what is done.
        journal: keeps every log-likelihood as it comes.
        attempts: how often a lost one is asked for in all.
        traces_at_once: under way at the same time.

    Raises:
        ConfigError: the executor gives no likelihoods.
    """

    def __init__(
        self, setup: Setup, meter: Meter, tally: Tally, journal: Journal | None, attempts: int, traces_at_once: int
    ) -> None:
        if not isinstance(setup.executor, LikelihoodExecutor):
            raise ConfigError(NO_LIKELIHOODS.format(what="This executor"))
        self._executor = setup.executor
        self._setup = setup
        self._meter = meter
        self._tally = tally
        self._journal = journal
        self._attempts = attempts
        self._traces_at_once = traces_at_once

    async def run(self, problems: Sequence[Problem]) -> list[TraceResult]:
        """A result a trace, with its `likelihood`; its `value`, a difference of success rates, stays None."""
        self._tally.expect(sum(max(1, len(problem.traces)) for problem in problems))
        return await every_trace(problems, self._start, self._traces_at_once)

    def baseline(self, problem: Problem) -> Once:
        """The log-likelihood without a trace, which all traces of the problem share."""
        return Once(lambda: self._log(problem, None, "answer", None, known_answer(problem)))

    def _start(self, problem: Problem) -> Callable[[int | None], Coroutine[object, object, TraceResult]]:
        baseline = self.baseline(problem)

        async def one(trace: int | None) -> TraceResult:
            result = await self.result(problem, trace, baseline)
            self._tally.one_more()
            return result

        return one

    async def result(self, problem: Problem, trace: int | None, baseline: Once) -> TraceResult:
        """Of one trace, by its place among the problem's; None for the baseline alone."""
        answer = known_answer(problem)
        own = Trace("", BASELINE_ONLY) if trace is None else problem.traces[trace]
        leak, masked = find_leak(own.reasoning, answer), mask_answer(own.reasoning, answer)
        with_trace: Log = (None, ())
        with_masked: Log = (None, ())
        alone: Log = (None, ())
        if answer and trace is None:
            alone = await baseline.get()
        elif answer:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(self._log(problem, trace, "answer", own.reasoning, answer))
                without = group.create_task(baseline.get())
                second = group.create_task(self._log(problem, trace, "masked", masked, answer)) if leak else None
            with_trace, alone = first.result(), without.result()
            with_masked = second.result() if second else with_masked
        found = likelihood_value(
            own.reasoning, answer, with_trace=with_trace[0], baseline=alone[0], with_masked=with_masked[0]
        )
        return TraceResult(
            problem_id=problem.problem_id,
            trace=trace,
            kind=own.kind,
            value=None,
            low=None,
            high=None,
            method=LIKELIHOOD,
            successes=0.0,
            runs=0,
            baseline_successes=0.0,
            baseline_runs=0,
            likelihood=LikelihoodResult(
                value_nats=found.value,
                masked_nats=found.masked,
                baseline_nats=found.baseline,
                leaks=leak.anywhere,
                leaks_last_line=leak.last_line,
                length=len(own.reasoning),
            ),
            notes=() if answer else (NO_ANSWER[problem.task],),
            failures=counted(with_trace[1] + with_masked[1]),
            baseline_failures=counted(alone[1]),
            rm_score=own.rm_score,
            total=own.total,
        )

    async def _log(self, problem: Problem, trace: int | None, name: LogName, reasoning: str | None, answer: str) -> Log:
        place = (problem.problem_id, trace)
        kept = self._journal.logs.get((place, name)) if self._journal else None
        if kept is not None:
            return kept, ()
        prompt, written = self._setup.prompts.make(problem, reasoning), written_answer(problem.task, answer)
        failures: list[str] = []
        while len(failures) < self._attempts:
            self._meter.calls += 1
            self._meter.likelihoods += 1
            with self._meter.executing.piece():
                found = await self._executor.log_likelihood(prompt, written)
            if isinstance(found, float | int) and math.isfinite(found) and found <= 0:
                self._meter.completions.came()
                if self._journal:
                    self._journal.add_log(place, name, float(found))
                return float(found), tuple(failures)
            lost = found if isinstance(found, Lost) else Lost(NOT_FINITE)
            failures.append(f"{LOST}{lost.reason}")
            self._meter.lost[lost.reason] += 1
            self._meter.completions.came_to_nothing(lost.reason, lost.detail)
            if lost.reason == NOT_FINITE:  # the same model would say the same again
                break
        return None, tuple(failures)


class Once:
    """What several wait for and is done once, by the first who asks."""

    def __init__(self, make: Callable[[], Coroutine[object, object, Log]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._found: Log | None = None

    @property
    def failed(self) -> bool:
        """Whether it was done and came to nothing."""
        return self._found is not None and self._found[0] is None

    async def get(self) -> Log:
        async with self._lock:
            if self._found is None:
                self._found = await self._make()
        return self._found


def as_probabilities(result: TraceResult) -> TraceResult:
    """The same result with a `value`: how much more probable the answer is with the trace, in [-1, 1].

    What a difference of success rates comes to in the long run at temperature 1, for an executor that writes the answer
    in one form alone; one that has several gets less. Both probabilities stand as successes of one run.
    """
    found = result.likelihood
    if found is None or found.value_nats is None or found.baseline_nats is None:
        return result
    with_trace, alone = math.exp(found.baseline_nats + found.value_nats), math.exp(found.baseline_nats)
    return replace(
        result,
        value=with_trace - alone,
        successes=with_trace,
        runs=1,
        baseline_successes=alone,
        baseline_runs=1,
    )
