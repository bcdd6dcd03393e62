"""Flaws put into a sound trace: one local change, its consequences carried through the later steps."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from rm.build.math.traces import (
    Calculation,
    Line,
    dependencies,
    evaluate,
    format_number,
    number_value,
    recompute,
    rounded_result,
    substitute,
)

Numbers = Collection[Fraction]
T = TypeVar("T")
# Too common as units or factors to count as "not derived yet" or "not in the problem".
COMMON = frozenset(Fraction(n) for n in (0, 1, 2, 100))
_SYMBOLS = {"+": "+", "-": "-", "–": "-", "−": "-", "*": "*", "x": "*", "×": "*", "/": "/", "÷": "/"}
_SYMBOL = re.compile(r"(?<![A-Za-z])[x×](?![A-Za-z])|[-+*/–−÷]")
_BINARY = re.compile(r"^\s*(\d*\.?\d+)\s*([-+*/])\s*(\d*\.?\d+)\s*$")
_CONCLUSIONS = (
    "So the answer must be about {}.",
    "So the answer must be about {}.",
    "So the answer is probably {}.",
    "Therefore the answer should be {}.",
    "That makes roughly {} in the end.",
)


@dataclass(frozen=True)
class Flaw:
    """A flawed trace.

    Attributes:
        kind: a key of `FLAWS`.
        lines: the flawed trace.
        step: 0-based index, in the sound trace, of the step that was changed, dropped or moved away.
        visible: 0-based index, in `lines`, of the first line at which a reader can tell.
    """

    kind: str
    lines: tuple[Line, ...]
    step: int
    visible: int


def arithmetic_slip(lines: Sequence[Line], given: Numbers, rng: random.Random) -> Flaw | None:
    """One result is wrong: its expression stays."""
    step = _pick(rng, [i for i, line in enumerate(lines) if _safe_calculations(line, given)])
    if step is None:
        return None
    line = lines[step]
    calculation = rng.choice(_safe_calculations(line, given))
    old = line.numbers[calculation.result]
    new = slipped(old, rng)
    if new is None:
        return None
    cut = calculation.result + 1
    head = line.with_number(calculation.result, new)
    return _carried("arithmetic_slip", lines, step, head, {number_value(old): number_value(new)}, cut)


def wrong_operation(lines: Sequence[Line], given: Numbers, rng: random.Random) -> Flaw | None:
    """One of + - * / becomes another, and the result follows."""
    sites = [
        (i, c, at)
        for i, line in enumerate(lines)
        for c in _safe_calculations(line, given)
        if (at := _operator_site(line, c)) is not None
    ]
    if not sites:
        return None
    step, calculation, (text_index, symbol) = rng.choice(sites)
    line = lines[step]
    new_symbol = rng.choice([s for s in "+-*/" if s != _SYMBOLS[symbol]])
    expression = calculation.expression.replace(_SYMBOLS[symbol], new_symbol)
    texts = list(line.texts)
    shown = new_symbol if new_symbol != "*" or symbol not in "x×" else symbol
    texts[text_index] = texts[text_index].replace(symbol, shown)
    changed = replace(line, texts=tuple(texts))
    return _with_result("wrong_operation", lines, step, changed, calculation, expression)


def misread_quantity(lines: Sequence[Line], given: Numbers, rng: random.Random) -> Flaw | None:
    """One operand is not the number it should be, and the result follows."""
    sites = [
        (i, c, n)
        for i, line in enumerate(lines)
        for c in _safe_calculations(line, given)
        for n in _operand_sites(line, c)
    ]
    if not sites:
        return None
    step, calculation, index = rng.choice(sites)
    line = lines[step]
    old = line.value(index)
    known = set(given).union(*(part.results for part in lines[:step]))
    others = sorted(known - {old} - COMMON)
    if others and rng.random() < 0.35:
        new = rng.choice(others)
    else:
        candidate = slipped(line.numbers[index], rng)
        if candidate is None or number_value(candidate) in known:
            return None
        new = number_value(candidate)
    changed = line.with_number(index, format_number(new, like=line.numbers[index]))
    expression = substitute(calculation.expression, {old: new})
    return _with_result("misread_quantity", lines, step, changed, calculation, expression)


def dropped_step(lines: Sequence[Line], given: Numbers, rng: random.Random) -> Flaw | None:
    """A step is missing whose result a later step uses."""
    step_user = _pick(rng, _needed(lines, given))
    if step_user is None:
        return None
    step, user = step_user
    return Flaw("dropped_step", (*lines[:step], *lines[step + 1 :]), step, user - 1)


def swapped_steps(lines: Sequence[Line], given: Numbers, rng: random.Random) -> Flaw | None:
    """A step and the first step that needs its result have changed places."""
    pair = _pick(rng, _needed(lines, given))
    if pair is None:
        return None
    step, user = pair
    swapped = list(lines)
    swapped[step], swapped[user] = swapped[user], swapped[step]
    return Flaw("swapped_steps", tuple(swapped), step, step)


def unsupported_conclusion(lines: Sequence[Line], given: Numbers, rng: random.Random) -> Flaw | None:
    """The trace breaks off and claims an answer that nothing in it supports."""
    answer = next((line.results[-1] for line in reversed(lines) if line.results), None)
    if len(lines) < 2 or answer is None:
        return None
    keep = rng.randint(1, len(lines) - 1)
    guess = round(abs(answer) * Fraction(rng.randint(30, 190), 100)) + rng.randint(1, 3)
    known = set(given).union(*(line.results for line in lines))
    if guess in known:
        return None
    conclusion = Line.parse(rng.choice(_CONCLUSIONS).format(guess))
    return Flaw("unsupported_conclusion", (*lines[:keep], conclusion), keep, keep)


FLAWS: dict[str, Callable[[Sequence[Line], Numbers, random.Random], Flaw | None]] = {
    "arithmetic_slip": arithmetic_slip,
    "wrong_operation": wrong_operation,
    "misread_quantity": misread_quantity,
    "dropped_step": dropped_step,
    "swapped_steps": swapped_steps,
    "unsupported_conclusion": unsupported_conclusion,
}
"""Each takes (sound lines, quantities given by the problem, generator); None where the trace has no place for it."""


def slipped(text: str, rng: random.Random) -> str | None:
    """A number near to, or easily taken for, the one in `text`; None where there is none."""
    value = number_value(text)
    unit = Fraction(1, 10 ** len(text.partition(".")[2]))
    digits = text.replace(",", "")
    place = rng.randrange(len(digits))
    moves = [
        value + rng.choice((-1, 1)) * rng.randint(1, 3) * unit,
        value + rng.choice((-1, 1)) * 10 * unit,
        value + rng.choice((-1, 1)) * unit * max(1, round(value / unit * Fraction(rng.randint(5, 30), 100))),
    ]
    if digits[place].isdigit():
        moves.append(Fraction(digits[:place] + rng.choice("0123456789") + digits[place + 1 :]))
    if len(digits) > 1 and digits.isdigit():
        moves.append(Fraction(digits[:-2] + digits[-1] + digits[-2]))
    new = rng.choice(moves)
    return format_number(new, like=text) if new > 0 and round(new, 2) != round(value, 2) else None


def _safe_calculations(line: Line, given: Numbers) -> list[Calculation]:
    """Calculations whose result is no given or common number, so that its later uses are really its own."""
    return [c for c in line.calculations if line.value(c.result) not in given and _is_real(c)]


def _is_real(calculation: Calculation) -> bool:
    return any(symbol in calculation.expression for symbol in "+-*/")


def _operator_site(line: Line, calculation: Calculation) -> tuple[int, str] | None:
    """Where a binary calculation shows its operator: index into `line.texts`, and the symbol."""
    match = _BINARY.match(calculation.expression)
    right = calculation.result - 1
    if match is None or right < 1 or line.value(right - 1) != number_value(match[1]):
        return None
    if line.value(right) != number_value(match[3]):
        return None
    found = _SYMBOL.findall(line.texts[right])
    if len(found) != 1 or _SYMBOLS[found[0]] != match[2] or line.texts[right].count(found[0]) != 1:
        return None
    return right, found[0]


def _operand_sites(line: Line, calculation: Calculation) -> list[int]:
    """Indices of the shown operands: numbers before the result that occur once there and once in the expression."""
    before = [line.value(index) for index in range(calculation.result)]
    operands = calculation.operands
    return [
        i
        for i, value in enumerate(before)
        if value not in COMMON and operands.count(value) == 1 and before.count(value) == 1
    ]


def _with_result(
    kind: str, lines: Sequence[Line], step: int, changed: Line, calculation: Calculation, expression: str
) -> Flaw | None:
    """`changed` with the result of `expression` filled in and carried on; None if nothing came of it."""
    old = changed.numbers[calculation.result]
    try:
        new = rounded_result(expression)
    except ValueError:
        return None
    if new == round(number_value(old), 2) or new == evaluate(calculation.expression):
        return None
    text = format_number(new, like=old)
    others = tuple(Calculation(expression, c.result) if c == calculation else c for c in changed.calculations)
    head = replace(changed.with_number(calculation.result, text), calculations=others)
    return _carried(kind, lines, step, head, {number_value(old): new}, calculation.result + 1)


def _carried(
    kind: str, lines: Sequence[Line], step: int, head: Line, changed: dict[Fraction, Fraction], cut: int
) -> Flaw | None:
    """The flaw with `changed` carried through the rest of its own line (from number `cut`) and all later lines."""
    rest = Line(
        head.texts[cut:],
        head.numbers[cut:],
        tuple(replace(c, result=c.result - cut) for c in head.calculations if c.result >= cut),
    )
    try:
        tail = recompute((rest, *lines[step + 1 :]), changed)
    except ValueError:
        return None
    own = Line(
        head.texts,
        head.numbers[:cut] + tail[0].numbers,
        tuple(c for c in head.calculations if c.result < cut)
        + tuple(replace(c, result=c.result + cut) for c in tail[0].calculations),
    )
    return Flaw(kind, (*lines[:step], own, *tail[1:]), step, step)


def _needed(lines: Sequence[Line], given: Numbers) -> list[tuple[int, int]]:
    """Pairs (step, first later step that needs its result)."""
    needs = dependencies(lines, frozenset(given) | COMMON)
    first: dict[int, int] = {}
    for user, makers in needs.items():
        for maker in makers:
            first.setdefault(maker, user)
    return sorted(first.items())


def _pick(rng: random.Random, choices: Sequence[T]) -> T | None:
    return rng.choice(choices) if choices else None
