"""Full rewards for many requests: the facade `TraceLiftReward`, its reward model reading through the batcher.

Texts of a request enter the batcher at once, beside the executor's runs, so that requests share batches of the reward
model; what the facade asks a moment later is on its way or done. An item that is under way for another request is
measured once for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rm.errors import RunError, TraceLiftError
from rm.evaluate.score import row_of
from rm.reward.items import Item, check_items
from rm.reward.judge import RewardScorer
from rm.reward.parts import RewardResult
from rm.reward.reasoning import Reasoning
from rm.reward.scorer import TraceLiftReward
from rm.serve.batching import Batcher, Busy
from rm.serve.limits import Limits
from rm.serve.metrics import Metrics
from rm.text import Row

CHECK_S = 10.0
"""The executor is tried at most this often, and given this long."""
RETRY_AFTER_S = 5
Key = tuple[str, Reasoning]
"""Of an item: equal where rewards are the same."""


class BatchedJudge(RewardScorer):
    """A reward model whose scores come from a batcher, asked for from the facade's thread.

    Args:
        judge: the reward model.
        batcher: it works on that model.
        loop: the batcher's.
    """

    def __init__(self, judge: RewardScorer, batcher: Batcher, loop: asyncio.AbstractEventLoop) -> None:
        self.scorer, self.notes, self.lock = judge.scorer, judge.notes, judge.lock
        self._batcher = batcher
        self._loop = loop

    def score_checked(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """See `RewardScorer`. Raises: RunError where a score could not be computed, which is no score of 0."""
        asked = self._batcher.score([row_of(row, self.rubric) for row in rows], admitted=True)
        found = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
        for each in found:
            if each.failed:
                raise RunError(each.unscorable)
        names = self.rubric.dimension_names
        return [
            {"score": None, "dimensions": None, "unscorable": each.unscorable}
            if each.score is None
            else {"score": each.score, "dimensions": dict(zip(names, each.levels, strict=True))}
            for each in found
        ]


@dataclass(eq=False)
class _Call:
    """One call of the facade, the items in it, and how many requests wait for it."""

    task: asyncio.Task[list[RewardResult]]
    keys: tuple[Key, ...]
    waiters: int = 0


class Rewarder:
    """See the module. Lives in one event loop, from `start` to `close`.

    Args:
        reward: the facade; used through a copy of its own.
        limits: of items under way.
        metrics: told what happens.
    """

    def __init__(self, reward: TraceLiftReward, limits: Limits, metrics: Metrics) -> None:
        self._given = reward
        self._limits = limits
        self._metrics = metrics
        self.executes = reward.recipe.executes
        self._judges = "rm" in reward.recipe.needs
        self._under_way: dict[Key, tuple[_Call, int]] = {}
        self._items = 0
        self._checked: tuple[float, asyncio.Task[str]] | None = None
        metrics.gauge("rewards_under_way", "completions whose full reward is being measured", lambda: self._items)

    def start(self, batcher: Batcher | None) -> None:
        """Begin, and try the executor in the background."""
        config = self._given.config
        # Whether too much is lost is for each trainer to say; a server answers what it could measure.
        config = replace(config, limits=replace(config.limits, failure_rate=1.0))
        judge = self._given.judge
        if judge is not None and batcher is not None:
            judge = BatchedJudge(judge, batcher, asyncio.get_running_loop())
        self._reward = TraceLiftReward(config, judge)
        self._batcher = batcher
        self._check()

    async def close(self) -> None:
        """Give back what the executor holds."""
        if self._checked is not None:
            self._checked[1].cancel()
        await self._reward.aclose()

    async def failure(self) -> str:
        """Why the executor cannot work now; empty where it can, or is not needed."""
        return await asyncio.shield(self._check())

    def check(self, items: Sequence[Any]) -> list[Item]:
        """Problem rows with completions, checked. Raises: DataError."""
        return check_items(items, self.executes)

    def texts(self, items: Sequence[Item]) -> list[Row]:
        """What the reward model reads of each; empty where there is none."""
        rubric = self._given.judge.rubric if self._given.judge is not None else None
        return [row_of(item.row, rubric) for item in items] if rubric is not None else []

    async def score(self, rows: Sequence[Mapping[str, Any]], items: Sequence[Item]) -> list[RewardResult]:
        """Rewards of completions, in their order. When cancelled, what nobody else waits for is given up.

        Args:
            rows: as they came.
            items: of `check`.

        Raises:
            Busy: too much is under way.
            Closing: the server is shutting down.
            TraceLiftError: the executor or a verifier cannot go on at all.
        """
        new = [item for item in items if item.key not in self._under_way]
        if self._items and self._items + len(new) > self._limits.queue:
            self._metrics.add("refused_total", len(rows))
            raise Busy(RETRY_AFTER_S)
        reading = asyncio.ensure_future(self._read(items))
        try:
            await asyncio.sleep(0)  # enough for the batcher to take the texts, or refuse them
            if reading.done():
                reading.result()
            places = self._places(rows, items)
            await self._wait({call for call, _ in places})
        finally:
            reading.cancel()
        results = [call.task.result()[index] for call, index in places]
        measured = sum(result.reward is not None for result in results)
        self._metrics.add("rewards_total", measured, result="measured")
        self._metrics.add("rewards_total", len(results) - measured, result="unmeasured")
        return results

    def _places(self, rows: Sequence[Mapping[str, Any]], items: Sequence[Item]) -> list[tuple[_Call, int]]:
        """The call and the place in its results of each item; one call of the facade for those that are new."""
        new = {item.key: row for item, row in zip(items, rows, strict=True) if item.key not in self._under_way}
        if new:
            call = _Call(asyncio.ensure_future(self._reward.score(list(new.values()))), tuple(new))
            self._under_way.update({key: (call, index) for index, key in enumerate(new)})
            self._items += len(new)
            call.task.add_done_callback(lambda task: self._ended(call))
        return [self._under_way[item.key] for item in items]

    async def _wait(self, calls: set[_Call]) -> None:
        """Until all have ended. A call for which nobody waits any more is cancelled."""
        for call in calls:
            call.waiters += 1
        try:
            if calls:
                await asyncio.wait([call.task for call in calls])
        finally:
            for call in calls:
                call.waiters -= 1
                if not call.waiters:
                    self._forget(call)
                    call.task.cancel()

    def _ended(self, call: _Call) -> None:
        self._items -= len(call.keys)
        self._forget(call)
        if not call.task.cancelled():
            call.task.exception()  # whoever waits has it; there may be nobody

    def _forget(self, call: _Call) -> None:
        for key in call.keys:
            if self._under_way.get(key, (None,))[0] is call:
                del self._under_way[key]

    async def _read(self, items: Sequence[Item]) -> None:
        """Bring the texts to the reward model."""
        if self._judges and self._batcher is not None:
            texts = self.texts(items)
            await self._batcher.score([text for text, item in zip(texts, items, strict=True) if item.reasoning.text])

    def _check(self) -> asyncio.Task[str]:
        """The latest trial of the executor, or a new one."""
        now = time.monotonic()
        if self._checked is None or (self._checked[1].done() and now - self._checked[0] > CHECK_S):
            self._checked = now, asyncio.ensure_future(self._try_executor())
        return self._checked[1]

    async def _try_executor(self) -> str:
        if not self.executes:
            return ""
        try:
            async with asyncio.timeout(CHECK_S):
                await self._reward.check()
        except TimeoutError:
            return f"executor: no answer within {CHECK_S:g} s"
        except TraceLiftError as error:
            return f"executor: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the server runs and says why it is not ready
            return f"executor: {type(error).__name__}: {error}"[:300]
        return ""
