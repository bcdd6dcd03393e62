"""The TraceLift reward: problem rows with completions in, rewards with all their parts out.

    with TraceLiftReward.from_pretrained("exports/reward") as reward:
        [result] = reward.score_sync([{**problem_row, "completion": "<reasoning>...</reasoning>"}])
        result.reward, result.parts.rm, result.parts.uplift.value, result.failures

The reward model works through a call's completions in a thread, every prefix once, while the executor is asked at the
same time; a problem's baseline is measured once for all of its completions, those of later calls included. Equal
completions of a problem are computed once. The only place that sees both the reward model and the executor.

**Nothing is made up.** What could not be measured is None with its reason in `failures`, never a number in its place.
A trace that the planner has left empty, or made too long for the reward model, is measured: its score is the lowest.
Too many unmeasured rewards raise, so that a run does not go on learning from the few that are left.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter, deque
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from rm.errors import ConfigError, RunError, TraceLiftError
from rm.reward.config import LimitsConfig, RewardConfig
from rm.reward.items import Item, check_items
from rm.reward.judge import RewardScorer
from rm.reward.parts import Parts, RewardResult, UpliftPart
from rm.uplift.live import LiveUplift
from rm.uplift.loop import LoopThread
from rm.uplift.meter import Phase, Totals
from rm.uplift.problems import Problem
from rm.uplift.results import TraceResult
from rm.uplift.runs import first_error

T = TypeVar("T")
_KINDS_COUNTED = 200
"""Bound of memory: later kinds of failure are counted together."""


@dataclass(frozen=True)
class RewardStats:
    """What was done so far, and where the time went.

    Args:
        calls: of `score`.
        items: completions rewarded; `computed` of them, the others were equal to one of the same call.
        unmeasured: rewards that are None.
        failures: `part: reason` -> results with it.
        notes: note -> results with it.
        seconds: of wall clock while at least one call was under way.
        rm_seconds: the same for the reward model; `uplift_seconds` for the executor with its verifiers. Where they add
            up to more than `seconds` they have overlapped.
        executor: what the executor and the verifiers did; None where none was needed.
    """

    calls: int
    items: int
    computed: int
    unmeasured: int
    failures: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    rm_seconds: float = 0.0
    uplift_seconds: float = 0.0
    executor: Totals | None = None


@dataclass(frozen=True)
class _Judged:
    """What the reward model says of one trace."""

    score: float | None = None
    dimensions: Mapping[str, float] | None = None
    failure: str = ""
    note: str = ""


@dataclass(frozen=True)
class _Measured:
    """What the executor made of one trace."""

    uplift: UpliftPart | None = None
    end_to_end: float | None = None
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class TraceLiftReward:
    """See the module. Safe for any thread and any event loop, forked processes included.

    Args:
        config: which reward.
        judge: the reward model; may be left out where the formula does not use one.
        notes: what a user should know about how it was loaded.

    Raises:
        ConfigError: parts of the configuration that do not go together, or no `judge` where one is needed.
    """

    def __init__(self, config: RewardConfig, judge: RewardScorer | None = None, *, notes: Sequence[str] = ()) -> None:
        self.config = config
        self.recipe = config.recipe()
        self.judge = judge
        self._needs = self.recipe.needs
        if judge is None and "rm" in self._needs:
            raise ConfigError(f"{config.formula} needs a reward model. Give one.")
        self.notes = (*notes, *(judge.notes if judge else ()))
        self._separate_run = "end_to_end" in self._needs
        self._executes = self.recipe.executes
        self._loop = LoopThread("tracelift-reward")
        self._here: _Here | None = None
        self._tally = _Tally(config.limits)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        revision: str | None = None,
        device: str | None = None,
        base: str | None = None,
    ) -> TraceLiftReward:
        """Load a bundle. See `rm.reward.bundle.load_bundle`, which checks every file of it first.

        Args:
            path: a bundle's directory, or a hub name.
            overrides: dotted keys of `rm.reward.config.RewardConfig` for this machine, such as
                `{"uplift.executor.endpoints": ["http://10.0.0.2:8000/v1"]}`.
            revision: of a hub repository.
            device: of the reward model; default: the first GPU, else the CPU.
            base: where an adapter's base lies, if not where the bundle says.

        Raises:
            ConfigError: no bundle, or one that cannot be trusted, with the names of the files.
        """
        from rm.reward.bundle import load_bundle

        bundle = load_bundle(path, overrides=overrides, revision=revision)
        judge = None
        if bundle.model is not None:
            judge = bundle.load_judge(device=device, base=base)
        return cls(bundle.config, judge, notes=bundle.notes)

    def __enter__(self) -> TraceLiftReward:
        self.start_sync()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> TraceLiftReward:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def formula(self) -> str:
        """Its name."""
        return self.recipe.formula.name

    async def start(self) -> None:
        """Opens executor, cache and verifiers, so that what cannot work says so now. `score` does it, too.

        Raises:
            TraceLiftError: what cannot be had; a later call tries again.
        """
        await self._loop.join(self._start())

    def start_sync(self) -> None:
        """`start`, from code that is not asynchronous."""
        self._loop.wait(self._start())

    async def check(self) -> None:
        """Draws one completion from the executor. Raises: TraceLiftError where none comes, and why."""
        await self._loop.join(self._check())

    def check_sync(self) -> None:
        """`check`, from code that is not asynchronous."""
        self._loop.wait(self._check())

    async def aclose(self) -> None:
        """Gives back connections, processes and threads. It may be used again afterwards."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """`aclose`, from code that is not asynchronous."""
        if self._here is not None:
            if self._here.pid == os.getpid():
                self._loop.wait(self._here.close())
            self._here = None
        self._loop.stop()

    async def score(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """The rewards of completions, in their order.

        Args:
            items: problem rows (`problem`, `task_type`, and `reference_solution` or
                `tests`) with `completion`. Rows of one problem may stand anywhere; an empty list is fine.

        Raises:
            DataError: everything wrong with the items.
            RunError: too many rewards cannot be measured, or the executor cannot go on at all.
        """
        return await self._loop.join(self._score(check_items(items, self._executes)))

    def score_sync(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """`score`, from code that is not asynchronous, within a running event loop or not."""
        return self._loop.wait(self._score(check_items(items, self._executes)))

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The reward model's scores alone, see `RewardScorer.score`. Raises: RunError where there is no model."""
        if self.judge is None:
            raise RunError(f"This reward ({self.formula}) has no reward model.")
        return self.judge.score(rows)

    def stats(self) -> RewardStats:
        """So far, in this process."""
        live = self._here.live if self._here else None
        return self._tally.stats(live.totals() if live else None)

    # What follows runs in the loop's thread.

    async def _start(self) -> None:
        here = self._mine()
        if here.live is not None:
            await here.live.open()

    async def _check(self) -> None:
        here = self._mine()
        if here.live is not None:
            await here.live.check()

    def _mine(self) -> _Here:
        """What belongs to this process; made anew in a forked one."""
        if self._here is None or self._here.pid != os.getpid():
            config = self.config
            live = None
            if self._executes:
                live = LiveUplift(config.uplift, style=config.execution_style, tasks=config.tasks)
            self._here = _Here(live, config.limits.traces_at_once)
        return self._here

    async def _score(self, items: Sequence[Item]) -> list[RewardResult]:
        here = self._mine()
        with self._tally.all.piece():
            if here.live is not None:
                await here.live.open()
            unique = list({item.key: item for item in items}.values())
            try:
                async with asyncio.TaskGroup() as group:
                    judging = group.create_task(self._judge(unique, here))
                    measuring = [group.create_task(self._measure(item, here)) for item in unique]
            except BaseExceptionGroup as errors:
                raise first_error(errors) from None
            judged, measured = judging.result(), [task.result() for task in measuring]
            results = {
                item.key: self._combined(item, said, made)
                for item, said, made in zip(unique, judged, measured, strict=True)
            }
        found = [results[item.key] for item in items]
        self._tally.count(found, len(unique))
        return found

    def _combined(self, item: Item, judged: _Judged, measured: _Measured) -> RewardResult:
        parts = Parts(
            end_to_end=measured.end_to_end, rm=judged.score, dimensions=judged.dimensions, uplift=measured.uplift
        )
        failures = [*([judged.failure] if judged.failure else []), *measured.failures]
        notes = [note for note in (item.note, item.reasoning.note, judged.note, *measured.notes) if note]
        return self.recipe.combine(parts, failures, notes)

    async def _judge(self, items: Sequence[Item], here: _Here) -> list[_Judged]:
        if "rm" not in self._needs or self.judge is None:
            return [_Judged()] * len(items)
        rows = [item.row for item in items if item.reasoning.text]
        with self._tally.rm.piece():
            loop = asyncio.get_running_loop()
            told = iter(await loop.run_in_executor(here.judging, _scores, self.judge, rows) if rows else [])
        return [self._judged(next(told)) if item.reasoning.text else self._lowest("rm: no reasoning") for item in items]

    def _judged(self, said: dict[str, Any] | str) -> _Judged:
        if isinstance(said, str):
            return _Judged(failure=f"rm: {said}")
        if why := said.get("unscorable"):
            return (
                self._lowest("rm: too long for the reward model")
                if self.config.overlong == "lowest"
                else _Judged(failure=f"rm: too long for the reward model ({why})")
            )
        if not math.isfinite(said["score"]):
            return _Judged(failure="rm: the score is no finite number")
        return _Judged(said["score"], said["dimensions"])

    def _lowest(self, why: str) -> _Judged:
        """What a trace gets that cannot be read, by its own fault."""
        names = self.judge.rubric.dimension_names if self.judge else ()
        return _Judged(0.0, dict.fromkeys(names, 0.0), note=f"{why}, taken as the lowest score")

    async def _measure(self, item: Item, here: _Here) -> _Measured:
        if here.live is None or item.problem is None:
            return _Measured()
        async with here.at_once:
            with self._tally.uplift.piece():
                async with asyncio.TaskGroup() as group:
                    uplift = group.create_task(self._uplift(item.problem, item.reasoning.text, here.live))
                    attempt = group.create_task(self._attempt(item.problem, item.reasoning.text, here.live))
        part, uplift_failures = uplift.result()
        value, attempt_failures, notes = attempt.result()
        return _Measured(part, value, (*attempt_failures, *uplift_failures), notes)

    async def _uplift(self, problem: Problem, reasoning: str, live: LiveUplift) -> tuple[UpliftPart | None, list[str]]:
        if "uplift" not in self._needs:
            return None, []
        result = await self._within(live.uplift(problem, reasoning))
        if isinstance(result, str):
            return None, [f"uplift: {result}"]
        part = _part(result)
        if part.value is not None:
            return part, []
        reasons = [f"uplift: {reason}" for reason in result.failures]
        reasons += [f"uplift: baseline {reason}" for reason in result.baseline_failures]
        return part, reasons or ["uplift: no judged runs"]

    async def _attempt(
        self, problem: Problem, reasoning: str, live: LiveUplift
    ) -> tuple[float | None, list[str], tuple[str, ...]]:
        if not self._separate_run:
            return None, [], ()
        result = await self._within(live.attempt(problem, reasoning))
        if isinstance(result, str) or result.value is None:
            return None, [f"end_to_end: {result if isinstance(result, str) else result.reason}"], ()
        return result.value, [], ((f"end_to_end: {result.reason}",) if result.reason else ())

    async def _within(self, work: Coroutine[Any, Any, T]) -> T | str:
        """The result in time, or why there is none. Raises: TraceLiftError where nothing can go on."""
        seconds = self.config.limits.timeout_s
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TraceLiftError:
            raise
        except TimeoutError:
            return f"no result within {seconds:g} s"
        except Exception as error:  # noqa: BLE001 - one trace shall not end a run; many of them do, see `_Tally`
            return f"{type(error).__name__}: {error}"[:200]


