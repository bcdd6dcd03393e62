"""Groups as training reads them: tokenized once, drawn by seed and epoch, dealt to the processes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import torch

from rm.errors import ConfigError, DataError, Problem
from rm.evaluate.score import rows_of
from rm.groups import Group
from rm.groups.large import LargeGroups, label_counts
from rm.rubric import Rubric
from rm.text import Encoded, Encoder, Member, OverflowReport
from rm.train.shortcuts import Shortcut, shortcut_scores

Cost = Callable[[Sequence[Sequence[int]]], int]
_SMALL = 1000
_TOO_MANY = "which are too many here to be held in memory"


@dataclass(frozen=True)
class TokenizedGroup:
    """A group with everything a step needs."""

    problem_id: str
    positives: tuple[Member, ...]
    negatives: tuple[Member, ...]

    @property
    def has_both(self) -> bool:
        """Whether there is a positive and a negative."""
        return bool(self.positives and self.negatives)

    def members(self, negatives: int | str, seed: int, epoch: int) -> list[Member]:
        """Positives and the epoch's negatives: the same for a seed, an epoch and a problem on any machine."""
        if negatives == "all" or len(self.negatives) <= int(negatives):
            return [*self.positives, *self.negatives]
        draw = random.Random(f"{seed}:{epoch}:{self.problem_id}")
        return [*self.positives, *draw.sample(self.negatives, int(negatives))]


@dataclass(frozen=True)
class TokenizedSet:
    """Groups to train on, and what was left out on the way.

    Args:
        groups: each with at least one positive and one negative; of a set too large for memory, every one, which may
            have lost either when it is drawn.
        overflow: what the length limit did; None where texts are tokenized when they are drawn.
        dropped: groups that lost all positives or all negatives to it, as far as that is known.
        unlabelled: candidates without rubric labels.
    """

    groups: Sequence[TokenizedGroup]
    overflow: OverflowReport | None
    dropped: int
    unlabelled: int


def tokenize_groups(
    groups: Sequence[Group], encoder: Encoder, rubric: Rubric, on_overflow: str, shortcut: Shortcut = "none"
) -> TokenizedSet:
    """Tokenize every candidate once; of groups too large for memory, whenever a group is drawn.

    Args:
        on_overflow: `drop` leaves out candidates that cannot fit; `refuse` raises.
        shortcut: what the members are to carry of their surface, see `rm.train.shortcuts`.

    Raises:
        DataError: with `refuse`, every candidate that cannot fit; or nothing is left to train on.
        ConfigError: what needs all texts at once, with groups too large for memory.
    """
    if isinstance(groups, LargeGroups):
        if on_overflow == "refuse":
            raise ConfigError(f"text.on_overflow: refuse looks at all texts first, {_TOO_MANY}. Use drop.")
        if shortcut != "none":
            raise ConfigError(f"loss.shortcut: {shortcut} is learnt from all texts, {_TOO_MANY}. Use none.")
        return TokenizedSet(_TokenizedWhenDrawn(groups, encoder, rubric), None, 0, label_counts(groups).unlabelled)
    encoded = encoder.encode([row for group in groups for row in rows_of(group, rubric)])
    overflow = OverflowReport.of(encoded, encoder.max_length)
    if on_overflow == "refuse" and overflow.unscorable:
        raise DataError(_overlong(groups, encoded, encoder.max_length))
    kept: list[TokenizedGroup] = []
    start = unlabelled = 0
    for group, surface in zip(groups, shortcut_scores(groups, shortcut), strict=True):
        part = encoded[start : start + len(group.candidates)]
        start += len(group.candidates)
        tokenized = _tokenized(group, part, rubric, surface.tolist())
        unlabelled += sum(min(member.labels) < 0 for member in (*tokenized.positives, *tokenized.negatives))
        if tokenized.has_both:
            kept.append(tokenized)
    if not kept:
        file = groups[0].file if groups else "data.train"
        found = f"{len(groups)} groups, none of which keeps a positive and a negative"
        raise DataError([Problem(file, 0, "", "groups to train on", found, "Raise text.max_length.")])
    return TokenizedSet(tuple(kept), overflow, len(groups) - len(kept), unlabelled)


def _tokenized(group: Group, encoded: Sequence[Encoded], rubric: Rubric, surface: Sequence[float]) -> TokenizedGroup:
    """A group with those of its candidates that fit."""
    members = [
        Member(item.input_ids, candidate.positive, _levels(candidate.rubric, rubric), candidate.total, score)
        for candidate, item, score in zip(group.candidates, encoded, surface, strict=True)
        if item.fits
    ]
    positives = tuple(member for member in members if member.positive)
    return TokenizedGroup(group.problem_id, positives, tuple(member for member in members if not member.positive))


