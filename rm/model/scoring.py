"""Scores of many token sequences, in batches of bounded cost: what evaluation, `score` and serving stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rm.errors import RunError
from rm.model.checkpoint import LoadedModel
from rm.model.create import position_limit
from rm.model.heads import RewardOutput
from rm.model.layout import Inputs, Layout
from rm.prefix import HotPrefixes
from rm.text import Encoder

Forward = Callable[..., RewardOutput]


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
    layout: Layout,
    num_dimensions: int,
    device: torch.device,
    tokens_per_batch: int = 16384,
    hot: HotPrefixes | None = None,
    on_batch: Callable[[int], object] = lambda rows: None,
) -> Scores:
    """Score N sequences, the costliest batch first, each of at most `tokens_per_batch` tokens.

    Where the device runs out of memory the batch is halved and the rest goes on.

    Args:
        forward: a reward model in eval mode.
        sequences: N token lists, none empty.
        layout: padded, or packed with shared prefixes once.
        num_dimensions: D.
        device: where the model lies.
        tokens_per_batch: memory bound, in tokens as the layout counts them; a single longer sequence still goes alone.
        hot: prefixes known from earlier calls; for packed rows by segments.
        on_batch: told the number of rows done, for a progress bar.

    Raises:
        RunError: one sequence alone is too much for the device's memory.
    """
    count = len(sequences)
    table = Scores.unscored(count, num_dimensions)
    todo = list(layout.row_batches(sequences, tokens_per_batch))[::-1]
    while todo:
        rows = todo.pop()
        texts = [sequences[row] for row in rows]
        inputs = Inputs.of(hot.pack(texts)) if hot is not None else layout.inputs([texts])
        output = _if_it_fits(forward, inputs.to(device))
        if output is None:
            if len(rows) == 1:
                raise RunError(
                    f"One text of {inputs.tokens} tokens does not fit into the memory of {device}. "
                    "Use a shorter --max-length or --dtype bfloat16."
                )
            torch.cuda.empty_cache()
            todo += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
            continue
        if hot is not None:
            hot.keep(inputs.kwargs["packed"])
        table.score[rows] = output.score.double().cpu().numpy()
        table.logit[rows] = output.logit.double().cpu().numpy()
        table.expected_levels[rows] = output.expected_levels.double().cpu().numpy()
        table.predicted_levels[rows] = output.dimension_logits.argmax(dim=-1).cpu().numpy()
        on_batch(len(rows))
    return table


def _if_it_fits(forward: Forward, inputs: Inputs) -> RewardOutput | None:
    """None where memory runs out. The error is gone by then, and with it its hold on the tensors of the attempt."""
    try:
        return forward(**inputs.kwargs)
    except torch.OutOfMemoryError:
        return None
