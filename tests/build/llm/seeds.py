"""Problems with sound solutions in GSM8K's form, unlike each other, every step one calculation."""

from __future__ import annotations

import json
from pathlib import Path

_PLOTS = (
    "{n} bakes {a} trays of {b} rolls and then {c} more. How many rolls is that?|The trays hold {a} * {b} = {x} rolls."
    "|With the others there are {x} + {c} = {y} rolls.",
    "A train has {a} cars with {b} seats in each of them; {c} seats were added lately for {n}. What is its capacity?"
    "|{a} * {b} = {x} seats are in the cars.|In all it has {x} + {c} = {y} seats.",
    "On {a} days {n} walked {b} kilometres a day, and {c} kilometres on the last. How long was the walk?"
    "|Before the last day it was {a} * {b} = {x} kilometres.|Altogether {n} walked {x} + {c} = {y} kilometres.",
    "The school of {n} buys {a} boxes of pencils at {b} dollars, and a map for {c} dollars. What does it pay?"
    "|Pencils cost {a} * {b} = {x} dollars.|The bill is {x} + {c} = {y} dollars.",
)
_NAMES = ("Ada", "Emmy", "Kurt", "Sofya", "Alan", "Grace", "Carl", "Maryam", "Leonhard", "Hypatia", "Pierre", "Julia")


def rows(count: int) -> list[dict[str, str]]:
    """So many rows, at most 4 times as many as there are names; always the same."""
    found = []
    for index in range(count):
        a, b, c = 3 + index % 7, 4 + (index * 5) % 11, 2 + (index * 3) % 13
        values = {"n": _NAMES[index // 4 % len(_NAMES)], "a": a, "b": b, "c": c, "x": a * b, "y": a * b + c}
        question, *steps = _PLOTS[index % 4].format(**values).split("|")
        found.append({"question": question, "answer": "\n".join([*steps, f"#### {values['y']}"])})
    return found


def write(path: Path, count: int) -> Path:
    """As JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    return path
