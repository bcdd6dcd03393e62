"""Flaws in what a trace aims at and in how it gets to its answer."""

from __future__ import annotations

import random
from fractions import Fraction

from rm.build.kinds import Variant
from rm.build.math.changed import shown_sites, with_operator
from rm.build.math.equations import Equation, Line, Node, display, displayed_as, evaluate, hidden, value_of
from rm.build.math.frames import CHECKS, TAKEN, lead
from rm.build.math.slips import misread, slips
from rm.build.math.solution import COMMON, Solution, carry, recompute
from rm.build.math.wording import (
    INVERSE,
    closing,
    differing,
    expression_of,
    flawed,
    in_style,
    known_values,
    money,
    pieces,
    plain,
    simple,
    steps,
    style,
    written,
)

_SAID = 0.1


def wrong_target(solution: Solution, rng: random.Random) -> Variant | None:
    """The trace answers another question: it stops too early, goes on too far, or names another quantity."""
    makers = rng.sample((_stops, _goes_on, _names_another), 3)
    return next((found for make in makers if (found := make(solution, rng)) is not None), None)


def _others(solution: Solution, before: int) -> list[tuple[int, Equation]]:
    """Computed quantities that are not the answer."""
    return [
        (step, equation)
        for step, line in enumerate(solution.lines[:before])
        for equation in line.equations[-1:]
        if line.values[equation.result] != solution.answer and not line.locked
    ]


def _stops(solution: Solution, rng: random.Random) -> Variant | None:
    answer_line = solution.answer_site[0]
    places = [
        (step, equation)
        for step, equation in _others(solution, answer_line)
        if not any(solution.answer in line.results for line in solution.lines[: step + 1])
    ]
    if not places:
        return None
    step, equation = rng.choice(places)
    number = money(solution.lines[step], equation.result)
    kept: tuple[Line | str, ...] = solution.lines[: step + 1]
    closed = rng.random() < 0.4
    last = step + 1 if closed else step
    return flawed(
        solution,
        "wrong_target",
        (*kept, closing(solution, number, rng)) if closed else kept,
        step=step,
        first=last,
        spoiled=len(solution.lines) - step - 1,
        answer=number.lstrip("$"),
        why=f"step {last + 1}: the trace stops at {number}, which is not what is asked for; later steps are missing",
        how="stops",
    )


def _goes_on(solution: Solution, rng: random.Random) -> Variant | None:
    line_at, index = solution.answer_site
    if line_at != len(solution.lines) - 1 or solution.answer <= 0:
        return None
    line = solution.lines[-1]
    answer = line.values[index]
    known = known_values(solution, len(solution.lines) - 1)
    choices = sorted(value for value in known if value > 2 and value != answer)
    rng.shuffle(choices)
    for value in choices[:6]:
        for operator in rng.sample("+-/", 3):
            new = {"+": answer + value, "-": answer - value, "/": Fraction(answer, value)}[operator]
            text = display(new, line.numbers[index], "=")
            if text is None or new <= 0 or new.denominator != 1 or new == answer:
                continue
            expression = in_style(f"{line.numbers[index]} {operator} {known[value]}", solution.lines)
            extra = _in_place_of(line, index, expression, text, rng)
            end = [closing(solution, text, rng)] if rng.random() < 0.4 else []
            at = len(solution.lines)
            return flawed(
                solution,
                "wrong_target",
                (*solution.lines, extra, *end),
                step=at - 1,
                first=at,
                spoiled=0,
                answer=text,
                why=f"step {at + 1}: {line.numbers[index]} is what is asked for, but the trace goes on to {text}",
                how="goes_on",
            )
    return None


def _in_place_of(line: Line, index: int, expression: str, result: str, rng: random.Random) -> str:
    """The line's own sentence about another calculation, or the calculation alone."""
    equation = next(e for e in line.equations if e.result == index)
    calculation = f"{expression} = {result}"
    if len(line.equations) > 1 or not simple(line, equation) or hidden(equation.tree):
        return lead(calculation, rng)
    before, _, after = pieces(line, equation)
    if line.values.count(line.values[index]) > 1:
        return lead(calculation, rng)
    return f"{before}{calculation}{after}"


