"""Rows of groups for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rm.rubric import Rubric

Row = dict[str, Any]

LABELS = dict.fromkeys(Rubric.load("math").dimension_names, 4)


@pytest.fixture
def row() -> Callable[..., Row]:
    """A valid row, fully labelled by the math rubric; keyword arguments replace its fields."""

    def make(problem_id: str = "p1", **fields: Any) -> Row:
        return {
            "problem_id": problem_id,
            "source": "tests",
            "task_type": "math",
            "problem": f"What is two plus two? ({problem_id})",
            "reference_solution": "4",
            "positive_pool": [{"reasoning": "2 + 2 = 4.", "rubric": {**LABELS, "total": 1.0}}],
            "negative_bank": [{"reasoning": "2 + 2 = 5.", "negative_kind": "slip", "rubric": {**LABELS, "total": 0.4}}],
            **fields,
        }

    return make
