"""How kinds write calculations and tell what they did."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from rm.build.kinds import Variant
from rm.build.math.equations import Equation, Line, Node, Tree, display, leaves
from rm.build.math.frames import conclusion
from rm.build.math.grading import ANSWER_LOST, Harm, grade
from rm.build.math.solution import Solution

_OWN_WORDS = 0.8
_BECAUSE = re.compile(r"\s+because\s+$")
NO_END = frozenset(
    [
        "because",
        "since",
        "so",
        "and",
        "by",
        "to",
        "that",
        "as",
        "performing",
        "adding",
        "multiplying",
        "subtracting",
        "dividing",
    ]
)
"""Words that do not end a clause whose calculation is left out."""
INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def written(tree: Tree, numbers: Sequence[str]) -> str:
    """A tree as text, numbers as the line shows them: `(3 + 4) * 2`."""
    if isinstance(tree, Node):
        operator, left, right, site = tree
        if site < 0 and right == 100 and operator == "/" and isinstance(left, int):
            return written(left, numbers) + "%"
        one, other = written(left, numbers), written(right, numbers)
        if isinstance(left, Node) and operator in "*/" and left.operator in "+-":
            one = f"({one})"
        if isinstance(right, Node) and (operator in "*/-") and not (operator == "-" and right.operator in "*/"):
            other = f"({other})"
        return f"{one} {operator} {other}"
    return numbers[tree] if isinstance(tree, int) else plain(tree)


def plain(value: Fraction, like: str = "") -> str:
    """A value in digits; rounded to two decimals where it has more than three."""
    return display(value, like, "=") or f"{float(value):.2f}".rstrip("0").rstrip(".")


def style(lines: Sequence[Line]) -> tuple[str, str]:
    """How a trace writes calculations: what stands around an operator (a space or nothing), and its sign for times."""
    gap, times = " ", "*"
    for line in lines:
        for equation in line.equations:
            if equation.shown and equation.first < equation.last:
                between = line.texts[equation.first + 1]
                gap = " " if between.startswith(" ") else ""
                for sign in "x×":
                    if sign in between.split():
                        return gap, sign
                if "*" in between:
                    return gap, "*"
    return gap, times


def in_style(expression: str, lines: Sequence[Line]) -> str:
    """An expression of `written` in the trace's own style."""
    gap, times = style(lines)
    return expression.replace("*", times) if gap else expression.replace(" ", "") if times == "*" else expression


def money(line: Line, index: int) -> str:
    """A line's number with the dollar sign before it, where there is one."""
    return ("$" if line.texts[index].endswith("$") else "") + line.numbers[index]


def steps(indices: Sequence[int]) -> str:
    """`step 2`, `steps 2 and 4` (counted from 1)."""
    names = [str(i + 1) for i in indices]
    if len(names) == 1:
        return f"step {names[0]}"
    return f"steps {', '.join(names[:-1])} and {names[-1]}"


def carried_into(before: Sequence[Line], after: Sequence[Line], step: int) -> str:
    """`; carried into steps 3 and 4`, or that nothing else changes."""
    changed = [i for i in differing(before, after) if i > step]
    return f"; carried into {steps(changed)}" if changed else "; no other step changes"


def differing(before: Sequence[Line], after: Sequence[Line]) -> list[int]:
    return [
        i
        for i, (one, other) in enumerate(zip(before, after, strict=True))
        if one is not other and (one.numbers != other.numbers or one.texts != other.texts)
    ]


