"""Problems with their prompts as the Parquet file that verl reads.

verl applies the chat template itself. The problem row goes into `extra_info`, all of it as text, since the columns of a
Parquet file have one type each: tests that are a list are the JSON text of it, which every reader here takes, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rm.files import replace_file
from rm.planner.config import PromptConfig
from rm.planner.data import problem_row
from rm.planner.prompts import planner_prompt
from rm.text import task_type_of
from rm.uplift.executors.chat import messages_of
from rm.uplift.problems import Problem

CARRIED = (
    "problem_id",
    "problem",
    "task_name",
    "task_type",
    "source",
    "reference_solution",
    "answer",
    "tests",
    "tests_or_constraints",
    "entry_point",
)
"""What the reward reads of a problem row."""


def verl_row(problem: Problem, config: PromptConfig) -> dict[str, Any]:
    """A problem as a row of verl's data."""
    row = problem_row(problem)
    row["task_type"] = task_type_of(row)
    extra = {name: _text(row[name]) for name in CARRIED if row.get(name) is not None}
    return {
        "data_source": str(row.get("source") or problem.task),
        "prompt": messages_of(planner_prompt(problem, config)),
        "ability": problem.task,
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {name: extra.get(name) for name in CARRIED},
    }


def write_verl_rows(problems: Sequence[Problem], config: PromptConfig, out: str | Path, force: bool = False) -> None:
    """The file, whole or not at all. Raises: ConfigError where it exists and `force` is not set."""
    import pyarrow
    from pyarrow import parquet

    with replace_file(out, force) as staging:
        parquet.write_table(pyarrow.Table.from_pylist([verl_row(problem, config) for problem in problems]), staging)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
