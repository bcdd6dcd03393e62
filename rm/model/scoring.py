"""Scores of many token sequences, batched by length. What evaluation, `score` and, later, serving stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rm.errors import RunError
from rm.model.checkpoint import LoadedModel
from rm.model.create import position_limit
from rm.model.heads import RewardOutput
from rm.text import Encoder, pad

Forward = Callable[[Tensor, Tensor], RewardOutput]


@dataclass(frozen=True)
class Scores:
    """Scores of N sequences, in their order. D dimensions.

    Args:
        score: (N,) float64 in [0, 1].
        logit: (N,) float64, unbounded.
        expected_levels: (N, D) float64.
        predicted_levels: (N, D) int64, the most probable level.
    """

    score: np.ndarray
    logit: np.ndarray
    expected_levels: np.ndarray
    predicted_levels: np.ndarray

    @staticmethod
    def unscored(count: int, num_dimensions: int) -> Scores:
        """A table to fill: NaN scores, predicted levels of -1."""
        return Scores(
            np.full(count, np.nan),
            np.full(count, np.nan),
            np.full((count, num_dimensions), np.nan),
            np.full((count, num_dimensions), -1, dtype=np.int64),
        )


def encoder_of(loaded: LoadedModel, max_length: int | None = None) -> Encoder:
    """What turns rows into the tokens that a model was trained on.

    Args:
        loaded: a reward model and its tokenizer.
        max_length: token limit; default: that of the model's training. A backbone with learned positions lowers it
            to as many as it has.
    """
    config = loaded.model.config
    limit = max_length or config.text_max_length
    learned = position_limit(loaded.model, rotary=False)
    return Encoder(loaded.tokenizer, min(limit, learned or limit), config.include_tests)


@torch.no_grad()
def score_tokens(
    forward: Forward,
    sequences: Sequence[Sequence[int]],
    *,
    num_dimensions: int,
    pad_id: int,
    device: torch.device,
    tokens_per_batch: int = 16384,
    on_batch: Callable[[int], object] = lambda rows: None,
) -> Scores:
    """Score N sequences, longest first, each batch of at most `tokens_per_batch` padded tokens.

    Where the device runs out of memory the batch is halved and the rest goes on.

    Args:
        forward: a reward model in eval mode.
        sequences: N token lists, none empty.
        num_dimensions: D.
        pad_id: what fills a batch up.
        device: where the model lies.
        tokens_per_batch: memory bound; a single longer sequence still goes alone.
        on_batch: told the number of rows done, for a progress bar.

    Raises:
        RunError: one sequence alone is too much for the device's memory.
    """
    count = len(sequences)
    table = Scores.unscored(count, num_dimensions)
    todo = list(batches_by_length([len(sequence) for sequence in sequences], tokens_per_batch))[::-1]
    while todo:
        rows = todo.pop()
        ids, mask = pad([sequences[row] for row in rows], pad_id)
        output = _if_it_fits(forward, ids.to(device), mask.to(device))
        if output is None:
            if len(rows) == 1:
                raise RunError(
                    f"One text of {ids.shape[1]} tokens does not fit into the memory of {device}. "
                    "Use a shorter --max-length or --dtype bfloat16."
                )
            torch.cuda.empty_cache()
            todo += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
            continue
        table.score[rows] = output.score.double().cpu().numpy()
        table.logit[rows] = output.logit.double().cpu().numpy()
        table.expected_levels[rows] = output.expected_levels.double().cpu().numpy()
        table.predicted_levels[rows] = output.dimension_logits.argmax(dim=-1).cpu().numpy()
        on_batch(len(rows))
    return table


def _if_it_fits(forward: Forward, ids: Tensor, mask: Tensor) -> RewardOutput | None:
    """None where memory runs out. The error is gone by then, and with it its hold on the tensors of the attempt."""
    try:
        return forward(ids, mask)
    except torch.OutOfMemoryError:
        return None


def batches_by_length(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Rows from the longest to the shortest, cut where the padded batch would pass the bound."""
    batch: list[int] = []
    widest = 0
    for row in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and widest * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch, widest = [], 0
        widest = max(widest, lengths[row])
        batch.append(row)
    if batch:
        yield batch
