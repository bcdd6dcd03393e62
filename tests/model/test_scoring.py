"""Scores of many sequences: in order, whatever the batches."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rm.errors import RunError
from rm.model import LoadedModel, RewardOutput
from rm.model.layout import Layout, PackedLayout, PaddedLayout, choose_layout
from rm.model.scoring import Scores, encoder_of, score_tokens
from rm.prefix import Packed
from rm.text import Row

CPU = torch.device("cpu")
SEQUENCES = [tuple(range(2, 2 + length)) for length in (5, 40, 1, 17, 40, 3, 29)]
PADDED, PACKED = PaddedLayout(pad_id=0), PackedLayout("segments")
both = pytest.mark.parametrize("layout", [PADDED, PACKED], ids=["padded", "packed"])


def score(forward: Any, sequences: Any = SEQUENCES, layout: Layout = PADDED, **options: Any) -> Scores:
    return score_tokens(forward, sequences, layout=layout, num_dimensions=5, device=CPU, **options)


@pytest.fixture
def loaded(fresh: Callable[..., LoadedModel]) -> LoadedModel:
    """Ready for both layouts."""
    made = fresh()
    assert choose_layout(made.model, "segments", pad_id=0, longest=512) == (PACKED, "")
    return made


class TokenCount:
    """A fake model: the logit is the number of tokens; runs out of memory above `room` rows."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.batches: list[int] = []

    def __call__(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, packed: Packed | None = None
    ) -> RewardOutput:
        logit = packed.position_ids[0, packed.last] + 1.0 if packed else attention_mask.sum(dim=1).float()
        self.batches.append(len(logit))
        if len(logit) > self.room:
            raise torch.OutOfMemoryError("no room")
        heads = torch.zeros(len(logit), 5, 5)
        heads[:, :, 3] = 1.0
        return RewardOutput(logit.sigmoid(), logit, torch.full((len(logit), 5), 2.0), heads, None)


@both
def test_scores_stand_in_the_order_of_the_sequences(layout):
    assert score(TokenCount(), layout=layout).logit.tolist() == [5, 40, 1, 17, 40, 3, 29]


@both
def test_every_table_has_a_row_a_sequence(layout):
    found = score(TokenCount(), layout=layout)
    assert found.score.shape == found.logit.shape == (7,)
    assert found.expected_levels.shape == found.predicted_levels.shape == (7, 5)
    assert found.predicted_levels.dtype == np.int64
    assert (found.predicted_levels == 3).all()


@both
def test_no_sequences_give_empty_tables(layout):
    assert score(TokenCount(), [], layout).score.shape == (0,)


@both
@pytest.mark.parametrize("tokens_per_batch", [1, 64, 10_000])
def test_neither_layout_nor_batch_size_changes_a_score(tokens_per_batch, layout, loaded):
    alone = np.concatenate([score(loaded.model, [sequence]).logit for sequence in SEQUENCES])
    found = score(loaded.model, layout=layout, tokens_per_batch=tokens_per_batch).logit
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tokens_per_batch", [1, 90, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_rows_of_several_problems_in_any_order_score_the_same_packed_as_padded(seed, tokens_per_batch, loaded):
    draw = random.Random(seed)
    problems = [[draw.randrange(2, 300) for _ in range(draw.randrange(5, 40))] for _ in range(4)]
    rows = [[*each, *(draw.randrange(2, 300) for _ in range(draw.randrange(1, 20)))] for each in problems * 4]
    draw.shuffle(rows)
    padded, packed = (
        score(loaded.model, rows, layout, tokens_per_batch=tokens_per_batch) for layout in (PADDED, PACKED)
    )
    assert np.ptp(padded.logit) > 0.1, "a test on equal scores would prove nothing"
    for name in ("score", "logit", "expected_levels", "predicted_levels"):
        np.testing.assert_allclose(getattr(packed, name), getattr(padded, name), rtol=0, atol=2e-5)


@both
def test_scoring_keeps_no_gradients(layout, loaded):
    score(loaded.model, layout=layout)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


@both
@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(room, layout):
    forward = TokenCount(room)
    assert score(forward, layout=layout).logit.tolist() == [5, 40, 1, 17, 40, 3, 29]
    assert forward.batches[0] == 7


@pytest.mark.parametrize(("layout", "tokens"), [(PADDED, 40), (PACKED, 1)], ids=["padded", "packed"])
def test_one_row_that_does_not_fit_is_an_error_that_says_what_to_do(layout, tokens):
    with pytest.raises(RunError, match=rf"One text of {tokens} tokens does not fit.*--max-length"):
        score(TokenCount(room=0), layout=layout)


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


@both
def test_progress_counts_every_row_once(layout):
    done: list[int] = []
    score(TokenCount(room=2), layout=layout, on_batch=done.append)
    assert sum(done) == 7
