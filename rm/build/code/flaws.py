"""Flaws of a plan that was told from a program: the plan of a mutant, or a step told in another way."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from rm.build.code.labels import labels_of, total_of
from rm.build.code.mutations import Mutant
from rm.build.code.plans import Step, plan_lines, plan_of, sentence
from rm.build.code.prepared import PreparedCode, Told
from rm.build.code.rewrites import writes
from rm.build.code.syntax import Unwordable
from rm.build.kinds import Variant

_TRIED = 16
"""Mutants of a kind that are tried before it is given up."""
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
            steps = plan_of(mutant.program, told.style)
        except Unwordable:
            continue
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
    options += [partial(_kept_as, told, name, by_key, rng) for name, by_key in structures(told)]
    rng.shuffle(options)
    return next((variant for option in options if (variant := option()) is not None), None)


def structures(told: Told) -> list[tuple[str, bool]]:
    """(variable, whether it is looked up by key rather than by index) of all that the program reads by subscript."""
    found: dict[str, bool] = {}
    for node in ast.walk(told.program.tree):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and not isinstance(node.slice, ast.Slice)
        ) and not isinstance(node.slice, ast.Constant | ast.UnaryOp):
            found[node.value.id] = told.program.types.get(node.value.id) == "dict"
    return sorted(found.items())


def _kept_as(told: Told, name: str, by_key: bool, rng: random.Random) -> Variant | None:
    if by_key:
        text = rng.choice(
            (
                f"Keep {name} as a plain list of pairs, which is searched from its start for every key",
                f"Store {name} as a list of key and value pairs, and go through all of it to look up a key",
            )
        )
        change = f"{name} is a list of pairs that is searched from its start, where a dictionary finds a key at once"
    else:
        text = rng.choice(
            (
                f"Keep {name} as a linked list, and walk along it from its head to reach an element by its index",
                f"Store {name} as a chain of nodes, which is followed from its first node for every index",
            )
        )
        change = f"{name} is a linked list that is walked from its head, where an array gives an element at once"
    at = insertion(told, name)
    lines = plan_lines([*told.steps[:at], Step(sentence(text)), *told.steps[at:]], told.style.mark)
    return flawed("wrong_complexity", lines, at, change, False, kept=True)


def insertion(told: Told, name: str) -> int:
    """Where a remark on a variable belongs: after the step at the top level that makes it, else after the first."""
    for index, step in enumerate(told.steps):
        if isinstance(step.node, ast.Assign) and step.depth == 0 and name in writes(step.node):
            return index + 1
    return 1


def code_dumped(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """A step, a block, or the whole program as code."""
    told = prepared.told
    if told is None:
        return None
    sites = [i for i, step in enumerate(told.steps) if step.node is not None and _has_code(step.node)]
    extent = rng.choice(("line", "line", "block", "program"))
    lines = plan_lines(told.steps, told.style.mark)
    if extent == "program" or not sites:
        body = [
            each for each in ast.unparse(_Undocumented().visit(ast.parse(told.program.source))).splitlines() if each
        ]
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


def _has_code(node: ast.stmt) -> bool:
    """Whether its code gives away more than its words."""
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
    cases = list(_cases(told, prepared.seed.tests))[:4]
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


def _cases(told: Told, tests: object) -> Iterator[tuple[str, str]]:
    """(input, result) in words, of short tests."""
    if isinstance(tests, list):
        for each in tests:
            if isinstance(each, dict) and len(f"{each.get('input')}{each.get('output')}") < 60:
                yield f'the input "{str(each["input"]).strip()}"', f'"{str(each["output"]).strip()}"'
        return
    try:
        tree = ast.parse(str(tests or ""))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq)):
            continue
        call, wanted = node.left, node.comparators[0]
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) in (told.program.main, "candidate")):
            continue
        given, result = ", ".join(ast.unparse(each) for each in call.args), ast.unparse(wanted)
        if given and len(given) + len(result) < 100:
            yield given, result


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
    words = told.program.words
    match node:
        case ast.Return() if node.value is not None and not isinstance(node.value, ast.Constant | ast.Name):
            return rng.choice(
                ("return the result that the task asks for", "work out the result as needed and return it")
            )
        case ast.Assign() if not isinstance(node.value, ast.Constant | ast.Name | ast.List):
            target = words.target(node.targets[0])
            return rng.choice((f"work out {target} as needed", f"set {target} to what the task asks for"))
        case ast.AugAssign():
            return f"update {words.target(node.target)} {rng.choice(('as needed', 'as the task asks'))}"
        case ast.For():
            loop = words.loop(node.target, node.iter)
            return f"for {loop}, {rng.choice(('do what the task asks', 'do the work that is needed'))}"
        case ast.If() if not node.orelse:
            return rng.choice(("treat this case as needed", "see to the cases that the task names"))
    return ""
