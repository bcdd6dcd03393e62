"""Generated groups to try things on: `python -m rm.lab.sample_groups --out DIR --seed N`.

Stories with their solutions (`rm.lab.stories`) are the seeds, and `groups build` does the rest, with all its kinds of
flaw: the tiny base was pre-trained to tell six of them (`rm.lab.corpus`), the others it has to learn. Labels follow the
written rule of `rm.build.math.grading`: they are no judge's opinion, and good label metrics here show that the rule can
be learnt, no more.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rm.build.config import AuditConfig, BuildConfig, GatesConfig, GroupConfig
from rm.build.draft import Setup, draft, sift
from rm.build.math.table import KINDS
from rm.build.pipeline import build_groups
from rm.build.seed import Seed
from rm.groups.similarity import DEFAULT_THRESHOLD, SHINGLE
from rm.lab.stories import story

TRAIN_GROUPS, DEV_GROUPS = 320, 80
MAX_SIMILARITY = 0.5
"""Jaccard similarity of word 3-grams up to which two problems may both be drawn."""
_PLAIN = ("commuted", "reordered")
"""Kinds of sound trace that keep to the wording of stories, all that the tiny executor has learnt to read."""
CONFIG = BuildConfig(
    kinds={name: 0.0 for name, kind in KINDS.items() if kind.sound and name not in _PLAIN},
    group=GroupConfig(positives=2, tellings=2, negatives_least=3, negatives_most=5),
    gates=GatesConfig(near_duplicate=0.0),  # problems are drawn unlike
    audit=AuditConfig(groups=0),
    workers=1,
)


def seeds(seed: int) -> tuple[list[Seed], list[Seed]]:
    """(for training, for dev): each gives a group, and no dev problem is a near-duplicate of a training problem."""
    fresh = _unlike(random.Random(seed))
    train = [replace(next(fresh), problem_id=f"lab_train_{number:04d}") for number in range(TRAIN_GROUPS)]
    learnt = [problem_shingles(each.problem) for each in train]
    other = (each for each in fresh if _closest(each.problem, learnt) < DEFAULT_THRESHOLD)
    return train, [replace(next(other), problem_id=f"lab_dev_{number:04d}") for number in range(DEV_GROUPS)]


def problem_shingles(problem: str) -> frozenset[str]:
    """Character n-grams of a normalised problem, those that `rm.groups.similarity` compares."""
    text = " ".join(problem.casefold().split())
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))


def _closest(problem: str, others: Sequence[frozenset[str]]) -> float:
    own = problem_shingles(problem)
    return max(similarity(own, other) for other in others)


def _unlike(rng: random.Random) -> Iterator[Seed]:
    """Endless seeds whose problems are unlike all before, each with places for all kinds of flaw that a group needs."""
    setup = Setup.of(CONFIG)
    seen: list[frozenset[tuple[str, ...]]] = []
    while True:
        told = story(rng)
        seed = Seed("", told.problem, told.solution, answer=told.answer, source="lab")
        grams = word_grams(told.problem)
        if any(similarity(grams, other) > MAX_SIMILARITY for other in seen) or sift(draft(seed, setup), setup).unusable:
            continue
        seen.append(grams)
        yield replace(seed, metadata={"plot": told.kind, "steps": len(told.lines)})


def word_grams(text: str) -> frozenset[tuple[str, ...]]:
    """The 3-grams of a text's words."""
    words = text.lower().split()
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def similarity(first: frozenset[Any], second: frozenset[Any]) -> float:
    """Jaccard similarity, in [0, 1]."""
    return len(first & second) / max(1, len(first | second))


def build(drawn: Sequence[Seed], out: Path) -> None:
    """The groups of seeds, without their card: the versions in it change from machine to machine."""
    rows = [
        {
            "problem_id": seed.problem_id,
            "problem": seed.problem,
            "solution": seed.solution,
            "answer": seed.answer,
            "source": seed.source,
            "metadata": dict(seed.metadata),
        }
        for seed in drawn
    ]
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / out.name
        build_groups(CONFIG, lambda refused: [(row, out.name, line) for line, row in enumerate(rows, 1)], built)
        shutil.copyfile(built, out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rm.lab.sample_groups", description="Write the sample groups.")
    parser.add_argument("--out", type=Path, required=True, help="folder for groups_train.jsonl and groups_dev.jsonl")
    parser.add_argument("--seed", type=int, default=18)
    given = parser.parse_args(arguments)
    train, dev = seeds(given.seed)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        build(train, given.out / "groups_train.jsonl")
        build(dev, given.out / "groups_dev.jsonl")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
