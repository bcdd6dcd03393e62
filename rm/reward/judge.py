"""The reward model of a reward: scores of traces, from any thread. Knows no executor.

judge = RewardScorer.from_pretrained("exports/arithmetic")
judge.score([{"problem": "What is 2 + 3?", "reasoning": "2 + 3 = 5"}])     # [{"score": 0.9, "dimensions": {...}}]
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rm.evaluate.score import HOT_PREFIX_BYTES, Scorer, check_score_rows, row_of
from rm.model import LoadedModel, load_reward_model
from rm.prefix import Choice
from rm.rubric import Rubric


class RewardScorer:
    """A reward model behind a lock: calls from several threads take turns.

    What rows of one call begin with is computed once, and what rows of later calls begin with is kept
    (`rm.prefix.HotPrefixes`), where the backbone can share.

    Args:
        loaded: the model and its tokenizer.
        max_length: token limit; default: that of the model's training.
        tokens_per_batch: memory bound, in tokens that the network computes.
        prefix_sharing: see `rm.evaluate.score.Scorer`.
        hot_prefix_bytes: memory for kept prefixes; 0 keeps none.

    `lock` is held while tokenizer or model are at work; who uses them past this class takes it, too. A forked process
    has a lock of its own, and computes with one thread.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_length: int | None = None,
        tokens_per_batch: int = 16384,
        prefix_sharing: Choice = "auto",
        hot_prefix_bytes: int = HOT_PREFIX_BYTES,
    ) -> None:
        self.scorer = Scorer(
            loaded,
            max_length=max_length,
            tokens_per_batch=tokens_per_batch,
            prefix_sharing=prefix_sharing,
            hot_prefix_bytes=hot_prefix_bytes,
        )
        self.notes = (*loaded.notes, *self.scorer.notes)
        self.lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_begin_in_child, weakref.ref(self)))

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        rubric: Rubric | None = None,
        base: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        **options: Any,
    ) -> RewardScorer:
        """Load a reward model's directory, ours or official. Arguments and errors as `load_reward_model`."""
        loaded = load_reward_model(path, rubric=rubric, base=base, dtype=dtype, device=device)
        return cls(loaded, **options)

    @property
    def rubric(self) -> Rubric:
        """Of the model."""
        return self.scorer.rubric

    @property
    def max_length(self) -> int:
        """Tokens that a rendered row may have."""
        return self.scorer.encoder.max_length

    def token_counts(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Tokens of each rendered row, for a budget; one that does not fit counts with all it needs."""
        with self.lock:  # tokenizers are not safe for several threads at once
            encoded = self.scorer.encoder.encode([row_of(row, self.rubric) for row in rows])
        return [len(item.input_ids) or item.overlong for item in encoded]

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Scores of rows, in their order.

        Args:
            rows: score rows: `problem`, `reasoning`, and what else `rm.evaluate.score.score_rows` reads.

        Returns:
            `score` in [0, 1] and `dimensions` {name: expected level} each; both None, and `unscorable` with the
            reason, where a row cannot fit.

        Raises:
            DataError: every row that lacks a problem or a reasoning.
        """
        checked = check_score_rows([(0, row) for row in rows], "rows") if rows else []
        return self.score_checked(checked)

    def score_checked(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`score` for rows that are known to be right."""
        if not rows:
            return []
        with self.lock:
            results = self.scorer.results(rows)
        keys = ("score", "dimensions", "unscorable")
        return [{key: result[key] for key in keys if key in result} for result in results]


def _begin_in_child(reference: weakref.ref[RewardScorer]) -> None:
    """A forked process has none of the threads: not the one that held the lock, and whose prefixes may be half kept,
    and not those of OpenMP, for which torch would wait forever (so DataLoader's workers compute with one thread, too).
    """
    judge = reference()
    if judge is not None:
        torch.set_num_threads(1)
        judge.lock = threading.Lock()
        judge.scorer.forget_prefixes()
