"""The text that the tiny base is trained on: documents with what is known about each of their lines.

Three sources: GSM8K problems with their human solutions, generated stories, and drills. About half of the
traces carry one flaw (`rm.build.math.flaws`), drawn afresh each time; GSM8K problems are also told with other numbers,
their solutions recomputed. A document depends on seed and number only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from rm.build.math.flaws import FLAWS, Flaw, slipped
from rm.build.math.traces import NUMBER, Line, evaluate, number_value, numbers_in, parse_trace, recompute, trace_text
from rm.errors import DataError, Problem
from rm.lab.drills import drill
from rm.lab.stories import story
from rm.text.render import Row, render

KINDS = ("sound", *FLAWS)
"""Classes of a line (and of a trace): sound, or the kind of flaw that becomes visible there."""
NUMBERS = ("seen", "right", "wrong", "new")
"""Classes of a number in a trace: named before, a right or wrong result, or neither named nor computed."""
END = "<|endoftext|>"
_KIND_WEIGHTS = {"unsupported_conclusion": 0.4}
_DRILLS_PER_DOCUMENT = 24
# Quantities that stand for a unit or for themselves and must not be exchanged.
_UNITS = frozenset(Fraction(n) for n in (0, 1, 2, 7, 10, 12, 24, 30, 52, 60, 100, 365, 1000))


@dataclass(frozen=True)
class Document:
    """One training text: `before`, then each line and a newline, then `after`. Traces are in the template of `rm.text`.

    Attributes:
        kinds: a line, an index into `KINDS`: what becomes visible in that line.
        numbers: pairs of a position in `text`, just after a number, and an index into `NUMBERS`.
        trace: True for a trace, where a flaw makes everything after it unsound; False for independent lines.
        source: "gsm8k", "story" or "drill".
    """

    before: str
    lines: tuple[str, ...]
    after: str
    kinds: tuple[int, ...]
    numbers: tuple[tuple[int, int], ...]
    trace: bool
    source: str

    @property
    def text(self) -> str:
        return self.before + "".join(line + "\n" for line in self.lines) + self.after


@dataclass(frozen=True)
class Solved:
    """A problem with its sound, parsed solution."""

    problem: str
    lines: tuple[Line, ...]
    source: str


def read_gsm8k(path: Path) -> tuple[Solved, ...]:
    """Rows `{"question", "answer"}` with `<<expression=value>>` marks.

    Raises:
        DataError: a line that is no such row.
    """
    found, problems = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            found.append(Solved(row["question"].strip(), parse_trace(row["answer"]), "gsm8k"))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
            row_text = line[:40]
            problems.append(Problem(str(path), number, "", 'a row {"question": text, "answer": text}', row_text))
    if problems:
        raise DataError(problems)
    return tuple(found)


@dataclass(frozen=True)
class Corpus:
    """Draws documents.

    Attributes:
        problems: solved problems of real text; may be empty, then stories take their place.
        weights: chances of a GSM8K trace, a story and a page of drills.
        flawed: chance that a trace carries a flaw, in [0, 1].
    """

    problems: tuple[Solved, ...]
    weights: tuple[float, float, float] = (0.42, 0.30, 0.28)
    flawed: float = 0.6

    def document(self, rng: random.Random) -> Document:
        source = rng.choices(("gsm8k", "story", "drill"), self.weights)[0]
        if source == "drill":
            return drill_page(rng)
        if source == "gsm8k" and self.problems:
            solved = rng.choice(self.problems)
            solved = renumbered(solved, rng) if rng.random() < 0.5 else solved
        else:
            told = story(rng)
            solved = Solved(told.problem, told.lines, "story")
        flaw = draw_flaw(solved, rng) if rng.random() < self.flawed else None
        return trace_document(solved, flaw)

    def chunk(self, seed: int, number: int, size: int) -> list[Document]:
        """Documents `number * size` and on, whatever was drawn before."""
        rng = random.Random(f"{seed}/{number}")
        return [self.document(rng) for _ in range(size)]


def drill_page(rng: random.Random) -> Document:
    drills = [drill(rng, wrong=0.4) for _ in range(_DRILLS_PER_DOCUMENT)]
    lines = tuple(line for line, _ in drills)
    ends = [end - 1 for end in accumulate(len(line) + 1 for line in lines)]
    numbers = tuple(
        (end, NUMBERS.index("wrong" if wrong else "right")) for end, (_, wrong) in zip(ends, drills, strict=True)
    )
    slip = KINDS.index("arithmetic_slip")
    return Document("", lines, END, tuple(slip * wrong for _, wrong in drills), numbers, False, "drill")


def draw_flaw(solved: Solved, rng: random.Random) -> Flaw | None:
    """A flaw of a random kind that fits; None where three kinds did not."""
    given = numbers_in(solved.problem)
    kinds = list(FLAWS)
    weights = [_KIND_WEIGHTS.get(kind, 1.0) for kind in kinds]
    for kind in rng.choices(kinds, weights, k=3):
        flaw = FLAWS[kind](solved.lines, given, rng)
        if flaw is not None:
            return flaw
    return None


def trace_document(solved: Solved, flaw: Flaw | None) -> Document:
    lines = solved.lines if flaw is None else flaw.lines
    kinds = [0] * len(lines)
    if flaw is not None:
        kinds[flaw.visible] = KINDS.index(flaw.kind)
    trace = trace_text(lines)
    before, _, after = render(Row(solved.problem, trace, "math", "math")).rpartition(trace + "\n")
    numbers = number_classes(lines, numbers_in(solved.problem), len(before))
    return Document(before, tuple(map(str, lines)), after + END, tuple(kinds), numbers, True, solved.source)


def number_classes(lines: Sequence[Line], given: frozenset[Fraction], start: int) -> tuple[tuple[int, int], ...]:
    """Where each number of a trace ends (its text begins at `start`), and its class in `NUMBERS`."""
    seen, found, position = set(given), [], start
    for line in lines:
        expressions = {calculation.result: calculation.expression for calculation in line.calculations}
        for index, (text, number) in enumerate(zip(line.texts, line.numbers, strict=False)):
            position += len(text) + len(number)
            value = number_value(number)
            if index in expressions:
                name = "right" if abs(evaluate(expressions[index]) - value) <= Fraction(1, 100) else "wrong"
            else:
                name = "seen" if value in seen else "new"
            found.append((position, NUMBERS.index(name)))
            seen.add(value)
        position += len(line.texts[-1]) + 1
    return tuple(found)


def renumbered(solved: Solved, rng: random.Random) -> Solved:
    """The problem told with some other numbers, its solution recomputed; as it was where that is not safe.

    Safe means: every number of the solution is given, computed, or a unit, so that nothing silently depends on an
    exchanged number, and whole results stay whole and positive.
    """
    pieces = NUMBER.split(solved.problem)
    given = numbers_in(solved.problem)
    made = [value for line in solved.lines for value in line.results]
    if not _closed(solved.lines, given):
        return solved
    changed: dict[Fraction, Fraction] = {}
    for index in range(1, len(pieces), 2):
        value = number_value(pieces[index])
        shown_once = sum(number_value(p) == value for p in pieces[1::2]) == 1
        fixed = value in _UNITS or value in made or pieces[index + 1].startswith(("%", "/", " percent"))
        after_slash = pieces[index - 1].endswith("/")
        new = slipped(pieces[index], rng) if shown_once and not fixed and not after_slash else None
        if new is None or number_value(new) in given or number_value(new) in made or rng.random() < 0.3:
            continue
        pieces[index] = new
        changed[value] = number_value(new)
    return _exchanged(solved, "".join(pieces), changed)


def _exchanged(solved: Solved, problem: str, changed: dict[Fraction, Fraction]) -> Solved:
    try:
        lines = recompute(solved.lines, changed)
    except ValueError:
        return solved
    for old, new in zip(solved.lines, lines, strict=True):
        for before, after in zip(old.results, new.results, strict=True):
            if after <= 0 or (before.denominator == 1 and after.denominator != 1):
                return solved
    return Solved(problem, lines, solved.source)


def _closed(lines: Sequence[Line], given: frozenset[Fraction]) -> bool:
    known = set(given | _UNITS)
    for line in lines:
        if not line.calculations or not line.used <= known | set(line.results):
            return False
        if not all(set(calculation.operands) <= known | set(line.results) for calculation in line.calculations):
            return False
        known.update(line.results)
    return True
