"""Sound variants of a plan that was told from a program: the same program in another style."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rm.build.code.labels import DIMENSIONS, TOP
from rm.build.code.plans import STYLES, Style, plan_text
from rm.build.code.prepared import PreparedCode
from rm.build.code.telling import tell
from rm.build.kinds import Variant

_TRIED = 4
_CHANGES: dict[str, dict[str, Any]] = {
    "reworded": {},
    "merged_steps": {"manner": "merged"},
    "split_steps": {"compact": False},
    "reasoned": {"manner": "reasoned"},
}


def sound(kind: str, lines: Sequence[str]) -> Variant:
    """A sound plan, with the top labels."""
    labels = dict.fromkeys(DIMENSIONS, TOP)
    return Variant(kind, "\n".join(lines), sound=True, answer_kept=True, labels=labels, total=1.0)


def retold(kind: str, prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """The plan in another style: other words (`reworded`), steps taken together (`merged_steps`) or apart
    (`split_steps`), reasons given (`reasoned`); None where that makes no difference."""
    if prepared.told is None:
        return None
    program = prepared.told.program
    changes = _CHANGES[kind]
    for _ in range(_TRIED):
        plain = Style(rng.randrange(STYLES))
        style = replace(plain, **changes)
        text = plan_text(tell(program, style), style.mark)
        differs = kind == "reworded" or text != plan_text(tell(program, plain), plain.mark)
        if differs and text != prepared.plan:
            return sound(kind, text.split("\n"))
    return None
