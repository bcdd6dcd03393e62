"""What a reward is made of, and what came out: plain values. Knows no model and no executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class UpliftPart:
    """The measured uplift of one trace.

    Args:
        value: in [-1, 1], success rate with the trace - without it; None where an arm has no judged runs.
        low, high: ends of its interval; None with `value`.
        successes, runs: with the trace.
        baseline_successes, baseline_runs: without it.
    """

    value: float | None
    low: float | None
    high: float | None
    successes: float
    runs: int
    baseline_successes: float
    baseline_runs: int


@dataclass(frozen=True)
class Parts:
    """The parts of one reward. None is *not measured*: not needed, or failed (then the result says why).

    Args:
        end_to_end: what the executor's own attempt with the trace earned: 1 or 0 for an answer, an execution reward
            for a program (in [0, 1]; in [-1, 1] in the style `coderl`).
        rm: the reward model's score in [0, 1].
        dimensions: rubric dimension -> expected level.
        uplift: of the trace.
        coefficient: in [-1, 1], what `rm` is multiplied by: the uplift, or what the formula makes of its runs. Set by
            `rm.reward.combine`.
    """

    end_to_end: float | None = None
    rm: float | None = None
    dimensions: Mapping[str, float] | None = None
    uplift: UpliftPart | None = None
    coefficient: float | None = None


@dataclass(frozen=True)
class RewardResult:
    """The reward of one trace, and why it is that.

    Args:
        reward: None where a part that the formula needs could not be measured.
        formula: its name.
        parts: what was measured.
        terms: term -> weight * product of its parts; the reward is their sum, within the formula's bounds.
        failures: why something was not measured, `part: reason`; empty where all was.
        notes: what a reader should know besides, such as completions without tags.
    """

    reward: float | None
    formula: str
    parts: Parts
    terms: Mapping[str, float | None] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """A JSON object with the fields' names."""
        row = asdict(self)
        return {**row, "failures": list(self.failures), "notes": list(self.notes)}

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> RewardResult:
        """The result of its JSON object; keys that are not known here are passed over."""
        parts = row.get("parts") or {}
        uplift = parts.get("uplift")
        names = UpliftPart.__dataclass_fields__
        return RewardResult(
            reward=None if row["reward"] is None else float(row["reward"]),
            formula=str(row.get("formula", "")),
            parts=Parts(
                end_to_end=parts.get("end_to_end"),
                rm=parts.get("rm"),
                dimensions=parts.get("dimensions"),
                uplift=UpliftPart(**{name: uplift[name] for name in names}) if uplift else None,
                coefficient=parts.get("coefficient"),
            ),
            terms=row.get("terms") or {},
            failures=tuple(row.get("failures") or ()),
            notes=tuple(row.get("notes") or ()),
        )
