"""The ways in which a trace of the tiny world may be written: soundly, or with a flaw.

The flaws of `rm.build.math.flaws` lead to a wrong answer, except where a step is missing or comes too late. Three are
added that keep the answer as well, since a reward that looks at answers alone cannot tell them from sound work.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

from rm.build.math.flaws import FLAWS, slipped
from rm.build.math.traces import Line
from rm.lab.stories import Story
from rm.lab.world import marked

SOUND = "sound"
Lines = tuple[Line, ...]
LARGEST_SHOWN = 99
KEEPS_ANSWER = ("dropped_step", "swapped_steps", "garbled_step", "distraction", "leaked_answer")
"""Flawed, and the answer is right all the same: what a reward model has to know beside the answer."""


def garbled_step(story: Story, rng: random.Random) -> Lines | None:
    """An early result is written down wrong, and the later steps go on with the right one."""
    step = rng.randrange(len(story.lines) - 1)
    line = story.lines[step]
    result = line.calculations[-1].result
    wrong = slipped(line.numbers[result], rng)
    if wrong is None:
        return None
    lines = (*story.lines[:step], line.with_number(result, wrong), *story.lines[step + 1 :])
    return lines if _plain(lines) else None


def distraction(story: Story, rng: random.Random) -> Lines | None:
    """A calculation that nothing needs stands among the steps."""
    given = sorted(int(value) for value in story.given)
    left, right = rng.sample(given, 2)
    line = Line.parse(marked(left, "+", right, left + right))
    if any(str(line) == str(step) for step in story.lines):
        return None
    place = rng.randrange(len(story.lines))
    return (*story.lines[:place], line, *story.lines[place:])


def leaked_answer(story: Story, rng: random.Random) -> Lines | None:
    """The right answer is stated where steps should be."""
    kept = rng.choice((0, 0, len(story.lines) - 2))
    return (*story.lines[:kept], Line.parse(f"So the answer is {story.answer}."))


def _flaw(kind: str) -> Callable[[Story, random.Random], Lines | None]:
    def make(story: Story, rng: random.Random) -> Lines | None:
        found = FLAWS[kind](story.lines, story.given, rng)
        if found is None or not _plain(found.lines):
            return None
        if kind in KEEPS_ANSWER and str(found.lines[-1]) != str(story.lines[-1]):
            return None
        return found.lines

    return make


HABITS: Mapping[str, Callable[[Story, random.Random], Lines | None]] = MappingProxyType(
    {
        SOUND: lambda story, rng: story.lines,
        **{kind: _flaw(kind) for kind in FLAWS},
        "garbled_step": garbled_step,
        "distraction": distraction,
        "leaked_answer": leaked_answer,
    }
)
"""Name -> lines for a story; None where it has no place for them."""


def write_trace(story: Story, shares: Mapping[str, float], rng: random.Random) -> tuple[str, Lines]:
    """A habit drawn by its share, and its lines; another one where the story has no place for it.

    Raises:
        ValueError: it has a place for none.
    """
    names = list(shares)
    while names:
        kind = rng.choices(names, [shares[name] for name in names])[0]
        lines = HABITS[kind](story, rng)
        if lines is not None:
            return kind, lines
        names.remove(kind)
    raise ValueError(f"no habit of {list(shares)} fits {story.problem!r}")


def _plain(lines: Lines) -> bool:
    """Whole numbers up to LARGEST_SHOWN, as everything in this world."""
    shown = [number for line in lines for number in line.numbers]
    negative = any("=-" in str(line) for line in lines)
    return not negative and all(number.isdigit() and 0 < int(number) <= LARGEST_SHOWN for number in shown)
