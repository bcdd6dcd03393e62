"""Training and development sets that share no problem, nor one that is nearly the same.

Problems are clustered with their near-duplicates; whole clusters go to one side. Which side depends on the
problem ids, the texts and the seed only - not on the machine, the file, or the order of the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rm.errors import ConfigError, RunError
from rm.files import replace_directory
from rm.groups.schema import Group
from rm.groups.similarity import (
    DEFAULT_THRESHOLD,
    LOWEST_THRESHOLD,
    Overlap,
    Shingles,
    Statement,
    closest,
    clusters,
    near_duplicates,
    overlap,
)

REPORT_FILE = "split.json"
DEFAULT_SEED = 18
REPORTED_PAIRS = 20


@dataclass(frozen=True)
class Split:
    """Two sides, each in the order of the input.

    Args:
        clusters: how many clusters of near-duplicates there are, single problems included.
        largest_cluster: number of problems in the largest.
        contamination: what the development side still shares with the training side.
    """

    train: tuple[Group, ...]
    dev: tuple[Group, ...]
    dev_fraction: float
    seed: int
    clusters: int
    largest_cluster: int
    contamination: Overlap

    def report(self) -> dict[str, Any]:
        """JSON-able account of the split, with the closest pairs that remain."""
        contamination = asdict(self.contamination)
        contamination["closest"] = contamination["closest"][:REPORTED_PAIRS]
        return {
            "train": len(self.train),
            "dev": len(self.dev),
            "dev_fraction": self.dev_fraction,
            "seed": self.seed,
            "clusters": self.clusters,
            "largest_cluster": self.largest_cluster,
            "contamination": contamination,
        }


def split_groups(
    groups: Sequence[Group],
    dev_fraction: float,
    seed: int,
    threshold: float = DEFAULT_THRESHOLD,
    *,
    progress: bool = False,
) -> Split:
    """Split by problem, near-duplicates on one side. No pair across the sides reaches the threshold.

    Args:
        groups: at least two, ids unique (as `load_groups` gives them).
        dev_fraction: share of the groups that goes to the development side, in (0, 1); met up to the size of
            a cluster, with at least one group on each side.
        seed: another seed, another split.
        threshold: Jaccard similarity from which on two problems are near-duplicates, from 0.4 to 1.
        progress: a bar on stderr.

    Raises:
        ConfigError: a parameter out of range, or all problems are near-duplicates of each other.
    """
    _check_parameters(len(groups), dev_fraction, threshold)
    ordered = sorted(groups, key=lambda group: group.problem_id)
    shingles = Shingles.of(group.problem_key for group in ordered)
    pairs = near_duplicates(shingles, threshold, progress=progress)
    while True:
        cluster = clusters(len(ordered), pairs)
        in_dev = _choose(ordered, cluster, dev_fraction, seed)
        missed = _across(shingles, in_dev, threshold)
        if not len(missed):
            break
        pairs = np.concatenate([pairs, missed])  # what the sketch did not find; clusters only ever grow
    dev_ids = {group.problem_id for group, chosen in zip(ordered, in_dev, strict=True) if chosen}
    train = tuple(group for group in groups if group.problem_id not in dev_ids)
    dev = tuple(group for group in groups if group.problem_id in dev_ids)
    sizes = np.bincount(cluster)
    contamination = overlap(sorted(train, key=_problem_id), sorted(dev, key=_problem_id), threshold)
    return Split(train, dev, dev_fraction, seed, len(sizes), int(sizes.max()), contamination)


def write_split(split: Split, out: str | Path, *, force: bool = False) -> None:
    """Write `train.jsonl`, `dev.jsonl` (the rows, nothing added or lost) and `split.json`, all or nothing.

    Raises:
        ConfigError: `out` exists, and not `force`.
        RunError: the disk is full, or the place cannot be written.
    """
    with replace_directory(out, force) as staging:
        try:
            _write_rows(staging / "train.jsonl", split.train)
            _write_rows(staging / "dev.jsonl", split.dev)
            report = json.dumps(split.report(), indent=2, ensure_ascii=False)
            (staging / REPORT_FILE).write_text(report + "\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{out}: cannot be written: {error.strerror or error}.") from error


def _check_parameters(count: int, dev_fraction: float, threshold: float) -> None:
    problems = []
    if count < 2:
        problems.append(f"{count} groups: a split needs at least two.")
    if not 0.0 < dev_fraction < 1.0:
        problems.append(f"dev fraction = {dev_fraction:g}, expected a number between 0 and 1, such as 0.1.")
    if not LOWEST_THRESHOLD <= threshold <= 1.0:
        problems.append(f"threshold = {threshold:g}, expected a number from {LOWEST_THRESHOLD:g} to 1.")
    if problems:
        raise ConfigError(problems)


def _problem_id(group: Statement) -> str:
    return group.problem_id


def _choose(ordered: Sequence[Group], cluster: np.ndarray, dev_fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: clusters, in the order of their hashes, fill the development side as far as they fit."""
    members: dict[int, list[int]] = {}
    for i, number in enumerate(cluster.tolist()):
        members.setdefault(number, []).append(i)
    if len(members) < 2:
        fix = "Raise --threshold, or split other data."
        raise ConfigError(f"All {len(ordered)} problems are near-duplicates of one another, in a chain. {fix}")

    def order(indices: list[int]) -> bytes:
        return hashlib.sha256(f"{seed}\n{ordered[indices[0]].problem_id}".encode()).digest()

    shuffled = sorted(members.values(), key=order)  # a cluster's first member has its smallest id
    target = min(max(1, round(dev_fraction * len(ordered))), len(ordered) - 1)
    chosen: list[int] = []
    for indices in shuffled:
        if len(chosen) + len(indices) <= target:
            chosen += indices
    if not chosen:
        chosen = min(shuffled, key=len)
    in_dev = np.zeros(len(ordered), dtype=bool)
    in_dev[chosen] = True
    return in_dev


def _across(shingles: Shingles, in_dev: np.ndarray, threshold: float) -> np.ndarray:
    """(P, 2) near-duplicates on different sides: each dev problem with its closest training problem."""
    dev = np.flatnonzero(in_dev)
    best, similarity = closest(shingles, dev, np.flatnonzero(~in_dev))
    near = similarity >= threshold
    return np.stack([best[near], dev[near]], axis=1)


def _write_rows(path: Path, groups: Sequence[Group]) -> None:
    # A lone surrogate, which only an escape can carry in, goes out as the same escape.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for group in groups:
            file.write(json.dumps(group.raw, ensure_ascii=False) + "\n")
