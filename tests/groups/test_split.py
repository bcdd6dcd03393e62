"""Splits: deterministic, near-duplicates on one side, rows unchanged, all or nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.errors import ConfigError
from rm.groups import Group, load_groups
from rm.groups.schema import Candidate
from rm.groups.split import Split, split_groups, write_split

Write = Callable[..., Path]
MakeRow = Callable[..., dict[str, Any]]

CANDIDATES = (Candidate("r", True, "positive"), Candidate("s", False, "negative"))


def story(seed: int, numbers: int = 0) -> str:
    """A text of its own for each seed; `numbers` changes two words of it."""
    generator = random.Random(seed)
    words = ["".join(generator.choices("abcdefghijklmno", k=6)) for _ in range(30)]
    words[4], words[20] = f"{numbers}", f"{numbers + 7}"
    return " ".join(words)


def group(problem_id: str, problem: str) -> Group:
    return Group(problem_id, problem, CANDIDATES)


def families(count: int, size: int) -> list[Group]:
    """`count` stories, each told `size` times with other numbers."""
    return [group(f"f{i:03}-{j}", story(i, 10 * j)) for i in range(count) for j in range(size)]


def sides(split: Split) -> tuple[set[str], set[str]]:
    return {g.problem_id for g in split.train}, {g.problem_id for g in split.dev}


def test_the_same_split_in_any_order_of_rows() -> None:
    groups = families(20, 3)
    expected = split_groups(groups, 0.2, seed=18)
    shuffled = groups.copy()
    random.Random(1).shuffle(shuffled)
    again = split_groups(shuffled, 0.2, seed=18)
    assert sides(again) == sides(expected)
    assert again.report() == expected.report()
    assert [g.problem_id for g in again.dev] == [g.problem_id for g in shuffled if g in again.dev]


def test_a_known_split_stays_the_same_on_every_machine() -> None:
    """The four smallest of `printf "18\\np00" | sha256sum` and so on, by that program."""
    groups = [group(f"p{i:02}", story(i)) for i in range(40)]
    assert sorted(sides(split_groups(groups, 0.1, seed=18))[1]) == ["p15", "p24", "p25", "p27"]


def test_another_seed_gives_another_split() -> None:
    groups = families(30, 1)
    assert sides(split_groups(groups, 0.3, seed=1)) != sides(split_groups(groups, 0.3, seed=2))


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_stay_on_one_side(seed: int) -> None:
    split = split_groups(families(20, 3), 0.25, seed=seed)
    train, dev = ({problem_id.split("-")[0] for problem_id in side} for side in sides(split))
    assert not train & dev
    assert (len(split.train), len(split.dev)) == (45, 15)
    assert (split.clusters, split.largest_cluster) == (20, 3)
    assert split.contamination.near_duplicates == 0
    assert split.contamination.highest < 0.5


def test_what_the_sketch_misses_is_found_before_the_split_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def blind(shingles: object, threshold: float, progress: bool) -> np.ndarray:
        return np.empty((0, 2), dtype=np.int64)

    monkeypatch.setattr("rm.groups.split.near_duplicates", blind)
    split = split_groups(families(10, 3), 0.3, seed=0)
    train, dev = ({problem_id.split("-")[0] for problem_id in side} for side in sides(split))
    assert not train & dev
    assert split.contamination.near_duplicates == 0


@pytest.mark.parametrize(
    ("count", "fraction", "dev"), [(100, 0.1, 10), (101, 0.1, 10), (2, 0.01, 1), (2, 0.99, 1), (3, 0.5, 2)]
)
def test_the_fraction_is_met(count: int, fraction: float, dev: int) -> None:
    split = split_groups(families(count, 1), fraction, seed=3)
    assert (len(split.train), len(split.dev)) == (count - dev, dev)


def test_clusters_larger_than_the_target_go_whole() -> None:
    split = split_groups(families(2, 4), 0.1, seed=0)
    assert (len(split.train), len(split.dev)) == (4, 4)


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([], {}, "at least two"),
        (families(1, 1), {}, "at least two"),
        (families(1, 5), {}, "near-duplicates of one another"),
        (families(3, 1), {"dev_fraction": 0.0}, "dev fraction = 0"),
        (families(3, 1), {"dev_fraction": float("nan")}, "dev fraction = nan"),
        (families(3, 1), {"threshold": 0.2}, "threshold = 0.2"),
    ],
)
def test_what_cannot_be_split(groups: list[Group], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_groups(groups, **{"dev_fraction": 0.5, "seed": 0, **options})


def test_rows_are_written_unchanged(row: MakeRow, write: Write, tmp_path: Path) -> None:
    extra = {"nested": [1, 2.5, None, {"deep": "\u4e2d\u6587"}], "lone": "\ud83d", "order": {"z": 1, "a": 2}}
    rows = [row(f"p{i}", problem=story(i), extra=extra) for i in range(6)]
    out = tmp_path / "out"
    write_split(split_groups(load_groups(write(*rows)), 0.34, seed=5), out)
    written = [
        json.loads(line)
        for name in ("train", "dev")
        for line in (out / f"{name}.jsonl").read_text("utf-8").splitlines()
    ]
    assert sorted(written, key=lambda r: r["problem_id"]) == rows
    assert list(written[0]["extra"]["order"]) == ["z", "a"]
    report = json.loads((out / "split.json").read_text("utf-8"))
    assert (report["train"], report["dev"], report["seed"]) == (4, 2, 5)
    assert len(load_groups([out / "train.jsonl", out / "dev.jsonl"])) == 6


def test_an_existing_directory_is_kept_unless_forced(row: MakeRow, write: Write, tmp_path: Path) -> None:
    split = split_groups(load_groups(write(row("a", problem=story(1)), row("b", problem=story(2)))), 0.5, seed=0)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        write_split(split, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    write_split(split, out, force=True)
    assert sorted(path.name for path in out.iterdir()) == ["dev.jsonl", "split.json", "train.jsonl"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = Group("a", "x", CANDIDATES, raw={"problem": object()})
    split = split_groups([broken, group("b", story(2))], 0.5, seed=0)
    with pytest.raises(TypeError):
        write_split(split, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_development_data_splits_clean(shared_data: Path) -> None:
    split = split_groups(load_groups(shared_data / "gsm8k_groups_dev.jsonl"), 0.1, seed=18)
    assert (len(split.train), len(split.dev)) == (360, 40)
    assert split.contamination.highest < 0.5
