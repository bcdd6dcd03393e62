"""Sound variants of a plan that was told from a program: other words, steps taken together or apart, reasons given."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import replace

from rm.build.code.flaws import insertion, structures
from rm.build.code.labels import DIMENSIONS, TOP
from rm.build.code.plans import STYLES, Step, Style, plan_lines, plan_of, sentence
from rm.build.code.prepared import PreparedCode
from rm.build.kinds import Variant


def sound(kind: str, lines: Sequence[str]) -> Variant:
    """A sound plan, with the top labels."""
    labels = dict.fromkeys(DIMENSIONS, TOP)
    return Variant(kind, "\n".join(lines), sound=True, answer_kept=True, labels=labels, total=1.0)


def reworded(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """The same plan in other words and other marks."""
    if prepared.told is None:
        return None
    style = Style(rng.randrange(STYLES), compact=prepared.told.style.compact)
    return _if_new(prepared, "reworded", plan_lines(plan_of(prepared.told.program, style), style.mark))


def split_steps(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """Loops and branches told step by step."""
    if prepared.told is None:
        return None
    style = replace(prepared.told.style, compact=False)
    return _if_new(prepared, "split_steps", plan_lines(plan_of(prepared.told.program, style), style.mark))


def merged_steps(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """Two neighbouring steps in one."""
    told = prepared.told
    if told is None:
        return None
    steps = told.steps
    sites = [i for i in range(1, len(steps) - 1) if _simple(steps[i]) and _simple(steps[i + 1])]
    sites = [i for i in sites if steps[i].depth == steps[i + 1].depth and not steps[i + 1].text.startswith("Otherwise")]
    if not sites:
        return None
    at = rng.choice(sites)
    joint = rng.choice((", then ", ", and then ", "; then "))
    text = steps[at].text.rstrip(".") + joint + steps[at + 1].text[0].lower() + steps[at + 1].text[1:]
    merged = [*steps[:at], replace(steps[at], text=text), *steps[at + 2 :]]
    return _if_new(prepared, "merged_steps", plan_lines(merged, told.style.mark))


def reasoned(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """A step or two with a reason, or a word on the structure that is used."""
    told = prepared.told
    if told is None:
        return None
    sites = [(i, reason) for i, step in enumerate(told.steps) if (reason := _reason(step, rng))]
    steps = list(told.steps)
    for at, reason in rng.sample(sites, min(len(sites), rng.randint(1, 2))):
        steps[at] = replace(steps[at], text=f"{steps[at].text.rstrip('.')}, {reason}.")
    named = structures(told)
    if named and rng.random() < 0.6:
        name, by_key = rng.choice(named)
        at = insertion(told, name)
        steps.insert(at, Step(sentence(_kept_well(name, by_key, rng))))
    return _if_new(prepared, "reasoned", plan_lines(steps, told.style.mark))


def _kept_well(name: str, by_key: bool, rng: random.Random) -> str:
    if by_key:
        forms = (
            "Keep {} as a dictionary, which finds a key at once and is not searched from its start",
            "Store {} as a dictionary of key and value pairs, so that no list has to be gone through to look up a key",
        )
    else:
        forms = (
            "Keep {} as an array, so that an element is reached by its index at once",
            "Store {} as an array rather than a chain of nodes, so that nothing has to be walked along for an index",
        )
    return rng.choice(forms).format(name)


def _reason(step: Step, rng: random.Random) -> str:
    if not step.whole:
        return ""
    match step.node:
        case ast.Assign(value=ast.Constant()):
            return rng.choice(("as nothing has been looked at yet", "which is changed later as needed"))
        case ast.Assign(value=ast.List(elts=[])):
            return rng.choice(("which takes up the results one by one", "to collect what the task asks for"))
        case ast.Assign():
            return rng.choice(("as it is needed below", "which the later steps use"))
        case ast.For():
            return rng.choice(("so that none is left out", "one after another"))
        case ast.Return():
            return rng.choice(("as the task asks", "which is the result that the task asks for"))
    return ""


def _simple(step: Step) -> bool:
    return step.whole and isinstance(step.node, ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.For)


def _if_new(prepared: PreparedCode, kind: str, lines: Sequence[str]) -> Variant | None:
    return sound(kind, lines) if "\n".join(lines) != prepared.plan else None
