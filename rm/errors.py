"""What can go wrong through a user's input, and how it is told.

Every error that a user can cause is a `TraceLiftError`: the command line prints its message without a
traceback and exits with its `exit_code`. Data and configuration errors carry *all* problems found, not
only the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PRINTED = 50
"""How many problems a message prints; the exception holds all."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong (or doubtful) at one place in a file.

    Args:
        file: path as the user gave it.
        line: 1-based line; 0 where the problem concerns the whole file.
        field: dotted path inside the row, e.g. `negative_bank[2].rubric.plan_quality`; empty for the whole row.
        expected: what would have been right.
        found: what stands there, short enough to print.
        fix: what to do about it; may be empty where `expected` says it all.
    """

    file: str
    line: int
    field: str
    expected: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.field} = {self.found}" if self.field else self.found
        text = f"{place}: {subject}, expected {self.expected}."
        return f"{text} {self.fix}" if self.fix else text


class TraceLiftError(Exception):
    """Base of every error whose message is meant for the user. Exit code 1: the data or the run failed."""

    exit_code = 1


class DataError(TraceLiftError):
    """Data that cannot be used, with every problem found in it; of very many, the first, and how many there are.

    Args:
        problems: all of them, or the first.
        total: their number, where `problems` does not hold all.
    """

    def __init__(self, problems: Sequence[Problem], total: int = 0) -> None:
        if not problems:
            raise ValueError("DataError needs at least one problem")
        self.problems = tuple(problems)
        self.total = max(total, len(self.problems))
        lines = [str(problem) for problem in self.problems[:PRINTED]]
        if self.total > PRINTED:
            lines.append(f"... and {self.total - PRINTED} more.")
        super().__init__("\n".join(lines))


class ConfigError(TraceLiftError):
    """Wrong usage or configuration, with every problem found. Exit code 2."""

    exit_code = 2

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        if not self.problems:
            raise ValueError("ConfigError needs at least one problem")
        super().__init__("\n".join(self.problems))


class RunError(TraceLiftError):
    """A run that was set up rightly and still failed: a diverged loss, a full disk, an export that does not agree."""


class MissingExtra(TraceLiftError):
    """An optional package is missing; the message names the extra that brings it."""

    exit_code = 2

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs the package {package}. Install it: pip install "tracelift-rm[{extra}]"')
