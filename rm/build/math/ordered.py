"""Flaws in the order of a trace: a step that is missing, done twice, out of place, or rests on what it leads to."""

from __future__ import annotations

import random
from dataclasses import replace

from rm.build.kinds import Variant
from rm.build.math.changed import shown_sites
from rm.build.math.equations import Equation, Line, Pair, display, evaluate, hidden, read_line
from rm.build.math.solution import PLAIN, Solution, carry
from rm.build.math.wording import (
    INVERSE,
    differing,
    flawed,
    money,
    simple,
    steps,
    style,
)

_REDUNDANT = 0.3


def dropped_step(solution: Solution, rng: random.Random) -> Variant | None:
    """A step is missing whose result a later step uses."""
    lines = solution.lines
    needed = _needed(solution)
    if not needed:
        return None
    step, user, numbers = rng.choice(needed)
    return flawed(
        solution,
        "dropped_step",
        (*lines[:step], *lines[step + 1 :]),
        step=step,
        first=user - 1,
        spoiled=len(solution.dependents(step)),
        answer=solution.answer_text,
        why=f"step {user}: uses {' and '.join(numbers)}, which nothing before it gives: a step is missing",
    )


def _needed(solution: Solution) -> list[tuple[int, int, list[str]]]:
    """(step, first later step that uses its results, the numbers that it uses and that nothing else gives)."""
    found = []
    for step, users in solution.users.items():
        made = {value for value in solution.lines[step].results if len(solution.makers[value]) == 1}
        made -= solution.given | {v for before in solution.lines[:step] for v in before.values}
        for user in users[:1]:
            line = solution.lines[user]
            numbers = [text for text, value in zip(line.numbers, line.values, strict=True) if value in made]
            if numbers and not made & PLAIN:
                found.append((step, user, list(dict.fromkeys(numbers))))
    return found


def swapped_steps(solution: Solution, rng: random.Random) -> Variant | None:
    """A step comes after the first one that needs its result."""
    lines = solution.lines
    needed = _needed(solution)
    if not needed:
        return None
    step, user, numbers = rng.choice(needed)
    return flawed(
        solution,
        "swapped_steps",
        (*lines[:step], *lines[step + 1 : user + 1], lines[step], *lines[user + 1 :]),
        step=step,
        first=user - 1,
        spoiled=len(solution.dependents(step)),
        answer=solution.answer_text,
        why=f"step {user}: uses {' and '.join(numbers)}, which only step {user + 1} computes",
    )


def repeated_step(solution: Solution, rng: random.Random) -> Variant | None:
    """A step is done a second time, on its own result; or it only stands there twice."""
    makers = (_only_there_twice, _done_twice) if rng.random() < _REDUNDANT else (_done_twice, _only_there_twice)
    return next((found for make in makers if (found := make(solution, rng)) is not None), None)


def _done_twice(solution: Solution, rng: random.Random) -> Variant | None:
    lines = solution.lines
    for step, equation in shown_sites(solution, rng):
        line = lines[step]
        pair = equation.pair
        if pair is None or len(line.equations) > 1:
            continue
        again = _applied_again(line, equation, pair, rng)
        if again is None:
            continue
        once, twice = line.values[equation.result], again.values[equation.result]
        rest = carry(lines[step + 1 :], {once: twice})
        if rest is None:
            continue
        flawed_lines = (*lines[: step + 1], again, *rest)
        line_at, index = solution.answer_site
        place = line_at + 1 if line_at >= step else line_at
        changed = [i + step + 2 for i in differing(lines[step + 1 :], rest)]
        carried = f"; carried into {steps(changed)}" if changed else ""
        why = (
            f"step {step + 2}: does step {step + 1} a second time, on its own result "
            f"({again.numbers[equation.result]} instead of {line.numbers[equation.result]}){carried}"
        )
        return flawed(
            solution,
            "repeated_step",
            flawed_lines,
            step=step,
            first=step + 1,
            spoiled=len(changed),
            answer=flawed_lines[place].numbers[index],
            why=why,
            how="done_twice",
        )
    return None


def _applied_again(line: Line, equation: Equation, pair: Pair, rng: random.Random) -> Line | None:
    """The line with its own result in place of an operand."""
    operands = [pair.left] if pair.operator in "-/" else rng.sample([pair.left, pair.right], 2)
    value = line.values[equation.result]
    for index in operands:
        if line.values.count(line.values[index]) > 1 or line.values.count(value) > 1:
            continue
        values = list(line.values)
        values[index] = value
        try:
            new = evaluate(equation.tree, values) * equation.scale
        except ZeroDivisionError:
            continue
        text = display(new, line.numbers[equation.result], "=")
        if text is None or new <= 0 or new == value or (value.denominator == 1 and new.denominator != 1):
            continue
        values[equation.result] = new
        numbers = list(line.numbers)
        numbers[index], numbers[equation.result] = line.numbers[equation.result], text
        return replace(line, numbers=tuple(numbers), values=tuple(values))
    return None


