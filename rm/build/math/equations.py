"""The calculations that a line of text displays: `expression = value`, read exactly.

Read are `+ - * /` in their usual signs (`x`, `×`, `÷`, `−`, `\\times`, plus, minus, times, divided by), parentheses,
money, thousands commas, percent (`20% of 50 = 10`), fractions (`3/4 of 20 = 15`), units after numbers
(`6 hours * $12/hour = $72`), chains (`3 + 4 = 7 * 2 = 14`, and `3 + 4 + 5 = 7 + 5 = 12`) and values before their
calculation (`14 = 2 * 7`); and, where a line shows no such form, GSM8K's marks `<<48/2=24>>24` (Cobbe et al. 2021).

Not covered: powers, roots, LaTeX fractions, mixed numbers, products without a sign and unknowns. A line with one of the
last three is `locked`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from rm.build.kinds import Unusable

CONTRADICTION = "a calculation of the solution is wrong"
HUNDRED = Fraction(100)
_ZERO = Fraction(0)

_MARK = re.compile(r"<<([^<>=]*)=[^<>]*>>")
_TOKEN = re.compile(
    r"""
    (?P<N>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)
  | (?P<E>=|\b(?:equals|is)\b(?=\s*\$?\d))
  | (?P<W>/\s?(?!x\b)[A-Za-z][\w'’-]*)
  | (?P<O>[-+*/×÷–−]|\\times\b|\\cdot\b|\\div\b|\b(?:plus|minus|times|divided\s+by)\b(?=\s*[$(]?\d)
      |(?<=[\d)%a-z]\s)[xX](?=\s?[$(.]*\d)|(?<=\d)[xX](?=\s?[$(.]*\d))
  | (?P<F>\bof\b)
  | (?P<Y>(?<![\w'’-])[A-Za-z](?![\w'’-]))
  | (?P<V>[A-Za-z][\w'’-]*)
  | (?P<L>\() | (?P<R>\)) | (?P<P>\\?%) | (?P<C>\\?\$)
  | (?P<X>[^\s])
    """,
    re.VERBOSE,
)
_OPERATOR = {"×": "*", "x": "*", "X": "*", "\\times": "*", "\\cdot": "*", "times": "*", "of": "*"} | {
    "÷": "/", "\\div": "/", "–": "-", "−": "-", "plus": "+", "minus": "-"
}  # fmt: skip
_ATOM = r"L*C?NP?W{0,4}R*W{0,3}"
_CHAIN = re.compile(rf"(?<![ON])L*{_ATOM}(?:O{_ATOM})*(?:EC?{_ATOM}(?:OC?{_ATOM})*)+")
_NOT_UNKNOWN = frozenset("aAI")
# "1 1/2", "1 and 1/2", "8(26)"
_UNREAD = re.compile(r"\d\s+(?:and\s+)?\$?\d+/\d|\d\(|\)\(")


class Node(NamedTuple):
    """An operation. `site` is the index of the line's text that shows the operator, -1 where none does."""

    operator: str
    left: Tree
    right: Tree
    site: int


class Pair(NamedTuple):
    """`number operator number`: the operator, and the indices of the numbers."""

    operator: str
    left: int
    right: int


Tree: TypeAlias = "int | Fraction | Node"
"""What is calculated: a number of the line by its index, a number that the line does not show, or an operation."""


@dataclass(frozen=True, slots=True)
class Equation:
    """One calculation of a line.

    Attributes:
        tree: what is calculated.
        result: index of the line's number that it gives.
        first: index of the first number of the displayed expression; -1 where the line displays none.
        last: of its last number.
        scale: 100 where the result is displayed as a percentage of the tree's value, else 1.
        mode: how the value is displayed: "=" exactly, "~" rounded, "<" cut off, ">" rounded up.
        locked: it is right but in a form that is never edited.
    """

    tree: Tree
    result: int
    first: int
    last: int
    scale: int = 1
    mode: str = "="
    locked: bool = False

    @property
    def shown(self) -> bool:
        return self.first >= 0

    @property
    def pair(self) -> Pair | None:
        """The calculation where the line displays just `number operator number`."""
        if not self.shown or not isinstance(self.tree, Node):
            return None
        operator, left, right, site = self.tree
        if isinstance(left, int) and isinstance(right, int) and site == right == left + 1:
            return Pair(operator, left, right)
        return None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a trace: `texts[0] numbers[0] texts[1] ... texts[-1]`.

    Attributes:
        texts: what stands around the numbers, one more than numbers.
        numbers: as they stand there.
        values: of the numbers.
        equations: in the order of their results.
        locked: it reasons about an unknown; its numbers are never edited.
    """

    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    values: tuple[Fraction, ...]
    equations: tuple[Equation, ...] = ()
    locked: bool = False

    def __str__(self) -> str:
        return "".join([part for pair in zip(self.texts, (*self.numbers, ""), strict=True) for part in pair])

    @property
    def results(self) -> tuple[Fraction, ...]:
        return tuple(self.values[equation.result] for equation in self.equations)


@lru_cache(maxsize=65536)
def value_of(text: str) -> Fraction:
    """The value of a number as text shows it: `1,200` is 1200, `.5` is 1/2.

    Whole numbers are of type int, many times as fast and equal to the fraction: divide by `Fraction(a, b)` only.
    """
    digits = text.replace(",", "")
    return int(digits) if digits.isdigit() else Fraction(digits)  # type: ignore[return-value]


def evaluate(tree: Tree, values: tuple[Fraction, ...] | list[Fraction]) -> Fraction:
    """The exact value of a tree over a line's numbers.

    Raises:
        ZeroDivisionError: it divides by zero.
    """
    if isinstance(tree, int):
        return values[tree]
    if isinstance(tree, Node):
        operator, left, right, _ = tree
        one, other = evaluate(left, values), evaluate(right, values)
        if operator == "+":
            return one + other
        if operator == "-":
            return one - other
        return one * other if operator == "*" else Fraction(one, other)
    return tree


def leaves(tree: Tree) -> list[int]:
    """Indices of the line's numbers in a tree, from left to right."""
    if isinstance(tree, Node):
        return leaves(tree.left) + leaves(tree.right)
    return [tree] if isinstance(tree, int) else []


def hidden(tree: Tree) -> list[Fraction]:
    """The numbers of a tree that its line does not show."""
    if isinstance(tree, Node):
        return hidden(tree.left) + hidden(tree.right)
    return [tree] if isinstance(tree, Fraction) else []


def decimals(text: str) -> int:
    return len(text.partition(".")[2])


def displayed_as(exact: Fraction, text: str, inexact: bool) -> str | None:
    """How a number as text displays a value (see `Equation.mode`); None if it does not, or not exactly enough."""
    shown = value_of(text)
    if exact == shown:
        return "="
    if not inexact:
        return None
    unit = Fraction(1, 10 ** decimals(text))
    off = exact - shown
    if abs(off) * 2 <= unit:
        return "~"
    if 0 < off < unit:
        return "<"
    return ">" if 0 < -off < unit else None


def display(exact: Fraction, like: str, mode: str) -> str | None:
    """A value as a number in the manner of another: its thousands commas, its decimals; None where that is not exact.

    Decimals are kept to two where the value is no whole number, so that money stays money.
    """
    places = decimals(like)
    if mode != "=":
        factor = 10**places
        scaled = exact * factor
        exact = Fraction(round(scaled) if mode == "~" else scaled // 1 if mode == "<" else -(-scaled // 1), factor)
    elif exact.denominator == 1 and places == 0:
        return f"{exact.numerator:,}" if "," in like else str(exact.numerator)
    for digits in sorted({places, 1, 2, 3}):
        if digits >= places and (exact * 10**digits).denominator == 1:
            text = f"{float(exact):,.{digits}f}" if "," in like else f"{float(exact):.{digits}f}"
            return text.removeprefix("0") if like.startswith(".") and text.startswith("0.") else text
    return None


def read_line(marked: str) -> Line:
    """One line with its equations.

    Raises:
        Unusable: an equation is wrong by more than rounding.
    """
    plain, marks = _without_marks(marked)
    tokens = _tokens(plain)
    found = _displayed(tokens)
    taken = {equation.result for equation in found}
    for position, expression in marks:
        index = next((i for i, start in enumerate(tokens.starts) if position <= start <= position + 2), None)
        if index is not None and index not in taken:
            found.extend(_marked(expression, index, tokens))
    found.sort(key=lambda equation: equation.result)
    return Line(tokens.texts, tokens.numbers, tokens.values, tuple(found), tokens.locked)


def _without_marks(marked: str) -> tuple[str, list[tuple[int, str]]]:
    """The text without marks, and for each mark where it stood and what it calculates."""
    if "<<" not in marked:
        return marked, []
    plain, marks, position = "", [], 0
    for mark in _MARK.finditer(marked):
        plain += marked[position : mark.start()]
        marks.append((len(plain), mark[1]))
        position = mark.end()
    return plain + marked[position:], marks


class _Tokens(NamedTuple):
    """`kinds` has a letter a token (see `_TOKEN`), `words` its text, `number` the index of its number or the next."""

    kinds: str
    words: list[str]
    number: list[int]
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    values: tuple[Fraction, ...]
    starts: list[int]
    locked: bool


def _tokens(plain: str) -> _Tokens:
    kinds: list[str] = []
    words: list[str] = []
    number: list[int] = []
    texts: list[str] = []
    numbers: list[str] = []
    starts: list[int] = []
    locked, position = False, 0
    for match in _TOKEN.finditer(plain):
        kind, word = match.lastgroup or "X", match[0]
        if kind == "N":
            start = match.start()
            texts.append(plain[position:start])
            position = match.end()
            number.append(len(numbers))
            numbers.append(word)
            starts.append(start)
            # "2S" and "3x": a number that multiplies an unknown; "20km" is one with a unit
            locked = locked or re.match(r"[A-Za-z](?![\w])", plain[position : position + 2]) is not None
        else:
            number.append(len(numbers))
            if kind == "Y":
                locked = locked or word not in _NOT_UNKNOWN
                kind = "W" if word in _NOT_UNKNOWN else "X"
            elif kind == "V":
                kind = "W"
            elif kind == "F":
                fraction = kinds[-3:] == ["N", "O", "N"] and words[-2] == "/"
                kind = "O" if (kinds and kinds[-1] == "P") or fraction else "W"
            elif kind == "O" and not kinds and word in "-–−*":
                kind = "X"  # the dot of a list
        kinds.append(kind)
        words.append(word)
    texts.append(plain[position:])
    values = tuple(value_of(text) for text in numbers)
    locked = locked or _UNREAD.search(plain) is not None
    return _Tokens("".join(kinds), words, number, tuple(texts), tuple(numbers), values, starts, locked)


def _displayed(tokens: _Tokens) -> list[Equation]:
    found: list[Equation] = []
    if "E" not in tokens.kinds:
        return found
    for match in _CHAIN.finditer(tokens.kinds):
        ends = [i for i in range(match.start(), match.end()) if tokens.kinds[i] == "E"]
        bounds = zip([match.start(), *(end + 1 for end in ends)], [*ends, match.end()], strict=True)
        parts = [_part(tokens, start, end) for start, end in bounds]
        for left, right in pairwise(parts):
            if left is not None and right is not None:
                found.extend(_equation(left, right, parts[-1], tokens))
    return found


class _Part(NamedTuple):
    """One side of an equals sign; `prose` where the sign is a word, `fraction` the one that it begins with."""

    tree: Tree
    value: Fraction
    first: int
    last: int
    percent: bool
    words: bool
    prose: bool
    fraction: Fraction | None

    @property
    def single(self) -> bool:
        return self.first == self.last


def _part(tokens: _Tokens, start: int, end: int) -> _Part | None:
    """The expression of a stretch of tokens; None where it is none or divides by zero."""
    items: list[Tree | str] = []
    sites: list[int] = []
    depth = 0
    words = False
    for i in range(start, end):
        kind = tokens.kinds[i]
        if kind == "N":
            items.append(tokens.number[i])
            sites.append(-1)
        elif kind == "P" and items and not isinstance(items[-1], str):
            items[-1] = Node("/", items[-1], HUNDRED, -1)
        elif kind == "O":
            word = tokens.words[i]
            items.append("/" if word.startswith("divided") else _OPERATOR.get(word, word))
            sites.append(tokens.number[i])
        elif kind == "L":
            items.append("(")
            sites.append(-1)
            depth += 1
        elif kind == "R":
            if depth == 0:
                break  # closes a parenthesis that was opened in the prose before
            items.append(")")
            sites.append(-1)
            depth -= 1
        elif kind == "W":
            words = True
    while depth > 0 and items and items[0] == "(":
        items, sites, depth = items[1:], sites[1:], depth - 1
    indices = [tokens.number[i] for i in range(start, end) if tokens.kinds[i] == "N"]
    reader = _Reader(items, sites)
    tree = reader.sum()
    if tree is None or reader.at != len(items) or not indices:
        return None
    try:
        value = evaluate(tree, tokens.values)
    except ZeroDivisionError:
        return None
    percent = not isinstance(tree, int) and len(indices) == 1
    prose = start > 0 and tokens.kinds[start - 1] == "E" and tokens.words[start - 1] != "="
    fraction = None
    if items[1:2] == ["/"] and len(indices) > 1 and tokens.values[indices[1]]:
        fraction = Fraction(tokens.values[indices[0]], tokens.values[indices[1]])
    return _Part(tree, value, indices[0], indices[-1], percent, words, prose, fraction)


class _Reader:
    """Recursive descent over numbers, operators and parentheses; `at` is how far it came."""

    def __init__(self, items: list[Tree | str], sites: list[int]) -> None:
        self.items, self.sites, self.at = items, sites, 0

    def sum(self) -> Tree | None:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Tree | None:
        return self._chain(("*", "/"), self._atom)

    def _chain(self, operators: tuple[str, str], operand: Callable[[], Tree | None]) -> Tree | None:
        tree = operand()
        while tree is not None and self.at < len(self.items) and self.items[self.at] in operators:
            operator, site = str(self.items[self.at]), self.sites[self.at]
            self.at += 1
            right = operand()
            if right is None:
                return None
            tree = Node(operator, tree, right, site)
        return tree

    def _atom(self) -> Tree | None:
        if self.at == len(self.items):
            return None
        item = self.items[self.at]
        self.at += 1
        if item == "(":
            tree = self.sum()
            if self.at == len(self.items) or self.items[self.at] != ")":
                return None
            self.at += 1
            return tree
        return None if isinstance(item, str) else item


def _equation(left: _Part, right: _Part, final: _Part | None, tokens: _Tokens) -> list[Equation]:
    """The equation that two sides make, none where both are single numbers (`1 foot = 12 inches`)."""
    if left.single:
        return _reversed(left, right, tokens)
    exact, text, expression = left.value, tokens.numbers[right.first], (left.first, left.last)
    if right.percent and (mode := displayed_as(exact * 100, text, True)):
        return [Equation(left.tree, right.first, *expression, 100, mode)]
    if not right.single and exact in (right.value, right.fraction):
        result = final.first if final is not None and final.single else right.first
        return [Equation(left.tree, result, *expression, locked=True)]
    mode = displayed_as(exact, text, _rounds(left))
    if tokens.locked and mode != "=":
        return []
    if mode is not None:
        return [Equation(left.tree, right.first, *expression, 1, mode)]
    raise Unusable(CONTRADICTION)


def _reversed(left: _Part, right: _Part, tokens: _Tokens) -> list[Equation]:
    """`14 = 2 * 7`; none where units or words come between (`1 dozen = 3 * 4 eggs`)."""
    if right.single or left.percent:
        return []
    if right.value == left.value:
        return [Equation(right.tree, left.first, right.first, right.last)]
    if left.words or right.words or right.prose or tokens.locked:
        return []
    raise Unusable(CONTRADICTION)


def _rounds(part: _Part) -> bool:
    """Whether the value may be displayed rounded: something was divided, or multiplied with decimals."""
    return _has(part.tree, "/") or (part.value.denominator != 1 and _has(part.tree, "*"))


def _has(tree: Tree, operator: str) -> bool:
    return isinstance(tree, Node) and (
        tree.operator == operator or _has(tree.left, operator) or _has(tree.right, operator)
    )


def _marked(expression: str, result: int, tokens: _Tokens) -> list[Equation]:
    """The equation of a mark whose line displays none, its numbers found in the line where they stand there once."""
    inner = _tokens(expression.strip().lstrip("+"))
    part = _part(inner, 0, len(inner.kinds)) if inner.kinds else None
    if part is None or part.single:
        return []
    text = tokens.numbers[result]
    scale = 1
    mode = displayed_as(part.value, text, True)
    if mode is None:
        scale, mode = 100, displayed_as(part.value * 100, text, True)
    if mode is None:
        raise Unusable(CONTRADICTION)
    links = {i: _shown_once(value, result, tokens) for i, value in enumerate(inner.values)}
    return [Equation(_relinked(part.tree, links), result, -1, -1, scale, mode)]


def _shown_once(value: Fraction, result: int, tokens: _Tokens) -> Tree:
    places = [i for i, other in enumerate(tokens.values) if other == value and i != result]
    return places[0] if len(places) == 1 else Fraction(value)


def _relinked(tree: Tree, links: dict[int, Tree]) -> Tree:
    if isinstance(tree, Node):
        return Node(tree.operator, _relinked(tree.left, links), _relinked(tree.right, links), -1)
    return links[tree] if isinstance(tree, int) else tree