def _names_another(solution: Solution, rng: random.Random) -> Variant | None:
    places = _others(solution, len(solution.lines))
    if not places:
        return None
    step, equation = rng.choice(places)
    number = money(solution.lines[step], equation.result)
    at = len(solution.lines)
    return flawed(
        solution,
        "wrong_target",
        (*solution.lines, closing(solution, number, rng)),
        step=len(solution.lines) - 1,
        first=len(solution.lines),
        spoiled=0,
        answer=number.lstrip("$"),
        why=f"step {at + 1}: concludes {number}, the result of step {step + 1}, and not {solution.answer_text}",
        how="names_another",
    )


def unsupported_conclusion(solution: Solution, rng: random.Random) -> Variant | None:
    """The trace breaks off and claims an answer, right or wrong, that its steps do not establish."""
    line_at, index = solution.answer_site
    lines = solution.lines
    keeps = [k for k in range(1, line_at + 1) if not any(solution.answer in line.results for line in lines[:k])]
    if not keeps:
        return None
    keep = max(rng.choice(keeps), rng.choice(keeps))
    text = lines[line_at].numbers[index]
    if rng.random() < 0.5:
        wrong = misread(text, value_of(text), rng)
        known = known_values(solution, keep)
        if wrong is None or wrong in known or wrong <= 0:
            return None
        text = plain(wrong, text)
    missing = len(lines) - keep
    right = "the right number" if text == lines[line_at].numbers[index] else "a wrong number"
    number = ("$" if money(lines[line_at], index).startswith("$") else "") + text
    return flawed(
        solution,
        "unsupported_conclusion",
        (*lines[:keep], closing(solution, number, rng)),
        step=keep,
        first=keep,
        spoiled=missing,
        answer=text,
        why=(
            f"step {keep + 1}: claims {number}, {right}, which nothing before it establishes "
            f"({missing} step{'s are' if missing > 1 else ' is'} missing)"
        ),
    )


