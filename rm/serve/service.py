"""What a server can do, apart from HTTP: scores by the batcher, full rewards, and whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from rm.errors import RunError
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric
from rm.serve.batching import Batcher, TextScore
from rm.serve.limits import Limits
from rm.serve.messages import ScoreResult
from rm.serve.metrics import Metrics, resident_bytes
from rm.serve.rewarding import Rewarder
from rm.text import Row


class Service:
    """Scores and rewards. Lives in one event loop, from `async with` to its end, which finishes what was taken.

    Args:
        reward: a reward model alone is one by the formula `rm-only-v1`. Nothing else may use its model meanwhile.
        limits: of requests, queue and batches.
        substitute: what OpenRLHF, which has no place for null, gets for a reward that could not be measured; None
            refuses such a request.
    """

    def __init__(self, reward: TraceLiftReward, limits: Limits, substitute: float | None = None) -> None:
        self.limits = limits
        self.substitute = substitute
        self.metrics = Metrics()
        self.metrics.gauge("resident_bytes", "memory of this process in RAM", resident_bytes)
        self._judge = reward.judge
        self._batcher = Batcher(reward.judge.scorer, limits, self.metrics) if reward.judge is not None else None
        self.rewarder = Rewarder(reward, limits, self.metrics)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Service:
        if self._batcher is not None:
            await self._open.enter_async_context(self._batcher)
        self.rewarder.start(self._batcher)
        self._open.push_async_callback(self.rewarder.close)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    @property
    def rubric(self) -> Rubric:
        """Of the reward model. Raises: RunError where the reward has none."""
        if self._judge is None:
            raise RunError("This reward has no reward model.")
        return self._judge.rubric

    async def unready(self) -> list[str]:
        """Why this server cannot do all of its work now; empty where it can."""
        reasons = [self._batcher.failure if self._batcher else "", await self.rewarder.failure()]
        return [reason for reason in reasons if reason]

    async def score(self, rows: Sequence[Row], max_length: int | None = None) -> list[ScoreResult]:
        """Results of rows, in order. Arguments and errors: as `Batcher.score`; RunError where there is no model."""
        names = self.rubric.dimension_names
        found = await self._batcher.score(rows, max_length) if self._batcher is not None else []
        return [_result(each, names) for each in found]


def _result(found: TextScore, names: Sequence[str]) -> ScoreResult:
    levels = dict(zip(names, found.levels, strict=True)) if found.levels else None
    return ScoreResult(
        score=found.score, dimensions=levels, truncated=found.truncated, unscorable=found.unscorable or None
    )
