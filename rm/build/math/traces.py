"""A worked solution whose arithmetic is known: parsing, values, dependencies, recomputation.

The marked form is GSM8K's (Cobbe et al. 2021): one step a line, and before each computed number its
calculation, `They have 112+139=$<<112+139=251>>251`. Generated stories are written in the same form, so that
one parser and one set of flaws (`rm.build.math.flaws`) serve both. The text shown to a model has no marks.

Not covered: equations with unknowns, and numbers written as words. Their lines are kept and never edited.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)")
_MARK = re.compile(r"<<([^<>=]*)=[^<>]*>>")
_OPERATIONS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_WORD_VALUES = {word: Fraction(value) for value, word in enumerate(_WORDS.split())} | {
    "half": Fraction(2),
    "twice": Fraction(2),
    "double": Fraction(2),
    "dozen": Fraction(12),
}


def evaluate(expression: str) -> Fraction:
    """The exact value of an expression of numbers, `+ - * /` and parentheses.

    Raises:
        ValueError: anything else in it, or a division by zero.
    """
    try:
        # A leading zero ("05") is a number here and a syntax error in Python.
        tree = ast.parse(re.sub(r"(?<![\d.])0+(?=\d)", "", expression.strip()), mode="eval").body
        return _value(tree, expression)
    except (SyntaxError, ZeroDivisionError) as error:
        raise ValueError(f"cannot evaluate {expression!r}") from error


def _value(node: ast.expr, source: str) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, source)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left, source), _value(node.right, source))
    raise ValueError(f"cannot evaluate {source!r}")


def number_value(text: str) -> Fraction:
    """The value of one `NUMBER` match: `1,200` is 1200, `.5` is 1/2."""
    return Fraction(text.replace(",", ""))


def format_number(value: Fraction, like: str = "") -> str:
    """`value` to two decimals, with thousands commas and trailing zeros (`2.50`) where `like` has them."""
    rounded = round(value, 2)
    text = f"{float(rounded):.2f}"
    if len(like.partition(".")[2]) != 2:
        text = text.rstrip("0").rstrip(".")
    if "," in like and abs(rounded) >= 1000:
        whole, _, decimals = text.partition(".")
        return f"{int(whole):,}" + (f".{decimals}" if decimals else "")
    return text


def numbers_in(text: str) -> frozenset[Fraction]:
    """Every quantity that a text names, in digits or as a word up to twenty."""
    words = (_WORD_VALUES[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _WORD_VALUES)
    return frozenset(number_value(match) for match in NUMBER.findall(text)) | frozenset(words)


@dataclass(frozen=True)
class Calculation:
    """One computed number of a line: `expression` gives the line's number at index `result`."""

    expression: str
    result: int

    @property
    def operands(self) -> tuple[Fraction, ...]:
        return tuple(number_value(match) for match in NUMBER.findall(self.expression))


@dataclass(frozen=True)
class Line:
    """One step: `texts[0] numbers[0] texts[1] numbers[1] ... texts[-1]`, and what was computed in it."""

    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    calculations: tuple[Calculation, ...] = ()

    @classmethod
    def parse(cls, marked: str) -> Line:
        """Reads one marked line. A mark that is not followed by its own value is ignored."""
        plain, offsets, position = "", [], 0
        for mark in _MARK.finditer(marked):
            plain += marked[position : mark.start()]
            offsets.append((len(plain), mark[1]))
            position = mark.end()
        plain += marked[position:]
        starts = {match.start(): index for index, match in enumerate(NUMBER.finditer(plain))}
        pieces = NUMBER.split(plain)
        line = cls(tuple(pieces[0::2]), tuple(pieces[1::2]))
        found = (Calculation(expression, starts[at]) for at, expression in offsets if at in starts)
        return replace(line, calculations=tuple(c for c in found if line._holds(c)))

    def _holds(self, calculation: Calculation) -> bool:
        try:
            value = evaluate(calculation.expression)
        except ValueError:
            return False
        return abs(value - self.value(calculation.result)) <= Fraction(1, 100)

    def value(self, index: int) -> Fraction:
        return number_value(self.numbers[index])

    @property
    def results(self) -> tuple[Fraction, ...]:
        return tuple(self.value(calculation.result) for calculation in self.calculations)

    @property
    def used(self) -> frozenset[Fraction]:
        """The quantities that the line uses without having computed them itself."""
        made: set[Fraction] = set()
        used: set[Fraction] = set()
        by_result = {calculation.result for calculation in self.calculations}
        for index in range(len(self.numbers)):
            value = self.value(index)
            if index in by_result:
                made.add(value)
            elif value not in made:
                used.add(value)
        return frozenset(used)

    def with_number(self, index: int, text: str) -> Line:
        return replace(self, numbers=(*self.numbers[:index], text, *self.numbers[index + 1 :]))

    def __str__(self) -> str:
        return "".join(text + number for text, number in zip(self.texts, (*self.numbers, ""), strict=True))


