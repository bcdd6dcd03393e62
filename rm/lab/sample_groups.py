"""Generated groups to try things on: `python -m rm.lab.sample_groups --out DIR --seed N`.

Each group holds a story's solution (in about a third of the groups a second, reworded one) and three to six flawed
ones, each with one local change whose consequences are carried through. Labels follow a written rule
(`grade`): they grow worse the earlier a flaw sits and the more later steps it spoils. They are no judge's opinion,
and good label metrics here show that the rule can be learnt, no more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rm.build.math.flaws import FLAWS, Flaw
from rm.build.math.traces import Line, dependencies, trace_text
from rm.groups.similarity import DEFAULT_THRESHOLD, SHINGLE
from rm.lab.stories import Story, stories

DIMENSIONS = (
    "problem_understanding",
    "solution_strategy",
    "step_coherence",
    "calculation_correctness",
    "answer_support",
)
TRAIN_GROUPS, DEV_GROUPS = 320, 80
MAX_SIMILARITY = 0.5
"""Jaccard similarity of word 3-grams up to which two problems may both be drawn."""
_SECOND_POSITIVE = 0.35
_SOUND = (4, 4, 4, 4, 4)
# Levels (in the order of DIMENSIONS) of a flaw that spoils nothing else.
_MILDEST = {
    "arithmetic_slip": (4, 4, 4, 2, 3),
    "wrong_operation": (4, 2, 3, 3, 3),
    "misread_quantity": (2, 4, 3, 4, 3),
    "dropped_step": (4, 3, 2, 4, 3),
    "swapped_steps": (4, 4, 2, 4, 4),
    "unsupported_conclusion": (4, 3, 3, 4, 1),
}
# The dimensions that suffer when a flaw spoils much, and the one that suffers when it sits early.
_SPREADS = {
    "arithmetic_slip": ("calculation_correctness", "answer_support"),
    "wrong_operation": ("solution_strategy", "answer_support"),
    "misread_quantity": ("problem_understanding", "answer_support"),
    "dropped_step": ("step_coherence", "answer_support"),
    "swapped_steps": ("step_coherence",),
    "unsupported_conclusion": ("solution_strategy", "step_coherence"),
}
_EARLY = {
    "arithmetic_slip": "calculation_correctness",
    "wrong_operation": "solution_strategy",
    "misread_quantity": "solution_strategy",
    "dropped_step": "solution_strategy",
    "swapped_steps": "answer_support",
    "unsupported_conclusion": "calculation_correctness",
}


@dataclass(frozen=True)
class Damage:
    """Where a flaw sits and how far it reaches.

    Attributes:
        early: it sits in the first half of the solution.
        spoiled: part of the solution's other steps that it changes, deprives of a premise or leaves out, in [0, 1].
        answer_kept: the trace still ends with the right answer.
    """

    early: bool
    spoiled: float
    answer_kept: bool


def damage(story: Story, flaw: Flaw) -> Damage:
    lines = story.lines
    if flaw.kind == "unsupported_conclusion":
        hit = len(lines) - flaw.step - 1
    elif flaw.kind in ("dropped_step", "swapped_steps"):
        hit = len(_dependents(lines, story, flaw.step))
    else:
        hit = sum(str(a) != str(b) for a, b in zip(lines[flaw.step + 1 :], flaw.lines[flaw.step + 1 :], strict=True))
    kept = flaw.kind in ("dropped_step", "swapped_steps") or str(flaw.lines[-1]) == str(lines[-1])
    return Damage(2 * flaw.step < len(lines) - 1, hit / (len(lines) - 1), kept)


def _dependents(lines: Sequence[Line], story: Story, step: int) -> set[int]:
    """Later steps that need the result of `step`, directly or through others."""
    found = {step}
    for user, makers in sorted(dependencies(lines, story.given).items()):
        if makers & found:
            found.add(user)
    return found - {step}


def grade(kind: str, harm: Damage) -> dict[str, float]:
    """Labels 0-4 for the five dimensions and `total` in [0, 1].

    One level is lost in the dimensions that spread when anything else is spoiled, one more when at least two
    thirds are, and one in the early dimension when the flaw sits in the first half. `total` is the mean level / 4,
    less 0.1 where the answer is lost.
    """
    levels = dict(zip(DIMENSIONS, _MILDEST[kind], strict=True))
    lost = (harm.spoiled > 0) + (harm.spoiled >= 2 / 3)
    for dimension in _SPREADS[kind]:
        levels[dimension] -= lost
    if harm.early:
        levels[_EARLY[kind]] -= 1
    levels = {dimension: max(0, level) for dimension, level in levels.items()}
    total = sum(levels.values()) / (4 * len(levels)) - (0 if harm.answer_kept else 0.1)
    return {**levels, "total": round(max(0.0, total), 3)}


def group(rng: random.Random, problem_id: str) -> dict[str, object] | None:
    """One row of the TRACELIFT-GROUPS schema; None where the story has too few places for flaws."""
    told = stories(rng, 2)
    positives = [told[0].solution]
    if rng.random() < _SECOND_POSITIVE and told[1].solution != positives[0]:
        positives.append(told[1].solution)
    negatives: dict[str, dict[str, object]] = {}
    kinds = rng.sample(list(FLAWS), rng.randint(3, len(FLAWS)))
    for kind in kinds:
        source = rng.choice(told)
        flaw = FLAWS[kind](source.lines, source.given, rng)
        if flaw is not None and trace_text(flaw.lines) not in positives:
            negatives.setdefault(trace_text(flaw.lines), _negative(source, flaw))
    if len(negatives) < 3:
        return None
    sound = {**dict(zip(DIMENSIONS, _SOUND, strict=True)), "total": 1.0}
    return {
        "problem_id": problem_id,
        "source": "lab",
        "task_type": "math",
        "problem": told[0].problem,
        "reference_solution": told[0].answer,
        "positive_pool": [{"reasoning": text, "rubric": sound} for text in positives],
        "negative_bank": list(negatives.values()),
        "metadata": {"plot": told[0].kind, "steps": len(told[0].lines)},
    }


def _negative(story: Story, flaw: Flaw) -> dict[str, object]:
    return {
        "reasoning": trace_text(flaw.lines),
        "negative_kind": flaw.kind,
        "rubric": grade(flaw.kind, damage(story, flaw)),
        "metadata": {"step": flaw.step},
    }


def sample(seed: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """(training groups, dev groups); no dev problem is a near-duplicate of a training problem (`rm.groups`)."""
    rng = random.Random(seed)
    fresh = _unlike(rng)
    train = [_named(next(fresh), f"lab_train_{number:04d}") for number in range(TRAIN_GROUPS)]
    learnt = [problem_shingles(str(row["problem"])) for row in train]
    other = (row for row in fresh if _closest(str(row["problem"]), learnt) < DEFAULT_THRESHOLD)
    dev = [_named(next(other), f"lab_dev_{number:04d}") for number in range(DEV_GROUPS)]
    return train, dev


def problem_shingles(problem: str) -> frozenset[str]:
    """Character n-grams of a normalised problem, those that `rm.groups.similarity` compares."""
    text = " ".join(problem.casefold().split())
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def _closest(problem: str, others: Sequence[frozenset[str]]) -> float:
    own = problem_shingles(problem)
    return max(similarity(own, other) for other in others)


def _named(row: dict[str, object], problem_id: str) -> dict[str, object]:
    return {**row, "problem_id": problem_id}


def _unlike(rng: random.Random) -> Iterator[dict[str, object]]:
    """Endless groups whose problems are unlike all before."""
    seen: list[frozenset[tuple[str, ...]]] = []
    while True:
        row = group(rng, "")
        if row is None:
            continue
        grams = word_grams(str(row["problem"]))
        if all(similarity(grams, other) <= MAX_SIMILARITY for other in seen):
            seen.append(grams)
            yield row


def word_grams(text: str) -> frozenset[tuple[str, ...]]:
    """The 3-grams of a text's words."""
    words = text.lower().split()
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def similarity(first: frozenset[Any], second: frozenset[Any]) -> float:
    """Jaccard similarity, in [0, 1]."""
    return len(first & second) / max(1, len(first | second))


def write(rows: Sequence[dict[str, object]], path: Path) -> None:
    """JSON lines, written beside and renamed."""
    beside = path.with_name(path.name + ".new")
    beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    os.replace(beside, path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rm.lab.sample_groups", description="Write the sample groups.")
    parser.add_argument("--out", type=Path, required=True, help="folder for groups_train.jsonl and groups_dev.jsonl")
    parser.add_argument("--seed", type=int, default=18)
    given = parser.parse_args(arguments)
    train, dev = sample(given.seed)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        write(train, given.out / "groups_train.jsonl")
        write(dev, given.out / "groups_dev.jsonl")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
