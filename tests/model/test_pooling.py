"""Which states a sequence is judged by."""

from __future__ import annotations

import torch

from rm.model.pooling import last_token, masked_mean, to_right_padding

HIDDEN = torch.arange(24.0).reshape(2, 4, 3)  # row r, token t, unit h holds 12 r + 3 t + h
RIGHT = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
LEFT = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])


def test_the_last_token_is_the_last_that_the_mask_shows():
    assert last_token(HIDDEN, RIGHT).tolist() == [[9, 10, 11], [15, 16, 17]]


def test_with_left_padding_the_last_token_is_at_the_edge():
    assert last_token(HIDDEN, LEFT).tolist() == [[9, 10, 11], [21, 22, 23]]


def test_the_mean_counts_shown_tokens_only():
    assert masked_mean(HIDDEN, RIGHT).tolist() == [[4.5, 5.5, 6.5], [13.5, 14.5, 15.5]]


def test_the_mean_is_taken_in_float32():
    half = torch.full((1, 4096, 1), 1.001).bfloat16()
    found = masked_mean(half, torch.ones(1, 4096))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, 0], half[0, 0, 0].float())


def test_left_padding_becomes_right_padding():
    ids, mask = to_right_padding(torch.tensor([[5, 6, 7, 8], [0, 0, 9, 10]]), LEFT)
    assert ids.tolist() == [[5, 6, 7, 8], [9, 10, 0, 0]]
    assert mask.tolist() == RIGHT.tolist()


def test_right_padding_stays_as_it_is():
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    assert to_right_padding(ids, RIGHT)[0] is ids


def test_an_end_token_inside_the_text_is_no_padding():
    # Where pad = eos, looking for the first such token would pool too early.
    ids = torch.tensor([[7, 1, 8, 1]])
    moved, mask = to_right_padding(ids, torch.tensor([[0, 1, 1, 1]]))
    assert moved[0, :3].tolist() == [1, 8, 1]
    assert mask.tolist() == [[1, 1, 1, 0]]


def test_a_batch_without_columns_passes():
    ids, _ = to_right_padding(torch.zeros(0, 0, dtype=torch.long), torch.zeros(0, 0, dtype=torch.long))
    assert ids.shape == (0, 0)
