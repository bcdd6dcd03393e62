"""What a server can do, apart from HTTP: scores by the batcher, full rewards, and whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from rm.errors import RunError
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
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
        reward: a bundle's, or a reward model alone, which has scores but no full rewards; OpenRLHF gets its score.
            Nothing else may use the model meanwhile.
        limits: of requests, queue and batches.
        substitute: what OpenRLHF, which has no place for null, gets for a reward that could not be measured; None
            refuses such a request.

    Attributes:
        formula: of full rewards; None where there are none.
    """

    def __init__(self, reward: TraceLiftReward | RewardScorer, limits: Limits, substitute: float | None = None) -> None:
        self.formula = reward.formula if isinstance(reward, TraceLiftReward) else None
        if isinstance(reward, RewardScorer):
            reward = TraceLiftReward(RewardConfig("rm-only-v1"), reward)
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
    def rubric(self) -> Rubric | None:
        """Of the reward model; None where the reward has none."""
        return self._judge.rubric if self._judge is not None else None

    async def unready(self) -> list[str]:
        """Why this server cannot do all of its work now; empty where it can."""
        reasons = [self._batcher.failure if self._batcher else "", await self.rewarder.failure()]
        return [reason for reason in reasons if reason]

    async def score(self, rows: Sequence[Row], max_length: int | None = None) -> list[ScoreResult]:
        """Results of rows, in order. Arguments and errors: as `Batcher.score`; RunError where there is no model."""
        if self._batcher is None or self.rubric is None:
            raise RunError("this reward has no reward model")
        return [_result(each, self.rubric.dimension_names) for each in await self._batcher.score(rows, max_length)]


def _result(found: TextScore, names: Sequence[str]) -> ScoreResult:
    levels = dict(zip(names, found.levels, strict=True)) if found.levels else None
    return ScoreResult(
        score=found.score, dimensions=levels, truncated=found.truncated, unscorable=found.unscorable or None
    )
