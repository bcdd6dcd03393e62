"""Flawed traces written by a language model: one local change of a stated kind, and its consequences.

What the model claims is checked on the text itself: that the trace changed, that it is still the same solution, where
it first differs, and which answer it states; the gates (`rm.build.gates`) then ask what they ask of every trace.
Nothing is taken on trust but the kind.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rm.build.gates import leads_to
from rm.build.kinds import Kind, Variant
from rm.build.llm.asking import Dropped, Model
from rm.build.llm.ledger import Bill
from rm.build.llm.objects import Unreadable, number_of, read_object, sounds_like_refusal, text_of
from rm.build.seed import Seed
from rm.uplift.executors.base import Prompt
from rm.uplift.verifiers.answers import completion_answer

PROMPT_VERSION = "tracelift-perturber-1"
"""Part of the key under which replies are cached: any change of a text below is a new version."""
MAKER = "llm"
"""`maker` in the metadata of every trace that is made here."""
LEAST_KEPT = 0.5
"""Share of the words of the sound trace, numbers aside, that a local change leaves as they are."""
KEYS = ("reasoning", "changed_step", "explanation", "final_answer")
MOST_KEPT = 0.95
"""Share that a sound trace in other words keeps at most."""

_SYSTEM = """You prepare material for a checker of reasoning: software that learns to find the first wrong step of a \
solution. It needs pairs of a sound solution and one with a single, realistic flaw. Everything you write is labelled, \
used to train and test that checker, and shown to nobody as true."""

_FLAWED = """Rewrite the reasoning so that it has one flaw of this kind:
{name}: {description}

- Change one step, and after it only what follows from the change: later steps carry the changed value on, and are \
otherwise the same words.
- The flaw is one that a careful writer may make. The text must not hint that anything is wrong: no remark, no \
correction, no doubt.
- {outcome}
- Keep language, tone, length and line breaks."""
_SOUND = """Rewrite the reasoning in other words: {description}

- Every step, value and conclusion stays right and stays there.
- Other words and sentences, where that is natural; no step more or less, no remark about the rewriting.
- {outcome}
- Keep language, length and line breaks."""
_WRONG = "Whoever follows it must end with a wrong answer."
_MAY_BE_RIGHT = "It may end with the right answer all the same: {why}."
_RIGHT = "Whoever follows it ends with the same answer."
_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "code": "- It is a plan in words. Write no code, and do not name the flaw.\n",
    }
)
"""What a task adds."""

_REPLY = """Reply with one JSON object and nothing else:
{"reasoning": "the whole rewritten reasoning, without the numbers in brackets, a line break as \\n, each backslash \
written twice", "changed_step": number of the first step that differs, "explanation": "one sentence: what is wrong \
there and what it should be", "final_answer": "the answer that the rewritten reasoning leads to, or null"}"""
_NUMBERED = re.compile(r"^\[\d+\] ?", re.MULTILINE)
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Written:
    """A reply of the perturber, as it claims to be.

    Args:
        reasoning: the rewritten trace.
        changed_step: 1-based line of the sound trace.
        explanation: what is wrong.
        final_answer: None where it names none.
    """

    reasoning: str
    changed_step: int
    explanation: str
    final_answer: str | None


async def perturb(model: Model, seed: Seed, trace: str, kind: Kind[Any], draw: int, bill: Bill) -> Variant | Dropped:
    """A trace of a kind, written by a model and checked.

    Args:
        model: the perturber.
        seed: the problem.
        trace: its sound trace, without marks, one step a line.
        kind: what is to be made.
        draw: seed of the draw.
        bill: of the seed.

    Returns:
        The variant, without labels; or why there is none, which has been counted.

    Raises:
        BudgetSpent, ConfigError, RunError: as `Model.ask`.
    """
    written = await model.ask(perturber_prompt(seed, trace, kind), PROMPT_VERSION, draw, read_written, bill)
    if isinstance(written, Dropped):
        return written
    found = await asyncio.to_thread(variant_of, written, seed, trace, kind, model.model)  # math-verify may be asked
    if isinstance(found, Dropped):
        model.count(found, bill)
    return found


def perturber_prompt(seed: Seed, trace: str, kind: Kind[Any]) -> Prompt:
    """What the perturber is asked; the trace's lines are numbered from 1."""
    steps = "\n".join(f"[{number}] {line}" for number, line in enumerate(trace.splitlines(), 1))
    answer = f"\n\nIts right answer: {seed.answer}" if seed.answer else ""
    if kind.sound:
        outcome, task = _RIGHT, _SOUND
    else:
        outcome, task = (_MAY_BE_RIGHT.format(why=kind.right_answer) if kind.right_answer else _WRONG), _FLAWED
    wanted = task.format(name=kind.name, description=kind.description, outcome=outcome)
    note = _NOTES.get(seed.task_type, "")
    return Prompt(
        _SYSTEM,
        f"Problem:\n{seed.problem.strip()}{answer}\n\nSound reasoning, its steps numbered:\n{steps}\n\n"
        f"{wanted}\n{note}\n{_REPLY}",
    )


