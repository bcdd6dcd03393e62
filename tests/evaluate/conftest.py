"""Two small groups whose every figure can be worked out by hand, and a builder for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from rm.evaluate.scored import ScoredGroup
from rm.groups import Candidate, Group
from rm.rubric import Dimension, Rubric


@dataclass(frozen=True)
class Trace:
    """A candidate and what the model said of it; `kind` "positive" makes it one, NaN could not be scored."""

    kind: str
    logit: float
    reasoning: str = "some steps"
    labels: Mapping[str, int] | None = None
    total: float | None = None
    predicted: tuple[int, int] = (0, 0)
    expected: tuple[float, float] = (0.0, 0.0)


Scorer = Callable[..., ScoredGroup]


@pytest.fixture
def rubric() -> Rubric:
    """Two dimensions of three levels."""
    dimensions = (Dimension("plan", "", 0.5), Dimension("sums", "", 0.5))
    return Rubric("proof", "", dimensions, num_levels=3)


@pytest.fixture
def trace() -> type[Trace]:
    return Trace


@pytest.fixture
def scored_group() -> Scorer:
    def build(problem_id: str, traces: Sequence[Trace], problem: str = "", source: str = "unknown") -> ScoredGroup:
        candidates = tuple(
            Candidate(each.reasoning, each.kind == "positive", each.kind, each.labels, each.total) for each in traces
        )
        logits = np.array([each.logit for each in traces])
        missing = np.isnan(logits)[:, None]
        return ScoredGroup(
            group=Group(problem_id, problem or f"Problem {problem_id}", candidates, source=source),
            scores=1 / (1 + np.exp(-logits)),
            logits=logits,
            expected_levels=np.where(missing, np.nan, [each.expected for each in traces]),
            predicted_levels=np.where(missing, -1, [each.predicted for each in traces]),
            truncated=np.zeros(len(traces), dtype=bool),
        )

    return build


@pytest.fixture
def two_groups(scored_group: Scorer) -> list[ScoredGroup]:
    """One group half right, one right with a tie; reasonings of 10, 20, 5 and of 8, 8, 4 characters."""
    first = [Trace("positive", 2.0, "x" * 10), Trace("slip", 1.0, "x" * 20), Trace("swap", 3.0, "x" * 5)]
    second = [Trace("positive", 1.0, "x" * 8), Trace("positive", 0.0, "y" * 8), Trace("slip", 0.0, "x" * 4)]
    return [scored_group("one", first, source="a"), scored_group("two", second, source="b")]
