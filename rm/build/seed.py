"""What groups are built from: a problem with one sound trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rm.groups.schema import UNKNOWN


@dataclass(frozen=True)
class Seed:
    """A problem and its reference solution.

    Args:
        problem_id: unique among the seeds read together.
        problem: the statement; never blank.
        solution: math: the sound worked solution, with GSM8K's `<<a*b=c>>` marks where the source has them; code: the
            reference program, or "" where a plan alone is given.
        plan: code: the sound plan; "" where it has to be made from the program. Math: "".
        answer: math: the final answer; "" where the source states none.
        task_type: "math" or "code".
        source: where the problem comes from.
        tests: code: as in a problem row (asserts with `entry_point`, or a list of `{"input", "output"}`).
        entry_point: code: the function that the asserts call; "" for a program that reads its input.
        metadata: kept in the group.
        file: path as given.
        line: 1-based line of the row.
    """

    problem_id: str
    problem: str
    solution: str
    plan: str = ""
    answer: str = ""
    task_type: str = "math"
    source: str = UNKNOWN
    tests: Any = None
    entry_point: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0
