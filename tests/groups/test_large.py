"""Groups that stay on disk are the groups that memory would hold, from whatever file they come."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rm.errors import DataError, RunError
from rm.groups import large, load_groups
from rm.groups.large import LabelCounts, LargeGroups, label_counts
from rm.groups.similarity import overlap
from rm.rubric import Rubric

MATH = Rubric.load("math")
MakeRow = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tracelift-rm" / "groups"


def on_disk(monkeypatch: pytest.MonkeyPatch, paths: Any, rubric: Rubric | None = None) -> LargeGroups:
    with monkeypatch.context() as patch:
        patch.setattr(large, "LARGE_BYTES", 0)
        groups = load_groups(paths, rubric)
    assert isinstance(groups, LargeGroups)
    return groups


def test_plain_lines_are_read_where_they_lie(
    row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = {"positive_pool": [{"reasoning": "x"}], "negative_bank": [{"reasoning": "y"}]}
    first = write(b"\xef\xbb\xbf" + json.dumps(row("a")).encode(), "", "  ", row("b", problem="Caf\u00e9 \u2028 ?"))
    second = write(row("c", **bare), name="second.jsonl")
    for rubric in (None, MATH):
        groups = on_disk(monkeypatch, [first, second], rubric)
        expected = load_groups([first, second], rubric)
        assert isinstance(expected, tuple)
        assert (tuple(groups), len(groups), groups[-1]) == (expected, 3, expected[2])
        assert tuple(groups[1:]) == expected[1:]
        assert isinstance(groups[1:], LargeGroups)
        assert label_counts(groups) == label_counts(expected) == LabelCounts(6, 2, 4)
    assert sorted(path.suffix for path in cache.iterdir()) == [".npz", ".npz"]
    with pytest.raises(IndexError):
        groups[3]


def test_other_files_are_copied_once(
    row: MakeRow, write: Write, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write(row("a"))
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(row("b")).encode()))
    table = tmp_path / "table.parquet"
    pq.write_table(pa.Table.from_pylist([row("c"), row("d")]), table)
    array = write(json.dumps([row("e"), row("f")]), name="array.json")
    paths = [packed, plain, table, array]
    expected = load_groups(paths)
    for _ in range(2):
        assert tuple(on_disk(monkeypatch, paths)) == expected
    assert sorted(path.suffix for path in cache.iterdir()) == [".jsonl", ".npz"]
    [copy] = cache.glob("*.jsonl")
    assert len(copy.read_text().splitlines()) == 5
    copy.unlink()
    assert tuple(on_disk(monkeypatch, paths)) == expected


def test_the_second_time_no_row_is_parsed_to_open(
    row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(row("a"), row("b"))
    on_disk(monkeypatch, path)
    with monkeypatch.context() as patch:
        patch.setattr(large, "parsed_rows", lambda *_: pytest.fail("checked again"))
        assert len(on_disk(monkeypatch, path)) == 2


def test_a_changed_file_is_checked_anew_and_its_old_index_goes(
    row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(row("a"), row("b"))
    groups = on_disk(monkeypatch, path)
    write(row("c"))
    with pytest.raises(RunError, match=r"rows.jsonl: it changed while its groups were read"):
        groups[1]
    assert [group.problem_id for group in on_disk(monkeypatch, path)] == ["c"]
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"PK\x03\x04"])
def test_a_damaged_index_is_made_again(
    row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    path = write(row("a"))
    on_disk(monkeypatch, path)
    [index] = cache.iterdir()
    index.write_bytes(damage)
    assert len(on_disk(monkeypatch, path)) == 1


def test_errors_are_told_and_leave_no_index(
    row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(row("a"), row("a"), "nonsense")
    with pytest.raises(DataError) as error:
        on_disk(monkeypatch, path)
    assert [problem.line for problem in error.value.problems] == [2, 3]
    assert not cache.exists() or list(cache.iterdir()) == []


def test_numbers_are_remembered(row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(row("a"), row("b"))
    groups = on_disk(monkeypatch, path)
    assert [groups.remembered("one", lambda: 7), groups.remembered("two", lambda: 8)] == [7, 8]
    assert on_disk(monkeypatch, path).remembered("one", lambda: pytest.fail("computed again")) == 7
    os.utime(path, (1, 1))
    assert on_disk(monkeypatch, path).remembered("one", lambda: 9) == 9


def test_overlap_goes_through_groups_on_disk(
    row: MakeRow, write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(*[row(f"p{i}", problem=f"Tom has {i} apples and buys {i % 7} more of them.") for i in range(600)])
    dev = load_groups(path)[500:520]
    assert overlap(on_disk(monkeypatch, path), dev) == overlap(load_groups(path), dev)