def invented_condition(solution: Solution, rng: random.Random) -> Variant | None:
    """A condition that the problem does not state changes a quantity, and what follows from it."""
    lines = solution.lines
    sites = [site for site in solution.sites if lines[site[0]].values[site[1].result] > 5]
    for step, equation in rng.sample(sites, min(6, len(sites))):
        line = lines[step]
        if equation is not line.equations[-1]:
            continue
        value = line.values[equation.result]
        amount = Fraction(rng.randint(2, min(int(value) - 1, 3 + int(value) // 4)))
        if amount in solution.given or amount in line.values:
            continue
        # mostly in words that the trace has anyway
        ways = rng.sample((_in_the_step, _in_own_words), 2)
        for make in (_said, *ways) if rng.random() < _SAID else ways:
            made = make(solution, step, equation, amount, rng)
            if made is None:
                continue
            head, inserted, told, new = made
            rest = carry(lines[step + 1 :], {value: value_of(new)})
            if rest is None:
                continue
            extra = len(head) - 1
            changed = [i + step + 1 + extra for i in differing(lines[step + 1 :], rest)]
            line_at, index = solution.answer_site
            answer = new if line_at == step else rest[line_at - step - 1].numbers[index] if line_at > step else None
            return flawed(
                solution,
                "invented_condition",
                (*lines[:step], *head, *rest),
                step=step,
                first=step + extra,
                spoiled=len(changed),
                answer=answer or solution.answer_text,
                why=f"step {step + extra + 1}: {told}, which the problem does not say"
                + (f"; carried into {steps(changed)}" if changed else "; no other step changes"),
                how=inserted,
            )
    return None


_Invention = tuple[tuple[Line | str, ...], str, str, str]
"""Lines in place of the step's, the way, what they do in words, and the new result."""


def _in_the_step(
    solution: Solution, step: int, equation: Equation, amount: Fraction, rng: random.Random
) -> _Invention | None:
    """`48/2 = 24` becomes `48/2 - 5 = 19`."""
    line = solution.lines[step]
    if not simple(line, equation) or hidden(equation.tree) or equation.scale != 1:
        return None
    value, shown = line.values[equation.result], line.numbers[equation.result]
    operator = rng.choice("+-")
    text = display(value + amount if operator == "+" else value - amount, shown, "=")
    before, calculation, after = pieces(line, equation)
    expression, sign, result = calculation.rpartition("=")
    if text is None or not sign or any(v == value for i, v in enumerate(line.values) if i != equation.result):
        return None
    gap, _ = style(solution.lines)
    space = expression[len(expression.rstrip()) :]
    changed = f"{expression.rstrip()}{gap}{operator}{gap}{plain(amount)}{space}={result.removesuffix(shown)}{text}"
    new = f"{before}{changed}{after}"
    told = f"{'adds' if operator == '+' else 'takes off'} {plain(amount)}"
    return (new,), "in_the_step", told, text


def _in_own_words(
    solution: Solution, step: int, equation: Equation, amount: Fraction, rng: random.Random
) -> _Invention | None:
    """The step is followed by its own sentence about another calculation: `24 - 5 = 19`."""
    line = solution.lines[step]
    if not simple(line, equation) or len(line.equations) > 1 or hidden(equation.tree) or equation.scale != 1:
        return None
    value, shown = line.values[equation.result], line.numbers[equation.result]
    operator = rng.choice("+-")
    text = display(value + amount if operator == "+" else value - amount, shown, "=")
    before, calculation, after = pieces(line, equation)
    if text is None or any(v == value for i, v in enumerate(line.values) if i != equation.result):
        return None
    _, sign, result = calculation.rpartition("=")
    gap, _ = style(solution.lines)
    changed = f"{money(line, equation.result)}{gap}{operator}{gap}{plain(amount)}{gap}{sign}"
    new = f"{before}{changed}{result.removesuffix(shown)}{text}{after}"
    told = f"{'adds' if operator == '+' else 'takes off'} {plain(amount)} {'to' if operator == '+' else 'from'} {shown}"
    return (line, new), "in_own_words", told, text


def _said(solution: Solution, step: int, equation: Equation, amount: Fraction, rng: random.Random) -> _Invention | None:
    """A sentence of `TAKEN` follows the step."""
    line = solution.lines[step]
    value, shown = line.values[equation.result], line.numbers[equation.result]
    frame = rng.choice(TAKEN)
    key = next(key for key in ("left", "more", "double", "half") if f"{{{key}}}" in frame)
    new = {"left": value - amount, "more": value + amount, "double": value * 2, "half": Fraction(value, 2)}[key]
    text = display(new, shown, "=")
    if text is None or (value.denominator == 1 and new.denominator != 1):
        return None
    sentence = frame.format_map({"value": shown, "less": plain(amount), key: text})
    told, _, calculation = sentence.rpartition(f"{shown} ")
    expression, _, result = calculation.partition(" = ")
    sentence = f"{told}{in_style(f'{shown} {expression}', solution.lines)} = {result}"
    return (line, sentence), "said", f"turns {shown} into {text}", text


def right_answer_wrong_way(solution: Solution, rng: random.Random) -> Variant | None:
    """Two errors cancel, or a calculation is wrong and the right number stands there all the same."""
    makers = rng.sample((_cancelling, _asserted), 2)
    return next((found for make in makers if (found := make(solution, rng)) is not None), None)


def _cancelling(solution: Solution, rng: random.Random) -> Variant | None:
    lines = solution.lines
    for step, equation in shown_sites(solution, rng):
        users = solution.users[step]
        if len(users) != 1 or not lines[users[0]].equations:
            continue
        user = users[0]
        last = lines[user].equations[-1]
        if len(lines[user].equations) != 1 or not last.shown or last.locked:
            continue
        for name, wrong in slips(lines[step], equation, rng):
            if wrong in known_values(solution, step):
                continue
            changed: dict[Fraction, Fraction] = {}
            head = recompute(lines[step], changed, {}, {equation.result: wrong})
            if head is None:
                continue
            right = lines[user].values[last.result]
            back = recompute(lines[user], dict(changed), {}, {last.result: right})
            if back is None or back == lines[user]:
                continue
            true = evaluate(last.tree, back.values) * last.scale
            if true <= 0 or displayed_as(true, back.numbers[last.result], True) is not None:
                continue  # no second error: it only looks rounded
            line, shown = lines[step], head.numbers[equation.result]
            why = (
                f"step {step + 1}: {expression_of(line, equation)} is {line.numbers[equation.result]}, not {shown}; "
                f"step {user + 1}: {written(last.tree, back.numbers)} is {plain(true)}, "
                f"not {back.numbers[last.result]}: two errors cancel"
            )
            return flawed(
                solution,
                "right_answer_wrong_way",
                (*lines[:step], head, *lines[step + 1 : user], back, *lines[user + 1 :]),
                step=step,
                first=step,
                spoiled=1,
                answer=solution.answer_text,
                why=why,
                how="cancelling",
                slip=name,
            )
    return None


def _asserted(solution: Solution, rng: random.Random) -> Variant | None:
    lines = solution.lines
    for step, equation in shown_sites(solution, rng):
        line = lines[step]
        node = equation.tree
        if equation.pair is None or not isinstance(node, Node):
            continue
        for operator in rng.sample([o for o in "+-*/" if o != node.operator], 3):
            changed = with_operator(solution, line, equation, node, operator)
            if changed is None:
                continue
            try:
                true = evaluate(node._replace(operator=operator), line.values) * equation.scale
            except ZeroDivisionError:
                continue
            if true <= 0 or true == line.values[equation.result]:
                continue
            wrote = written(node._replace(operator=operator), line.numbers)
            right = line.numbers[equation.result]
            source = expression_of(line, equation)
            why = f"step {step + 1}: {wrote} is {plain(true)}; {right} is right, but comes from {source}"
            return flawed(
                solution,
                "right_answer_wrong_way",
                (*lines[:step], changed, *lines[step + 1 :]),
                step=step,
                first=step,
                spoiled=len(solution.dependents(step)),
                answer=solution.answer_text,
                why=why,
                how="asserted",
            )
    return None


def answer_given_away(solution: Solution, rng: random.Random) -> Variant | None:
    """The trace begins with the answer, and what follows does not lead to it."""
    lines = solution.lines
    line_at, index = solution.answer_site
    number = money(lines[line_at], index)
    first = closing(solution, number, rng)
    backward = backward_check(solution, rng)
    keeps = [k for k in range(1, line_at + 1) if not any(solution.answer in line.results for line in lines[:k])]
    how = rng.choice(["only"] + ["begins"] * 5 * bool(keeps) + ["checked"] * (backward is not None))
    body: tuple[Line | str, ...] = ()
    told = "nothing leads to it"
    if how == "begins":
        keep = max(rng.choice(keeps), rng.choice(keeps))
        body, told = (
            lines[:keep],
            f"the {'steps' if keep > 1 else 'step'} after it do{'es' * (keep == 1)} not lead to it",
        )
    elif how == "checked":
        body, told = (backward or "",), "the calculation after it starts from it"
    return flawed(
        solution,
        "answer_given_away",
        (first, *body),
        step=0,
        first=0,
        spoiled=len(lines) - (len(body) if how == "begins" else 0),
        answer=number.lstrip("$"),
        why=f"step 1: states the answer {number}, and {told}",
        how=how,
    )


def backward_check(solution: Solution, rng: random.Random) -> str | None:
    """A sentence that checks the last calculation by its inverse; None where it has none that comes out exactly."""
    line_at, index = solution.answer_site
    line = solution.lines[line_at]
    equation = next((e for e in line.equations if e.result == index), None)
    pair = None if equation is None else equation.pair
    if equation is None or pair is None or equation.mode != "=" or equation.scale != 1 or line.locked:
        return None
    operator, left, right = pair
    if line.values[left] in COMMON and line.values[right] in COMMON:
        return None
    swapped = operator in "+*" and rng.random() < 0.5
    one, other = (right, left) if swapped else (left, right)
    if line.values[other] == 0:
        return None
    expression = f"{line.numbers[index]} {INVERSE[operator]} {line.numbers[other]}"
    return rng.choice(CHECKS).format(in_style(expression, solution.lines), line.numbers[one])
