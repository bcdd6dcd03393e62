"""Groups of any size in one flat batch."""

from __future__ import annotations

import torch

from rm.text import Member, collate, pad


def member(*ids: int, positive: bool = False, labels: tuple[int, ...] = (-1, -1), total: float | None = None) -> Member:
    return Member(ids, positive, labels, total)


THREE_GROUPS = [
    [member(1, 2, 3, positive=True, labels=(4, 3), total=1.0), member(4, labels=(0, -1), total=0.0)],
    [],
    [member(5, 6, positive=True)],
]


def test_padding_fills_the_right_side():
    ids, mask = pad([(7, 8), (9,)], pad_id=3)
    assert ids.tolist() == [[7, 8], [9, 3]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_padding_fills_the_left_side_when_asked():
    ids, mask = pad([(7, 8), (9,)], pad_id=3, side="left")
    assert ids.tolist() == [[7, 8], [3, 9]]
    assert mask.tolist() == [[1, 1], [0, 1]]


def test_padding_nothing_gives_no_rows():
    ids, mask = pad([], pad_id=0)
    assert ids.shape == mask.shape == (0, 0)


def test_candidates_lie_in_one_flat_list_and_find_their_slots():
    batch = collate(THREE_GROUPS, num_dimensions=2)
    assert batch.num_groups == 3
    assert batch.slots[batch.mask].tolist() == [0, 1, 2]
    assert batch.mask.tolist() == [[True, True], [False, False], [True, False]]
    values = batch.gather(torch.tensor([10.0, 20.0, 30.0]))
    assert values[batch.mask].tolist() == [10.0, 20.0, 30.0]


def test_positives_stand_in_their_slots():
    batch = collate(THREE_GROUPS, num_dimensions=2)
    assert batch.positive.tolist() == [[True, False], [False, False], [True, False]]


def test_a_missing_total_is_told_from_a_total_of_zero():
    batch = collate(THREE_GROUPS, num_dimensions=2)
    assert batch.total.tolist() == [1.0, 0.0, 0.0]
    assert batch.labelled.tolist() == [True, True, False]


def test_missing_labels_stay_marked():
    batch = collate(THREE_GROUPS, num_dimensions=2)
    assert batch.labels.tolist() == [[4, 3], [0, -1], [-1, -1]]


def test_groups_without_any_candidate_have_shapes_all_the_same():
    batch = collate([[], []], num_dimensions=2)
    assert batch.mask.shape == batch.slots.shape == (2, 0)
    assert batch.labels.shape == (0, 2)


def test_a_single_candidate_is_a_group():
    batch = collate([[member(1, positive=True)]], num_dimensions=2)
    assert batch.mask.tolist() == [[True]]


def test_moving_a_batch_moves_every_tensor():
    moved = collate(THREE_GROUPS, num_dimensions=2).to("meta")
    assert {value.device.type for value in vars(moved).values()} == {"meta"}
