"""Checks traces by their text alone, with a reading of calculations of its own: nothing here comes from `rm.build`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+")
_UNITS = re.compile(r"(?<=[\d%)])\s*(?:[A-Za-z][\w'’-]*\s*){1,5}(?=[-+*/=)])")
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
        for one, other in zip(old, new, strict=True):
            if other in stated and (one != other or index > flaw):
                now[one] = other
    return sorted(uneven)