def flawed(
    solution: Solution,
    kind: str,
    lines: Sequence[Line | str],
    *,
    step: int,
    first: int,
    spoiled: int,
    answer: str | None,
    why: str,
    answer_kept: bool | None = None,
    profile: str = "",
    **metadata: object,
) -> Variant | None:
    """The variant; None where its text is the sound one's, or it keeps an answer that its kind has to lose.

    Args:
        solution: the sound one.
        kind: a key of `PROFILES`.
        lines: of the flawed trace.
        step: 0-based line of the sound trace at which the flaw sits.
        first: 0-based line of the flawed trace at which a reader can first tell.
        spoiled: how many other lines of the sound trace are changed, deprived of a premise or left out.
        answer: that the flawed trace leads to, as its text has it.
        why: one sentence for a reader who checks.
        answer_kept: None to compare `answer` with the right one.
        profile: of `PROFILES`, where it is not the kind.
        metadata: kept in the group's candidate.
    """
    reasoning = "\n".join(map(str, lines))
    if reasoning == solution.trace:
        return None
    others = max(1, len(solution.lines) - 1)
    kept = answer_kept if answer_kept is not None else answer is not None and same(answer, solution.answer_text)
    if kept and kind in ANSWER_LOST:
        return None
    harm = Harm(step / others, min(1.0, spoiled / others), kept)
    labels, total = grade(profile or kind, harm)
    return Variant(
        kind,
        reasoning,
        sound=False,
        answer_kept=kept,
        labels=labels,
        total=total,
        first_wrong_step=first,
        answer=answer,
        why=why,
        metadata={"step": step, "reach": round(harm.reach, 3), **metadata},
    )


def same(text: str, other: str) -> bool:
    return Fraction(text.replace(",", "").lstrip("$")) == Fraction(other.replace(",", "").lstrip("$"))


def answer_in(solution: Solution, lines: Sequence[Line]) -> str:
    """What the answer's place shows in a trace with the same lines and numbers."""
    line, index = solution.answer_site
    return lines[line].numbers[index]


def expression_of(line: Line, equation: Equation) -> str:
    return written(equation.tree, line.numbers)


def simple(line: Line, equation: Equation) -> bool:
    """The line displays the calculation as a stretch of its own, with no parenthesis, ending in its result."""
    return (
        equation.shown
        and leaves(equation.tree) == list(range(equation.first, equation.last + 1))
        and equation.result == equation.last + 1
        and not any(c in text for text in line.texts[equation.first : equation.result + 1] for c in "()")
    )


def known_values(solution: Solution, before: int) -> Mapping[Fraction, str]:
    """Quantities known before a line, as the trace or the problem's digits show them."""
    known: dict[Fraction, str] = {value: plain(value) for value in solution.given}
    for line in solution.lines[:before]:
        for equation in line.equations:
            known[line.values[equation.result]] = line.numbers[equation.result]
    return known


def pieces(line: Line, equation: Equation) -> tuple[str, str, str]:
    """What stands before a displayed calculation, the calculation with its result, and what follows."""
    parts = [text + number for text, number in zip(line.texts, (*line.numbers, ""), strict=True)]
    before = "".join(parts[: equation.first]) + line.texts[equation.first]
    start = len(before.rstrip("($"))
    text = "".join(parts)
    end = sum(map(len, parts[: equation.result + 1]))
    return text[:start], text[start:end], text[end:]


def closing(solution: Solution, number: str, rng: random.Random) -> str:
    """A sentence that says that `number` is the answer: the last line without its calculation, or one of `CONCLUSIONS`.

    The first has no word that the trace does not have anyway.
    """
    told = _told(solution) if rng.random() < _OWN_WORDS else None
    return conclusion(number, rng) if told is None else f"{told[0]}{number}{told[1]}"


def _told(solution: Solution) -> tuple[str, str] | None:
    """What the line that computes the answer says before and after it, its calculation left out."""
    line_at, index = solution.answer_site
    line = solution.lines[line_at]
    equation = next(e for e in line.equations if e.result == index)
    if len(line.equations) > 1 or line.locked or not equation.shown or index != equation.last + 1:
        return None
    before, _, after = pieces(line, equation)
    if (because := _BECAUSE.search(before)) is not None:  # `X 6 Y because 2 * 3 = 6`
        claim = before[: because.start()]
        at = next((i for i in range(equation.first) if line.values[i] == line.values[index]), None)
        if at is None or after.strip(" ."):
            return None
        start = sum(map(len, line.texts[: at + 1])) + sum(map(len, line.numbers[:at]))
        return claim[:start].removesuffix("$"), claim[start + len(line.numbers[at]) :]
    words = before.split()
    if len(words) < 2 or not words[-1].isalpha() or words[-1].lower() in NO_END or "=" in before + after:
        return None
    return before, after
