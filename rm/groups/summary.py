"""What a set of groups consists of: counts, label histograms, lengths."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rm.groups.schema import Group


@dataclass(frozen=True)
class Lengths:
    """Quantiles of lengths in characters."""

    median: int
    p90: int
    p99: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Lengths:
        """Quantiles of at least one length, interpolated linearly and rounded."""
        median, p90, p99, longest = np.percentile(lengths, (50, 90, 99, 100)).round().astype(int).tolist()
        return cls(median, p90, p99, longest)


@dataclass(frozen=True)
class Summary:
    """Counts over groups. Histograms map a value to how often it occurs: names by count, numbers by size.

    Args:
        groups, candidates: how many.
        labelled: candidates with rubric labels.
        with_total: candidates with an overall judgement.
        with_reference, with_tests: groups with a reference solution, with tests.
        positives_per_group, negatives_per_group: number of such candidates -> number of groups.
        kinds: candidates of each kind, positives included.
        sources, task_types: groups of each.
        labels: for each dimension, level -> number of candidates.
        problem_characters, reasoning_characters: lengths.
    """

    groups: int
    candidates: int
    labelled: int
    with_total: int
    with_reference: int
    with_tests: int
    positives_per_group: Mapping[int, int]
    negatives_per_group: Mapping[int, int]
    kinds: Mapping[str, int]
    sources: Mapping[str, int]
    task_types: Mapping[str, int]
    labels: Mapping[str, Mapping[int, int]]
    problem_characters: Lengths
    reasoning_characters: Lengths


class Tally:
    """A summary that grows group by group, in memory that hardly does."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._positives: Counter[int] = Counter()
        self._negatives: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._task_types: Counter[str] = Counter()
        self._labels: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._problem_characters = array("L")
        self._reasoning_characters = array("L")

    def add(self, group: Group) -> None:
        """One more group."""
        positives = len(group.positives)
        self._positives[positives] += 1
        self._negatives[len(group.candidates) - positives] += 1
        self._sources[group.source] += 1
        self._task_types[group.task_type] += 1
        self._problem_characters.append(len(group.problem))
        self._counts["with_reference"] += bool(group.reference_solution.strip())
        self._counts["with_tests"] += group.tests is not None
        for candidate in group.candidates:
            self._kinds[candidate.kind] += 1
            self._reasoning_characters.append(len(candidate.reasoning))
            self._counts["with_total"] += candidate.total is not None
            if candidate.rubric is not None:
                self._counts["labelled"] += 1
                for name, level in candidate.rubric.items():
                    self._labels[name][level] += 1

    def summary(self) -> Summary | None:
        """Of the groups so far; None where there are none."""
        if not self._problem_characters:
            return None
        return Summary(
            groups=len(self._problem_characters),
            candidates=len(self._reasoning_characters),
            labelled=self._counts["labelled"],
            with_total=self._counts["with_total"],
            with_reference=self._counts["with_reference"],
            with_tests=self._counts["with_tests"],
            positives_per_group=dict(sorted(self._positives.items())),
            negatives_per_group=dict(sorted(self._negatives.items())),
            kinds=_by_count(self._kinds),
            sources=_by_count(self._sources),
            task_types=_by_count(self._task_types),
            labels={name: dict(sorted(counter.items())) for name, counter in self._labels.items()},
            problem_characters=Lengths.of(self._problem_characters),
            reasoning_characters=Lengths.of(self._reasoning_characters),
        )


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
