"""Layouts: batches that keep their bound, inputs that are counted right, and one score whatever the layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rm.errors import ConfigError
from rm.model.layout import Layout, PackedLayout, PaddedLayout, choose_layout
from rm.prefix import PATHS, Choice, Path

PADDED, PACKED = PaddedLayout(pad_id=9), PackedLayout("segments")
both = pytest.mark.parametrize("layout", [PADDED, PACKED], ids=["padded", "packed"])

PREFIX = tuple(range(10, 20))
PROBLEM = [(*PREFIX, 1), (*PREFIX, 2, 3), (*PREFIX, 4)]
"""34 tokens; 36 padded; 14 with the prefix once."""
OTHER = [(5, 6, 7), (5, 8)]
"""5 tokens; 6 padded; 5 packed, since one common token is not worth a segment."""

row = st.builds(
    lambda problem, shared, end: (*[problem] * shared, *end),
    st.integers(0, 2),
    st.integers(0, 20),
    st.lists(st.integers(3, 5), min_size=1, max_size=6),
)
rows = st.lists(row, max_size=20)
groups = st.lists(st.lists(row, min_size=1, max_size=5), max_size=8)
layouts = st.sampled_from([PADDED, PACKED])
limits = st.integers(1, 150)


def computed(layout: Layout, *members: Sequence[Sequence[int]]) -> int:
    """Tokens that the network is really given."""
    kwargs = layout.inputs(members).kwargs
    return kwargs["packed"].input_ids.numel() if "packed" in kwargs else kwargs["input_ids"].numel()


# ---- what a batch costs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "problem", "other", "together"),
    [(PADDED, 36, 6, 5 * 12), (PACKED, 14, 5, 19)],
    ids=["padded", "packed"],
)
def test_tokens_are_counted_as_the_network_gets_them(layout: Layout, problem: int, other: int, together: int) -> None:
    assert (layout.group_cost(PROBLEM), layout.group_cost(OTHER)) == (problem, other)
    inputs = layout.inputs([PROBLEM, OTHER])
    assert (inputs.tokens, inputs.computed) == (39, together)
    assert computed(layout, PROBLEM, OTHER) == together


def test_padded_inputs_are_rows_filled_up() -> None:
    kwargs = PADDED.inputs([OTHER, [(1,)]]).kwargs
    assert kwargs["input_ids"].tolist() == [[5, 6, 7], [5, 8, 9], [1, 9, 9]]
    assert kwargs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("path", PATHS)
def test_packed_inputs_are_one_row_of_the_layouts_path(path: Path) -> None:
    [packed] = PackedLayout(path).inputs([PROBLEM]).kwargs.values()
    assert packed.path == path
    assert packed.input_ids.tolist() == [[*PREFIX, 1, 2, 3, 4]]
    assert packed.last.tolist() == [10, 12, 13]


@both
def test_moving_inputs_moves_every_tensor_and_keeps_the_counts(layout: Layout) -> None:
    inputs = layout.inputs([PROBLEM])
    moved = inputs.to("meta")
    tensors = [getattr(value, "input_ids", value) for value in moved.kwargs.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (moved.tokens, moved.computed) == (inputs.tokens, inputs.computed)


# ---- groups -----------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(layouts, groups, limits)
def test_group_batches_hold_every_group_once_and_keep_the_bound(
    layout: Layout, groups: list[list[tuple[int, ...]]], limit: int
) -> None:
    batches = layout.group_batches(groups, limit)
    assert sorted(index for batch in batches for index in batch) == list(range(len(groups)))
    for batch in batches:
        assert len(batch) == 1 or computed(layout, *(groups[index] for index in batch)) <= limit


@both
@pytest.mark.parametrize("limit", [1, 60, 100, 10_000])
def test_groups_of_unequal_rows_keep_the_bound(layout: Layout, limit: int) -> None:
    groups = [[tuple(range(length))] * rows for length in (3, 20, 7, 7, 12) for rows in (2, 5)]
    batches = layout.group_batches(groups, limit)
    assert sorted(index for batch in batches for index in batch) == list(range(10))
    for batch in batches:
        assert len(batch) == 1 or computed(layout, *(groups[index] for index in batch)) <= limit
    assert limit > 1 or len(batches) == 10
    assert limit < 10_000 or len(batches) == 1


@pytest.mark.parametrize(("layout", "limit"), [(PADDED, 4 * 9), (PACKED, 9 + 3)], ids=["padded", "packed"])
def test_one_batch_of_groups_where_all_just_fits(layout: Layout, limit: int) -> None:
    groups = [[tuple(range(9))] * 2, [tuple(range(3))] * 2]  # packed, equal rows stand once
    assert len(layout.group_batches(groups, limit)) == 1
    assert len(layout.group_batches(groups, limit - 1)) == 2


def test_packed_groups_fill_the_room_that_costly_ones_leave() -> None:
    """Costs 14, 9, 5, 2 into rows of 16: 14 + 2, 9 + 5."""
    groups = [OTHER, PROBLEM, [(1, 2)], [tuple(range(9))]]
    assert PACKED.group_batches(groups, 16) == [[1, 2], [3, 0]]


@both
def test_no_groups_are_no_batches(layout: Layout) -> None:
    assert layout.group_batches([], 100) == []


# ---- rows -------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(layouts, rows, limits)
def test_row_batches_hold_every_row_once_and_keep_the_bound(
    layout: Layout, rows: list[tuple[int, ...]], limit: int
) -> None:
    batches = list(layout.row_batches(rows, limit))
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    for batch in batches:
        assert len(batch) == 1 or computed(layout, [rows[index] for index in batch]) <= limit


@both
def test_a_sequence_longer_than_the_bound_goes_alone(layout: Layout) -> None:
    assert [0] in list(layout.row_batches([tuple(range(100)), (1, 2), (3, 4)], 10))


@both
def test_the_costliest_batch_comes_first_so_that_memory_fails_early(layout: Layout) -> None:
    assert next(iter(layout.row_batches([(1,), tuple(range(9)), (2, 3, 4, 5, 6)], 9))) == [1]


@both
def test_no_rows_are_no_batches(layout: Layout) -> None:
    assert list(layout.row_batches([], 100)) == []


def test_rows_of_one_problem_come_into_one_batch() -> None:
    shared = [tuple(range(start, start + 30)) for start in (100, 200)]
    mixed = [(*shared[index % 2], index) for index in range(10)]
    batches = list(PACKED.row_batches(mixed, 80))
    assert sorted(map(sorted, batches)) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


# ---- the choice -------------------------------------------------------------------------------------------------


def test_auto_shares_where_the_backbone_can(fresh):
    assert choose_layout(fresh().model, "auto", pad_id=9, longest=512) == (PACKED, "")


@pytest.mark.parametrize("path", ["segments", "tree_mask"])
def test_a_path_can_be_asked_for(path, fresh):
    assert choose_layout(fresh().model, path, pad_id=9, longest=512) == (PackedLayout(path), "")


def test_plain_pads_and_has_no_note(fresh):
    model = fresh().model
    assert choose_layout(model, "plain", pad_id=9, longest=512) == (PADDED, "")
    assert model.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("family", "recipe", "why"),
    [
        ("bert", {}, "it is an encoder"),
        ("bert", {"pooling": "last"}, "it is an encoder"),
        ("qwen2", {"pooling": "mean"}, "pooled by mean"),
        ("qwen2", {"attn_implementation": "eager"}, "is eager"),
    ],
)
def test_auto_pads_with_a_note_and_a_path_is_refused_where_it_cannot_work(family, recipe, why, fresh):
    model = fresh(family, **recipe).model
    layout, note = choose_layout(model, "auto", pad_id=9, longest=512)
    assert layout == PADDED
    assert note.startswith("Prefixes are not shared: ")
    assert why in note
    for path in PATHS:
        with pytest.raises(ConfigError, match=rf"^Sharing prefixes by {path} does not work.*{why}.*auto or plain"):
            choose_layout(model, path, pad_id=9, longest=512)


def test_an_unknown_way_lists_the_choices(fresh):
    with pytest.raises(ConfigError, match=r"no such way: 'segment'\. Choose one of: ") as caught:
        choose_layout(fresh().model, "segment", pad_id=9, longest=512)
    assert all(choice in str(caught.value) for choice in get_args(Choice))


@pytest.mark.parametrize("path", ["segments", "tree_mask"])
@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
@torch.no_grad()
def test_a_model_scores_the_same_in_every_layout(family: str, path: Any, fresh):
    model = fresh(family).model
    members = [PROBLEM, OTHER, [(30, 31, 32)], PROBLEM[::-1]]
    expected = model(**PADDED.inputs(members).kwargs)
    layout, _ = choose_layout(model, path, pad_id=9, longest=512)
    found = model(**layout.inputs(members).kwargs)
    assert expected.score.std() > 1e-3
    for name in ("score", "logit", "expected_levels", "dimension_logits", "total_logit"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=2e-5)
