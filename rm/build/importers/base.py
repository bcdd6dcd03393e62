"""What an importer is: it knows its rows by their fields, and reads the traces of one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rm.groups.parse import shown
from rm.groups.rows import Row
from rm.groups.schema import DEFAULT_NEGATIVE_KIND

EXAMPLES = 3
WRONG_STEP = "wrong_step"
"""Kind of a trace that goes wrong at a known step and comes to a wrong answer, or to one that nobody checked."""
WRONG_STEP_AT_END = "wrong_step_at_end"
"""Kind of a trace that stops with its first wrong step."""
RIGHT_ANSWER = "wrong_step_right_answer"
"""Kind of a trace that has a wrong step and comes to the right answer all the same."""
WRONG_ANSWER = "wrong_answer"
"""Kind of a trace of which only its answer is known to be wrong."""

Task = Literal["math", "code"]
Judge = Callable[[Sequence[str], str], Sequence[bool | None]]
"""Answers and the reference -> whether each is right; None where that cannot be told."""


@dataclass(frozen=True)
class Trace:
    """A trace of a problem, as a row has it.

    Args:
        problem: the statement; "" where only `key` says which problem it is.
        reasoning: its text; never blank.
        positive: whether it is sound.
        kind: of a flawed one, as in `negative_kind`.
        key: what the traces of one problem share; "" for the text of the problem.
        problem_id: as the row has it; "" for one made from the problem.
        source, task_type: of the problem.
        reference: its reference answer; "" where there is none.
        tests: code: its tests.
        rubric: labels and `total`, as in a group's row; None where it is not labelled.
        metadata: of the candidate.
    """

    problem: str
    reasoning: str
    positive: bool
    kind: str = DEFAULT_NEGATIVE_KIND
    key: str = ""
    problem_id: str = ""
    source: str = ""
    task_type: Task = "math"
    reference: str = ""
    tests: Any = None
    rubric: Mapping[str, float] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Dropped:
    """What is left out, counted by reason, with the first places of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, place: str = "") -> None:
        """One more thing left out, for a reason that is the same for all such things."""
        self.counts[reason] += 1
        places = self.examples.setdefault(reason, [])
        if place and len(places) < EXAMPLES:
            places.append(place)


@dataclass(frozen=True)
class RowReader:
    """A row, with what every importer does to its fields.

    Args:
        row: with a JSON object as its value.
        dropped: where what cannot be used is counted.
        judge: tells right answers from wrong ones where the row does not.
    """

    row: Row
    dropped: Dropped
    judge: Judge | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The row itself."""
        fields: Mapping[str, Any] = self.row.value
        return fields

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.row.file}:{self.row.line}"

    def drop(self, reason: str, field: str = "", value: object = None) -> None:
        """Leave the row, or a trace of it, out."""
        self.dropped.add(reason, f"{self.place}: {field} = {shown(value)}" if field else self.place)

    def text(self, *names: str) -> str:
        """The first of these fields that is text or a number and not blank; else empty."""
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
                return str(value)
        return ""

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object; empty where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, dict) else {}

    def steps(self, value: object, field: str) -> list[str]:
        """A list of texts that are not all blank; else empty, and the row is dropped."""
        if isinstance(value, list) and any(map(str.strip, value := [each for each in value if isinstance(each, str)])):
            return value
        self.drop("no steps", field, value)
        return []


@dataclass(frozen=True)
class Importer:
    """A form of files.

    Args:
        name: as in `--from`.
        description: what such files are, a phrase.
        fields: what a row has, for messages.
        detect: whether a row has the form.
        traces: the traces of a row; what cannot be used is dropped through the reader.
    """

    name: str
    description: str
    fields: str
    detect: Callable[[Mapping[str, Any]], bool]
    traces: Callable[[RowReader], Iterator[Trace]]


def joined(steps: Sequence[str]) -> str:
    """A trace of steps: a line each, as far as their own line ends allow."""
    return "\n".join(step.strip() for step in steps if step.strip())
