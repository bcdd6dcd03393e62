"""Flaws that change a number or an operator of one step; what follows from it is computed anew."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from rm.build.kinds import Variant
from rm.build.math.equations import Equation, Line, Node, Tree, evaluate, leaves
from rm.build.math.slips import misread, slips
from rm.build.math.solution import COMMON, Solution, carry, recompute
from rm.build.math.wording import (
    INVERSE,
    answer_in,
    carried_into,
    differing,
    expression_of,
    flawed,
    known_values,
    plain,
    style,
    written,
)

_NAMES = {"+": "added", "-": "subtracted", "*": "multiplied", "/": "divided"}
_LIKELY = {"+": "-*/", "-": "+/*", "*": "/+-", "/": "*-+"}
_SYMBOLS = {"+": "+", "-": "-–−", "*": "*x×", "/": "/÷"}
_TRIES = 6
_RATE = re.compile(
    r"\b(?:each|every|per|apiece)\b|/\s?[a-z]|\ban? (?:day|week|month|year|hour|minute|night|dozen)\b|%", re.IGNORECASE
)
# Sizes of units, and what people take them for.
_CONVERSIONS: Mapping[Fraction, tuple[int, ...]] = {
    Fraction(right): wrong
    for right, wrong in {
        60: (100, 24, 30),
        24: (12, 60),
        12: (10, 24, 6),
        7: (5, 6),
        52: (48, 12, 50),
        365: (360, 300),
        30: (7, 60),
        16: (12, 10, 8),
        36: (12, 30),
        100: (10, 1000),
        1000: (100,),
        3600: (60, 360),
        128: (16, 64, 100),
        5280: (1000, 5000),
    }.items()
}


def shown_sites(solution: Solution, rng: random.Random) -> Iterator[tuple[int, Equation]]:
    """Places for a change whose calculation the line displays, in random order, a few."""
    sites = [site for site in solution.sites if site[1].shown]
    return iter(rng.sample(sites, min(_TRIES, len(sites))))


def arithmetic_slip(solution: Solution, rng: random.Random) -> Variant | None:
    """One result is wrong: its expression stays."""
    for step, equation in shown_sites(solution, rng):
        line = solution.lines[step]
        known = known_values(solution, step)
        for name, wrong in slips(line, equation, rng):
            if wrong in known:
                continue
            lines = _with_result(solution, step, line, equation, wrong)
            if lines is None:
                continue
            right, shown = line.numbers[equation.result], lines[step].numbers[equation.result]
            why = f"step {step + 1}: {expression_of(line, equation)} is {right}, not {shown}"
            return _carried(solution, "arithmetic_slip", step, lines, why, slip=name)
    return None


def wrong_operation(solution: Solution, rng: random.Random) -> Variant | None:
    """One operator is another, and the result follows."""
    for step, equation in shown_sites(solution, rng):
        line = solution.lines[step]
        for node, operator in _operators(equation, rng):
            changed = with_operator(solution, line, equation, node, operator)
            if changed is None:
                continue
            wrong = _value(changed, changed.equations[line.equations.index(equation)])
            lines = None if wrong is None else _with_result(solution, step, changed, equation, wrong)
            if lines is None:
                continue
            wrote = written(changed.equations[line.equations.index(equation)].tree, line.numbers)
            why = (
                f"step {step + 1}: {wrote} where {expression_of(line, equation)} is needed "
                f"({_NAMES[operator]}, should be {_NAMES[node.operator]})"
            )
            return _carried(solution, "wrong_operation", step, lines, why, operators=[node.operator, operator])
    return None


def misread_quantity(solution: Solution, rng: random.Random) -> Variant | None:
    """A number of the problem is read as another wherever it is used; or a step uses one known quantity for another."""
    makers = (_misread, _mixed_up) if rng.random() < 0.6 else (_mixed_up, _misread)
    return next((found for make in makers if (found := make(solution, rng)) is not None), None)


def _misread(solution: Solution, rng: random.Random) -> Variant | None:
    places = _given_operands(solution)
    known = {**known_values(solution, len(solution.lines))}
    for value in rng.sample(sorted(places), min(_TRIES, len(places))):
        step, text = places[value]
        wrong = misread(text, value, rng)
        if wrong is None or wrong in known or wrong in COMMON:
            continue
        lines = _from(solution, step, {value: wrong})
        if lines is None:
            continue
        shown = plain(wrong, text)
        why = f"step {step + 1}: the problem says {text}, not {shown}"
        return _carried(solution, "misread_quantity", step, lines, why, read_as=[text, shown], how="misread")
    return None


def _mixed_up(solution: Solution, rng: random.Random) -> Variant | None:
    for step, equation in shown_sites(solution, rng):
        line = solution.lines[step]
        operands = [i for i in leaves(equation.tree) if line.values[i] not in COMMON or line.values[i] > 2]
        known = [v for v in known_values(solution, step) if v not in COMMON and v not in line.values]
        for index in rng.sample(operands, len(operands)):
            if not known:
                return None
            wrong, right = rng.choice(sorted(known)), line.values[index]
            places = {i: wrong for i, value in enumerate(line.values) if value == right}
            if len(places) > 1 and any(
                i in leaves(e.tree) for e in line.equations if e is not equation for i in places
            ):
                continue
            lines = _edited(solution, step, line, places)
            if lines is None or lines[step].numbers[equation.result] == line.numbers[equation.result]:
                continue
            shown = lines[step].numbers[index]
            why = f"step {step + 1}: uses {shown} where {line.numbers[index]} belongs"
            read_as = [line.numbers[index], shown]
            return _carried(solution, "misread_quantity", step, lines, why, read_as=read_as, how="mixed_up")
    return None


def swapped_quantities(solution: Solution, rng: random.Random) -> Variant | None:
    """Two numbers of the problem have changed places wherever the trace uses them."""
    places = _given_operands(solution)
    pairs = [(a, b) for a in sorted(places) for b in sorted(places) if a < b]
    for a, b in rng.sample(pairs, min(_TRIES, len(pairs))):
        step = min(places[a][0], places[b][0])
        lines = _from(solution, step, {a: b, b: a})
        if lines is None or answer_in(solution, lines) == answer_in(solution, solution.lines):
            continue
        first = next(
            (i for i in differing(solution.lines, lines) if _results_differ(solution.lines[i], lines[i])), None
        )
        if first is None:
            continue
        why = f"step {step + 1}: {places[a][1]} and {places[b][1]} of the problem have changed places"
        return _carried(solution, "swapped_quantities", step, lines, why, swapped=[places[a][1], places[b][1]])
    return None


def wrong_unit_or_rate(solution: Solution, rng: random.Random) -> Variant | None:
    """A wrong size of a unit; or a rate stands for the total that a step made of it, or the total for the rate."""
    makers = (_wrong_conversion, _rate_for_total)
    return next((found for make in makers if (found := make(solution, rng)) is not None), None)


def _wrong_conversion(solution: Solution, rng: random.Random) -> Variant | None:
    for step, equation in shown_sites(solution, rng):
        line = solution.lines[step]
        if not isinstance(equation.tree, Node) or equation.tree.operator not in "*/":
            continue
        for index in leaves(equation.tree):
            value = line.values[index]
            if value not in _CONVERSIONS or value in solution.given or value in solution.makers:
                continue
            for size in rng.sample(_CONVERSIONS[value], len(_CONVERSIONS[value])):
                wrong = Fraction(size)
                places = {i: wrong for i, other in enumerate(line.values) if other == value}
                lines = _edited(solution, step, line, places)
                if lines is None or not _results_differ(line, lines[step]):
                    continue
                why = f"step {step + 1}: converts with {size} instead of {line.numbers[index]}"
                sizes = [line.numbers[index], str(size)]
                return _carried(solution, "wrong_unit_or_rate", step, lines, why, sizes=sizes, how="conversion")
    return None


def _rate_for_total(solution: Solution, rng: random.Random) -> Variant | None:
    uses = [
        (user, maker, equation, pair)
        for maker, equation in solution.sites
        if (pair := equation.pair) is not None and pair.operator in "*/"
        for user in solution.users[maker]
    ]
    for user, maker, equation, (operator, left, right) in rng.sample(uses, min(_TRIES, len(uses))):
        source, line = solution.lines[maker], solution.lines[user]
        total = source.values[equation.result]
        inside = [i for e in line.equations for i in leaves(e.tree) if line.values[i] == total]
        if not inside or not _RATE.search(str(source)):
            continue
        choices = [left] if operator == "/" else rng.sample([left, right], 2)
        for operand in choices:
            factor = source.numbers[right if operand == left else left]
            rate = source.values[operand]
            if rate in COMMON or rate in line.values or rate == total:
                continue
            lines = _edited(solution, user, line, {i: rate for i, v in enumerate(line.values) if v == total})
            if lines is None or not _results_differ(line, lines[user]):
                continue
            verb = "multiplies" if operator == "*" else "divides"
            why = (
                f"step {user + 1}: uses {source.numbers[operand]}, which step {maker + 1} {verb} by {factor}, "
                f"where {source.numbers[equation.result]} is needed"
            )
            profile = "wrong_unit_or_rate/rate"
            return _carried(solution, "wrong_unit_or_rate", user, lines, why, profile=profile, how="rate_for_total")
    return None


def _carried(
    solution: Solution, kind: str, step: int, lines: Sequence[Line], why: str, profile: str = "", **metadata: Any
) -> Variant | None:
    others = [i for i in differing(solution.lines, lines) if i != step]
    return flawed(
        solution,
        kind,
        lines,
        step=step,
        first=step,
        spoiled=len(others),
        answer=answer_in(solution, lines),
        why=why + carried_into(solution.lines, lines, step),
        profile=profile,
        **metadata,
    )


def _with_result(
    solution: Solution, step: int, line: Line, equation: Equation, wrong: Fraction
) -> tuple[Line, ...] | None:
    """All lines where `line` stands at `step` with another result, carried on; None where that cannot be."""
    return _edited(solution, step, line, {}, {equation.result: wrong})


def _edited(
    solution: Solution,
    step: int,
    line: Line,
    numbers: Mapping[int, Fraction],
    forced: Mapping[int, Fraction] | None = None,
) -> tuple[Line, ...] | None:
    if step < solution.closed_from:
        return None
    changed: dict[Fraction, Fraction] = {}
    head = recompute(line, changed, numbers, forced or {})
    if head is None or head == line:
        return None
    if any(not _followed(solution, step, old) for old in changed):
        return None
    rest = carry(solution.lines[step + 1 :], changed)
    return None if rest is None else (*solution.lines[:step], head, *rest)


def _followed(solution: Solution, step: int, value: Fraction) -> bool:
    """Whether the later uses of a result are beyond doubt, or there are none."""
    if any(index == step and solution.lines[step].values[e.result] == value for index, e in solution.sites):
        return True
    return not any(value in line.values for line in solution.lines[step + 1 :])


def _from(solution: Solution, step: int, changed: Mapping[Fraction, Fraction]) -> tuple[Line, ...] | None:
    """All lines with quantities of the problem changed from a line on; some result has to change."""
    if step < solution.closed_from:
        return None
    rest = carry(solution.lines[step:], changed)
    if rest is None:
        return None
    lines = (*solution.lines[:step], *rest)
    altered = differing(solution.lines, lines)
    made = {
        solution.lines[i].values[e.result]
        for i in altered
        for e in solution.lines[i].equations
        if _moved(i, e, solution, lines)
    }
    if not made or any(
        value in solution.given or len(solution.makers[value]) > 1 for value in made if _used(value, solution)
    ):
        return None
    return lines


def _moved(index: int, equation: Equation, solution: Solution, lines: Sequence[Line]) -> bool:
    return solution.lines[index].values[equation.result] != lines[index].values[equation.result]


def _used(value: Fraction, solution: Solution) -> bool:
    """Whether a computed value is named again after the line that computes it."""
    maker = solution.makers[value][0][0]
    return any(value in line.values for line in solution.lines[maker + 1 :])


def _given_operands(solution: Solution) -> dict[Fraction, tuple[int, str]]:
    """Numbers of the problem that are safe to exchange -> (first line that uses them, their text)."""
    found: dict[Fraction, tuple[int, str]] = {}
    named: dict[Fraction, int] = {}
    for index, line in enumerate(solution.lines):
        for value in line.values:
            named.setdefault(value, index)
        for equation in line.equations:
            for leaf in leaves(equation.tree) if equation.shown else ():
                value = line.values[leaf]
                if value in solution.given and value not in solution.makers and (value > 12 or value not in COMMON):
                    found.setdefault(value, (index, line.numbers[leaf]))
    return {value: place for value, place in found.items() if named[value] == place[0] and value > 2}


def _results_differ(before: Line, after: Line) -> bool:
    return before.results != after.results


def _value(line: Line, equation: Equation) -> Fraction | None:
    try:
        return evaluate(equation.tree, line.values) * equation.scale
    except ZeroDivisionError:
        return None


def _operators(equation: Equation, rng: random.Random) -> Iterator[tuple[Node, str]]:
    """(node of the tree, another operator for it) that keeps the way the text is read."""
    nodes = [node for node in _nodes(equation.tree) if node.site >= 0]
    for node in rng.sample(nodes, len(nodes)):
        others = _LIKELY[node.operator] if equation.pair is not None else INVERSE[node.operator]
        order = list(others)
        if len(order) > 1 and rng.random() < 0.4:
            rng.shuffle(order)
        for operator in order:
            yield node, operator


def _nodes(tree: Tree) -> list[Node]:
    return [tree, *_nodes(tree.left), *_nodes(tree.right)] if isinstance(tree, Node) else []


def with_operator(solution: Solution, line: Line, equation: Equation, node: Node, operator: str) -> Line | None:
    """The line with another operator at a node of an equation; None where the text does not show it as one sign."""
    text = line.texts[node.site]
    signs = [sign for sign in _SYMBOLS[node.operator] if sign in text]
    if len(signs) != 1 or text.count(signs[0]) != 1 or (signs[0] == "x" and "x" not in text.split()):
        return None
    sign = operator if operator != "*" else style(solution.lines)[1]
    if sign == "x" and f" {signs[0]} " not in text:
        sign = "*"
    texts = (*line.texts[: node.site], text.replace(signs[0], sign), *line.texts[node.site + 1 :])
    tree = _with_node(equation.tree, node, operator)
    equations = tuple(replace(e, tree=tree) if e is equation else e for e in line.equations)
    return replace(line, texts=texts, equations=equations)


def _with_node(tree: Tree, node: Node, operator: str) -> Tree:
    if tree is node:
        return node._replace(operator=operator)
    if isinstance(tree, Node):
        left, right = _with_node(tree.left, node, operator), _with_node(tree.right, node, operator)
        return tree._replace(left=left, right=right)
    return tree
