"""How token sequences are laid out for a forward pass: padded to one width, or packed with every shared prefix once.

Both layouts answer the same three questions - which groups make a micro-batch, which rows make a scoring batch, what
the model is called with - so training and scoring do not care which one they have. The cost that bounds a batch is
the layout's own: padded tokens, or tokens after sharing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import PreTrainedConfig

from rm.errors import ConfigError
from rm.model.reward_model import RewardModel
from rm.prefix import CHOICES, Choice, Packed, Path, Sharing, grow, is_decoder, pack, prepare, why_not
from rm.prefix.forest import MIN_SAVING, shared_length
from rm.text import pad

Tokens = Sequence[int]


@dataclass(frozen=True)
class Inputs:
    """What a reward model is called with, for N sequences.

    Args:
        kwargs: of the model's forward.
        tokens: tokens of the sequences, one by one.
        computed: tokens that the network computes: more with padding, fewer with sharing.
    """

    kwargs: dict[str, Any]
    tokens: int
    computed: int

    @staticmethod
    def of(packed: Packed) -> Inputs:
        """A packed row."""
        return Inputs({"packed": packed}, packed.forest.plain_tokens, packed.input_ids.numel())

    def to(self, device: torch.device | str) -> Inputs:
        return Inputs({name: value.to(device) for name, value in self.kwargs.items()}, self.tokens, self.computed)


class Layout(Protocol):
    """See the module."""

    def group_cost(self, group: Sequence[Tokens]) -> int:
        """Tokens that the network computes for a group alone."""

    def group_batches(self, groups: Sequence[Sequence[Tokens]], limit: int) -> list[list[int]]:
        """Whole groups, by index, in batches that cost at most `limit`; a group that costs more goes alone."""

    def row_batches(self, rows: Sequence[Tokens], limit: int) -> Iterator[list[int]]:
        """All rows, by index, in batches that cost at most `limit`, the most costly first."""

    def inputs(self, groups: Sequence[Sequence[Tokens]]) -> Inputs:
        """Groups of sequences as the model takes them; its output has the sequences in the order given."""


@dataclass(frozen=True)
class PaddedLayout:
    """Every sequence a row, filled up to the longest of its batch.

    Args:
        pad_id: what a row is filled up with.
    """

    pad_id: int

    def group_cost(self, group: Sequence[Tokens]) -> int:
        return max(map(len, group), default=0) * len(group)

    def group_batches(self, groups: Sequence[Sequence[Tokens]], limit: int) -> list[list[int]]:
        longest = [max(map(len, group), default=0) for group in groups]
        batches: list[list[int]] = []
        rows = widest = 0
        for index in sorted(range(len(groups)), key=lambda each: longest[each]):
            added = len(groups[index])
            if batches and max(widest, longest[index]) * (rows + added) <= limit:
                batches[-1].append(index)
                rows, widest = rows + added, max(widest, longest[index])
            else:
                batches.append([index])
                rows, widest = added, longest[index]
        return batches

    def row_batches(self, rows: Sequence[Tokens], limit: int) -> Iterator[list[int]]:
        batch: list[int] = []
        widest = 0
        for row in sorted(range(len(rows)), key=lambda index: -len(rows[index])):
            if batch and widest * (len(batch) + 1) > limit:
                yield batch
                batch, widest = [], 0
            widest = max(widest, len(rows[row]))
            batch.append(row)
        if batch:
            yield batch

    def inputs(self, groups: Sequence[Sequence[Tokens]]) -> Inputs:
        rows = [row for group in groups for row in group]
        ids, mask = pad(rows, self.pad_id)
        return Inputs({"input_ids": ids, "attention_mask": mask}, sum(map(len, rows)), ids.numel())


@dataclass(frozen=True)
class PackedLayout:
    """All sequences in one row, every prefix that members of a group share once.

    Args:
        path: how attention is computed, see `rm.prefix.attention`.
    """

    path: Path

    def group_cost(self, group: Sequence[Tokens]) -> int:
        return len(grow([group]).tokens)

    def group_batches(self, groups: Sequence[Sequence[Tokens]], limit: int) -> list[list[int]]:
        """First fit, the most costly first."""
        costs = [self.group_cost(group) for group in groups]
        batches: list[list[int]] = []
        free: list[int] = []
        for index in sorted(range(len(groups)), key=lambda each: -costs[each]):
            place = next((at for at, room in enumerate(free) if costs[index] <= room), None)
            if place is None:
                batches.append([index])
                free.append(limit - costs[index])
            else:
                batches[place].append(index)
                free[place] -= costs[index]
        return batches

    def row_batches(self, rows: Sequence[Tokens], limit: int) -> Iterator[list[int]]:
        """In lexicographic order, in which rows stand beside those they share most with."""
        batches: list[list[int]] = []
        costs: list[int] = []
        for row in sorted(range(len(rows)), key=lambda index: tuple(rows[index])):
            added = len(rows[row])
            if batches:
                # What neighbours share is merged but for fewer than MIN_SAVING tokens.
                saved = max(shared_length(rows[batches[-1][-1]], rows[row]) - MIN_SAVING + 1, 0)
                if costs[-1] + added - saved <= limit:
                    batches[-1].append(row)
                    costs[-1] += added - saved
                    continue
            batches.append([row])
            costs.append(added)
        return (batches[index] for index in sorted(range(len(batches)), key=lambda index: -costs[index]))

    def inputs(self, groups: Sequence[Sequence[Tokens]]) -> Inputs:
        return Inputs.of(pack(groups, self.path))


def choose_layout(model: RewardModel, choice: Choice, *, pad_id: int, longest: int) -> tuple[Layout, str]:
    """The layout for a model, and a note where prefixes are not shared though nobody asked for that.

    Args:
        model: on its device; its backbone's attention is prepared for packed rows.
        choice: `auto` shares prefixes where the backbone can; `plain` does not; a path of `rm.prefix.attention`
            must work or is refused.
        pad_id: for padded batches.
        longest: tokens of the longest sequence that will come.

    Raises:
        ConfigError: an unknown choice, or a path that this backbone cannot run, with the reason.
    """
    if choice not in CHOICES:
        raise ConfigError(f"model.prefix_sharing: no such way: {choice!r}. Choose one of: {', '.join(CHOICES)}.")
    sharing = find_sharing(model, choice, longest=longest)
    if sharing.path is not None:
        return PackedLayout(sharing.path), ""
    if choice not in ("auto", "plain"):
        raise ConfigError(refusal(choice, sharing.reason))
    return PaddedLayout(pad_id), f"Prefixes are not shared: {sharing.reason}." if sharing.reason else ""


def find_sharing(model: RewardModel, choice: Choice, *, longest: int) -> Sharing:
    """How, and if not why not, a reward model can share prefixes; prepares its backbone. Arguments as above."""
    reason = "" if choice == "plain" else why_unshared(model.model.config, model.config.pooling, longest)
    return Sharing(None, reason) if reason else prepare(model.model, choice, longest=longest)


def why_unshared(backbone: PreTrainedConfig, pooling: str, longest: int) -> str:
    """What configurations alone show to be in the way of sharing; empty where nothing is.

    Args:
        backbone: the backbone's.
        pooling: of the reward model.
        longest: tokens of the longest sequence that will come.
    """
    if is_decoder(backbone) and pooling != "last":
        return f"its states are pooled by {pooling}, and sharing needs the last token's"
    return why_not(backbone, longest)


def refusal(choice: str, reason: str) -> str:
    """What one is told who asked for a way that cannot work."""
    return (
        f"Sharing prefixes by {choice} does not work with this backbone: {reason}. Use auto or plain "
        "(model.prefix_sharing, --prefix-sharing)."
    )