class _Here:
    """What lives in one process and one loop."""

    def __init__(self, live: LiveUplift | None, at_once: int) -> None:
        self.pid = os.getpid()
        self.live = live
        self.at_once = asyncio.Semaphore(at_once)
        self.judging = ThreadPoolExecutor(1, thread_name_prefix="tracelift-judge")

    async def close(self) -> None:
        if self.live is not None:
            await self.live.close()
        await asyncio.to_thread(self.judging.shutdown)


class _Tally:
    """Counts, and stops a run of which too little can be measured. For one thread."""

    def __init__(self, limits: LimitsConfig) -> None:
        self.all, self.rm, self.uplift = Phase(), Phase(), Phase()
        self._limits = limits
        self._latest: deque[tuple[str, ...] | None] = deque(maxlen=limits.window)
        self._calls = self._items = self._computed = self._unmeasured = 0
        self._failures: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    def count(self, results: Sequence[RewardResult], computed: int) -> None:
        """Raises: RunError where more of the latest are unmeasured than may be."""
        self._calls += 1
        self._items += len(results)
        self._computed += computed
        for result in results:
            self._unmeasured += result.reward is None
            self._latest.append(result.failures if result.reward is None else None)
            _count(self._failures, result.failures)
            _count(self._notes, result.notes)
        seen = len(self._latest)
        unmeasured = [failures for failures in self._latest if failures is not None]
        if results and seen >= self._limits.least and len(unmeasured) > self._limits.failure_rate * seen:
            reasons = Counter(reason for failures in unmeasured for reason in set(failures))
            told = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(5))
            raise RunError(
                f"{len(unmeasured)} of the last {seen} rewards could not be measured, more than the limit of "
                f"{self._limits.failure_rate:.0%} (limits.failure_rate): {told}."
            )

    def stats(self, executor: Totals | None) -> RewardStats:
        return RewardStats(
            calls=self._calls,
            items=self._items,
            computed=self._computed,
            unmeasured=self._unmeasured,
            failures=dict(self._failures),
            notes=dict(self._notes),
            seconds=self.all.busy_seconds,
            rm_seconds=self.rm.busy_seconds,
            uplift_seconds=self.uplift.busy_seconds,
            executor=executor,
        )


def _count(counter: Counter[str], kinds: Sequence[str]) -> None:
    for kind in set(kinds):
        counter[kind if kind in counter or len(counter) < _KINDS_COUNTED else "others"] += 1


def _scores(judge: RewardScorer, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | str]:
    """Scores, or why there is none. What fails for all together is tried one by one, so that one alone is lost."""
    try:
        return list(judge.score_checked(rows))
    except Exception as error:  # noqa: BLE001 - out of memory, a broken kernel: not measured, and told
        if len(rows) > 1:
            return [_scores(judge, [row])[0] for row in rows]
        return [f"{type(error).__name__}: {error}"[:200]]


def _part(result: TraceResult) -> UpliftPart:
    return UpliftPart(
        value=result.value,
        low=result.low,
        high=result.high,
        successes=result.successes,
        runs=result.runs,
        baseline_successes=result.baseline_successes,
        baseline_runs=result.baseline_runs,
    )
