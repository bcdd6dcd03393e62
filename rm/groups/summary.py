"""What a set of groups consists of: counts, label histograms, lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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


def summarise(groups: Sequence[Group]) -> Summary | None:
    """The summary of these groups; None where there are none."""
    if not groups:
        return None
    candidates = [candidate for group in groups for candidate in group.candidates]
    return Summary(
        groups=len(groups),
        candidates=len(candidates),
        labelled=sum(candidate.rubric is not None for candidate in candidates),
        with_total=sum(candidate.total is not None for candidate in candidates),
        with_reference=sum(bool(group.reference_solution.strip()) for group in groups),
        with_tests=sum(group.tests is not None for group in groups),
        positives_per_group=_by_value(len(group.positives) for group in groups),
        negatives_per_group=_by_value(len(group.negatives) for group in groups),
        kinds=_by_count(candidate.kind for candidate in candidates),
        sources=_by_count(group.source for group in groups),
        task_types=_by_count(group.task_type for group in groups),
        labels=_label_histograms(groups),
        problem_characters=Lengths.of([len(group.problem) for group in groups]),
        reasoning_characters=Lengths.of([len(candidate.reasoning) for candidate in candidates]),
    )


def _by_value(values: Iterable[int]) -> dict[int, int]:
    return dict(sorted(Counter(values).items()))


def _by_count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _label_histograms(groups: Sequence[Group]) -> dict[str, dict[int, int]]:
    counters: dict[str, Counter[int]] = {}
    for group in groups:
        for candidate in group.candidates:
            for name, level in (candidate.rubric or {}).items():
                counters.setdefault(name, Counter())[level] += 1
    return {name: dict(sorted(counter.items())) for name, counter in counters.items()}
