"""Quality gates: what every trace of a built group has to pass, whoever made it.

Each gate looks at one trace (`Case`) and says why it may not stay, or nothing. None of them changes anything, so that
what is dropped can be counted by gate and kind. `GATES` lists them in the order in which they are asked.

What they do not catch: a flaw that is no flaw because the problem allows another reading, and flaws of code plans
whose program would still pass; for those see the kinds' own checks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from rm.build.config import GatesConfig
from rm.build.kinds import Kind, Variant
from rm.build.seed import Seed
from rm.errors import ConfigError, MissingExtra
from rm.rubric import Rubric
from rm.uplift.loop import LoopThread
from rm.uplift.problems import Problem
from rm.uplift.verifiers.answers import completion_answer
from rm.uplift.verifiers.math import MathVerifier
from rm.uplift.verifiers.numbers import parse_number, same_number

TELL_TALES = (
    r"mistak\w+", r"errors?", r"erroneous\w*", r"incorrect\w*", r"wrong\w*", r"flaw(?:s|ed)?", r"misread\w*", r"oops",
    r"actually", r"unjustified", r"unsupported", r"incoheren\w+", r"invalid\w*", r"hallucinat\w+", r"perturb\w*",
    r"distractor\w*", r"negative example", r"grad(?:e|es|ed|er|ers|ing)", r"rubrics?", r"judg(?:e|es|ed|ing|ment)",
    r"as an ai", r"language model", r"i cannot", r"i can't", r"sorry",
)  # fmt: skip
"""Words by which a flaw gives itself away, or that speak of judging; a word of the problem or of the sound trace is
none."""
NEW_LINES = 2
"""Lines of a flawed trace that may be new in any case."""
CODE_KINDS = frozenset({"code_dumped"})
"""Kinds whose flaw is that a plan holds code, as many lines of it as there are."""

_LOOP = LoopThread("answer checks")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")
_CODE = re.compile(
    r"```|^\s*(?:def \w+\(.*|class \w+.*:|import \w+|from \w[\w.]* import .+|while .+:|for \w.* in .+:|(?:el)?if .+:"
    r"|else:|return .*(?:\w[\[(]| [-+*/%]+ |[=!<>]=).*|print\(.*\)|\w+(?:\[.+\])? [-+*/]?= .*[\[\](){}].*)\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Case:
    """A trace before the gates.

    Args:
        seed: what it was made from.
        variant: the trace.
        sound: the sound trace that it was made from; for a sound one, itself.
        right_answer: why a flawed trace of its kind may lead to the right answer (`Kind.right_answer`); "" for "it
            may not".
    """

    seed: Seed
    variant: Variant
    sound: str
    right_answer: str = ""

    @classmethod
    def of(cls, seed: Seed, variant: Variant, sound: str, kinds: Mapping[str, Kind]) -> Case:
        """With what the kind says of right answers."""
        kind = kinds.get(variant.kind)
        return cls(seed, variant, sound, kind.right_answer if kind else "")


Gate = Callable[[Case, GatesConfig], str]
"""Why a trace may not stay; "" where it may."""


def not_blank(case: Case, config: GatesConfig) -> str:
    """It says something."""
    return "" if case.variant.reasoning.strip() else "blank"


def answer_checked(case: Case, config: GatesConfig) -> str:
    """Math: a sound trace leads to the right answer; a flawed one does not, or its kind explains why it may; and its
    maker knows which."""
    if case.seed.task_type != "math":
        return ""
    variant = case.variant
    right = leads_to(variant.reasoning, variant.answer, case.seed.answer)
    if right is None:
        return "its answer cannot be checked"
    if variant.sound:
        return "" if right else "a sound trace with another answer than the reference"
    if right and not case.right_answer:
        return "the answer is right all the same"
    if right != variant.answer_kept:
        return "right answer, its maker says otherwise" if right else "wrong answer, its maker says otherwise"
    return ""


def local(case: Case, config: GatesConfig) -> str:
    """All but a few lines are those of the sound trace, whatever numbers a flaw has changed in them."""
    if case.variant.sound or case.variant.kind in CODE_KINDS:
        return ""
    lines = _forms(case.variant.reasoning)
    new = (Counter(lines) - Counter(_forms(case.sound))).total()
    return "" if new <= max(NEW_LINES, config.new_lines * len(lines)) else "changed in more than one place"


def no_tell_tale(case: Case, config: GatesConfig) -> str:
    """No wording that gives the flaw away."""
    found = set(_tell_tales(tuple(config.tell_tales)).findall(case.variant.reasoning.casefold()))
    if not found:
        return ""
    own = f"{case.seed.problem}\n{case.sound if not case.variant.sound else case.seed.solution}".casefold()
    return "" if all(word in own for word in found) else "tell-tale words"


def no_code_in_plan(case: Case, config: GatesConfig) -> str:
    """Code: a plan holds no code, unless that is its flaw."""
    if case.seed.task_type != "code" or (case.variant.kind in CODE_KINDS and not case.variant.sound):
        return ""
    return "code in a plan" if _CODE.search(case.variant.reasoning) else ""


def labels_in_range(case: Case, config: GatesConfig) -> str:
    """An overall judgement lies in [0, 1], levels from 0 on."""
    total, labels = case.variant.total, case.variant.labels or {}
    if total is not None and not 0 <= total <= 1:
        return "a total outside [0, 1]"
    return "" if all(isinstance(level, int) and level >= 0 for level in labels.values()) else "a label that is none"


GATES: dict[str, Gate] = {
    "not_blank": not_blank,
    "answer_checked": answer_checked,
    "local": local,
    "no_tell_tale": no_tell_tale,
    "no_code_in_plan": no_code_in_plan,
    "labels_in_range": labels_in_range,
}
"""Name -> gate, in the order in which they are asked."""


def refused(case: Case, config: GatesConfig) -> str:
    """What the first gate that refuses a trace says; "" where all let it pass."""
    reasons = (gate(case, config) for name, gate in GATES.items() if name not in config.off)
    return next(filter(None, reasons), "")


def seed_refused(seed: Seed, sound: str) -> str:
    """Why the solution that a seed came with is not right: a short reason, "" where nothing is wrong with it.

    Args:
        seed: the seed.
        sound: its solution as a trace.
    """
    if not sound.strip():
        return "an empty trace"
    if seed.task_type != "math":
        return ""
    right = leads_to(sound, None, seed.answer)
    if right is None:
        return "the answer cannot be checked"
    return "" if right else "the solution ends in another answer than the one given"


def check_gates(config: GatesConfig) -> None:
    """Raises: ConfigError for gates that do not exist, or tell-tale words that are no patterns."""
    problems = [f"gates.off: there is no gate {name!r}. Choose among: {', '.join(GATES)}." for name in config.off
                if name not in GATES]  # fmt: skip
    try:
        _tell_tales(tuple(config.tell_tales))
    except re.error as error:
        problems.append(f"gates.tell_tales: not a regular expression: {error}.")
    if problems:
        raise ConfigError(problems)


def fits_rubric(labels: Mapping[str, int] | None, rubric: Rubric) -> bool:
    """Whether labels name every dimension of the rubric, with levels that it has."""
    names = rubric.dimension_names
    return labels is not None and all(0 <= labels.get(name, -1) < rubric.num_levels for name in names)


def leads_to(reasoning: str, answer: str | None, reference: str) -> bool | None:
    """Whether a trace ends with the reference's answer; None where that cannot be told.

    Plain numbers are compared exactly and at once; anything else by math-verify, where it is installed, which takes
    milliseconds; the caller waits, whether or not its thread has a running event loop (a notebook's has).

    Args:
        reasoning: the trace.
        answer: its final answer where that is known; else the last of a stated answer, or any number of the last
            line, has to be the reference's.
        reference: the right answer.
    """
    gold = _number(reference)
    if gold is None:
        return _verified(reasoning if answer is None else f"#### {answer}", reference)
    if answer is not None:
        number = _number(answer)
        return _verified(f"#### {answer}", reference) if number is None else same_number(gold, number)
    last = reasoning.rstrip().rpartition("\n")[2]
    numbers = [completion_answer(reasoning), *_NUMBER.findall(last)]
    return any(number is not None and same_number(gold, number) for number in map(_number, numbers))


_number = lru_cache(maxsize=1024)(parse_number)


def _verified(completion: str, reference: str) -> bool | None:
    verifier = _verifier()
    if verifier is None:
        return None
    verdict = _LOOP.wait(verifier.verify(completion, Problem("", "-", "math", answer=reference)))
    return None if verdict.outcome == "unjudged" else verdict.outcome == "passed"


@lru_cache(maxsize=1)
def _verifier() -> MathVerifier | None:
    """One a process, started when the first answer needs it."""
    try:
        return MathVerifier(workers=1)
    except MissingExtra:
        return None


@lru_cache(maxsize=4)
def _tell_tales(further: tuple[str, ...]) -> re.Pattern[str]:
    """Of case-folded text."""
    return re.compile(rf"\b(?:{'|'.join((*TELL_TALES, *further))})(?!\w)")


@lru_cache(maxsize=64)
def _forms(text: str) -> tuple[str, ...]:
    """The lines of a trace without their numbers, case and spacing."""
    lines = (" ".join(line.split()) for line in _NUMBER.sub("0", text).casefold().splitlines())
    return tuple(line for line in lines if line)
