"""Which segments attend in one call: a cut of the row, and the cheapest there is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from rm.prefix import Forest, grow
from rm.prefix.blocks import Block, cut

HAND = [[(1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (1, 2, 7)], [(8, 9)]]
"""Segments: 0: 1 2, 1: 3 4, 2: 5, 3: 6, 4: 7; 5: 8 9."""


def hand() -> Forest:
    return grow(HAND, min_saving=1)


def spans(blocks: tuple[Block, ...]) -> list[tuple[int, int]]:
    return [(block.first, block.end) for block in blocks]


def test_calls_that_cost_nothing_make_every_segment_a_block() -> None:
    blocks = cut(hand(), call_pairs=0, call_rows=0)
    assert spans(blocks) == [(index, index + 1) for index in range(6)]
    assert [block.above for block in blocks] == [(), (0,), (0, 1), (0, 1), (0,), ()]
    assert [(block.length, block.depth) for block in blocks] == [(2, 0), (2, 2), (1, 4), (1, 4), (1, 2), (2, 0)]


def test_calls_that_cost_most_make_the_row_one_block() -> None:
    [block] = cut(hand(), call_pairs=10**9)
    assert (block.first, block.end, block.above, block.length, block.depth) == (0, 6, (), 9, 0)


def test_neighbours_below_a_segment_share_a_call_where_that_is_cheaper() -> None:
    """One call of 5 rows and 7 keys; apart 2 of 4, 1 of 5 twice, and 1 of 3: 14 pairs fewer, and three calls more."""
    assert spans(cut(hand(), call_pairs=9, call_rows=0)) == [(0, 1), (1, 5), (5, 6)]


def test_more_rows_a_call_join_more() -> None:
    assert len(cut(hand(), call_pairs=0, call_rows=0)) == 6
    assert len(cut(hand(), call_pairs=0, call_rows=1)) < 6
    # Trees share no key, so there is nothing to gain by joining them.
    assert spans(cut(hand(), call_pairs=0, call_rows=10**6)) == [(0, 5), (5, 6)]


def test_texts_of_usual_length_attend_apart_and_short_ones_together() -> None:
    long = [[(*range(1000), own, *range(2000, 2900)) for own in (-1, -2, -3)]]
    short = [[(*range(100), own, *range(200, 230)) for own in (-1, -2, -3)]]
    assert len(cut(grow(long))) == 4
    assert len(cut(grow(short))) == 1


def test_a_known_root_is_in_no_block_and_above_what_is_below_it() -> None:
    forest = grow([[(*range(20), own, own) for own in (-1, -2, -3)], [(7, 8)]])
    for pairs in (0, 10**9):
        blocks = cut(forest, known={0}, call_pairs=pairs, call_rows=0)
        assert all(block.above == (0,) for block in blocks[:-1])
        assert spans(blocks)[0][0] == 1
        assert spans(blocks)[-1] == (4, 5)


def test_an_empty_forest_has_no_block() -> None:
    assert cut(grow([])) == ()


def test_a_thousand_rows_that_share_nothing_are_cut() -> None:
    forest = grow([[(row, *range(10))] for row in range(1000)])
    blocks = cut(forest)
    assert 1 < len(blocks) < 100
    assert sum(block.length for block in blocks) == len(forest.tokens)


def choices(forest: Forest) -> Iterator[list[tuple[int, int]]]:
    """Every way to cut a row into runs of segments that a call can take, found by trying all."""
    count = len(forest.segments)
    for size in range(count):
        for inner in combinations(range(1, count), size):
            ends = [*inner, count]
            runs = list(zip([0, *inner], ends, strict=True))
            if all(allowed(forest, *run) for run in runs):
                yield runs


def allowed(forest: Forest, first: int, end: int) -> bool:
    """One segment, or whole subtrees that hang below one segment."""
    segments = forest.segments
    run = segments[first:end]
    siblings_or_below = all(segment.ancestors[: len(run[0].ancestors)] == run[0].ancestors for segment in run)
    return end == first + 1 or (siblings_or_below and all(each.subtree_end <= run[-1].end for each in run))


def price(forest: Forest, runs: list[tuple[int, int]], pairs: int, rows: int) -> int:
    found = 0
    for first, end in runs:
        length = forest.segments[end - 1].end - forest.segments[first].start
        found += pairs + (length + rows) * (forest.segments[first].depth + length)
    return found


letters = st.integers(0, 2)
group = st.lists(st.lists(letters, min_size=1, max_size=5), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(groups=st.lists(group, min_size=1, max_size=2), pairs=st.integers(0, 60), rows=st.integers(0, 5))
def test_no_cut_is_cheaper(groups: list[list[list[int]]], pairs: int, rows: int) -> None:
    forest = grow(groups, min_saving=1)
    blocks = cut(forest, call_pairs=pairs, call_rows=rows)
    runs = spans(blocks)
    assert runs in list(choices(forest))
    cost = price(forest, runs, pairs, rows)
    assert cost == sum(block.cost for block in blocks)
    assert cost == min(price(forest, other, pairs, rows) for other in choices(forest))
