"""Scores of many sequences: in order, whatever the batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rm.errors import RunError
from rm.model import LoadedModel, RewardOutput
from rm.model.scoring import Scores, batches_by_length, encoder_of, score_tokens
from rm.text import Row

CPU = torch.device("cpu")
SEQUENCES = [tuple(range(2, 2 + length)) for length in (5, 40, 1, 17, 40, 3, 29)]


def score(forward: Any, sequences: Any = SEQUENCES, **options: Any) -> Scores:
    return score_tokens(forward, sequences, num_dimensions=5, pad_id=0, device=CPU, **options)


@pytest.fixture
def loaded(fresh: Callable[..., LoadedModel]) -> LoadedModel:
    return fresh()


class FirstToken:
    """A fake model: the logit is the number of shown tokens; runs out of memory above `room` rows."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.batches: list[int] = []

    def __call__(self, ids: Tensor, mask: Tensor) -> RewardOutput:
        self.batches.append(len(ids))
        if len(ids) > self.room:
            raise torch.OutOfMemoryError("no room")
        logit = mask.sum(dim=1).float()
        heads = torch.zeros(len(ids), 5, 5)
        heads[:, :, 3] = 1.0
        return RewardOutput(logit.sigmoid(), logit, torch.full((len(ids), 5), 2.0), heads, None)


def test_scores_stand_in_the_order_of_the_sequences():
    assert score(FirstToken()).logit.tolist() == [5, 40, 1, 17, 40, 3, 29]


def test_every_table_has_a_row_a_sequence():
    found = score(FirstToken())
    assert found.score.shape == found.logit.shape == (7,)
    assert found.expected_levels.shape == found.predicted_levels.shape == (7, 5)
    assert found.predicted_levels.dtype == np.int64
    assert (found.predicted_levels == 3).all()


def test_no_sequences_give_empty_tables():
    assert score(FirstToken(), []).score.shape == (0,)


@pytest.mark.parametrize("tokens_per_batch", [1, 64, 10_000])
def test_the_batch_size_changes_no_score(tokens_per_batch, loaded):
    alone = np.concatenate([score(loaded.model, [sequence]).logit for sequence in SEQUENCES])
    np.testing.assert_allclose(score(loaded.model, tokens_per_batch=tokens_per_batch).logit, alone, rtol=0, atol=1e-5)


def test_scoring_keeps_no_gradients(loaded):
    score(loaded.model)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(room):
    forward = FirstToken(room)
    assert score(forward).logit.tolist() == [5, 40, 1, 17, 40, 3, 29]
    assert forward.batches[0] == 7


def test_one_row_that_does_not_fit_is_an_error_that_says_what_to_do():
    with pytest.raises(RunError, match=r"40 tokens does not fit.*--max-length"):
        score(FirstToken(room=0))


@pytest.mark.parametrize(("family", "limit"), [("bert", 512), ("gpt2", 512), ("roberta", 510), ("qwen2", 3072)])
def test_learned_positions_bound_the_length_and_rotary_ones_do_not(family, limit, fresh):
    assert encoder_of(fresh(family)).max_length == limit
    assert encoder_of(fresh(family), 5000).max_length == (5000 if family == "qwen2" else limit)
    assert encoder_of(fresh(family), 77).max_length == 77


@pytest.mark.parametrize("family", ["bert", "gpt2", "roberta", "qwen2"])
def test_a_text_of_the_greatest_length_can_be_scored(family, fresh):
    loaded = fresh(family)
    encoded = encoder_of(loaded, 600).encode([Row("p" * 900, "r", "math")])[0]
    assert encoded.fits
    assert np.isfinite(score(loaded.model, [encoded.input_ids]).logit).all()


def test_progress_counts_every_row_once():
    done: list[int] = []
    score(FirstToken(room=2), on_batch=done.append)
    assert sum(done) == 7


def test_batches_hold_no_more_padded_tokens_than_allowed():
    lengths = [5, 40, 1, 17, 40, 3, 29]
    batches = list(batches_by_length(lengths, 64))
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert all(len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= 64 for batch in batches)


def test_a_sequence_longer_than_the_bound_goes_alone():
    assert [0] in list(batches_by_length([100, 2, 2], 10))


def test_the_longest_batch_comes_first_so_that_memory_fails_early():
    assert next(batches_by_length([1, 9, 5], 9)) == [1]
