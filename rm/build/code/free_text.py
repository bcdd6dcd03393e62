"""Flaws and sound variants of a plan that comes as free text: it is taken apart into steps, and a rule changes one.

A rule knows words, not meaning: it turns `ascending` into `descending` and `at least` into `more than`. It applies
only where its words stand, so that many a plan has few kinds. What the flaw breaks cannot be run, since no program
belongs to it; the plan's own program may be asked by a judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

_MARK = re.compile(
    r"^(?P<space>\s*)(?P<mark>(?:step\s+)?(?P<number>\d+)\s*[.):]\s+|[-*•]\s+|)(?P<text>.*)$", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"(])")


@dataclass(frozen=True)
class FreeStep:
    """One step: white space before it, its mark with the blank after it, its text."""

    space: str
    mark: str
    text: str

    @property
    def number(self) -> int | None:
        found = re.search(r"\d+", self.mark)
        return int(found[0]) if found else None


@dataclass(frozen=True)
class FreePlan:
    """A plan in free text: its steps, what stands between them (a line break, or a blank in a paragraph), its first
    number."""

    steps: tuple[FreeStep, ...]
    between: str
    start: int = 1

    @classmethod
    def parse(cls, plan: str) -> FreePlan:
        """Lines are steps; a plan of one line has its sentences as steps."""
        lines = [line.rstrip() for line in plan.strip().splitlines() if line.strip()]
        if len(lines) == 1:
            return cls(tuple(FreeStep("", "", text) for text in _SENTENCE.split(lines[0])), " ")
        found = [match for line in lines if (match := _MARK.match(line))]
        steps = tuple(FreeStep(each["space"], each["mark"], each["text"]) for each in found)
        return cls(steps, "\n", next((each.number for each in steps if each.number is not None), 1))

    def text(self) -> str:
        """The plan as it is read, with the numbers of its marks counting on."""
        shown, number = [], self.start
        for step in self.steps:
            mark = step.mark
            if step.number is not None and not step.space:
                mark = re.sub(r"\d+", str(number), mark)
                number += 1
            shown.append(f"{step.space}{mark}{step.text}")
        return self.between.join(shown)

    def line_of(self, index: int) -> int:
        """The line of a step, from 0."""
        return index if self.between == "\n" else 0

    def with_steps(self, steps: Sequence[FreeStep]) -> FreePlan:
        return replace(self, steps=tuple(steps))


@dataclass(frozen=True)
class Change:
    """A changed plan.

    Args:
        plan: the plan.
        at: index of the step that is wrong.
        what: what was done to it.
    """

    plan: FreePlan
    at: int
    what: str


_Words = tuple[tuple[str, str], ...]


def _pairs(*pairs: tuple[str, str]) -> _Words:
    """Both ways."""
    return (*pairs, *((new, old) for old, new in pairs))


WORDS: dict[str, _Words] = {
    "boundary_off_by_one": (
        *_pairs(
            ("at least", "more than"),
            ("at most", "less than"),
            ("greater than or equal to", "greater than"),
            ("less than or equal to", "less than"),
            ("inclusive", "exclusive"),
            ("from 0", "from 1"),
            ("from index 0", "from index 1"),
            ("starting at 0", "starting at 1"),
            ("up to and including", "up to but not including"),
        ),
        ("greater than", "at least"),
        ("n - 1", "n"),
        ("n + 1", "n"),
        ("n-1", "n"),
        ("the first element", "the second element"),
        ("the last element", "the last element but one"),
    ),
    "wrong_algorithm": (
        ("multiply", "add"),
        *_pairs(
            ("maximum", "minimum"),
            ("largest", "smallest"),
            ("longest", "shortest"),
            ("highest", "lowest"),
            ("ascending", "descending"),
            ("increasing", "decreasing"),
            ("non-decreasing", "non-increasing"),
            ("sum", "product"),
            ("intersection", "union"),
            ("prefix", "suffix"),
            ("row", "column"),
            ("rows", "columns"),
            ("quotient", "remainder"),
            ("in reverse", "in the given order"),
            ("from left to right", "from right to left"),
            ("increment", "decrement"),
            ("increase", "decrease"),
            ("max", "min"),
        ),
    ),
    "wrong_condition": _pairs(
        ("even", "odd"),
        ("is not", "is"),
        ("equals", "differs from"),
        ("equal to", "different from"),
        ("greater than", "less than"),
        ("positive", "negative"),
        ("uppercase", "lowercase"),
        ("true", "false"),
        ("any", "every"),
        ("and", "or"),
    ),
    "wrong_data_structure": (
        ("a queue", "a stack"),
        ("a stack", "a queue"),
        ("a deque", "a stack"),
        ("a heap", "a stack"),
        ("a min-heap", "a max-heap"),
        ("a max-heap", "a min-heap"),
        ("a priority queue", "a stack"),
        ("a counter", "a set"),
        ("a frequency map", "a set"),
    ),
    "wrong_complexity": (
        ("a hash set", "a list that is searched from its start each time"),
        ("a set", "a list that is searched from its start each time"),
        ("a hash map", "a list of pairs that is searched from its start each time"),
        ("a dictionary", "a list of pairs that is searched from its start each time"),
        ("binary search", "a scan of all positions"),
        ("sort", "try all orderings until one is found that sorts"),
        ("two pointers", "all pairs of positions"),
        ("memoization", "plain recursion that computes each value anew"),
        ("dynamic programming", "plain recursion that computes each value anew"),
        ("prefix sums", "sums that are added up anew for every query"),
    ),
    "wrong_output_format": (
        ("return the", "print the text of the"),
        ("print each", "print, all on one line and with commas in between, each"),
        ("as a list", "as a text"),
        ("as a tuple", "as a list"),
        ("a tuple", "a list"),
        ("true", '"yes"'),
        ("false", '"no"'),
        ("separated by spaces", "separated by commas"),
        ("on a new line", "on the same line"),
        ("as an integer", "as a text"),
    ),
}
"""Kind -> (words, what stands in their place)."""

_QUALIFIERS = (
    r",? (?:but )?only if [^,.;]+",
    r",? unless [^,.;]+",
    r",? (?:provided|as long as) [^,.;]+",
    r",? ignoring [^,.;]+",
    r",? excluding [^,.;]+",
    r",? without [^,.;]+",
    r" that (?:are|is) [^,.;]+",
    r" (?:for|in) which [^,.;]+",
    r"\b(?:distinct|unique|non-empty|positive|consecutive|contiguous|sorted) ",
    r",? in (?:ascending|descending|the original|sorted) order",
)
_EDGE = re.compile(
    r"\b(edge|empty|special|base) (case|list|string|input|array)"
    r"|\bif (?:\w+ ){1,4}(?:is|are|has) (?:0|1|zero|empty|none|null|no )",
    re.IGNORECASE,
)
_IN_CONDITION = re.compile(r"\b(if|while|when|until)\b[^,;:]*$", re.IGNORECASE)
_NAME = re.compile(r"`(\w+)`|\b([a-z]+_[a-z_]+|[a-z]{4,})\b")
_COMMON = frozenset(
    [
        "this",
        "that",
        "with",
        "each",
        "then",
        "than",
        "from",
        "into",
        "list",
        "number",
        "return",
        "given",
        "element",
        "elements",
        "value",
        "values",
    ]
)


def reworded_words(plan: FreePlan, kind: str, choose: Callable[[int], int]) -> Change | None:
    """A change of a few words by the rules of a kind.

    Args:
        plan: the plan.
        kind: a key of `WORDS`.
        choose: gives an index below its argument.
    """
    sites = []
    for at, step in enumerate(plan.steps):
        for old, new in WORDS[kind]:
            for match in re.finditer(rf"(?<![\w-]){re.escape(old)}(?![\w-])", step.text, re.IGNORECASE):
                half = kind == "boundary_off_by_one" and re.match(r"\s+or equal", step.text[match.end() :])
                in_condition = _IN_CONDITION.search(step.text[: match.start()])
                if not half and (in_condition or old not in ("and", "or", "is")):
                    sites.append((at, match, new))
    if not sites:
        return None
    at, match, new = sites[choose(len(sites))]
    new = new[0].upper() + new[1:] if match[0][0].isupper() else new
    text = plan.steps[at].text
    return _changed(plan, at, text[: match.start()] + new + text[match.end() :], f"“{match[0]}” is right, not “{new}”")


def missed_constraint(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """A qualification is gone."""
    sites = [
        (at, match)
        for at, step in enumerate(plan.steps)
        for form in _QUALIFIERS
        for match in re.finditer(form, step.text)
    ]
    if not sites:
        return None
    at, match = sites[choose(len(sites))]
    text = plan.steps[at].text
    left = (
        text[: match.start()]
        + (" " if match[0].endswith(" ") and match[0].startswith(" ") else "")
        + text[match.end() :]
    )
    return _changed(plan, at, left, f"“{match[0].strip(' ,')}” is left out")


def missing_edge_case(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """The step that treats a special case is gone."""
    sites = [at for at, step in enumerate(plan.steps) if _EDGE.search(step.text)]
    return _without(plan, sites[choose(len(sites))], "is not treated") if sites and len(plan.steps) > 2 else None


def dropped_step(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """A step is gone that names something a later step uses."""
    sites = [at for at in range(len(plan.steps) - 1) if _shares(plan, at)]
    return _without(plan, sites[choose(len(sites))], "is missing") if sites and len(plan.steps) > 2 else None


def swapped_steps(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """A step and the first one that uses what it names have changed places."""
    sites = []
    for at in range(len(plan.steps)):
        users = (i for i in range(at + 1, len(plan.steps)) if _shares(plan, at, plan.steps[i : i + 1]))
        user = next(users, None)
        if user is not None and plan.steps[at].space == plan.steps[user].space:
            sites.append((at, user))
    if not sites:
        return None
    at, user = sites[choose(len(sites))]
    steps = list(plan.steps)
    steps[at], steps[user] = steps[user], steps[at]
    return Change(plan.with_steps(steps), at, "it uses what only a later step makes")


def merged_steps(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """Two neighbouring steps in one; sound."""
    sites = [at for at in range(len(plan.steps) - 1) if plan.steps[at].space == plan.steps[at + 1].space]
    sites = [at for at in sites if not plan.steps[at].text.endswith(":")]
    if not sites or len(plan.steps) < 3:
        return None
    at = sites[choose(len(sites))]
    text, after = plan.steps[at].text.rstrip("."), plan.steps[at + 1].text
    joint = replace(plan.steps[at], text=f"{text}; then {after[0].lower()}{after[1:]}" if after else text)
    return Change(plan.with_steps([*plan.steps[:at], joint, *plan.steps[at + 2 :]]), at, "")


def split_steps(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """The sentences of a step as steps of their own; sound."""
    sites = [at for at, step in enumerate(plan.steps) if plan.between == "\n" and len(_SENTENCE.split(step.text)) > 1]
    if not sites:
        return None
    at = sites[choose(len(sites))]
    parts = [replace(plan.steps[at], text=text) for text in _SENTENCE.split(plan.steps[at].text)]
    return Change(plan.with_steps([*plan.steps[:at], *parts, *plan.steps[at + 1 :]]), at, "")


SYNONYMS = _pairs(
    ("iterate over", "go through"),
    ("initialize", "set up"),
    ("return", "give back"),
    ("create", "make"),
    ("compute", "work out"),
    ("check whether", "find out whether"),
    ("for each", "for every"),
    ("use", "take"),
)


def other_words(plan: FreePlan, choose: Callable[[int], int]) -> Change | None:
    """Synonyms for a few verbs, and other marks; sound."""
    marks = ("1. ", "1) ", "- ", "Step 1: ")
    mark = marks[choose(len(marks))] if plan.between == "\n" else ""
    steps = []
    for step in plan.steps:
        text = step.text
        for old, new in SYNONYMS[: len(SYNONYMS) // 2] if choose(2) else SYNONYMS[len(SYNONYMS) // 2 :]:
            text = re.sub(rf"\b{old}\b", new, text)
            text = re.sub(rf"\b{old.capitalize()}\b", new.capitalize(), text)
        steps.append(FreeStep(step.space, step.mark if step.space or not mark else mark, text))
    return Change(plan.with_steps(steps), 0, "")


def _shares(plan: FreePlan, at: int, later: Sequence[FreeStep] | None = None) -> bool:
    """Whether later steps use a name that stands first in a step."""
    before = set().union(*(_names(each.text) for each in plan.steps[:at]), set())
    after = set().union(*(_names(each.text) for each in (plan.steps[at + 1 :] if later is None else later)), set())
    return bool((_names(plan.steps[at].text) - before) & after)


def _names(text: str) -> set[str]:
    return {a or b for a, b in _NAME.findall(text)} - _COMMON


def _changed(plan: FreePlan, at: int, text: str, what: str) -> Change | None:
    if not text.strip() or text == plan.steps[at].text:
        return None
    return Change(
        plan.with_steps([replace(each, text=text) if i == at else each for i, each in enumerate(plan.steps)]), at, what
    )


def _without(plan: FreePlan, at: int, what: str) -> Change:
    gone = plan.steps[at].text.rstrip(".:")
    return Change(
        plan.with_steps([*plan.steps[:at], *plan.steps[at + 1 :]]), min(at, len(plan.steps) - 2), f"“{gone}” {what}"
    )
