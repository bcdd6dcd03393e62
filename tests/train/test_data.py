"""Groups as training reads them: what is drawn, how it is dealt, what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from rm.errors import ConfigError, DataError
from rm.groups import Group, large, load_groups
from rm.rubric import Rubric
from rm.text import Encoder, Member
from rm.train.data import Cost, StepLoader, TokenizedGroup, tokenize_groups

MATH = Rubric.load("math")


def member(length: int, positive: bool = False, mark: int = 0) -> Member:
    return Member((mark, *[1] * (length - 1)), positive, (-1,), None)


def group(name: str, negatives: int = 6, length: int = 4) -> TokenizedGroup:
    bank = tuple(member(length, mark=100 + index) for index in range(negatives))
    return TokenizedGroup(name, (member(length, positive=True),), bank)


def marks(members: list[Member]) -> list[int]:
    return [each.input_ids[0] for each in members if not each.positive]


def loader_of(groups: list[TokenizedGroup], per_step: int, rank: int = 0, world_size: int = 1) -> StepLoader:
    return StepLoader(groups, groups_per_step=per_step, negatives="all", seed=5, rank=rank, world_size=world_size)


def lengths_of(loader: StepLoader) -> list[list[int]]:
    """Groups told apart by the length of their first member."""
    return [[len(each[0].input_ids) for each in step.groups] for step in loader]


# ---- negatives --------------------------------------------------------------------------------------------------


def test_negatives_of_an_epoch_are_the_same_on_any_machine() -> None:
    """The values are those of a first run; that they stay is the point: a resumed run draws what the first one did."""
    assert marks(group("p1").members(3, seed=18, epoch=2)) == [102, 100, 101]
    assert marks(group("p1").members(3, seed=18, epoch=3)) == [103, 105, 104]


def test_epochs_seeds_and_problems_draw_other_negatives() -> None:
    def drawn(name: str, seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(marks(group(name, negatives=50).members(3, seed, epoch)))

    assert len({drawn("p1", 1, 0), drawn("p1", 1, 1), drawn("p1", 2, 0), drawn("p2", 1, 0)}) == 4


def test_positives_are_never_drawn_from() -> None:
    several = TokenizedGroup("p", tuple(member(2, positive=True) for _ in range(3)), (member(2), member(2)))
    assert sum(each.positive for each in several.members(1, 0, 0)) == 3


def test_a_small_bank_is_taken_whole() -> None:
    assert marks(group("p", negatives=2).members(4, 0, 0)) == [100, 101]
    assert len(marks(group("p", negatives=9).members("all", 0, 0))) == 9


# ---- steps ------------------------------------------------------------------------------------------------------


def test_an_epoch_holds_every_group_once_and_its_last_step_is_short() -> None:
    steps = lengths_of(loader_of([group(f"p{i}", length=i + 2) for i in range(7)], per_step=3))
    assert [len(step) for step in steps] == [3, 3, 1]
    assert sorted(chain.from_iterable(steps)) == list(range(2, 9))


def test_the_order_changes_with_the_epoch_and_comes_back_with_it() -> None:
    loader = loader_of([group(f"p{i}", length=i + 2) for i in range(8)], per_step=2)
    first = lengths_of(loader)
    loader.set_epoch(1)
    assert lengths_of(loader) != first
    loader.set_epoch(0)
    assert lengths_of(loader) == first


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_processes_share_the_steps_of_one(world_size: int) -> None:
    groups = [group(f"p{i}", length=i + 2) for i in range(7)]
    alone = [sorted(step) for step in lengths_of(loader_of(groups, per_step=3))]
    shares = [lengths_of(loader_of(groups, 3, rank, world_size)) for rank in range(world_size)]
    assert [sorted(chain.from_iterable(parts)) for parts in zip(*shares, strict=True)] == alone


def test_every_process_knows_how_many_groups_the_step_has() -> None:
    groups = [group(f"p{i}") for i in range(7)]
    for rank in range(2):
        assert [step.total for step in loader_of(groups, 3, rank, 2)] == [3, 3, 1]


def test_a_process_may_have_nothing_in_the_last_step() -> None:
    steps = list(loader_of([group(f"p{i}") for i in range(3)], 2, rank=1, world_size=2))
    assert [len(step.groups) for step in steps] == [1, 0]


@pytest.mark.parametrize(
    ("cost", "shares"),
    [
        (None, [[6, 9], [7, 8]]),  # by tokens: 9, then 8, then 7 to the 8, then 6 to the 9
        (lambda members: 3 if len(members[0]) == 6 else 1, [[6], [7, 8, 9]]),
    ],
    ids=["tokens", "given"],
)
def test_processes_get_about_the_same_to_compute(cost: Cost | None, shares: list[list[int]]) -> None:
    groups = [group(f"p{length}", negatives=1, length=length) for length in (9, 8, 7, 6)]
    options = {"groups_per_step": 4, "negatives": "all", "seed": 5, "world_size": 2, **({"cost": cost} if cost else {})}
    dealt = [lengths_of(StepLoader(groups, rank=rank, **options)) for rank in range(2)]
    assert [[sorted(step) for step in steps] for steps in dealt] == [[share] for share in shares]


def test_skip_holds_for_one_iteration() -> None:
    loader = loader_of([group(f"p{i}", length=i + 2) for i in range(6)], per_step=2)
    whole = lengths_of(loader)
    loader.skip(2)
    assert lengths_of(loader) == whole[2:]
    assert lengths_of(loader) == whole


def test_the_filler_is_the_smallest_group() -> None:
    groups = [group("long", negatives=1, length=30), group("short", negatives=3, length=4), group("wide", 9, 5)]
    assert len(loader_of(groups, 1).smallest()) == 4


# ---- tokenizing -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def groups(train_file: Path) -> Sequence[Group]:
    return load_groups(train_file, MATH)


@pytest.fixture(scope="module")
def encoder(base: Path) -> Encoder:
    return Encoder(PreTrainedTokenizerFast.from_pretrained(base), max_length=256)


def test_members_keep_labels_in_the_rubrics_order(groups: Sequence[Group], encoder: Encoder) -> None:
    found = tokenize_groups(groups, encoder, MATH, "drop")
    assert [each.problem_id for each in found.groups] == [each.problem_id for each in groups]
    assert found.groups[0].positives[0].labels == (4, 4, 4, 4, 4)
    assert found.groups[0].negatives[0].labels == (4, 1, 1, 1, 1)
    assert (found.groups[0].negatives[0].total, found.unlabelled, found.dropped) == (0.3, 0, 0)


def test_candidates_without_labels_are_counted(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "bare.jsonl"
    file.write_text(
        '{"problem_id": "a", "problem": "What ?", "positive_pool": [{"reasoning": "so"}, {"reasoning": "it"}],'
        ' "negative_bank": [{"reasoning": "plus"}]}\n'
    )
    found = tokenize_groups(load_groups(file, MATH), encoder, MATH, "refuse")
    assert found.unlabelled == 3
    assert found.groups[0].negatives[0].labels == (-1,) * 5
    assert found.groups[0].negatives[0].total is None


def with_overlong(tmp_path: Path) -> Sequence[Group]:
    """The first group loses one of two negatives at 60 tokens, the second its only positive."""
    long = "plus " * 80
    rows = [
        f'{{"problem_id": "a", "problem": "What ?", "positive_pool": [{{"reasoning": "so"}}], "negative_bank": '
        f'[{{"reasoning": "{long}"}}, {{"reasoning": "it"}}]}}',
        f'{{"problem_id": "b", "problem": "What is ?", "positive_pool": [{{"reasoning": "{long}"}}], "negative_bank": '
        '[{"reasoning": "it"}]}',
    ]
    file = tmp_path / "long.jsonl"
    file.write_text("\n".join(rows) + "\n")
    return load_groups(file, MATH)


def test_drop_leaves_out_candidates_and_then_groups(encoder: Encoder, tmp_path: Path) -> None:
    short = Encoder(encoder.tokenizer, max_length=60)
    found = tokenize_groups(with_overlong(tmp_path), short, MATH, "drop")
    assert [each.problem_id for each in found.groups] == ["a"]
    assert len(found.groups[0].negatives) == 1
    assert (found.dropped, found.overflow.unscorable) == (1, 2)


def test_refuse_names_every_candidate_with_its_line(encoder: Encoder, tmp_path: Path) -> None:
    short = Encoder(encoder.tokenizer, max_length=60)
    with pytest.raises(DataError) as caught:
        tokenize_groups(with_overlong(tmp_path), short, MATH, "refuse")
    assert [(p.line, p.field) for p in caught.value.problems] == [
        (1, "candidates[1].reasoning"),
        (2, "candidates[0].reasoning"),
    ]
    assert "expected at most 60 tokens with the template. Raise text.max_length" in str(caught.value)


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every file is too large for memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(large, "LARGE_BYTES", 0)


def test_groups_on_disk_give_the_same_steps(
    groups: Sequence[Group], train_file: Path, encoder: Encoder, on_disk: None
) -> None:
    options = {"groups_per_step": 3, "negatives": 1, "seed": 5}
    expected = list(StepLoader(tokenize_groups(groups, encoder, MATH, "drop").groups, **options))
    drawn = tokenize_groups(load_groups(train_file, MATH), encoder, MATH, "drop")
    assert list(StepLoader(drawn.groups, **options)) == expected
    assert (drawn.overflow, drawn.unlabelled, len(drawn.groups)) == (None, 0, 10)
    assert len(StepLoader(drawn.groups, **options).smallest()) == 2


def test_groups_on_disk_that_do_not_fit_leave_their_step(encoder: Encoder, tmp_path: Path, on_disk: None) -> None:
    groups = with_overlong(tmp_path)
    options = {"groups_per_step": 2, "negatives": "all", "seed": 5}
    short = tokenize_groups(groups, Encoder(encoder.tokenizer, max_length=60), MATH, "drop")
    [step] = StepLoader(short.groups, **options)
    assert (step.total, len(step.groups), len(step.groups[0])) == (1, 1, 2)
    tiny = tokenize_groups(groups, Encoder(encoder.tokenizer, max_length=16), MATH, "drop")
    with pytest.raises(DataError, match=r"a step without a group .*Raise text\.max_length"):
        list(StepLoader(tiny.groups, **options))


@pytest.mark.parametrize("asked", [{"on_overflow": "refuse"}, {"on_overflow": "drop", "shortcut": "length"}])
def test_what_needs_all_texts_is_refused_for_groups_on_disk(
    train_file: Path, encoder: Encoder, on_disk: None, asked: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="too many here to be held in memory"):
        tokenize_groups(load_groups(train_file, MATH), encoder, MATH, **asked)


def test_nothing_left_to_train_on_is_an_error(encoder: Encoder, groups: Sequence[Group]) -> None:
    tiny = Encoder(encoder.tokenizer, max_length=16)
    with pytest.raises(DataError, match=r"10 groups, none of which keeps a positive and a negative.*text\.max_length"):
        tokenize_groups(groups, tiny, MATH, "drop")
