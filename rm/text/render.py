"""The template: the only place where a problem and a reasoning trace become one text.

Training, evaluation, scoring, serving and the adapters all go through `render`, so that a model meets the
same text everywhere. The text is the official TraceLift form (github MasaiahHan/TraceLift, read at 69b7ba5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

TEMPLATE_VERSION = "tracelift-1"
"""Changes whenever `render` gives another text for the same row; stored in every checkpoint."""

UNKNOWN_TYPE = "unknown"


@dataclass(frozen=True)
class Row:
    """One thing to judge.

    Args:
        problem: the statement.
        reasoning: the trace.
        task_name: the rubric's name, by default.
        task_type: what kind of problem; `unknown` where nothing says.
        tests: tests or constraints shown to the judge; empty for none.
    """

    problem: str
    reasoning: str
    task_name: str
    task_type: str = UNKNOWN_TYPE
    tests: str = ""

    def with_problem(self, problem: str) -> Row:
        return replace(self, problem=problem)

    def with_tests(self, tests: str) -> Row:
        return replace(self, tests=tests)


def render(row: Row) -> str:
    """The text a reward model reads. Problem, tests and reasoning are stripped; task and type are not."""
    tests = row.tests.strip()
    lines = [
        f"<task>{row.task_name}</task>",
        f"<type>{row.task_type}</type>",
        "<problem>",
        row.problem.strip(),
        "</problem>",
        *(["<tests>", tests, "</tests>"] if tests else []),
        "<reasoning>",
        row.reasoning.strip(),
        "</reasoning>",
    ]
    return "\n".join(lines)


def task_type_of(fields: Mapping[str, Any]) -> str:
    """The type of a raw row: `task_type`, else `metadata.task_type`, else `source`, else `unknown`."""
    metadata = fields.get("metadata")
    nested = metadata.get("task_type") if isinstance(metadata, Mapping) else None
    for value in (fields.get("task_type"), nested, fields.get("source")):
        if value:
            return str(value)
    return UNKNOWN_TYPE


def tests_of(fields: Mapping[str, Any]) -> str:
    """The tests of a raw row as text: `tests_or_constraints`, else `tests`; what is no string becomes JSON."""
    for key in ("tests_or_constraints", "tests"):
        value = fields.get(key)
        if isinstance(value, str):
            if value.strip():
                return value
        elif value:
            return json.dumps(value, ensure_ascii=False)
    return ""
