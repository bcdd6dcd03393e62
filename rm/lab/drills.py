"""Short calculations, right and wrong, in the forms that traces use."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

from rm.build.math.flaws import slipped
from rm.build.math.traces import evaluate, format_number


def drill(rng: random.Random, wrong: float) -> tuple[str, bool]:
    """One calculation such as `6 x 28 = 168`, and whether it is wrong.

    Args:
        wrong: probability that the result is not the right one, in [0, 1].
    """
    expression = rng.choices(_FORMS, _WEIGHTS)[0](rng)
    result = format_number(evaluate(expression))
    slip = slipped(result, rng) if rng.random() < wrong and result != "0" else None
    return _styled(expression, slip or result, rng), slip is not None


def _styled(expression: str, result: str, rng: random.Random) -> str:
    gap = rng.choice(("", " "))
    shown = expression.replace("*", "x") if gap and rng.random() < 0.4 else expression
    for symbol in "+-*/x":
        shown = shown.replace(symbol, f"{gap}{symbol}{gap}")
    money = "$" if rng.random() < 0.3 else ""
    return f"{shown}{gap}={gap}{money}{result}"


def _size(rng: random.Random, digits: int) -> int:
    """A number of up to `digits` digits, small ones and round ones more often."""
    value = rng.randrange(1, 10 ** rng.randint(1, digits))
    return value * 10 if value < 10 ** (digits - 1) and rng.random() < 0.25 else value


def _sum(rng: random.Random) -> str:
    return "+".join(str(_size(rng, 4)) for _ in range(rng.choice((2, 2, 2, 3, 3, 4))))


def _difference(rng: random.Random) -> str:
    parts = [_size(rng, 3) for _ in range(rng.choice((1, 1, 1, 2)))]
    return "-".join(map(str, (sum(parts) + _size(rng, 3), *parts)))


def _product(rng: random.Random) -> str:
    factors = [_size(rng, 2), _size(rng, rng.choice((1, 2, 2, 3)))]
    if rng.random() < 0.12:
        factors.append(rng.randint(2, 9))
    rng.shuffle(factors)
    return "*".join(map(str, factors))


def _quotient(rng: random.Random) -> str:
    divisor = rng.randint(2, 12) if rng.random() < 0.6 else _size(rng, 2)
    return f"{divisor * _size(rng, rng.choice((1, 2, 2, 3)))}/{divisor}"


def _decimal_product(rng: random.Random) -> str:
    decimal = format_number(Fraction(rng.randint(1, 20) * rng.choice((5, 10, 25)), 100))
    return f"{_size(rng, 3)}*{decimal}" if rng.random() < 0.5 else f"{decimal}*{_size(rng, 2)}"


def _decimal_sum(rng: random.Random) -> str:
    first, second = sorted((Fraction(rng.randint(1, 400) * 5, 100) for _ in range(2)), reverse=True)
    symbol = "-" if first > second and rng.random() < 0.4 else "+"
    return f"{format_number(first)}{symbol}{format_number(second)}"


def _percent(rng: random.Random) -> str:
    return f"{_size(rng, 2) * rng.choice((10, 20, 100))}*{rng.randint(1, 19) * 5}/100"


def _scaled(rng: random.Random) -> str:
    """A fraction of a number, `3/4*60`, or a quotient that is scaled, `60/4*3`."""
    below, above = rng.randint(2, 9), rng.randint(1, 8)
    whole = below * _size(rng, 2)
    return f"{above}/{below}*{whole}" if rng.random() < 0.5 else f"{whole}/{below}*{above}"


_FORMS: tuple[Callable[[random.Random], str], ...] = (
    _sum,
    _difference,
    _product,
    _quotient,
    _decimal_product,
    _decimal_sum,
    _percent,
    _scaled,
)
_WEIGHTS = (24, 18, 28, 14, 6, 3, 3, 4)
