"""The tiny world: counting problems of 2 to 4 steps, and the truth about any trace that is written for one.

    told = world_story(random.Random(1))          # a `rm.lab.stories.Story`: problem, sound steps, answer
    judge_trace(told, "3*4=12\\n2+12=14")  # is each line right, needed, supported; is all of it there

A line of a trace is a calculation of two numbers, `3*4=12`. All quantities of a problem differ (its numbers, the
results of its steps, and a number that has nothing to do with it), so that a line says without doubt what it computes:
nothing is judged by a model, and no wording can talk the judge round.

Not covered: another order of computing that reaches the answer too, `(2 + 9) + 3` for `2 + (9 + 3)`. It counts as
steps that the solution does not have. Nothing that learns from this world has seen any.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rm.build.math.grading import DIMENSIONS
from rm.build.math.traces import parse_trace
from rm.lab.stories import Story
from rm.uplift.problems import Problem

LEVELS = (2, 3, 4)
"""Difficulty: steps of the solution."""
LARGEST = 60
NAMES = ("Ava", "Ben", "Dan", "Elena", "Hugo", "Ines", "Kira", "Leo", "Mona", "Omar", "Rosa", "Tom")
THINGS = ("pencils", "marbles", "stickers", "books", "cookies", "cards", "shells", "buttons", "stamps", "coins")
_STARTS = ("{Name} has {a} {things}.", "{Name} starts with {a} {things}.")
_OTHERS = ("{Other} has {a} {things}.", "{Other} owns {a}.")
_QUESTIONS = ("How many {things} has {Name} now?", "How many {things} are left for {Name}?")
_ONE = {"+": ("{Name} gets {a} more.", "{Name} finds {a}."), "-": ("{Name} loses {a}.", "{Name} gives away {a}.")}
_PACKS = {"+": ("{Name} buys {a} boxes of {b}.",), "-": ("{Name} sells {a} boxes of {b}.",)}
_CALCULATION = re.compile(r"([0-9]{1,9}) *([-+*/x]) *([0-9]{1,9}) *= *([0-9]{1,9})\.?")
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,9}(?![0-9])")


def world_story(rng: random.Random, level: int | None = None) -> Story:
    """One problem with its sound trace in marked form.

    Args:
        level: how many steps it takes, one of LEVELS; default: any.

    Returns:
        A story whose `kind` is `N steps`.
    """
    steps = rng.choice(LEVELS) if level is None else level
    while (found := _try_story(rng, steps)) is None:
        pass
    return found


def _try_story(rng: random.Random, steps: int) -> Story | None:
    """None where two quantities agree or a total leaves 3..LARGEST."""
    name, other = rng.sample(NAMES, 2)
    words = {"Name": name, "Other": other, "things": rng.choice(THINGS)}
    total = rng.randint(5, 30)
    seen, lines = [total], list[str]()
    sentences = [rng.choice(_STARTS).format(a=total, **words)]
    while len(lines) < steps:
        sign = rng.choice("+-")
        if steps - len(lines) >= 2 and rng.random() < 0.6:
            packs, size = rng.randint(3, 6), rng.randint(3, 6)
            amount = packs * size
            seen += [packs, size]
            lines.append(marked(packs, "*", size, amount))
            sentences.append(rng.choice(_PACKS[sign]).format(a=packs, b=size, **words))
        else:
            amount = rng.randint(3, 20)
            sentences.append(rng.choice(_ONE[sign]).format(a=amount, **words))
        result = total + amount if sign == "+" else total - amount
        lines.append(marked(total, sign, amount, result))
        seen += [amount, result]
        total = result
        if not 3 <= total <= LARGEST:
            return None
    if rng.random() < 0.5:
        aside = rng.randint(3, 30)
        seen.append(aside)
        sentences.insert(1, rng.choice(_OTHERS).format(a=aside, **words))
    if len(set(seen)) < len(seen):
        return None
    problem = " ".join((*sentences, rng.choice(_QUESTIONS).format(**words)))
    return Story(f"{steps} steps", problem, parse_trace("\n".join(lines)))


def marked(left: int, operation: str, right: int, result: int) -> str:
    """A line in the marked form of `rm.build.math.traces`."""
    return f"{left}{operation}{right}=<<{left}{operation}{right}={result}>>{result}"


def world_stories(seed: int | str, count: int) -> list[Story]:
    """Problems in turn of every level, the same for a seed, no two with the same text."""
    rng, found = random.Random(f"world/{seed}"), dict[str, Story]()
    while len(found) < count:
        story = world_story(rng, LEVELS[len(found) % len(LEVELS)])
        found.setdefault(story.problem, story)
    return list(found.values())


def problem_row(story: Story, problem_id: str) -> dict[str, Any]:
    """A problem row: the solution in marked form stands in it, so that `story_of_row` gets all of it back."""
    marks = (_CALCULATION.fullmatch(str(line)) for line in story.lines)
    steps = [marked(int(m[1]), m[2], int(m[3]), int(m[4])) for m in marks if m]
    return {
        "problem_id": problem_id,
        "source": "world",
        "task_type": "math",
        "problem": story.problem,
        "reference_solution": "\n".join((*steps, f"#### {story.answer}")),
        "metadata": {"steps": len(story.lines)},
    }


def story_of_row(row: Mapping[str, Any]) -> Story:
    """The story of a row that `problem_row` made."""
    lines = parse_trace(row["reference_solution"])
    return Story(f"{len(lines)} steps", row["problem"], lines)


def uplift_problem(story: Story, problem_id: str = "") -> Problem:
    """As executors and verifiers know it."""
    return Problem(problem_id=problem_id, problem=story.problem, task="math", answer=story.answer)


@dataclass(frozen=True)
class LineTruth:
    """One line of a trace.

    Args:
        text: as written.
        calculation: it computes something; else it claims an answer, or says nothing.
        right: its arithmetic holds; a claim names the right answer.
        needed: a step of the solution: operation and operands are those.
        supported: what it uses is given by the problem or was derived in an earlier line, right or wrong; a claim:
            an earlier line derived that number, and every step of the solution is there.
        repeated: an earlier line computes the same.
    """

    text: str
    calculation: bool
    right: bool
    needed: bool
    supported: bool
    repeated: bool = False

    @property
    def sound(self) -> bool:
        """A true step of the solution from what is known, once."""
        return self.calculation and self.right and self.needed and self.supported and not self.repeated


@dataclass(frozen=True)
class Truth:
    """A whole trace.

    Args:
        lines: all but empty ones.
        steps: of the solution.
        answer: the last number that it names; None where it names none.
        answer_right: whether that is the problem's.
    """

    lines: tuple[LineTruth, ...]
    steps: int
    answer: Fraction | None
    answer_right: bool

    @property
    def soundness(self) -> float:
        """Sound lines among all lines, or among the solution's steps where those are more; in [0, 1].

        A claim that the lines before it support is no step and counts neither way.
        """
        counted = [line for line in self.lines if line.calculation or not (line.supported and line.right)]
        return sum(line.sound for line in counted) / max(self.steps, len(counted))

    @property
    def sound(self) -> bool:
        """All of the solution, and nothing else."""
        return self.soundness == 1

    @property
    def complete(self) -> bool:
        """Every step of the solution is there and sound."""
        return sum(line.sound for line in self.lines) == self.steps

    @property
    def skips(self) -> bool:
        """It has fewer lines than the solution has steps, and calculates with a number that nothing before gives."""
        return len(self.lines) < self.steps and any(line.calculation and not line.supported for line in self.lines)

    @property
    def leaks(self) -> bool:
        """It claims an answer that it has not derived."""
        return any(
            not line.calculation and bool(_NUMBER.search(line.text)) and not line.supported for line in self.lines
        )


def judge_trace(story: Story, trace: str) -> Truth:
    """The truth about a trace: pure arithmetic, no model.

    Args:
        story: of this world.
        trace: any text; what is neither a calculation nor names a number is a line that says nothing.
    """
    steps = _solution(story)
    given, derived = set(story.given), set[Fraction]()
    answer = Fraction(story.answer)
    done: set[tuple[str, tuple[Fraction, ...]]] = set()
    reached: set[tuple[str, tuple[Fraction, ...]]] = set()
    lines, last = [], None
    for text in (line.strip() for line in trace.split("\n")):
        if not text:
            continue
        numbers = [Fraction(number) for number in _NUMBER.findall(text)]
        last = numbers[-1] if numbers else last
        match = _CALCULATION.fullmatch(text)
        if match is None:
            claims = bool(numbers) and numbers[-1] in derived and len(reached) == len(steps)
            lines.append(LineTruth(text, False, bool(numbers) and numbers[-1] == answer, False, claims))
            continue
        key, result = _key(match[1], match[2], match[3]), Fraction(match[4])
        line = LineTruth(
            text,
            calculation=True,
            right=_value(key) == result,
            needed=key in steps,
            supported=set(key[1]) <= given | derived,
            repeated=key in done,
        )
        lines.append(line)
        done.add(key)
        derived.add(result)
        if line.sound:
            reached.add(key)
    return Truth(tuple(lines), len(steps), last, last == answer)


def _solution(story: Story) -> set[tuple[str, tuple[Fraction, ...]]]:
    found = set()
    for line in story.lines:
        match = _CALCULATION.fullmatch(str(line))
        if match is None:
            raise ValueError(f"not a story of this world: {line}")
        found.add(_key(match[1], match[2], match[3]))
    return found


def _key(left: str, operation: str, right: str) -> tuple[str, tuple[Fraction, ...]]:
    """What is computed; the order does not matter where it makes no difference."""
    operation = "*" if operation == "x" else operation
    operands = (Fraction(left), Fraction(right))
    return operation, tuple(sorted(operands)) if operation in "+*" else operands


def _value(key: tuple[str, tuple[Fraction, ...]]) -> Fraction | None:
    operation, (left, right) = key
    if operation == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[operation]


def grade_truth(truth: Truth) -> dict[str, float]:
    """Rubric labels by a written rule: levels 0-4 of DIMENSIONS, and `total` in [0, 1].

    A level is four times a share of the lines: those that compute a step of the solution (understanding), of the
    solution's steps those that are there (strategy), lines that are supported (coherence), calculations that hold
    (correctness), sound steps (answer support). `total` is their mean / 4, times the soundness of the trace: a trace
    that leaves half of its steps out is no good one, however well the other half is written.
    """
    lines = len(truth.lines)
    calculations = [line for line in truth.lines if line.calculation]
    present = sum(line.needed and not line.repeated for line in truth.lines)
    shares: Mapping[str, float] = dict(
        zip(
            DIMENSIONS,
            (
                present / max(1, lines),
                present / truth.steps,
                sum(line.supported for line in truth.lines) / max(1, lines),
                sum(line.right for line in calculations) / max(1, len(calculations)),
                sum(line.sound for line in truth.lines) / truth.steps,
            ),
            strict=True,
        )
    )
    levels = {name: min(4, round(4 * share)) for name, share in shares.items()}
    total = truth.soundness * sum(levels.values()) / (4 * len(levels))
    return {**levels, "total": round(total, 3)}
