"""What one trace made from a seed is, whoever made it: a rule or a language model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Prepared = TypeVar("Prepared")
"""A seed as the rules of its task see it: parsed once, shared by all kinds."""


@dataclass(frozen=True)
class Variant:
    """A trace made from a seed's.

    Args:
        kind: name of its `Kind`.
        reasoning: the trace, without marks.
        sound: another sound trace (for the positive pool) rather than a flawed one.
        labels: level of each dimension of the task's official rubric, 0 to 4, graded by where the flaw sits and how
            far it reaches; None where the maker does not grade.
        total: overall judgement in [0, 1]; None where the maker does not grade.
        first_wrong_step: 0-based line of `reasoning` at which a reader can first tell; None for a sound trace.
        answer: the final answer that the trace leads to, as its text has it; None where it leads to none or is unknown.
        answer_kept: whether a reader who follows the trace ends with the right answer.
        why: one sentence for a reader who checks it, e.g. `step 2: 6*28 is 168, not 158; carried into step 3`.
        metadata: kept in the group's candidate.
    """

    kind: str
    reasoning: str
    sound: bool
    answer_kept: bool
    labels: Mapping[str, int] | None = None
    total: float | None = None
    first_wrong_step: int | None = None
    answer: str | None = None
    why: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind(Generic[Prepared]):
    """One way to make a trace from a sound one.

    Args:
        name: as in `negative_kind`.
        description: what a reader finds in such a trace, one sentence; also told to a language model that makes it.
        make: from the prepared seed and a generator; None where this trace has no place for it.
        sound: it makes a sound trace.
        right_answer: why a flawed trace of this kind may lead to the right answer all the same; "" where the answer
            has to be wrong.
    """

    name: str
    description: str
    make: Callable[[Prepared, random.Random], Variant | None]
    sound: bool = False
    right_answer: str = ""


class Unusable(ValueError):
    """A seed that no group can be made of; the text is a short reason, the same for all such seeds (it is counted)."""
