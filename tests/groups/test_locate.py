"""What names stand for: files, folders, paths inside repositories of a hub on loopback; tables as they come."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, Features, Json, List, Value
from datasets.utils.logging import disable_progress_bar

from rm.errors import ConfigError, MissingExtra, Problem, RunError
from rm.groups import load_groups
from rm.groups.locate import locate
from rm.groups.rows import read_rows
from rm.sources import HubUnreachable, dataset_repository, hub_reachable

disable_progress_bar()

MakeRow = Callable[..., dict[str, Any]]
MIXED = {"metadata": {"a": "text", "b": [1, "x", {"c": None}]}}
"""What Arrow has no type for, next to a group whose `metadata.a` is a number."""


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def read(name: object) -> tuple[list[Any], list[Problem]]:
    problems: list[Problem] = []
    return [row.value for row in read_rows(str(name), problems.append)], problems


@pytest.fixture
def rows(row: MakeRow) -> list[dict[str, Any]]:
    return [row("a", metadata={"a": 1}), row("b", **MIXED), row("c")]


@pytest.fixture
def saved(rows: list[dict[str, Any]]) -> Dataset:
    keys = ("positive_pool", "negative_bank")
    texts = {key: Value("string") for key in rows[0] if key not in (*keys, "metadata")}
    features = Features({**texts, **{key: List(Json()) for key in keys}, "metadata": Json()})
    return Dataset.from_list([{"metadata": None, **row} for row in rows], features=features)


def test_parquet_and_saved_datasets_hold_what_was_written(
    saved: Dataset, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    saved.to_parquet(tmp_path / "groups.parquet")
    saved.save_to_disk(tmp_path / "folder", num_shards=2)
    (tmp_path / "folder" / "cache-1.arrow").write_bytes(b"of a map, beside it")
    for place in (tmp_path / "groups.parquet", tmp_path / "folder"):
        assert read(place) == (rows, [])
        assert [group.raw for group in load_groups(place)] == rows
    assert load_groups(tmp_path / "groups.parquet")[1].line == 2


def test_nulls_that_arrow_fills_in_and_json_in_text_columns(row: MakeRow, tmp_path: Path) -> None:
    """Structs get the keys of all rows; a table made by hand may hold pools as text."""
    first, second = row("a", reference_solution=None), row("b")
    del second["negative_bank"][0]["rubric"], first["reference_solution"]
    first["positive_pool"] = json.dumps(first["positive_pool"])
    second["positive_pool"] = json.dumps(second["positive_pool"])
    made = datetime.date(2026, 1, 2)
    table = pa.Table.from_pylist([{"made": made, **first}, second])
    nulls = pa.array(["null", None]).cast(pa.json_(pa.string()))  # datasets 4.7 writes the first for a null
    pq.write_table(table.append_column("metadata", nulls), tmp_path / "x.parquet")
    pools = [json.loads(each["positive_pool"]) for each in (first, second)]
    assert read(tmp_path / "x.parquet")[0] == [
        {"made": "2026-01-02", **first, "positive_pool": pools[0]},
        {key: value for key, value in second.items() if key != "reference_solution"} | {"positive_pool": pools[1]},
    ]


def test_a_damaged_table_and_an_empty_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing else")
    pq.write_table(pa.table({"problem_id": pa.array([], pa.string())}), tmp_path / "y.parquet")
    (tmp_path / "z.arrow").write_bytes(b"nonsense")
    expected = ["a whole .parquet file", "at least one group", "a whole .arrow file", "a file of groups"]
    names = ("x.parquet", "y.parquet", "z.arrow", "absent.parquet")
    assert [read(tmp_path / name)[1][0].expected for name in names] == expected


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"Reading x.parquet needs the package pyarrow.*tracelift-rm\[data\]"):
        read(tmp_path / "x.parquet")


def test_a_folder_stands_for_its_data_files_of_the_first_kind(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a/1.jsonl", "a/1.parquet", "stats.json", ".hidden/3.jsonl", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = locate(tmp_path, pytest.fail)
    assert [file.name for file in found] == [str(tmp_path / "a/1.jsonl"), str(tmp_path / "b/2.jsonl")]


def test_a_folder_of_training_and_evaluation_files_is_refused(saved: Dataset, tmp_path: Path) -> None:
    DatasetDict(train=saved, dev=saved).save_to_disk(tmp_path / "sets")
    problems: list[Problem] = []
    assert locate(tmp_path / "sets", problems.append) == []
    assert "train/data-00000-of-00001.arrow, dev/data-00000-of-00001.arrow" in problems[0].found
    assert len(read(tmp_path / "sets" / "dev")[0]) == 3


def test_a_file_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr("rm.sources.hub_reachable", lambda: pytest.fail("asked the hub"))
    for name in ("data/groups.jsonl", "other/groups.jsonl", "data/groups", "word", "/absent/x", "a/b/c"):
        assert [problem.found for problem in read(name)[1]] == ["no such file"]


@pytest.fixture
def released(reachable_hub: Any, rows: list[dict[str, Any]], saved: Dataset, tmp_path: Path) -> Any:
    """A repository that is nested and mixes kinds of file, as the official one does."""
    saved.save_to_disk(tmp_path / "saved")
    arrow = {f"saved/{path.name}": path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    reachable_hub.files["datasets/org/groups"] = {
        "README.md": b"# Groups",
        "math/train.jsonl": lines(*rows[:2]),
        "math/dev.jsonl": lines(rows[2]),
        "math/stats.json": b'{"groups": 3}',
        "math/raw/part-1.jsonl": lines({"raw_reason": "x"}),
        "code/train.json": json.dumps(rows).encode(),
        "all/train-00000-of-00002.jsonl": lines(rows[0]),
        "all/train-00001-of-00002.jsonl": lines(rows[1]),
        **arrow,
    }
    return reachable_hub


def test_a_path_inside_a_repository(released: Any, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    groups = load_groups("org/groups:math/train.jsonl")
    assert [(group.raw, group.file, group.line) for group in groups] == [
        (rows[0], "org/groups:math/train.jsonl", 1),
        (rows[1], "org/groups:math/train.jsonl", 2),
    ]
    downloaded = [path for method, path in released.asked if method == "GET" and "/resolve/" in path]
    assert [path.rpartition("/resolve/")[2].partition("/")[2] for path in downloaded] == ["math/train.jsonl"]
    assert read("org/groups:code") == (rows, [])
    assert read("org/groups:saved") == (rows, [])
    assert read("org/groups@main:all/") == (rows[:2], [])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("org/groups:math", "both training and evaluation files (math/train.jsonl, math/dev.jsonl)"),
        ("org/groups", "both training and evaluation files (all/train-00000-of-00002.jsonl, math/dev.jsonl)"),
        ("org/groups:maths", "no such path; there are all/train-00000-of-00002.jsonl, all/"),
        ("org/groups:README.md", "no JSON (Expecting value"),
    ],
)
def test_what_is_not_settled_is_told(released: Any, name: str, found: str) -> None:
    rows, problems = read(name)
    assert rows == []
    assert found in problems[0].found
    assert problems[0].file == name


def test_a_repository_that_is_not_there_or_fails(reachable_hub: Any) -> None:
    with pytest.raises(ConfigError, match="org/absent: no such repository on the hub, or a private one"):
        read("org/absent:x.jsonl")
    reachable_hub.files["datasets/org/groups"] = {}
    with pytest.raises(ConfigError, match="has no such revision"):
        read("org/groups@other:x.jsonl")
    reachable_hub.refuses = 403
    with pytest.raises(RunError, match="could not be read from the hub"):
        read("org/third:x.jsonl")


def test_without_a_network_the_cache_counts_and_nobody_waits(released: Any, rows: list[dict[str, Any]]) -> None:
    assert len(read("org/groups:math/train.jsonl")[0]) == 2
    released.close()
    for cached in (hub_reachable, dataset_repository):
        cached.cache_clear()
    assert read("org/groups:math/train.jsonl") == (rows[:2], [])
    asked = len(released.asked)
    with pytest.raises(HubUnreachable, match="org/other: neither a file here nor in the local cache"):
        read("org/other:x.jsonl")
    assert len(released.asked) == asked
    assert "no such path" in read("org/groups:math/dev.jsonl")[1][0].found
