"""The manners of telling a plan: plain, neighbouring steps taken together, or with reasons and remarks.

A manner follows from the style alone, place by place, so that a mutant is told like its original but for the flaw. What
a flaw might be known by (`as needed`, `a linked list`, an example) stands in sound plans, too.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from rm.build.code.plans import Step, Style, plan_of, sentence
from rm.build.code.programs import Program
from rm.build.code.rewrites import writes

_SIMPLE = ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.For


def tell(program: Program, style: Style) -> tuple[Step, ...]:
    """The plan of a program in a style.

    Raises:
        Unwordable: something in it has no words.
    """
    steps = plan_of(program, style)
    if style.manner == "merged":
        steps = _merged(steps, style)
    elif style.manner == "reasoned":
        steps = _reasoned(steps, program, style)
    return _remarked(steps, program, style)


def insertion(steps: Sequence[Step], name: str) -> int:
    """Where a remark on a variable belongs: after the step at the top level that makes it, else after the first."""
    for index, step in enumerate(steps):
        if isinstance(step.node, ast.Assign) and step.depth == 0 and name in writes(step.node):
            return index + 1
    return 1


def _merged(steps: Sequence[Step], style: Style) -> tuple[Step, ...]:
    told = list(steps[:1])
    merges = False  # whether the last one told is taken together already
    for before, step in pairwise(steps):
        fits = _simple(before) and _simple(step) and before.depth == step.depth and before.node is not None
        if fits and not merges and len(told) > 1 and style.pick("merge", ("yes", "no"), before.node) == "yes":
            joint = style.pick("joint", (", then ", ", and then ", "; then "), before.node)
            text = before.text.rstrip(".") + joint + step.text[0].lower() + step.text[1:]
            told[-1] = Step(text, step.depth)
            merges = True
        else:
            told.append(step)
            merges = False
    return tuple(told)


def _simple(step: Step) -> bool:
    return step.whole and isinstance(step.node, _SIMPLE) and not step.text.startswith("Otherwise")


def _reasoned(steps: Sequence[Step], program: Program, style: Style) -> tuple[Step, ...]:
    return tuple(_with_reason(step, program, style) for step in steps)


def _remarked(steps: Sequence[Step], program: Program, style: Style) -> tuple[Step, ...]:
    """With a remark on a structure, on the form of the result, or on a trial; or with none of them."""
    told, remark = list(steps), style.pick("remark", ("structure", "structure", "form", "trial", "none", "none"))
    named = program.structures
    if remark == "structure" and named:
        name, by_key = named[0]
        told.insert(insertion(told, name), Step(kept_well(name, by_key, style)))
    if remark == "form" and program.returns:
        forms = (
            "the result is returned; do not print it",
            "give the result back to the caller; nothing is printed",
        )
        told.append(Step(sentence(style.pick("form", forms))))
    if remark == "trial" and program.cases:
        given = program.cases[0][0]
        form = style.pick(
            "trial", ("go through the steps by hand for {}", "for {}, see whether the result is what it has to be")
        )
        told.append(Step(sentence(form.format(given))))
    return tuple(told)


def _with_reason(step: Step, program: Program, style: Style) -> Step:
    reasons = _reasons(step, program)
    if not reasons or style.pick("give reason", ("yes", "no"), step.node) == "no":
        return step
    return replace(step, text=f"{step.text.rstrip('.')}, {style.pick('reason', reasons, step.node)}.")


def _reasons(step: Step, program: Program) -> tuple[str, ...]:
    if not step.whole or "otherwise" in step.text.lower():
        return ()
    match step.node:
        case ast.Assign(value=ast.Constant(value=value)):
            return ("as nothing has been looked at yet",) if step.depth == 0 and value in (0, "", None) else ()
        case ast.Assign(value=ast.List(elts=[])):
            return ("which takes up the results one by one", "to collect what is found")
        case ast.Assign(targets=[ast.Name()]):
            return ("as it is needed below", "which the later steps use")
        case ast.For() if ", if " not in step.text:
            return ("so that none is left out", "one after another")
        case ast.Return(value=ast.expr() as value):
            kind = program.words.type_of(value)
            forms = {"list": ("as a list, not as a tuple",), "tuple": ("as a tuple, not as a list",)}.get(kind, ())
            itself = () if kind in ("str", "") else ("as it is, not as text",)
            return ("which is what the task asks for", "and do not print it", *itself, *forms)
    return ()


def kept_well(name: str, by_key: bool, style: Style) -> str:
    """The remark that a variable is a dictionary, or an array."""
    if by_key:
        forms = (
            "Keep {} as a dictionary rather than a list of pairs, which would be searched from its start for every key",
            "Store {} as a dictionary rather than a list of pairs, all of which would be gone through to look up a key",
        )
    else:
        forms = (
            "Keep {} as an array rather than a linked list, which would be walked from its head for every index",
            "Store {} as an array rather than a linked list, whose nodes would be followed to reach an element",
        )
    return sentence(style.pick("kept", forms).format(name))