def read_written(text: str) -> Written:
    """Raises: Unreadable."""
    data = read_object(text, KEYS)
    reasoning = text_of(data, "reasoning")
    if all(map(_NUMBERED.match, filter(str.strip, reasoning.splitlines()))):
        reasoning = _NUMBERED.sub("", reasoning)
    answer = data["final_answer"]
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = json.dumps(answer)
    if answer is not None and not isinstance(answer, str):
        raise Unreadable("wrong type", "final_answer has to be a string or null.")
    step = int(number_of(data, "changed_step", 1, 10_000, whole=True))
    return Written(reasoning, step, text_of(data, "explanation"), (answer or "").strip() or None)


def variant_of(written: Written, seed: Seed, trace: str, kind: Kind[Any], model: str) -> Variant | Dropped:
    """The variant that a reply is, if its text is what it claims.

    Returns:
        `Dropped` for `moralising`, `unchanged`, `whole rewrite`, `nothing rewritten` (of a rewording), `answer not
        stated`, or `answer cannot be checked`.
    """
    reasoning = written.reasoning
    if sounds_like_refusal(reasoning) and not sounds_like_refusal(trace):
        return Dropped("moralising", reasoning[:200])
    if reasoning.split() == trace.split():
        return Dropped("unchanged")
    kept = kept_share(trace, reasoning)
    if not kind.sound and kept < LEAST_KEPT:
        return Dropped("whole rewrite", f"{kept:.0%} of the words are left")
    if kind.sound and kept > MOST_KEPT:
        return Dropped("nothing rewritten", f"{kept:.0%} of the words are left")
    right: bool | None = kind.sound
    if seed.answer:
        claimed = written.final_answer
        stated = completion_answer(reasoning)
        if claimed is not None and not (stated and leads_to(reasoning, stated, claimed)):
            return Dropped("answer not stated", f"{claimed!r} is claimed, the text states {stated!r}")
        right = leads_to(reasoning, claimed, seed.answer)
        if right is None:
            return Dropped("answer cannot be checked", f"{claimed!r} against {seed.answer!r}")
    metadata = {"maker": MAKER, "model": model, "prompts": PROMPT_VERSION, "kept_share": round(kept, 3)}
    return Variant(
        kind=kind.name,
        reasoning=reasoning,
        sound=kind.sound,
        answer_kept=bool(right),
        first_wrong_step=None if kind.sound else first_difference(trace, reasoning),
        answer=written.final_answer,
        why="" if kind.sound else written.explanation,
        metadata=metadata if kind.sound else {**metadata, "claimed_step": written.changed_step - 1},
    )


def kept_share(before: str, after: str) -> float:
    """Share in [0, 1] of the words and signs of two traces that they have in common, in order; numbers count as
    equal, since a changed value is carried on."""
    first, second = (["0" if word[0].isdigit() else word for word in _WORD.findall(text)] for text in (before, after))
    return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()


def first_difference(before: str, after: str) -> int:
    """0-based line of `after` that is the first to differ; its last line where only something at the end is missing."""
    old, new = ([line.split() for line in text.splitlines()] for text in (before, after))
    for index, line in enumerate(new):
        if index >= len(old) or old[index] != line:
            return index
    return max(0, len(new) - 1)
