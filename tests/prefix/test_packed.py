"""A forest as tensors: places, positions, and who sees whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rm.prefix import PATHS, Packed, Path, grow, pack, pack_forest
from rm.prefix.blocks import Block, cut

HAND = [[(1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (1, 2, 7)], [(8, 9)]]
"""Row: 1 2 | 3 4 | 5 | 6 | 7 || 8 9; each line below says what one token of it sees."""
SEES = [
    {0},
    {0, 1},
    {0, 1, 2},
    {0, 1, 2, 3},
    {0, 1, 2, 3, 4},
    {0, 1, 2, 3, 5},
    {0, 1, 6},
    {7},
    {7, 8},
]


def hand(path: Path = "tree_mask") -> Packed:
    return pack_forest(grow(HAND, min_saving=1), path)


def visible() -> Tensor:
    """(9, 9) bool, from the table above."""
    return torch.tensor([[key in seen for key in range(9)] for seen in SEES])


def test_the_row_has_each_token_at_its_own_position() -> None:
    packed = hand()
    assert packed.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 4, 2, 0, 1]]
    assert packed.last.tolist() == [4, 5, 6, 8]
    assert packed.subtree_end.tolist() == [7, 7, 6, 6, 5, 6, 7, 9, 9]
    for each in (packed.input_ids, packed.position_ids, packed.last, packed.subtree_end):
        assert each.dtype == torch.int64


def test_subtree_ends_say_who_sees_whom() -> None:
    ends, place = hand().subtree_end, torch.arange(9)
    assert torch.equal((place[None] <= place[:, None]) & (place[:, None] < ends[None]), visible())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_tree_mask_hides_all_that_is_not_seen(dtype: torch.dtype) -> None:
    bias = hand().tree_bias(dtype)
    assert (bias.shape, bias.dtype) == ((1, 1, 9, 9), dtype)
    assert torch.equal(bias[0, 0] == 0, visible())
    assert torch.equal(bias[0, 0] == float("-inf"), ~visible())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("call_pairs", "calls"), [(0, 6), (4, 4), (9, 3), (100, 1)])
def test_a_blocks_mask_is_its_part_of_the_tree_mask(call_pairs: int, calls: int, dtype: torch.dtype) -> None:
    forest = grow(HAND, min_saving=1)
    packed = replace(hand("segments"), blocks=cut(forest, call_pairs=call_pairs, call_rows=0))
    assert len(packed.blocks) == calls
    for block in packed.blocks:
        assert_masked_as_the_tree(packed, block, dtype)


def assert_masked_as_the_tree(packed: Packed, block: Block, dtype: torch.dtype) -> None:
    segments = packed.forest.segments
    rows = range(segments[block.first].start, segments[block.end - 1].end)
    above = [segments[index] for index in block.above]
    columns = [place for part in above for place in range(part.start, part.end)] + list(rows)
    expected = visible()[rows][:, columns]
    bias = packed.block_bias(block, dtype)
    if bias is None:  # causal
        assert torch.equal(expected, torch.ones(len(rows), len(rows)).tril().bool())
        return
    assert bias.dtype == dtype
    assert torch.equal(bias == 0, expected)
    assert torch.equal(bias == float("-inf"), bias != 0)


def test_a_long_segment_under_a_short_one_and_the_reverse_have_their_masks() -> None:
    forest = grow([[(*range(20), 30), (*range(20), *range(40, 55))], [(*range(9), 1), (*range(9), 2, 3)]])
    packed = replace(pack_forest(forest), blocks=cut(forest, call_pairs=0, call_rows=0))
    assert len(packed.blocks) == len(forest.segments)
    for block in packed.blocks:
        if block.above:
            expected = torch.ones(block.length, block.depth + block.length).tril(block.depth).bool()
            bias = packed.block_bias(block, torch.float32)
            assert bias is not None
            assert torch.equal(bias == 0, expected)


def test_the_block_mask_has_the_same_rule() -> None:
    mask = hand("flex").block_mask()
    place, zero = torch.arange(9), torch.zeros((), dtype=torch.long)
    assert torch.equal(mask.mask_mod(zero, zero, place[:, None], place[None, :]), visible())
    assert mask.shape[-2:] == (9, 9)


def test_masks_are_made_once() -> None:
    packed = hand()
    assert packed.tree_bias(torch.float32) is packed.tree_bias(torch.float32)
    assert packed.tree_bias(torch.float32) is not packed.tree_bias(torch.bfloat16)
    assert packed.block_mask() is packed.block_mask()
    by_segments = hand("segments")
    [block] = by_segments.blocks
    assert by_segments.block_bias(block, torch.float32) is by_segments.block_bias(block, torch.float32)


def test_moving_a_row_moves_every_tensor_and_no_mask() -> None:
    packed = hand()
    packed.tree_bias(torch.float32)
    moved = packed.to("meta")
    tensors = (moved.input_ids, moved.position_ids, moved.last, moved.subtree_end, moved.tree_bias(torch.float32))
    assert {each.device.type for each in tensors} == {"meta"}
    assert (moved.path, moved.forest) == (packed.path, packed.forest)


def test_packing_leaves_small_savings_alone() -> None:
    assert pack(HAND).input_ids.shape == (1, 15)
    assert pack([[(*range(8), 1), (*range(8), 2)]]).input_ids.shape == (1, 10)


@pytest.mark.parametrize("path", PATHS)
def test_a_row_knows_its_path(path: Path) -> None:
    assert pack([[(1, 2)]], path).path == path


def test_a_sequence_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="without tokens"):
        pack([[(1, 2), ()]])
