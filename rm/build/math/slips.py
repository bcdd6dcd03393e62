"""Wrong results as people get them: a forgotten carry, digits swapped, a sign, off by one, a decimal place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from rm.build.math.equations import Equation, Line, Node, decimals, evaluate

SLIPS = ("carry", "digit_swap", "sign", "off_by_one", "times_table", "decimal_place")


def slips(line: Line, equation: Equation, rng: random.Random) -> Iterator[tuple[str, Fraction]]:
    """(sub-kind, wrong value) of a displayed equation, all sub-kinds in random order."""
    right = line.values[equation.result]
    text = line.numbers[equation.result]
    for name in rng.sample(SLIPS, len(SLIPS)):
        value = _slip(name, line, equation, right, text, rng)
        if value is not None and value > 0 and value != right:
            yield name, value


def misread(text: str, value: Fraction, rng: random.Random) -> Fraction | None:
    """A number easily taken for the one in `text`: two digits swapped, or one digit another."""
    if rng.random() < 0.5:
        swapped = _digit_swap(text, value, rng)
        if swapped is not None:
            return swapped
    digits = text.replace(",", "")
    places = [i for i, digit in enumerate(digits) if digit.isdigit()]
    at = rng.choice(places)
    lowest = "1" if at == places[0] else "0"
    new = rng.choice([d for d in "0123456789" if d >= lowest and d != digits[at]])
    return Fraction(digits[:at] + new + digits[at + 1 :])


def _slip(name: str, line: Line, equation: Equation, right: Fraction, text: str, rng: random.Random) -> Fraction | None:
    unit = Fraction(1, 10 ** decimals(text))
    if name == "digit_swap":
        return _digit_swap(text, right, rng)
    if name == "off_by_one":
        return right + rng.choice((-1, 1)) * (unit if decimals(text) != 2 else rng.choice((unit, Fraction(1))))
    if not isinstance(equation.tree, Node):
        return None
    operator = equation.tree.operator
    left = evaluate(equation.tree.left, line.values) * equation.scale
    other = evaluate(equation.tree.right, line.values)
    if operator in "+-":
        other *= equation.scale
    if name == "sign":
        return None if operator not in ("+", "-") else left - other if operator == "+" else left + other
    if name == "decimal_place":
        return None if operator not in ("*", "/") else right * 10 if rng.random() < 0.5 else Fraction(right, 10)
    if left.denominator != 1 or other.denominator != 1 or left <= 0 or other <= 0:
        return None
    if name == "times_table":
        return right + rng.choice((-1, 1)) * rng.choice((left, other)) if operator == "*" and right > 9 else None
    return _carry(operator, int(left), int(other), right, rng)


def _digit_swap(text: str, value: Fraction, rng: random.Random) -> Fraction | None:
    """Two neighbouring digits exchanged."""
    digits = text.replace(",", "")
    places = [
        i
        for i in range(len(digits) - 1)
        if digits[i : i + 2].isdigit() and digits[i] != digits[i + 1] and not (i == 0 and digits[1] == "0")
    ]
    if not places:
        return None
    at = rng.choice(places)
    return Fraction(digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :])


def _carry(operator: str, left: int, other: int, right: Fraction, rng: random.Random) -> Fraction | None:
    """One carry forgotten in a written sum or product, or one borrow in a difference."""
    if operator == "+":
        wrong = [
            right - 10 ** (k + 1) for k in range(6) if left % 10 ** (k + 1) + other % 10 ** (k + 1) >= 10 ** (k + 1)
        ]
    elif operator == "-":
        wrong = [right + 10 ** (k + 1) for k in range(6) if left % 10 ** (k + 1) < other % 10 ** (k + 1)]
    elif operator == "*" and min(left, other) < 10 <= max(left, other):
        small, large = sorted((left, other))
        wrong, carried = [], 0
        for k, digit in enumerate(map(int, reversed(str(large)))):
            carried = (digit * small + carried) // 10
            if carried and k + 1 < len(str(large)):
                wrong.append(right - carried * 10 ** (k + 1))
    else:
        return None
    return rng.choice(wrong) if wrong else None
