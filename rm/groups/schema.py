"""What a group is: one problem with the reasoning traces written for it, better and worse.

The row form is the official TraceLift-Groups schema (arXiv 2605.03862); `rm.groups.parse` turns a row into a
`Group`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

POSITIVE_KIND = "positive"
DEFAULT_NEGATIVE_KIND = "negative"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Candidate:
    """One reasoning trace of a group.

    Args:
        reasoning: the trace, as it stands in the row; never blank.
        positive: from `positive_pool` (True) or `negative_bank` (False).
        kind: "positive", or the row's `negative_kind` ("negative" where it names none).
        rubric: label of each dimension, an integer in 0..L-1; None where the trace is not labelled.
        total: overall judgement in [0, 1]; None where there is none.
        metadata: the row's, as it is; {} where there is none.
    """

    reasoning: str
    positive: bool
    kind: str
    rubric: Mapping[str, int] | None = None
    total: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """One problem and its candidate traces: at least one positive and one negative, positives first.

    Args:
        problem_id: unique among the files read together.
        problem: the statement, as it stands in the row; never blank.
        candidates: the positive pool, then the negative bank, each in the row's order.
        source: where the problem comes from; "unknown" where the row does not say.
        task_type: the row's `task_type`, else `metadata.task_type`, else `source`, else "unknown".
        reference_solution: "" where there is none.
        tests: the row's `tests_or_constraints`, else `tests`: a string or any JSON value, kept as it is (the
            text room renders it); None where there are none, which includes blank strings and empty lists.
        metadata: the row's, as it is; {} where there is none.
        raw: the whole JSON row, unknown keys included.
        file: path as given.
        line: 1-based line on which the row begins.
    """

    problem_id: str
    problem: str
    candidates: tuple[Candidate, ...]
    source: str = UNKNOWN
    task_type: str = UNKNOWN
    reference_solution: str = ""
    tests: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    file: str = ""
    line: int = 0

    @property
    def positives(self) -> tuple[Candidate, ...]:
        """The candidates of the positive pool."""
        return tuple(candidate for candidate in self.candidates if candidate.positive)

    @property
    def negatives(self) -> tuple[Candidate, ...]:
        """The candidates of the negative bank."""
        return tuple(candidate for candidate in self.candidates if not candidate.positive)

    @property
    def problem_key(self) -> str:
        """The problem as `problem_key` makes it."""
        return problem_key(self.problem)


def problem_key(problem: str) -> str:
    """A problem without what a copy may differ in: case, spacing, forms of a character (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", problem).casefold().split())