def _only_there_twice(solution: Solution, rng: random.Random) -> Variant | None:
    lines = solution.lines
    steps_with = [i for i, line in enumerate(lines[:-1]) if line.equations]
    if not steps_with or len(lines) < 3:
        return None
    step = rng.choice(steps_with)
    at = rng.randint(step + 1, len(lines) - 1)
    return flawed(
        solution,
        "repeated_step",
        (*lines[:at], lines[step], *lines[at:]),
        step=step,
        first=at,
        spoiled=0,
        answer=solution.answer_text,
        why=f"step {at + 1}: the same as step {step + 1}, which was done already",
        how="only_there_twice",
    )


def circular_step(solution: Solution, rng: random.Random) -> Variant | None:
    """A step is computed from the result of a later one, which is computed from it."""
    lines = solution.lines
    places = [
        (step, equation, user)
        for step, equation in solution.sites
        if simple(lines[step], equation) and not hidden(equation.tree) and len(lines[step].equations) == 1
        for user in solution.users[step]
    ]
    for step, equation, user in rng.sample(places, min(6, len(places))):
        backward = _backward(lines[step], equation, lines[user], style(lines))
        if backward is None:
            continue
        changed, inverse, operands = backward
        numbers, comes = _only_later(solution, step, lines[user], operands)
        if not numbers:
            continue
        verb = "is" if len(numbers) == 1 else "are"
        why = (
            f"step {step + 1}: gets {lines[step].numbers[equation.result]} from {inverse}, "
            f"but {' and '.join(numbers)} {verb} computed from it only in {steps(comes)}"
        )
        return flawed(
            solution,
            "circular_step",
            (*lines[:step], changed, *lines[step + 1 :]),
            step=step,
            first=step,
            spoiled=len(solution.dependents(step)),
            answer=solution.answer_text,
            why=why,
        )
    return None


def _only_later(solution: Solution, step: int, user: Line, operands: tuple[int, int]) -> tuple[list[str], list[int]]:
    """(the operands that rest on `step`, the steps that compute them); none where a reader knows them before.

    A check at the end, `400 + 100 = 500`, turned round is sound work where the 500 was known.
    """
    known = solution.given.union(*(line.values for line in solution.lines[:step]))
    unknown = {user.values[i]: user.numbers[i] for i in operands if user.values[i] not in known}
    comes = [solution.makers[value][0][0] for value in unknown if value in solution.makers]
    if len(comes) < len(unknown) or not set(comes) <= set(solution.dependents(step)):
        return [], []
    return list(unknown.values()), sorted(set(comes))


def _backward(
    line: Line, equation: Equation, user: Line, manner: tuple[str, str]
) -> tuple[Line, str, tuple[int, int]] | None:
    """(the line with its value computed from the user's result, that calculation, its operands in the user)."""
    value = line.values[equation.result]
    for later in user.equations:
        pair = later.pair
        if pair is None or later.mode != "=" or later.scale != 1:
            continue
        operator, left, right = pair
        if value not in (user.values[left], user.values[right]) or user.values[left] == user.values[right]:
            continue
        result = later.result
        if value == user.values[left]:
            back = Pair(INVERSE[operator], result, right)
        elif operator in "+*":
            back = Pair(INVERSE[operator], result, left)
        else:
            back = Pair(operator, left, result)  # w - v = r, so v = w - r
        dollar = any(money(line, i).startswith("$") for i in (*range(equation.first, equation.last + 1),))
        one, other = (money(user, i) if dollar else user.numbers[i] for i in back[1:])
        inverse = f"{user.numbers[back.left]} {back.operator} {user.numbers[back.right]}"
        gap, times = manner
        sign = back.operator if back.operator != "*" else times
        before = "".join(t + n for t, n in zip(line.texts, line.numbers[: equation.first], strict=False))
        before += line.texts[equation.first].removesuffix("$")
        equals = line.texts[equation.result]
        if "=" in equals:  # without the unit of the old expression
            equals = equals[equals.index("=") - (" =" in equals) :]
        rest = (equals, *line.texts[equation.result + 1 :])
        after = "".join(t + n for t, n in zip(rest, (*line.numbers[equation.result :], ""), strict=True))
        text = f"{before}{one}{gap}{sign}{gap}{other}{after}"
        return read_line(text), inverse, (back.left, back.right)
    return None