def parse_trace(marked: str) -> tuple[Line, ...]:
    """The lines of a marked solution; a final `#### answer` and empty lines are left out."""
    lines = (line.strip() for line in marked.split("\n"))
    return tuple(Line.parse(line) for line in lines if line and not line.startswith("####"))


def trace_text(lines: Sequence[Line]) -> str:
    return "\n".join(str(line) for line in lines)


def substitute(expression: str, changed: Mapping[Fraction, Fraction]) -> str:
    """The expression with changed quantities in place of the old ones (negative ones in parentheses)."""

    def new(match: re.Match[str]) -> str:
        value = number_value(match[0])
        if value not in changed:
            return match[0]
        text = format_number(changed[value])
        return f"({text})" if text.startswith("-") else text

    return NUMBER.sub(new, expression)


def recompute(lines: Sequence[Line], changed: Mapping[Fraction, Fraction]) -> tuple[Line, ...]:
    """Carries changed quantities through `lines`: every use is replaced, every result that follows is new.

    A quantity that is computed anew from unchanged operands counts as unchanged from there on.

    Raises:
        ValueError: a result would need a division by zero, or would vanish in rounding to two decimals.
    """
    now = dict(changed)
    return tuple(_recompute_line(line, now) for line in lines)


def _recompute_line(line: Line, changed: dict[Fraction, Fraction]) -> Line:
    calculations = {calculation.result: calculation for calculation in line.calculations}
    numbers, kept = list(line.numbers), []
    for index, text in enumerate(line.numbers):
        old = number_value(text)
        if index not in calculations:
            if old in changed:
                numbers[index] = format_number(changed[old], like=text)
            continue
        expression = substitute(calculations[index].expression, changed)
        if expression == calculations[index].expression:
            changed.pop(old, None)
        else:
            numbers[index] = format_number(rounded_result(expression), like=text)
            changed[old] = number_value(numbers[index])
        kept.append(Calculation(expression, index))
    return Line(line.texts, tuple(numbers), tuple(kept))


def rounded_result(expression: str) -> Fraction:
    """The value to two decimals, as traces show it.

    Raises:
        ValueError: not an expression, a division by zero, or a value that rounds to nothing.
    """
    exact = evaluate(expression)
    rounded = round(exact, 2)
    if exact != 0 and rounded == 0:
        raise ValueError(f"{expression!r} vanishes in rounding")
    return rounded


def dependencies(lines: Sequence[Line], given: Collection[Fraction]) -> dict[int, frozenset[int]]:
    """For each line the earlier lines whose results it needs: numbers it uses that no problem text gives.

    Args:
        lines: the trace.
        given: quantities of the problem; a result equal to one of them makes no dependency.
    """
    maker: dict[Fraction, int] = {}
    needs: dict[int, frozenset[int]] = {}
    for index, line in enumerate(lines):
        needs[index] = frozenset(maker[value] for value in line.used if value in maker and value not in given)
        for value in line.results:
            maker[value] = index
    return needs
