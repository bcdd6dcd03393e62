"""A checker of flawed traces by their text alone: its reading of calculations is its own, and nothing of it comes from
`rm.build.math`. What it cannot read surely it passes over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from rm.build.kinds import Variant

CARRIED = ("arithmetic_slip", "wrong_operation", "misread_quantity", "swapped_quantities", "wrong_unit_or_rate")
"""Kinds that change one line, and what follows from it in those after."""
NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+")
_UNITS = re.compile(r"(?<=[\d%)])\s*(?:[A-Za-z][\w'’]*(?:-[A-Za-z]+)*\s*){1,7}(?=[-+*/=)])")
_WORDS = {"times": "*", "plus": "+", "minus": "-", "equals": "=", "divided by": "/"}
_STATED = re.compile(rf"([\d.,%()\s*/+-]+)=\s*({NUMBER.pattern})(%?)(?!\d|[.,]\d)(?!\s*[*/+-]\s*[\d(])")


def number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def numbers(text: str) -> list[Fraction]:
    return [number(found) for found in NUMBER.findall(text)]


def calculations(line: str) -> list[tuple[str, Fraction, Fraction]]:
    """(expression, its value, the value that the line states) of what can be read surely."""
    text = re.sub(r"/\s?[A-Za-z]+", "", re.sub("[$€]", "", line))
    for word, sign in _WORDS.items():
        text = text.replace(f" {word} ", f" {sign} ")
    text = re.sub(r"(?<=[\s\d])[xX](?=[\s\d(])|×", "*", text).replace("÷", "/")
    text = re.sub("[–−]", "-", re.sub(r"%\s*of\b", "%*", text))
    found = []
    for match in _STATED.finditer(_UNITS.sub(" ", text)):
        expression = match[1].replace(",", "").strip().removeprefix(". ")
        if not re.search(r"\d\D*[-+*/]\D*\d", expression) or re.search(r"\d\s+\d|\d\(", expression):
            continue
        exact = re.sub(r"(\d*\.?\d+)\s*(%?)", lambda m: f"(F('{m[1]}'){'/100' if m[2] else ''})", expression)
        try:
            value = eval(exact, {"F": Fraction, "__builtins__": {}})
        except (SyntaxError, TypeError, ZeroDivisionError):
            continue
        percent = 100 if match[3] and "%" not in expression else 1
        if "%" in line and value * 100 == number(match[2]):
            value *= 100  # a percentage without its sign
        found.append((expression, value, number(match[2]) / percent))
    return found


def wrong_lines(trace: str) -> list[int]:
    """Lines that state a calculation with a value that is off by more than rounding."""
    return [
        index
        for index, line in enumerate(trace.split("\n"))
        if any(not _rounds_to(value, stated) for _, value, stated in calculations(line))
    ]


def _rounds_to(value: Fraction, stated: Fraction) -> bool:
    """Equal, or rounded or cut off at the stated decimals."""
    places = next(p for p in range(9) if (stated * 10**p).denominator == 1) if 10**9 % stated.denominator == 0 else 9
    unit = Fraction(1, 10**places)
    exact = value.denominator == 1 or (value * 1000).denominator == 1
    return value == stated or (not exact and abs(value - stated) < unit)


def uneven(sound: str, flawed: str, flaw: int, changed: Mapping[Fraction, Fraction]) -> list[int]:
    """Lines after line `flaw` whose numbers do not follow from the ones before.

    Both traces have the same lines. A number that an earlier line has changed has to be changed wherever a later line
    of the sound trace shows it; any other number may change only where its own calculation states it.

    Args:
        sound: the trace before the flaw.
        flawed: the trace after it.
        flaw: 0-based line.
        changed: quantities that the flaw changes wherever they are used.
    """
    now = dict(changed)
    uneven = set()
    for index, (before, after) in enumerate(zip(sound.split("\n"), flawed.split("\n"), strict=True)):
        old, new = numbers(before), numbers(after)
        if len(old) != len(new):
            return [index]
        stated = {value for _, _, value in calculations(after)} | {value * 100 for _, _, value in calculations(after)}
        for one, other in zip(old, new, strict=True):
            right = now.get(one, one) == other or other in stated
            if index > flaw and not right:
                uneven.add(index)
        results = [after[: found.start()].rstrip(" $€").endswith("=") for found in NUMBER.finditer(after)]
        for one, other, result in zip(old, new, results, strict=True):
            if other in stated and (result or not any(results)) and (one != other or index > flaw):
                now[one] = other
    return sorted(uneven)


def is_consistent(sound: str, variant: Variant) -> bool:
    """Whether all but the flaw holds: every calculation is right but those that the kind makes wrong, and what the flaw
    changes is changed in every later line that uses it, and nothing else is.

    Args:
        sound: the trace before the flaw.
        variant: the flaw put into it.
    """
    return wrong_lines(variant.reasoning) in _wrong_lines_of(variant) and not uneven_lines(sound, variant)


def uneven_lines(sound: str, variant: Variant) -> list[int]:
    """`uneven` for the kinds that carry a change on; [] for the others."""
    step, lines = variant.first_wrong_step or 0, variant.reasoning.split("\n")
    how = variant.metadata.get("how")
    if variant.kind in CARRIED:
        return (
            [step]
            if lines[:step] != sound.split("\n")[:step]
            else uneven(sound, variant.reasoning, step, _first_changes(variant))
        )
    if variant.kind not in ("repeated_step", "invented_condition") or how == "only_there_twice":
        return []
    found = calculations(lines[step])
    if how == "in_the_step":  # `48/2 = 24` became `48/2 - 5 = 19`
        lines[step] = sound.split("\n")[step]
    else:
        lines.pop(step)
        step -= 1
    before = calculations(lines[step])
    changed = {before[-1][2]: found[-1][2]} if before and found else {}
    return uneven(sound, "\n".join(lines), step, changed)


def _first_changes(variant: Variant) -> dict[Fraction, Fraction]:
    """The quantities that a flaw says it changes wherever they are used."""
    if variant.metadata.get("how") == "misread":
        old, new = variant.metadata["read_as"]
        return {number(old): number(new)}
    if variant.kind == "swapped_quantities":
        old, new = variant.metadata["swapped"]
        return {number(old): number(new), number(new): number(old)}
    return {}


def _wrong_lines_of(variant: Variant) -> list[list[int]]:
    """The wrong lines that a variant may have."""
    step = variant.first_wrong_step or 0
    if variant.kind == "arithmetic_slip":
        return [[step]]
    if variant.kind != "right_answer_wrong_way":
        return [[]]
    return [[step, user] for user in range(step + 1, 30)] if variant.metadata["how"] == "cancelling" else [[step]]
