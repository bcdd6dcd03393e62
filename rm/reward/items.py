"""What is to be rewarded: problem rows with a completion, checked all at once. Knows no model.

{"problem": "What is 2 + 3?", "reference_solution": "5", "task_type": "math", "completion": "<reasoning>..."}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rm.errors import DataError
from rm.errors import Problem as Mistake
from rm.groups.parse import shown
from rm.groups.rows import surrogate_problem
from rm.reward.reasoning import Reasoning, extract_reasoning
from rm.uplift.problems import Problem
from rm.uplift.read import guessed_task, parse_problem

SCORED = ("problem", "task_name", "task_type", "source", "metadata", "tests", "tests_or_constraints")
"""What the reward model reads of a problem row."""
COMPLETION = "completion"


@dataclass(frozen=True)
class Item:
    """One completion to reward.

    Args:
        row: for the reward model: a score row.
        problem: for the executor; None where none is needed.
        reasoning: the trace in the completion.
        key: equal for items whose rewards are the same.
        note: what a reader should know of the problem; empty for nothing.
    """

    row: Mapping[str, Any]
    problem: Problem | None
    reasoning: Reasoning
    key: tuple[str, Reasoning]
    note: str = ""


def check_items(items: Sequence[Any], checkable: bool) -> list[Item]:
    """Items as they came, in their order.

    Args:
        items: problem rows with `completion`, a text. `problem_id` is not needed: problems are told apart by content.
        checkable: whether the executor will try the problems, so that each needs its answer or tests.

    Raises:
        DataError: with all that is wrong in all of them, each under `items[i]`.
    """
    mistakes: list[Mistake] = []
    found = []
    known: dict[str, tuple[Problem | None, list[Mistake]]] = {}
    for index, item in enumerate(items):
        place = f"items[{index}]"
        before = len(mistakes)
        if not isinstance(item, Mapping):
            mistakes.append(Mistake(place, 0, "", "an object, a problem row with a completion", shown(item)))
            continue
        mistakes += _own_mistakes(place, item)
        if len(mistakes) > before:
            continue
        content = _content(item)
        problem = None
        if checkable:
            if content not in known:
                known[content] = parse_problem({k: v for k, v in item.items() if k != COMPLETION}, place)
            problem, wrong = known[content]
            mistakes += wrong if wrong and wrong[0].file == place else []
        reasoning = extract_reasoning(item[COMPLETION])
        row = {key: item[key] for key in SCORED if item.get(key) is not None}
        note = guessed_task(problem) if problem is not None else ""
        found.append(Item({**row, "reasoning": reasoning.text}, problem, reasoning, (content, reasoning), note))
    if mistakes:
        raise DataError(mistakes)
    return found


def _own_mistakes(place: str, item: Mapping[str, Any]) -> list[Mistake]:
    wrong = []
    for key in ("problem", COMPLETION):
        value = item.get(key)
        if not isinstance(value, str) or (key == "problem" and not value.strip()):
            expected = "text that is not blank" if key == "problem" else "text"
            wrong.append(Mistake(place, 0, key, expected, shown(value) if key in item else "missing"))
    for key in ("task_name", "task_type", "source"):
        if item.get(key) is not None and not isinstance(item[key], str):
            wrong.append(Mistake(place, 0, key, "text", shown(item[key])))
    if not wrong:
        for key, value in item.items():
            surrogate = surrogate_problem(place, 0, ascii(key)[1:-1], [key, value])
            if surrogate is not None:
                wrong.append(surrogate)
    return wrong


def _content(item: Mapping[str, Any]) -> str:
    """All of the row but its completion and its id."""
    fields = {str(key): value for key, value in item.items() if key not in (COMPLETION, "problem_id")}
    return json.dumps(fields, sort_keys=True, default=repr)
