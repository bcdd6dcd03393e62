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
        return _merged(steps, style)
    return _reasoned(steps, program, style) if style.manner == "reasoned" else steps


def structures(program: Program) -> list[tuple[str, bool]]:
    """(variable, whether it is looked up by key rather than by index) of all that a program reads by subscript."""
    found: dict[str, bool] = {}
    for node in ast.walk(program.tree):
        if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)):
            continue
        if not isinstance(node.slice, ast.Slice | ast.Constant | ast.UnaryOp):
            found[node.value.id] = program.types.get(node.value.id) == "dict"
    return sorted(found.items())


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
    told = [_with_reason(step, program, style) for step in steps]
    named = structures(program)
    if named and style.pick("structure", ("yes", "no")) == "yes":
        name, by_key = named[0]
        told.insert(insertion(told, name), Step(sentence(_kept_well(name, by_key, style))))
    if program.cases and style.pick("try", ("yes", "no", "no")) == "yes":
        given = program.cases[0][0]
        form = style.pick(
            "trial", ("go through the steps by hand for {}", "try it for {} and see whether the result is right")
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
        case ast.Assign(value=ast.Constant()):
            return ("as nothing has been looked at yet", "which is changed later as needed")
        case ast.Assign(value=ast.List(elts=[])):
            return ("which takes up the results one by one", "to collect what the task asks for")
        case ast.Assign():
            return (
                "as it is needed below",
                "which the later steps use",
                "which the result that the task asks for needs",
            )
        case ast.AugAssign():
            return ("as needed", "as the task asks")
        case ast.For():
            return (
                "so that none is left out",
                "one after another, as the task asks",
                "which does the work that is needed",
            )
        case ast.Return(value=ast.expr() as value):
            kind = program.words.type_of(value)
            forms = {"list": ("as a list, not as a tuple",), "tuple": ("as a tuple, not as a list",)}.get(kind, ())
            asked = ("as the task asks", "which is the result that the task asks for")
            return (*asked, "and do not print it", "as it is, not as a text of it", *forms)
    return ()


def _kept_well(name: str, by_key: bool, style: Style) -> str:
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
    return style.pick("kept", forms).format(name)
