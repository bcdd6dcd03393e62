"""What the last steps of a run say of its settings, a sentence each, where somebody should act. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MANY = 0.5
"""Share of completions from which their form is worth a word."""
MOST = 0.8
"""Share of groups from which dead ones are: some are in every run."""


def last_tenth(log: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The last tenth of the steps, one at least."""
    return log[-max(1, len(log) // 10) :]


def mean_of(log: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a quantity over the steps that have it; None where none has."""
    known = [row[name] for row in log if row.get(name) is not None]
    return sum(known) / len(known) if known else None


def signs(log: Sequence[Mapping[str, Any]], longest: int) -> list[str]:
    """What to look at.

    Args:
        log: the lines of `log.jsonl` that belong to a step, in order.
        longest: tokens that a completion may have.
    """
    found = []
    steps = last_tenth(log)
    when = "of the last step" if len(steps) == 1 else f"of the last {len(steps)} steps"
    if (cut := mean_of(steps, "completions/clipped_ratio") or 0.0) >= MANY:
        found.append(
            f"{cut:.0%} of the completions {when} were cut off at {longest} tokens: raise grpo.max_completion_length, "
            "or teach the planner to stop."
        )
    if (untagged := mean_of(steps, "completions/untagged") or 0.0) >= MANY:
        found.append(
            f"{untagged:.0%} of the completions {when} have no <reasoning> tags; their whole text counts as the trace."
        )
    if (dead := mean_of(steps, "groups/dead") or 0.0) >= MOST:
        found.append(
            f"{dead:.0%} of the groups {when} taught nothing, since their rewards are all equal: the problems may be "
            "too hard or too easy for this planner, or its completions all alike."
        )
    return found
