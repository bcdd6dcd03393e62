"""Rows and files of groups for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
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


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines; a string or bytes goes in as a line of its own."""

    def to_file(*rows: Row | str | bytes, name: str = "groups.jsonl") -> Path:
        lines = [row if isinstance(row, str | bytes) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in lines))
        return path

    return to_file


@pytest.fixture
def shared_data() -> Path:
    """The folder of development data, where there is one beside the project."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no development data at ../shared/data")
    return folder
