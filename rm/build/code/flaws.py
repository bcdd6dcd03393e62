"""Flaws of a plan that was told from a program: the plan of a mutant, or a step told in another way."""

from __future__ import annotations

import ast
import difflib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from rm.build.code.labels import labels_of, total_of
from rm.build.code.mutations import Mutant
from rm.build.code.plans import Step, plan_lines, sentence
from rm.build.code.prepared import PreparedCode, Told
from rm.build.code.rewrites import reads, writes
from rm.build.code.syntax import Unwordable, listed, parsed
from rm.build.code.telling import insertion, kept_well, tell
from rm.build.kinds import Variant

_TRIED = 16
"""Mutants of a kind that are tried before it is given up."""
_ALIKE = 0.7
"""Words and code with more in common tell the same."""
_NO_PRINT = re.compile("do not print|nothing is printed")
_LOCAL = 3
"""Lines that a mutant's plan may change at least; else up to half of them."""


def mutated(kind: str, prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """The plan of a mutant of this kind; `metadata["mutant"]` holds the mutant where it runs."""
    told = prepared.told
    if told is None:
        return None
    candidates = list(told.mutants.get(kind, ()))
    rng.shuffle(candidates)
    for mutant in candidates[:_TRIED]:
        try:
            steps = tell(mutant.program, told.style)
        except Unwordable:
            continue
        if "printed" in mutant.change and any(_NO_PRINT.search(step.text) for step in steps):
            continue  # a remark would take it back
        if (first := _first_difference(told.steps, steps)) is not None:
            return _of_mutant(told, mutant, steps, first)
    return None


def _of_mutant(told: Told, mutant: Mutant, steps: Sequence[Step], first: int) -> Variant:
    lines = plan_lines(steps, told.style.mark)
    metadata = {"mutant": mutant.source} if mutant.runs else {}
    return flawed(mutant.kind, lines, first, mutant.change, mutant.everywhere, kept=mutant.right, metadata=metadata)


def flawed(
    kind: str,
    lines: Sequence[str],
    first: int,
    change: str,
    everywhere: bool,
    *,
    kept: bool = False,
    metadata: dict[str, str] | None = None,
    levels: dict[str, int] | None = None,
) -> Variant:
    """A flawed plan with its labels.

    Args:
        kind: of the flaw.
        lines: the plan.
        first: index of the first wrong line.
        change: what is wrong there.
        everywhere: every input meets it.
        kept: whoever follows the plan has the right answer all the same.
        metadata: of the variant.
        levels: labels that differ from those of the kind.
    """
    labels = labels_of(kind, everywhere, first / max(1, len(lines) - 1)) | (levels or {})
    return Variant(
        kind,
        "\n".join(lines),
        sound=False,
        answer_kept=kept,
        labels=labels,
        total=total_of(labels),
        first_wrong_step=first,
        why=f"line {first + 1}: {change}",
        metadata=metadata or {},
    )


def _first_difference(old: Sequence[Step], new: Sequence[Step]) -> int | None:
    """The first line of `new` at which a reader can tell; None where the plans are equal or have little in common."""
    before, after = [(each.text, each.depth) for each in old], [(each.text, each.depth) for each in new]
    if before == after or not after:
        return None
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    shared = 0
    while shared < min(len(before), len(after)) - first and before[-1 - shared] == after[-1 - shared]:
        shared += 1
    if len(before) - first - shared > max(_LOCAL, len(before) // 2):
        return None
    return min(first, len(after) - 1)


# steps told in another way


def slow_structure(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """A structure or a way of computing that gives the right result at a needless cost."""
    told = prepared.told
    if told is None:
        return None
    options: list[Callable[[], Variant | None]] = [lambda: mutated("wrong_complexity", prepared, rng)]
    options += [partial(_kept_as, told, name, by_key, rng) for name, by_key in told.program.structures]
    rng.shuffle(options)
    return next((variant for option in options if (variant := option()) is not None), None)


def _kept_as(told: Told, name: str, by_key: bool, rng: random.Random) -> Variant | None:
    """A variable kept in a slow structure, whatever else the plan says of its structure being changed with it; None
    where that cannot be, as the input is such."""
    if by_key:
        forms = (
            "Keep {} as a list of pairs rather than a dictionary, to be searched from its start for every key",
            "Store {} as a list of pairs rather than a dictionary, and go through all of them to look up a key",
        )
        change = f"{name} is a list of pairs that is searched from its start, where a dictionary finds a key at once"
    else:
        forms = (
            "Keep {} as a linked list rather than an array, to be walked from its head for every index",
            "Store {} as a linked list rather than an array, and follow its nodes to reach an element",
        )
        change = f"{name} is a linked list that is walked from its head, where an array gives an element at once"
    text = rng.choice(forms).format(name)
    steps, slow, well = list(told.steps), Step(sentence(text)), kept_well(name, by_key, told.style)
    stated = [i for i, step in enumerate(steps) if step.text != well and _states_dictionary(step.text, name)]
    if stated and (not by_key or 0 in stated or any(steps[i].text.count("dictionary") > 1 for i in stated)):
        return None
    for i in stated:
        steps[i] = replace(steps[i], text=steps[i].text.replace("dictionary", "list of pairs"))
    remarks = [i for i, step in enumerate(steps) if step.text == well]
    at = remarks[0] if remarks else insertion(steps, name)
    lines = plan_lines([*steps[:at], slow, *steps[at + len(remarks) :]], told.style.mark)
    return flawed("wrong_complexity", lines, min([at, *stated]), change, False, kept=True)


def _states_dictionary(text: str, name: str) -> bool:
    return "dictionary" in text and re.search(rf"\b{re.escape(name)}\b", text) is not None


def code_dumped(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """A step, a block, or the whole program as code."""
    told = prepared.told
    if told is None:
        return None
    sites = [i for i, step in enumerate(told.steps) if step.node is not None and _has_code(step.node, step.text)]
    extent = rng.choice(("line", "line", "block", "program"))
    lines = plan_lines(told.steps, told.style.mark)
    if extent == "program" or not sites:
        body = [each for each in ast.unparse(_Undocumented().visit(parsed(told.program.source))).splitlines() if each]
        start = rng.choice(("The program:", "In code:", "It can be written like this:"))
        kept = lines[: rng.choice((1, len(lines)))]
        change = "the whole program is written out"
        return flawed("code_dumped", [*kept, start, *body], len(kept), change, True, kept=True)
    if extent == "block":
        blocks = [i for i in sites if not told.steps[i].whole]
        if blocks:
            at = rng.choice(blocks)
            end = next(
                (i for i in range(at + 1, len(lines)) if told.steps[i].depth <= told.steps[at].depth), len(lines)
            )
            return _dumped(told, lines, at, end, levels={"non_leakage": 1})
    simple = [i for i in sites if told.steps[i].whole]
    if not simple:
        return None
    at = rng.choice(simple)
    return _dumped(told, lines, at, at + 1, levels={})


class _Undocumented(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


def _has_code(node: ast.stmt, text: str) -> bool:
    """Whether its code gives away more than its words, which may be a formula already; and is all that is told of it,
    unlike that of a loop whose `else` has steps of its own."""
    if isinstance(node, ast.For | ast.While) and node.orelse:
        return False
    words, code = (re.findall(r"\w+|[^\w\s]", each.lower()) for each in (text, ast.unparse(node)))
    if difflib.SequenceMatcher(None, words, code).ratio() > _ALIKE:
        return False
    if isinstance(node, ast.Return | ast.Assign):
        return not isinstance(node.value, ast.Name | ast.Constant | ast.List | None)
    return not isinstance(node, ast.Break | ast.Continue | ast.Pass | ast.Raise)


def _dumped(told: Told, lines: Sequence[str], at: int, end: int, levels: dict[str, int]) -> Variant:
    node = told.steps[at].node
    code = ast.unparse(node).splitlines() if node is not None else []
    mark = lines[at][: len(lines[at]) - len(told.steps[at].text)]
    first, *rest = code
    written = [mark + first, *(" " * len(mark) + each for each in rest)]
    change = f"“{told.steps[at].text.rstrip('.:')}” is written as code"
    return flawed("code_dumped", [*lines[:at], *written, *lines[end:]], at, change, False, kept=True, levels=levels)


def outputs_given(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """Results of given tests stand in the plan, to be returned as they are."""
    told = prepared.told
    if told is None:
        return None
    cases = told.program.cases
    if not cases:
        return None
    most = len(cases) > 1 and rng.random() < 0.5
    chosen = cases if most else [rng.choice(cases)]
    verb = rng.choice(("return", "the result has to be", "give back"))
    texts = [f"for {given}, {verb} {wanted}" for given, wanted in chosen]
    at = rng.choice((1, len(told.steps)))
    step = Step(sentence("; ".join(texts)))
    lines = plan_lines([*told.steps[:at], step, *told.steps[at:]], told.style.mark)
    return flawed("outputs_given", lines, at, "results of the tests are given away", most, kept=True)


def vague_step(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """A decisive step says nothing that could be acted on."""
    told = prepared.told
    if told is None:
        return None
    sites = [i for i, step in enumerate(told.steps) if step.whole and _vague(told, step.node, rng)]
    if not sites:
        return None
    at = rng.choice(sites)
    text = _vague(told, told.steps[at].node, rng)
    steps = [*told.steps[:at], replace(told.steps[at], text=sentence(text)), *told.steps[at + 1 :]]
    change = f"what to do is left open, where it should say “{told.steps[at].text.rstrip('.')}”"
    return flawed("vague_step", plan_lines(steps, told.style.mark), at, change, told.steps[at].depth == 0)


def _vague(told: Told, node: ast.stmt | None, rng: random.Random) -> str:
    """A statement with what it works on, but not what it does; "" where that would say as much as before."""
    if node is None:
        return ""
    words, used = told.program.words, sorted(_used(told, node))
    names = listed(used) if used else ""
    match node:
        case ast.Return(value=ast.expr() as value) if names and not isinstance(value, ast.Constant | ast.Name):
            return rng.choice((f"return the result for {names}", f"compute the result from {names} and return it"))
        case ast.Assign() if names and not isinstance(node.value, ast.Constant | ast.Name | ast.List):
            target = words.target(node.targets[0])
            return rng.choice((f"compute {target} from {names}", f"set {target} to the right value for {names}"))
        case ast.AugAssign() if names:
            return f"change {words.target(node.target)} by what {names} {rng.choice(('gives', 'says'))}"
        case ast.For() if made := sorted(writes(node) - _loop_names(node)):
            loop = words.loop(node.target, node.iter)
            return f"for {loop}, {rng.choice(('change', 'compute'))} {listed(made)}"
        case ast.If() if names and not node.orelse:
            return rng.choice(
                (f"if {names} is a special case, return its result", f"look at the special cases of {names}")
            )
    return ""


def _loop_names(node: ast.For) -> set[str]:
    """What a loop, and loops in it, count or go over."""
    loops = (each for each in ast.walk(node) if isinstance(each, ast.For))
    return {each.id for loop in loops for each in ast.walk(loop.target) if isinstance(each, ast.Name)}


def _used(told: Told, node: ast.stmt) -> set[str]:
    """The variables that a statement reads: no functions, no modules."""
    tree = told.program.tree
    made = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    given = {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    return reads(node) & (made | given)
