"""What rules make of worked solutions: how many kinds, how consistent, and what the surface of the groups gives away.

    python tests/benchmarks/build_quality.py ../shared/data/gsm8k_train.jsonl [--problems 1000] [--groups 1500]

First every kind is put into every problem once: the share of problems that give four kinds of flaw, and the share of
traces that an independent checker (tests/build/math/text_checker.py) finds consistent but for the flaw. Problems whose
own solution it reads as wrong are not judged: those it misreads; so it misreads some of the others, too, and the share
is a lower bound. Then groups are built by configs/build-math.yaml, and the surface audit of their data card is shown
before and after rebalancing. The tables are Markdown.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "build" / "math"))
from text_checker import is_consistent, wrong_lines

from rm.build.config import BuildConfig
from rm.build.kinds import Unusable
from rm.build.math.table import KINDS, prepare
from rm.build.pipeline import build_groups
from rm.build.read_seeds import RawRow, Refused, file_rows, read_seeds
from rm.config import load_config

CONFIG = Path(__file__).parents[2] / "configs" / "build-math.yaml"
ENOUGH = 4
"""Kinds of flaw that a problem should have a place for."""


def drawn(path: str, count: int, refused: Refused) -> Iterator[RawRow]:
    """So many rows, drawn at random; all of them for 0."""
    rows = list(file_rows([path], refused))
    yield from random.Random(18).sample(rows, count) if 0 < count < len(rows) else rows


def kinds_table(path: str, count: int) -> None:
    """Every kind on every problem."""
    problems = unusable = rich = unread = 0
    seconds = 0.0
    made, judged, consistent = Counter[str](), Counter[str](), Counter[str]()
    refused = Refused()
    for seed in read_seeds(drawn(path, count, refused), "math", refused):
        problems += 1
        start = time.perf_counter()
        try:
            solution = prepare(seed)
        except Unusable:
            unusable += 1
            continue
        finally:
            seconds += time.perf_counter() - start
        rng = random.Random(seed.problem_id)
        start = time.perf_counter()
        variants = [variant for kind in KINDS.values() if (variant := kind.make(solution, rng)) is not None]
        seconds += time.perf_counter() - start
        rich += sum(not variant.sound for variant in variants) >= ENOUGH
        made.update(variant.kind for variant in variants)
        if wrong_lines(solution.trace):
            unread += 1
            continue
        for variant in variants:
            judged[variant.kind] += 1
            consistent[variant.kind] += is_consistent(solution.trace, variant)
    print(f"| problems | unusable | at least {ENOUGH} kinds | traces | judged | consistent | problems a second |")
    print("|---|---|---|---|---|---|---|")
    flawed = [name for name, kind in KINDS.items() if not kind.sound]
    share = consistent.total() / judged.total()
    print(
        f"| {problems:,} | {unusable:,} | {rich / problems:.2%} | {made.total():,} | {judged.total():,} | {share:.2%} "
        f"| {problems / seconds:.0f} |\n"
    )
    share = sum(consistent[name] for name in flawed) / sum(judged[name] for name in flawed)
    print(f"Flawed traces alone: {share:.2%} consistent. Not judged: traces of {unread:,} problems.\n", flush=True)
    print("| kind | problems that give it | consistent |\n|---|---|---|")
    for name in KINDS:
        print(f"| {name} | {made[name] / problems:.1%} | {consistent[name] / max(judged[name], 1):.2%} |")
    print(flush=True)


def surface_table(path: str, config: BuildConfig, count: int, out: Path) -> None:
    """Pair accuracies of words and of length before and after rebalancing, from the data card."""
    start = time.perf_counter()
    card = build_groups(config, lambda refused: drawn(path, count, refused), out, files=[path]).card
    seconds = time.perf_counter() - start
    if card.audit is None or card.before is None:
        raise SystemExit("The configuration has to audit: audit.groups.")
    print(
        f"{card.tally.groups:,} groups of {card.seeds['read']:,} problems in {seconds:.0f} s; "
        f"audited: {card.audit['groups']:,}.\n"
    )
    print("| kind | words before | words | length before | length | flagged |\n|---|---|---|---|---|---|")
    before, after = card.before["kinds"], card.audit["kinds"]
    for kind in sorted(before | after):
        cells = [
            f"{each[kind][surface]:.3f}" if kind in each else "-"
            for surface in ("words", "length")
            for each in (before, after)
        ]
        print(f"| {kind} | {' | '.join(cells)} | {'yes' if kind in after and after[kind]['flagged'] else ''} |")
    macro = [
        card.before["macro"][s] if early else card.audit["macro"][s] for s in ("words", "length") for early in (1, 0)
    ]
    print(f"| macro | {' | '.join(f'{each:.3f}' for each in macro)} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="worked solutions, as for groups build --seeds")
    parser.add_argument("--problems", type=int, default=0, help="so many, drawn at random; 0 for all")
    parser.add_argument("--groups", type=int, default=1500, help="problems to build groups of; 0 leaves the audit out")
    parser.add_argument("--config", default=str(CONFIG))
    given = parser.parse_args()
    kinds_table(given.source, given.problems)
    if given.groups:
        config = replace(load_config(BuildConfig, given.config), workers=1)
        config = replace(config, rebalance=replace(config.rebalance, enabled=True))  # to have both sides of the table
        with tempfile.TemporaryDirectory() as folder:
            surface_table(given.source, config, given.groups, Path(folder) / "groups.jsonl")


if __name__ == "__main__":
    main()
