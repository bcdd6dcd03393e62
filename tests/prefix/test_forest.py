"""Forests against ones drawn by hand, and against what makes a forest one."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm.prefix import Forest, Segment, grow
from rm.prefix.forest import MIN_SAVING, shared_length

TWO_LEVELS = [(1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (1, 2, 7)]

# Few letters, so that sequences often begin alike, are equal, or end inside one another.
sequences = st.lists(st.integers(0, 2), min_size=1, max_size=7).map(tuple)
branches = st.lists(sequences, max_size=9)
grown = st.builds(lambda prefix, ends: [(*prefix, *end) for end in ends], st.lists(st.integers(0, 2)), branches)
some_groups = st.lists(grown, max_size=3)


def alike(length: int, members: int) -> list[tuple[int, ...]]:
    """Members that share `length` tokens and go on with one of their own."""
    return [(*range(1, length + 1), 100 + member) for member in range(members)]


def path_to(forest: Forest, place: int) -> tuple[int, ...]:
    """The tokens on the way to a place of the row, itself included."""
    [segment] = [each for each in forest.segments if each.start <= place < each.end]
    above = [forest.tokens[forest.segments[i].start : forest.segments[i].end] for i in segment.ancestors]
    return (*(token for part in above for token in part), *forest.tokens[segment.start : place + 1])


# ---- by hand ----------------------------------------------------------------------------------------------------


def test_a_common_prefix_stands_once() -> None:
    found = grow([[(1, 2, 3, 10, 11), (1, 2, 3, 20)]], min_saving=1)
    assert found == Forest(
        tokens=(1, 2, 3, 10, 11, 20),
        segments=(Segment(0, 3, 0, (), 6), Segment(3, 2, 3, (0,), 5), Segment(5, 1, 3, (0,), 6)),
        last=(4, 5),
        plain_tokens=9,
    )


def test_prefixes_within_prefixes_stand_once_too() -> None:
    found = grow([TWO_LEVELS], min_saving=1)
    assert found.tokens == (1, 2, 3, 4, 5, 6, 7)
    assert found.segments == (
        Segment(0, 2, 0, (), 7),
        Segment(2, 2, 2, (0,), 6),
        Segment(4, 1, 4, (0, 1), 5),
        Segment(5, 1, 4, (0, 1), 6),
        Segment(6, 1, 2, (0,), 7),
    )
    assert (found.last, found.plain_tokens) == ((4, 5, 6), 13)


def test_the_cost_of_attention_counts_each_segment_against_its_path() -> None:
    assert grow([TWO_LEVELS], min_saving=1).attended_pairs == 2 * 2 + 2 * 4 + 1 * 5 + 1 * 5 + 1 * 3


def test_last_tokens_stand_in_the_order_given() -> None:
    a, b, c = TWO_LEVELS
    assert grow([[c, b, a]], min_saving=1).last == (6, 5, 4)


def test_equal_sequences_are_one() -> None:
    found = grow([[(1, 2, 3)] * 3], min_saving=1)
    assert (found.tokens, found.segments, found.last) == ((1, 2, 3), (Segment(0, 3, 0, (), 3),), (2, 2, 2))


def test_a_sequence_may_end_inside_another() -> None:
    found = grow([[(1, 2, 3, 4, 5), (1, 2, 3)]], min_saving=1)
    assert found.segments == (Segment(0, 3, 0, (), 5), Segment(3, 2, 3, (0,), 5))
    assert (found.tokens, found.last) == ((1, 2, 3, 4, 5), (4, 2))


def test_equal_sequences_may_end_inside_others() -> None:
    found = grow([[(1, 2), (1, 2, 3), (1, 2), (1, 2, 4)]], min_saving=1)
    assert (found.tokens, found.last) == ((1, 2, 3, 4), (1, 2, 1, 3))


def test_a_single_sequence_is_a_segment() -> None:
    assert grow([[(4, 5)]]) == Forest((4, 5), (Segment(0, 2, 0, (), 2),), (1,), 2)


def test_groups_share_nothing_with_each_other() -> None:
    found = grow([[(1, 2, 3), (1, 2, 4)], [(1, 2, 3)]], min_saving=1)
    assert (found.tokens, found.last) == ((1, 2, 3, 4, 1, 2, 3), (2, 3, 6))
    assert found.segments[3] == Segment(4, 3, 0, (), 7)


def test_a_group_without_members_adds_nothing() -> None:
    assert grow([[], [(1,)], []]) == grow([[(1,)]])
    assert grow([]) == Forest((), (), (), 0)


def test_one_level_merges_the_common_prefix_alone() -> None:
    found = grow([TWO_LEVELS], min_saving=1, levels=1)
    assert found.tokens == (1, 2, 3, 4, 5, 3, 4, 6, 7)
    assert [each.ancestors for each in found.segments] == [(), (0,), (0,), (0,)]


@pytest.mark.parametrize(
    ("min_saving", "tokens"),
    [
        (2, (1, 2, 3, 4, 5, 6, 7)),  # each of both merges saves 2
        (4, (1, 2, 3, 4, 5, 6, 1, 2, 7)),  # the first two sequences together save 4
        (5, (1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 1, 2, 7)),
    ],
)
def test_what_saves_too_little_is_not_merged(min_saving: int, tokens: tuple[int, ...]) -> None:
    assert grow([TWO_LEVELS], min_saving=min_saving).tokens == tokens


@pytest.mark.parametrize(("length", "members", "merged"), [(7, 2, False), (8, 2, True), (3, 3, False), (4, 3, True)])
def test_by_default_a_segment_saves_eight_tokens(length: int, members: int, merged: bool) -> None:
    assert MIN_SAVING == 8
    found = grow([alike(length, members)])
    assert len(found.tokens) == (length + members if merged else (length + 1) * members)


@pytest.mark.parametrize("groups", [[[()]], [[(1, 2), ()]], [[(1,)], [()]]])
def test_a_sequence_without_tokens_is_refused(groups: list[list[tuple[int, ...]]]) -> None:
    with pytest.raises(ValueError, match="without tokens"):
        grow(groups)


@pytest.mark.parametrize(
    ("a", "b", "length"), [((), (1,), 0), ((1, 2), (1, 2), 2), ((1, 2, 3), (1, 2), 2), ((1, 2, 3), (1, 9, 3), 1)]
)
def test_shared_length(a: tuple[int, ...], b: tuple[int, ...], length: int) -> None:
    assert shared_length(a, b) == shared_length(b, a) == length


# ---- in general -------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(some_groups, st.integers(1, 10), st.integers(0, 3))
def test_every_sequence_can_be_read_back(groups: list[list[tuple[int, ...]]], min_saving: int, levels: int) -> None:
    found = grow(groups, min_saving=min_saving, levels=levels)
    flat = [sequence for group in groups for sequence in group]
    assert [path_to(found, place) for place in found.last] == flat
    assert found.plain_tokens == sum(map(len, flat)) >= len(found.tokens)


@settings(max_examples=150, deadline=None)
@given(some_groups, st.integers(1, 10), st.integers(0, 3))
def test_segments_stand_depth_first_and_fill_the_row(
    groups: list[list[tuple[int, ...]]], min_saving: int, levels: int
) -> None:
    found = grow(groups, min_saving=min_saving, levels=levels)
    assert [each.start for each in found.segments] == [0, *(each.end for each in found.segments)][: len(found.segments)]
    assert all(each.length > 0 for each in found.segments)
    for index, segment in enumerate(found.segments):
        assert segment.depth == sum(found.segments[above].length for above in segment.ancestors)
        assert not levels or len(segment.ancestors) <= levels
        if segment.ancestors:
            assert segment.ancestors[:-1] == found.segments[segment.ancestors[-1]].ancestors
        below = [i for i, each in enumerate(found.segments) if i == index or index in each.ancestors]
        assert below == list(range(index, index + len(below)))
        assert found.segments[below[-1]].end == segment.subtree_end


@settings(max_examples=150, deadline=None)
@given(some_groups)
def test_merging_all_it_can_leaves_each_prefix_once(groups: list[list[tuple[int, ...]]]) -> None:
    prefixes = sum(len({s[: end + 1] for s in group for end in range(len(s))}) for group in groups)
    assert len(grow(groups, min_saving=1).tokens) == prefixes


@settings(max_examples=150, deadline=None)
@given(grown)
def test_one_level_saves_the_common_prefix_of_those_that_begin_alike(group: list[tuple[int, ...]]) -> None:
    expected = 0
    for _, cluster in groupby(sorted(set(group)), key=lambda sequence: sequence[0]):  # equal ones are one
        members = list(cluster)
        shared = max(end for end in range(len(members[0]) + 1) if len({each[:end] for each in members}) == 1)
        expected += shared + sum(len(member) - shared for member in members)
    assert len(grow([group], min_saving=1, levels=1).tokens) == expected


@settings(max_examples=150, deadline=None)
@given(some_groups, st.integers(2, 20))
def test_leaving_small_savings_costs_less_than_them_at_each_fork(
    groups: list[list[tuple[int, ...]]], min_saving: int
) -> None:
    """What `PackedLayout.row_batches` counts on: between neighbours in order, fewer than `min_saving` are lost."""
    forks = sum(max(len(group) - 1, 0) for group in groups)
    least = len(grow(groups, min_saving=1).tokens)
    assert len(grow(groups, min_saving=min_saving).tokens) <= least + forks * (min_saving - 1)
