"""What uplift is measured on: problems with a known answer or tests, and traces to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["math", "code"]


@dataclass(frozen=True)
class IOTest:
    """One run of a program: what it reads and what it must print.

    Args:
        input: standard input.
        output: expected standard output.
    """

    input: str
    output: str


@dataclass(frozen=True)
class Trace:
    """A reasoning trace to try on the executor.

    Args:
        reasoning: its text.
        kind: `positive`, a negative's kind, `reference`, or empty where nothing is known of it.
        rm_score: a reward model's score in [0, 1], where the data carries one.
        total: its rubric total in [0, 1], where labelled.
        first_run: where its runs begin among those of its text: of equal traces that are measured apart each has runs
            of its own.
    """

    reasoning: str
    kind: str = ""
    rm_score: float | None = None
    total: float | None = None
    first_run: int = 0


@dataclass(frozen=True)
class Problem:
    """A problem whose solutions can be checked.

    Args:
        problem_id: unique in the data.
        problem: the statement.
        task: which templates and verifier it needs.
        answer: math: the reference answer (the text after `####`, in a final box, or the whole reference solution).
        io_tests: code: programs are run on these.
        asserts: code: Python source of assertions, run after the program; `check(entry_point)` is called if it
            defines `check`.
        entry_point: the function that `asserts` calls.
        reference_solution: a solution known to be right: a program for code, a worked solution for math.
        traces: to try; may be empty.
        file, line: where it was read.
        raw: the row as read.
    """

    problem_id: str
    problem: str
    task: Task
    answer: str = ""
    io_tests: tuple[IOTest, ...] = ()
    asserts: str = ""
    entry_point: str = ""
    reference_solution: str = ""
    traces: tuple[Trace, ...] = ()
    file: str = ""
    line: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
