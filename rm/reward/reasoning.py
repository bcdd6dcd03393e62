"""The trace in a planner's completion: what stands between `<reasoning>` and `</reasoning>`. Pure.

    extract_reasoning("<reasoning>3 * 4 = 12</reasoning> 12").text     # "3 * 4 = 12"

| completion | trace | form |
|---|---|---|
| one pair of tags | what stands between them | tagged |
| no tag | the whole completion, as officially | untagged |
| opened, never closed (cut off) | what follows the opening tag | unclosed |
| closed, never opened (the prompt ended with the opening tag) | what precedes the closing tag | unopened |
| several blocks | the first, as officially; else a planner could write many and be judged by the best | doubled |
| nothing but blanks in it | empty | empty |

What follows the block is dropped: neither the reward model nor the executor sees it. Tags count in any case of letters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Literal

Form = Literal["tagged", "untagged", "unclosed", "unopened", "doubled", "empty"]

NOTES: dict[Form, str] = {
    "tagged": "",
    "untagged": "completion: no <reasoning> tags, taken whole",
    "unclosed": "completion: <reasoning> is never closed, taken to its end",
    "unopened": "completion: </reasoning> without an opening tag, taken up to it",
    "doubled": "completion: several <reasoning> tags, the first block taken",
    "empty": "completion: no reasoning in it",
}
"""What is told of each form; nothing of the usual one."""

_TAG, _OPENING, _CLOSING = (re.compile(tag, re.IGNORECASE) for tag in ("</?reasoning>", "<reasoning>", "</reasoning>"))


@dataclass(frozen=True)
class Reasoning:
    """What was found in a completion: the trace, stripped, and how it stood there."""

    text: str
    form: Form

    @property
    def note(self) -> str:
        """For the result; empty for the usual form."""
        return NOTES[self.form]


def extract_reasoning(completion: str) -> Reasoning:
    """The trace of a completion; see the table of the module."""
    opening = _OPENING.search(completion)
    start = opening.end() if opening else 0
    closing = _CLOSING.search(completion, start)
    form: Form
    if opening is None:
        form = "unopened" if closing else "untagged"
    elif closing is None:
        form = "unclosed"
    else:
        form = "doubled" if len(list(islice(_TAG.finditer(completion), 3))) > 2 else "tagged"
    text = completion[start : closing.start() if closing else None].strip()
    return Reasoning(text, form if text else "empty")
