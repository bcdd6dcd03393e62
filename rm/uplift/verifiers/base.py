"""What a verifier says of a completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from rm.uplift.problems import Problem

Outcome = Literal["passed", "failed", "unjudged"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on one completion.

    Args:
        outcome: `failed` is the executor's fault (a wrong answer, an empty completion, an answer that hangs the
            verifier); `unjudged` is ours (a broken test, a dead worker) and counts in neither direction.
        reason: how it failed or why it could not be judged; short and stable, so that reasons can be counted.
        score: partial success in [0, 1]: the share of tests passed; 1 or 0 where there is one test.
    """

    outcome: Outcome
    reason: str = ""
    score: float = 0.0

    @staticmethod
    def passed() -> Verdict:
        return Verdict("passed", "", 1.0)

    @staticmethod
    def failed(reason: str, score: float = 0.0) -> Verdict:
        return Verdict("failed", reason, score)

    @staticmethod
    def unjudged(reason: str) -> Verdict:
        return Verdict("unjudged", reason, 0.0)


class Verifier(Protocol):
    """Judges completions. Safe for many concurrent calls in one event loop."""

    @property
    def version(self) -> str:
        """Changes whenever a verdict could; part of the key under which baselines are cached."""

    async def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion of a problem."""

    async def close(self) -> None:
        """Stop every process it has started."""
