"""Uplift of traces that come one by one, for as long as it is open: what a reward stands on.

    async with LiveUplift(config) as live:
        result = await live.uplift(problem, reasoning)
        attempt = await live.attempt(problem, reasoning)

`rm.uplift.trials.measure` knows all its problems at once; here a problem's baseline is measured when its first trace
comes and shared by all that follow, those that come meanwhile included, in this process by memory and beyond it by the
cache. A run that came to nothing is tried again by the next trace. The same trace gets the same result whenever it
comes, as in `rm.uplift.trials`. With the plan `likelihood` no run is drawn: the uplift is how much more probable the
trace makes the known answer (`rm.uplift.likelihoods.as_probabilities`). Nothing here stops because much is lost: that
is for the caller to judge.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType

from rm.errors import ConfigError, RunError, TraceLiftError
from rm.uplift.arms import ArmRuns
from rm.uplift.cache import BaselineCache, problem_hash
from rm.uplift.config import UpliftConfig
from rm.uplift.estimate import Sampled
from rm.uplift.executors.base import PROMPT_TOO_LONG, Executor, Lost, Usage
from rm.uplift.executors.config import make_executor
from rm.uplift.likelihoods import Likelihoods, Once, as_probabilities
from rm.uplift.meter import FailureLimit, Meter, Tally, Totals
from rm.uplift.plans import Calibrated, Likelihood
from rm.uplift.problems import IOTest, Problem, Task, Trace
from rm.uplift.prompts import known_answer
from rm.uplift.results import TraceResult
from rm.uplift.runs import CUT_OFF, EMPTY, Arm, Runner, Slot, first_error, first_seed
from rm.uplift.trials import TrialLimits, Trials
from rm.uplift.verifiers.base import Verdict, Verifier
from rm.uplift.verifiers.code import CodeVerifier
from rm.uplift.verifiers.styles import DEFAULT_STYLE, execution_reward

PROBLEMS_KEPT = 4096
"""Problems whose baseline runs stay in memory, the least recently used going first."""
PROBES: Mapping[Task, tuple[Problem, str]] = MappingProxyType(
    {
        "math": (Problem("probe", "1 + 1", "math", answer="2"), "2"),
        "code": (Problem("probe", "Print 1.", "code", io_tests=(IOTest("", "1"),)), "```python\nprint(1)\n```"),
    }
)
"""A problem of each task with a completion that a working verifier passes."""


@dataclass(frozen=True)
class Attempt:
    """One run with the trace, apart from those that the uplift is estimated from.

    Args:
        value: math: 1 where the answer is right, else 0. Code: the execution reward of the program in the style asked
            for. None where it could not be measured.
        reason: how the attempt failed, or why it could not be measured; empty for a success.
    """

    value: float | None
    reason: str = ""


class LiveUplift:
    """See the module. Lives in one event loop; safe for any number of concurrent calls.

    Args:
        config: how uplift is measured. With `cache` set, baselines are shared with other processes.
        style: of the execution reward of `attempt`, see `rm.uplift.verifiers.styles`.
        tasks: whose verifiers are tried in `open`; others are made when their first problem comes.
        problems_kept: bound of memory.

    Raises:
        ConfigError: a plan that does not go together or needs all traces at once, or no such style.
    """

    def __init__(
        self,
        config: UpliftConfig,
        *,
        style: str = DEFAULT_STYLE,
        tasks: Sequence[Task] = (),
        problems_kept: int = PROBLEMS_KEPT,
    ) -> None:
        plan = config.plan.make()
        if isinstance(plan, Calibrated):
            raise ConfigError(
                "plan.kind = calibrated: it needs all traces at once, and these come one by one. Take sampled, "
                "adaptive or likelihood."
            )
        execution_reward((), style)
        self._plan = plan
        self.config = config
        self._style = style
        self._tasks = tuple(tasks)
        self._problems_kept = problems_kept
        self._executor: Executor | None = None
        self._cache: BaselineCache | None = None
        self._verifiers: dict[Task, Verifier] = {}
        self._styled: dict[Task, Verifier] = {}
        self._baselines: OrderedDict[str, ArmRuns] = OrderedDict()
        self._alone: OrderedDict[tuple[str, str], Once] = OrderedDict()
        self._likelihoods: Likelihoods | None = None
        self._opening = asyncio.Lock()
        self._verifying = asyncio.Lock()
        self.notes: tuple[str, ...] = ()

    async def __aenter__(self) -> LiveUplift:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Executor, cache and the verifiers of `tasks`, once; after a failure the next call tries again.

        Raises:
            TraceLiftError: what cannot be had, and why.
        """
        async with self._opening:
            if self._executor is not None:
                return
            executor = make_executor(self.config.executor)
            try:
                await executor.start(likelihoods=isinstance(self._plan, Likelihood))
                path = self.config.cache_path()
                self._cache = None if path is None else BaselineCache(path)
                for task in self._tasks:
                    await self._make_verifier(task)
            except BaseException:
                await self._close_all(executor)
                raise
            self.notes = tuple(executor.notes)
            self._trials, self._attempts = self._machinery(executor)
            self._executor = executor

    async def close(self) -> None:
        """Gives back connections, processes and files. It may be opened again."""
        async with self._opening:
            executor, self._executor = self._executor, None
            if executor is not None:
                await self._close_all(executor)

    async def uplift(self, problem: Problem, reasoning: str) -> TraceResult:
        """What the trace adds to the executor's success, against the problem's shared baseline.

        Args:
            problem: its id and traces do not count.
            reasoning: the trace, which may be empty.

        Raises:
            TraceLiftError: the executor or a verifier cannot go on at all.
        """
        if self._executor is None:
            await self.open()
        problem = replace(problem, traces=(Trace(reasoning),))
        key = problem_hash(problem)
        if self._likelihoods is not None:  # no run, and so no verifier
            return await self._by_likelihood(self._likelihoods, (key, known_answer(problem)), problem)
        await self._ready(problem.task)
        baseline = self._baseline(key, problem)
        try:
            slots, beside = await self._trials.runs(problem, baseline, 0)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            self._keep_what_came(key, baseline, problem)
        return self._trials.result(problem, 0, slots, beside)

    async def _by_likelihood(self, likelihoods: Likelihoods, key: tuple[str, str], problem: Problem) -> TraceResult:
        baseline = self._alone.pop(key, None) or likelihoods.baseline(problem)
        self._alone[key] = baseline
        while len(self._alone) > self._problems_kept:
            self._alone.popitem(last=False)
        try:
            return as_probabilities(await likelihoods.result(problem, 0, baseline))
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            if baseline.failed and self._alone.get(key) is baseline:
                del self._alone[key]  # the next trace tries again

    async def attempt(self, problem: Problem, reasoning: str) -> Attempt:
        """One run more with the trace, drawn and judged by itself. Raises: as `uplift`."""
        await self._ready(problem.task)
        setup = self._trials.setup
        arm = Arm(
            name="with_trace",
            problem=problem,
            prompt=setup.prompts.make(problem, reasoning),
            first_seed=first_seed(setup.seed + 1, problem_hash(problem), reasoning),  # not a run of the uplift
        )
        try:
            [slot] = await self._attempts.run(arm, [0], _keep_nothing)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        return self._attempt_of(slot, problem.task)

    async def check(self) -> None:
        """Draws one completion, so that an executor which is down is found before it is needed.

        Raises:
            RunError: nothing came, and why; further as `open`.
        """
        await self.open()
        setup = self._trials.setup
        prompt = setup.prompts.make(PROBES["math"][0], None)
        [answer] = await self._open_executor.sample(prompt, 1, setup.sampling, setup.seed)
        if isinstance(answer, Lost):
            detail = f" ({answer.detail})" if answer.detail else ""
            raise RunError(f"The executor gives no completion: {answer.reason}{detail}. Is its server up?")

    @property
    def fingerprint(self) -> str:
        """Of the executor that is open."""
        return self._open_executor.fingerprint

    def totals(self) -> Totals | None:
        """What was done since it was opened; None before."""
        return self._trials.meter.totals() if self._executor else None

    @property
    def usage(self) -> Usage | None:
        """What the executor did since then."""
        return self._executor.usage if self._executor else None

    @property
    def _open_executor(self) -> Executor:
        if self._executor is None:
            raise RunError("The uplift is not open.")
        return self._executor

    def _machinery(self, executor: Executor) -> tuple[Trials, Runner]:
        config = self.config
        by_likelihood = isinstance(self._plan, Likelihood)
        plan = Sampled() if isinstance(self._plan, Likelihood) else self._plan
        setup = config.setup(executor, self._verifiers, plan)
        endless = FailureLimit(rate=1.0)
        limits = TrialLimits(attempts=config.attempts, failures=endless)
        meter = Meter(endless)
        tally = Tally(meter, None)
        trials = Trials(setup, plan, self._cache, limits, meter, tally, None)
        if by_likelihood:
            self._likelihoods = Likelihoods(setup, meter, tally, None, config.attempts, config.traces_at_once)
        attempts = Runner(
            executor,
            self._styled,
            setup.sampling,
            trials.meter,
            verifications=trials.verifications,
            samples_per_call=1,
            attempts=config.attempts,
        )
        return trials, attempts

    def _baseline(self, key: str, problem: Problem) -> ArmRuns:
        """The runs that all traces of the problem share."""
        if key not in self._baselines:
            self._baselines[key] = self._trials.arm(replace(problem, traces=()), None)
        self._baselines.move_to_end(key)
        while len(self._baselines) > self._problems_kept:
            self._baselines.popitem(last=False)
        return self._baselines[key]

    def _keep_what_came(self, key: str, baseline: ArmRuns, problem: Problem) -> None:
        """Drops places that stayed empty, so that the next trace tries to fill them."""
        if self._baselines.get(key) is baseline and any(slot.run is None for slot in baseline.slots):
            kept = {slot.index: slot for slot in baseline.slots if slot.run is not None}
            self._baselines[key] = self._trials.arm(replace(problem, traces=()), None, kept)

    async def _ready(self, task: Task) -> None:
        if self._executor is None:
            await self.open()
        if task not in self._verifiers:
            async with self._verifying:
                await self._make_verifier(task)

    async def _make_verifier(self, task: Task) -> None:
        """Makes it and has it judge what it must pass. Raises: TraceLiftError where it does not."""
        if task in self._verifiers:
            return
        verifier = self.config.verifier(task)
        problem, completion = PROBES[task]
        try:
            verdict = await verifier.verify(completion, problem)
            if verdict.outcome != "passed":
                raise RunError(f"The verifier of {task} does not work here: {verdict.reason}.")
        except BaseException:
            await verifier.close()
            raise
        self._verifiers[task] = verifier
        self._styled[task] = _Styled(verifier, self._style) if isinstance(verifier, CodeVerifier) else verifier

    def _attempt_of(self, slot: Slot, task: Task) -> Attempt:
        if slot.run is None:
            return Attempt(None, slot.failures[-1])
        if task == "math":
            return Attempt(float(slot.run.passed), slot.run.reason)
        if slot.run.reason in NO_PROGRAM:
            return Attempt(execution_reward(("compile_error",), self._style), slot.run.reason)
        return Attempt(slot.run.score, slot.run.reason)

    async def _close_all(self, executor: Executor) -> None:
        for verifier in self._verifiers.values():
            with suppress(TraceLiftError):
                await verifier.close()
        self._verifiers.clear()
        self._styled.clear()
        self._baselines.clear()
        self._alone.clear()
        self._likelihoods = None
        await executor.close()
        if self._cache is not None:
            self._cache.close()
            self._cache = None


NO_PROGRAM = frozenset({EMPTY, CUT_OFF, PROMPT_TOO_LONG, "empty", "no program"})
"""Reasons of a completion that holds no program to run: earns what one that does not compile does."""


class _Styled:
    """A code verifier whose verdicts carry the execution reward of a style as their score."""

    def __init__(self, verifier: CodeVerifier, style: str) -> None:
        self._verifier = verifier
        self._style = style

    @property
    def version(self) -> str:
        return f"{self._verifier.version}+{self._style}"

    async def verify(self, completion: str, problem: Problem) -> Verdict:
        outcomes = await self._verifier.outcomes(completion, problem)
        if isinstance(outcomes, Verdict):
            return outcomes
        passed = bool(outcomes) and all(outcome == "passed" for outcome in outcomes)
        reason = "" if passed else "not all tests passed"
        return Verdict("passed" if passed else "failed", reason, execution_reward(outcomes, self._style))

    async def close(self) -> None:
        """The verifier is closed by who made it."""


async def _keep_nothing(slots: Sequence[Slot]) -> None:
    """An attempt is nobody else's."""
