"""A worked solution as the kinds see it: which number comes from where, and what follows if one of them changes.

Numbers are linked by value: a number that an earlier line computed, and that the problem does not name, is a use of
that line. A result whose value is also given, computed elsewhere or a unit's size is no place for a change, since its
uses would be in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from rm.build.kinds import Unusable
from rm.build.math.equations import (
    HUNDRED,
    Equation,
    Line,
    Node,
    Tree,
    display,
    evaluate,
    hidden,
    leaves,
    read_line,
    value_of,
)
from rm.build.math.traces import NUMBER, numbers_in
from rm.build.seed import Seed

NO_ANSWER = "the final answer is missing or is no number"
NO_TRACE = "the solution is empty"
NO_CALCULATION = "the solution has no calculation that can be read"
OTHER_ANSWER = "the solution does not end in the answer"
# Sizes of units and plain factors: a result equal to one is not followed through the trace by its value.
COMMON = frozenset(Fraction(n) for n in (0, 1, 2, 3, 4, 7, 10, 12, 24, 30, 52, 60, 100, 365, 1000))
PLAIN = frozenset(Fraction(n) for n in (0, 1, 2, 100))
_UNIT_WORD = re.compile(
    r"\s*-?\s*(?:years?|months?|weeks?|days?|hours?|hrs?|minutes?|seconds?|dozen|inch|inches|feet|cm|meters?|ounces?|oz|cents|%)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z$\d])")
_WORDS = (
    "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
WORD_VALUES = {word: Fraction(value) for value, word in enumerate(_WORDS.split(), start=3)}
_WORD = re.compile(rf"\b(?:{'|'.join(WORD_VALUES)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Solution:
    """A sound solution, parsed.

    Attributes:
        problem: the statement.
        lines: its lines, without marks and final `#### answer`.
        answer: value of the final answer.
        answer_text: as the source writes it.
    """

    problem: str
    lines: tuple[Line, ...]
    answer: Fraction
    answer_text: str

    @property
    def trace(self) -> str:
        return text_of(self.lines)

    @cached_property
    def given(self) -> frozenset[Fraction]:
        """Quantities that the problem names."""
        return numbers_in(self.problem)

    @cached_property
    def answer_site(self) -> tuple[int, int]:
        """Line and index of the number that computes the answer, the last one that does."""
        return next(
            (index, equation.result)
            for index in reversed(range(len(self.lines)))
            for equation in reversed(self.lines[index].equations)
            if abs(self.lines[index].values[equation.result]) in (abs(self.answer), abs(self.answer) * HUNDRED)
        )

    @cached_property
    def makers(self) -> Mapping[Fraction, tuple[tuple[int, Equation], ...]]:
        """Value -> the (line, equation)s that compute it."""
        found: dict[Fraction, tuple[tuple[int, Equation], ...]] = {}
        for index, line in enumerate(self.lines):
            for equation in line.equations:
                value = line.values[equation.result]
                found[value] = (*found.get(value, ()), (index, equation))
        return found

    @cached_property
    def needs(self) -> tuple[frozenset[int], ...]:
        """For each line the earlier lines whose results it uses."""
        maker: dict[Fraction, int] = {}
        needs = []
        for index, line in enumerate(self.lines):
            own = set(line.results)
            used = {value for i, value in enumerate(line.values)} | {v for e in line.equations for v in hidden(e.tree)}
            needs.append(frozenset(maker[v] for v in used if v in maker and v not in self.given and v not in PLAIN))
            maker.update((value, index) for value in own if value not in maker)
        return tuple(needs)

    @cached_property
    def users(self) -> Mapping[int, tuple[int, ...]]:
        """For each line the later lines that use its results."""
        return {
            maker: tuple(user for user, makers in enumerate(self.needs) if maker in makers)
            for maker in range(len(self.lines))
        }

    def dependents(self, step: int) -> tuple[int, ...]:
        """Later lines that rest on line `step`, directly or through others."""
        found = {step}
        for user in range(step + 1, len(self.lines)):
            if self.needs[user] & found:
                found.add(user)
        return tuple(sorted(found - {step}))

    @cached_property
    def closed_from(self) -> int:
        """The first line from which on every number is given, computed or calculated with: changes can be followed."""
        known = set(self.given | COMMON)
        opaque = -1
        for index, line in enumerate(self.lines):
            known.update(line.results)
            inside = {i for e in line.equations for i in (*leaves(e.tree), e.result)}
            loose = any(value not in known for i, value in enumerate(line.values) if i not in inside)
            if line.locked or loose or any(e.locked for e in line.equations):
                opaque = index
            known.update(line.values)
        return opaque + 1

    @cached_property
    def sites(self) -> tuple[tuple[int, Equation], ...]:
        """Calculations whose result may be changed: exact, the only maker of their value, its uses beyond doubt."""
        return tuple(
            (index, equation)
            for index, line in enumerate(self.lines)
            if index >= self.closed_from and not line.locked
            for equation in line.equations
            if self._changeable(index, equation)
        )

    def _changeable(self, index: int, equation: Equation) -> bool:
        line = self.lines[index]
        value = line.values[equation.result]
        if equation.locked or equation.mode != "=" or value <= 0 or not isinstance(equation.tree, Node):
            return False
        if index == len(self.lines) - 1 and equation is line.equations[-1]:
            return True  # nothing comes after it
        if value in self.given or value in PLAIN or len(self.makers[value]) > 1:
            return False
        if any(value in before.values for before in self.lines[:index]):
            return False  # named before it is computed
        later = self.lines[index:]
        if value in _word_values(later):
            return False
        return value not in COMMON or not any(
            v == value and _UNIT_WORD.match(after.texts[i + 1])
            for after in later[1:]
            for i, v in enumerate(after.values)
        )


def _word_values(lines: Sequence[Line]) -> set[Fraction]:
    """Quantities that lines name in words, from three up."""
    return {WORD_VALUES[word.lower()] for line in lines for text in line.texts for word in _WORD.findall(text)}


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join(map(str, lines))


def prepare(seed: Seed) -> Solution:
    """The solution of a math seed. One that stands on a single line is read a sentence a line.

    Raises:
        Unusable: there is no answer, no trace, no calculation that can be read; a calculation is wrong; or the
            solution ends in something else than the answer.
    """
    body, _, marked_answer = seed.solution.partition("####")
    answer_text = (seed.answer or marked_answer).strip()
    number = NUMBER.search(answer_text)
    if number is None:
        raise Unusable(NO_ANSWER)
    answer = value_of(number[0])
    if answer_text[: number.start()].rstrip(" $").endswith(("-", "−")):
        answer = -answer
    texts = [text for text in map(str.strip, body.split("\n")) if text]
    if not texts:
        raise Unusable(NO_TRACE)
    if len(texts) == 1:
        texts = _SENTENCE.split(texts[0])
    lines = tuple(map(read_line, texts))
    if not any(line.equations for line in lines):
        raise Unusable(NO_CALCULATION)
    if not _ends_in(lines, answer):
        raise Unusable(OTHER_ANSWER)
    return Solution(seed.problem, lines, answer, number[0])


def _ends_in(lines: Sequence[Line], answer: Fraction) -> bool:
    """The last line computes or names the answer, and a line computes it."""
    computed = {abs(value) for line in lines for value in line.results}
    target = abs(answer)
    if target not in computed and target * HUNDRED not in computed:
        return False
    return any(abs(value) in (target, target * HUNDRED) for value in lines[-1].values)


def with_numbers(line: Line, changed: Mapping[int, str]) -> Line:
    """The line with other numbers at some indices; equations stay as they are."""
    if not changed:
        return line
    numbers = tuple(changed.get(i, text) for i, text in enumerate(line.numbers))
    return replace(line, numbers=numbers, values=tuple(map(value_of, numbers)))


def carry(lines: Sequence[Line], changed: Mapping[Fraction, Fraction]) -> tuple[Line, ...] | None:
    """Later lines with changed quantities: every use is replaced, every result that follows is computed anew.

    None where a whole or positive result would not stay so, where a line cannot be edited, or a division fails.
    """
    now = dict(changed)
    carried = []
    for line in lines:
        after = recompute(line, now, {}, {})
        if after is None:
            return None
        carried.append(after)
    return tuple(carried)


def recompute(
    line: Line, changed: dict[Fraction, Fraction], numbers: Mapping[int, Fraction], forced: Mapping[int, Fraction]
) -> Line | None:
    """A line with changed quantities, computed anew; `changed` learns its results. None as for `carry`.

    Args:
        line: with the operators that it is to have.
        changed: old value -> new value.
        numbers: index of a number -> what stands there instead, whatever `changed` says.
        forced: index of a result -> what stands there instead of what its equation gives.
    """
    results = {equation.result: equation for equation in line.equations}
    values = list(line.values)
    for index, old in enumerate(line.values):
        if index in numbers:
            values[index] = numbers[index]
        elif index not in results and old in changed:
            values[index] = changed[old]
    texts: dict[int, str] = {}
    for equation in line.equations:
        at = equation.result
        old = line.values[at]
        tree = _with_hidden(equation.tree, changed)
        if at in forced:
            new = forced[at]
        elif tree is equation.tree and all(values[i] == line.values[i] for i in leaves(tree)) and at not in numbers:
            changed.pop(old, None)
            continue
        elif equation.locked:
            return None
        else:
            try:
                new = evaluate(tree, values) * equation.scale
            except ZeroDivisionError:
                return None
        text = display(new, line.numbers[at], equation.mode)
        if text is None or new <= 0 < old or (old.denominator == 1 and new.denominator != 1 and equation.mode == "="):
            return None
        new = value_of(text)
        # the same quantity named elsewhere in the line: before its calculation, or after it
        for index, value in enumerate(line.values):
            if value == old and index not in results and index not in numbers and not _is_leaf(index, at, line):
                values[index] = new
        values[at], texts[at] = new, text
        if new == old:
            changed.pop(old, None)
        else:
            changed[old] = new
    if line.locked and values != list(line.values):
        return None
    for index, value in enumerate(values):
        if value != line.values[index] and index not in texts:
            text = display(value, line.numbers[index], "=")
            if text is None:
                return None
            texts[index] = text
    if not texts and not forced:
        return line
    return with_numbers(line, texts)


def _is_leaf(index: int, result: int, line: Line) -> bool:
    """Whether a number is an operand of the calculation itself, or of one before it."""
    return any(index in leaves(e.tree) for e in line.equations if e.result <= result)


def _with_hidden(tree: Tree, changed: Mapping[Fraction, Fraction]) -> Tree:
    """The tree with changed quantities among the numbers that its line does not show."""
    if isinstance(tree, Node):
        left, right = _with_hidden(tree.left, changed), _with_hidden(tree.right, changed)
        return tree if left is tree.left and right is tree.right else tree._replace(left=left, right=right)
    return Fraction(changed[tree]) if isinstance(tree, Fraction) and tree in changed and tree != HUNDRED else tree