class _TokenizedWhenDrawn(Sequence[TokenizedGroup]):
    """Groups that are read and tokenized each time they are asked for."""

    def __init__(self, groups: Sequence[Group], encoder: Encoder, rubric: Rubric) -> None:
        self._groups = groups
        self._encoder = encoder
        self._rubric = rubric

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> TokenizedGroup: ...
    @overload
    def __getitem__(self, index: slice) -> _TokenizedWhenDrawn: ...
    def __getitem__(self, index: int | slice) -> TokenizedGroup | _TokenizedWhenDrawn:
        if isinstance(index, slice):
            return _TokenizedWhenDrawn(self._groups[index], self._encoder, self._rubric)
        group = self._groups[index]
        encoded = self._encoder.encode(rows_of(group, self._rubric))
        return _tokenized(group, encoded, self._rubric, [0.0] * len(encoded))


@dataclass(frozen=True)
class StepGroups:
    """What one process does in one optimizer step.

    Args:
        groups: this process's groups; may be empty in the last step of an epoch.
        total: groups of the step over all processes.
    """

    groups: tuple[tuple[Member, ...], ...]
    total: int


class StepLoader:
    """The steps of an epoch: an iterable with a length, and `set_epoch` for the trainer to call.

    The order is a permutation by seed and epoch; a step takes the next `groups_per_step` groups, whatever the
    number of processes. These are dealt out so that every process has about the same to compute.

    Args:
        groups: to draw from.
        groups_per_step: over all processes.
        negatives: of a group and epoch, or `all`.
        seed: of order and negatives.
        cost: what it takes to compute a group, from the tokens of its members; by default their number.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        groups: Sequence[TokenizedGroup],
        *,
        groups_per_step: int,
        negatives: int | str,
        seed: int,
        cost: Cost = lambda group: sum(map(len, group)),
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._groups = groups
        self._per_step = groups_per_step
        self._negatives = negatives
        self._seed = seed
        self._cost = cost
        self._rank = rank
        self._world_size = world_size
        self._epoch = 0
        self._first = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration draws."""
        self._epoch = epoch

    def skip(self, steps: int) -> None:
        """Begin the next iteration, and only that, after so many steps: where a resumed run goes on."""
        self._first = steps

    def smallest(self) -> tuple[Member, ...]:
        """A cheap group to run where a process has none of its own but must take part: the cheapest of the first."""
        first = (group for group in self._groups[:_SMALL] if group.has_both)
        drawn = (group.members(self._negatives, self._seed, self._epoch) for group in first)
        return tuple(min(drawn, key=lambda members: sum(len(m.input_ids) for m in members)))

    def __len__(self) -> int:
        return -(-len(self._groups) // self._per_step)

    def __iter__(self) -> Iterator[StepGroups]:
        generator = torch.Generator().manual_seed(hash_seed(self._seed, self._epoch))
        order = torch.randperm(len(self._groups), generator=generator).tolist()
        first, self._first = self._first, 0
        for step in range(first, len(self)):
            chosen = order[step * self._per_step : (step + 1) * self._per_step]
            drawn = [group for i in chosen if (group := self._groups[i]).has_both]
            if not drawn:
                found = "a step without a group that keeps a positive and a negative"
                raise DataError([Problem("data.train", 0, "", "texts that fit", found, "Raise text.max_length.")])
            members = [tuple(group.members(self._negatives, self._seed, self._epoch)) for group in drawn]
            yield StepGroups(tuple(self._dealt(members)), len(members))

    def _dealt(self, groups: list[tuple[Member, ...]]) -> list[tuple[Member, ...]]:
        """This process's share: the costliest group left goes to the process with the least to do."""
        if self._world_size == 1:
            return groups
        costs = [self._cost([member.input_ids for member in group]) for group in groups]
        loads = [0] * self._world_size
        mine = []
        for index in sorted(range(len(groups)), key=lambda each: -costs[each]):
            process = loads.index(min(loads))
            loads[process] += costs[index]
            if process == self._rank:
                mine.append(groups[index])
        return mine


def hash_seed(*parts: int) -> int:
    """A 63-bit seed from several numbers, the same on any machine."""
    return random.Random(":".join(map(str, parts))).getrandbits(63)


def _levels(labels: object, rubric: Rubric) -> tuple[int, ...]:
    """A label for each dimension, -1 where there is none."""
    if not isinstance(labels, dict):
        return (-1,) * len(rubric.dimensions)
    return tuple(int(labels.get(name, -1)) for name in rubric.dimension_names)


def _overlong(groups: Sequence[Group], encoded: Sequence[Encoded], max_length: int) -> list[Problem]:
    places = [(group, index) for group in groups for index in range(len(group.candidates))]
    return [
        Problem(
            group.file,
            group.line,
            f"candidates[{index}].reasoning",
            f"at most {max_length} tokens with the template",
            f"{item.overlong} tokens",
            "Raise text.max_length, or set text.on_overflow: drop.",
        )
        for (group, index), item in zip(places, encoded, strict=True)
        if not item.fits
    ]
