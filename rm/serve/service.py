"""What a server can do, apart from HTTP: scores by the batcher, full rewards by a bundle, and whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence

from rm.evaluate.score import Scorer
from rm.serve.batching import Batcher, TextScore
from rm.serve.limits import Limits
from rm.serve.messages import ScoreResult
from rm.serve.metrics import Metrics, resident_bytes
from rm.text import Row

class Service:
    """Scores and rewards. Lives in one event loop, from `async with` to its end, which finishes what was taken.

    Args:
        scorer: the reward model; nothing else may use it meanwhile.
        limits: of requests, queue and batches.
    """

    def __init__(self, scorer: Scorer, limits: Limits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.metrics.gauge("resident_bytes", "memory of this process in RAM", resident_bytes)
        self.rubric = scorer.rubric
        self.batcher = Batcher(scorer, limits, self.metrics)

    async def __aenter__(self) -> Service:
        await self.batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.batcher.__aexit__(*error)

    async def unready(self) -> list[str]:
        """Why this server cannot do its work now; empty where it can."""
        return [self.batcher.failure] if self.batcher.failure else []

    async def score(self, rows: Sequence[Row], max_length: int | None = None) -> list[ScoreResult]:
        """Results of rows, in order. Arguments and errors: as `Batcher.score`."""
        return [self._result(found) for found in await self.batcher.score(rows, max_length)]

    def _result(self, found: TextScore) -> ScoreResult:
        levels = dict(zip(self.rubric.dimension_names, found.levels, strict=True)) if found.levels else None
        return ScoreResult(
            score=found.score, dimensions=levels, truncated=found.truncated, unscorable=found.unscorable or None
        )
