"""Files to JSON rows: encodings, syntax, sizes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rm.errors import Problem
from rm.groups.rows import read_rows, surrogate_problem


def rows_of(path: Path, **options: Any) -> tuple[list[tuple[int, Any]], list[Problem]]:
    problems: list[Problem] = []
    rows = [(row.line, row.value) for row in read_rows(path, problems.append, **options)]
    return rows, problems


def file_of(tmp_path: Path, content: bytes, name: str = "rows.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_json_lines_with_blank_lines_and_any_line_end(tmp_path: Path) -> None:
    path = file_of(tmp_path, b'{"a": 1}\r\n\n  \n{"a": 2}')
    assert rows_of(path) == ([(1, {"a": 1}), (4, {"a": 2})], [])


def test_line_separator_inside_a_string_does_not_end_the_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, '{"a": "x\u2028y"}\n'.encode())
    assert rows_of(path) == ([(1, {"a": "x\u2028y"})], [])


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("content", [b'{"a": 1}\n{"a": 2}\n', b'[{"a": 1}, {"a": 2}]', b'\n [ {"a": 1},{"a": 2} ]\n'])
def test_array_and_lines_hold_the_same(tmp_path: Path, bom: bytes, content: bytes) -> None:
    rows, problems = rows_of(file_of(tmp_path, bom + content))
    assert [value for _, value in rows] == [{"a": 1}, {"a": 2}]
    assert problems == []


def test_array_elements_know_their_lines(tmp_path: Path) -> None:
    path = file_of(tmp_path, b'\n[\n  {"a": 1},\n  {\n   "a": 2\n  },\n  {"a": 3}\n]\n')
    rows, problems = rows_of(path)
    assert [line for line, _ in rows] == [3, 4, 7]
    assert problems == []


def test_gzip(tmp_path: Path) -> None:
    path = file_of(tmp_path, gzip.compress(b'{"a": 1}\n'), "rows.jsonl.gz")
    assert rows_of(path) == ([(1, {"a": 1})], [])


@pytest.mark.parametrize("damage", [lambda whole: whole[:-12], lambda whole: b'{"a": 1}\n'])
def test_damaged_gzip_is_a_problem(tmp_path: Path, damage: Any) -> None:
    content = damage(gzip.compress(b'{"a": 1}\n' * 1000))
    _, problems = rows_of(file_of(tmp_path, content, "rows.jsonl.gz"))
    assert [problem.expected for problem in problems] == ["a whole gzip file"]


@pytest.mark.parametrize("content", [b"", b"\n \n\n", b"\xef\xbb\xbf", b"[]", b" [ \n ] \n"])
def test_empty_file(tmp_path: Path, content: bytes) -> None:
    rows, problems = rows_of(file_of(tmp_path, content))
    assert rows == []
    assert [problem.expected for problem in problems] == ["at least one group"]


def test_missing_path_and_directory(tmp_path: Path) -> None:
    assert [p.found for p in rows_of(tmp_path / "absent.jsonl")[1]] == ["no such file"]
    assert [p.found for p in rows_of(tmp_path)[1]] == ["no data at all"]


def test_mixed_encoding_names_each_bad_line_and_keeps_the_good_ones(tmp_path: Path) -> None:
    latin = '{"a": "caf\u00e9"}\n'.encode("latin-1")
    rows, problems = rows_of(file_of(tmp_path, b'{"a": 1}\n' + latin + '{"a": "caf\u00e9"}\n'.encode() + latin))
    assert [line for line, _ in rows] == [1, 3]
    assert [(p.line, p.expected, p.found) for p in problems] == [
        (2, "UTF-8", "byte 0xe9 at byte 11 of the line"),
        (4, "UTF-8", "byte 0xe9 at byte 11 of the line"),
    ]


def test_bad_byte_in_an_array_is_found_on_its_line(tmp_path: Path) -> None:
    _, problems = rows_of(file_of(tmp_path, b'[\n{"a": 1},\n{"a": "\xff"}\n]'))
    assert [(p.line, p.expected) for p in problems] == [(3, "UTF-8")]


OBJECT = {"problem": "x", "tests": [1, {"y": "z"}], "metadata": {}}
SEVERAL = "".join(json.dumps({**OBJECT, "a": i}) + "\n" for i in range(3))


@pytest.mark.parametrize(
    ("content", "found", "fix"),
    [
        (SEVERAL.encode("utf-16"), "UTF-16", "UTF-8"),
        (SEVERAL.encode("utf-16-le"), "UTF-16", "UTF-8"),
        (SEVERAL.encode("utf-16-be"), "UTF-16", "UTF-8"),
        (json.dumps([OBJECT], indent=1).encode("utf-16"), "UTF-16", "UTF-8"),
        (json.dumps(OBJECT, indent=2).encode(), "spread over several lines", "jq -c"),
        (b"\xef\xbb\xbf\n" + json.dumps(OBJECT, indent=2).encode() * 2, "spread over several lines", "jq -c"),
        (b'{"data": [{"a": 1}, {"a": 2}], "version": 1}', "the rows under 'data'", """jq -c '.["data"][]' FILE"""),
        (b'{\n"tests": [\n{"a": 1}\n]\n}', "spread over several lines", "jq -c"),
        (b'{"problem": "x",\n "tests": [\n 1,\n2\n]}', "spread over several lines", "jq -c"),
        (b"problem,reasoning\n1,2\n3,4\n", "CSV", "JSON object"),
        (b'"problem text"\tscore\n1\t2\n', "CSV", "JSON object"),
        (gzip.compress(SEVERAL.encode()), "gzip", ".gz"),
        (b"PK\x03\x04rest\nof it", "zip", "Unpack"),
        (b"PAR1\x15\x04\n\x00\n", "Parquet", ".parquet"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\n\xff", "binary", "text"),
        (bytes(range(256)), "binary", "text"),
        (b"{'a': 1}\n{'a': 2}\n", "any of 2 lines (the first: no JSON (Expecting property name", "one object a line"),
        ('{"a": "\u00e9"}\n'.encode("latin-1") * 3, "text in another encoding", "UTF-8"),
        (b'{"a": "\x01"}\n' * 2, "any of 2 lines (the first: no JSON (Invalid control character", "one object a line"),
        (b"1\n2\n3\n", "any of 3 lines (the first: JSON, but no object", "one object a line"),
        (b"# Title\n\nSome text.\n", "any of 2 lines", "one object a line"),
    ],
)
def test_a_file_of_another_kind_is_one_problem(tmp_path: Path, content: bytes, found: str, fix: str) -> None:
    rows, problems = rows_of(file_of(tmp_path, content))
    assert rows == []
    assert [problem.line for problem in problems] == [0]
    assert found in problems[0].found
    assert fix in problems[0].fix


def test_a_single_bad_line_is_told_as_one(tmp_path: Path) -> None:
    _, problems = rows_of(file_of(tmp_path, b'{"a": 1'))
    assert [(p.line, p.expected) for p in problems] == [(1, "one JSON object a line")]


def test_bad_lines_before_the_first_good_one_are_each_told(tmp_path: Path) -> None:
    path = file_of(tmp_path, b'a,b\n{"a": 1,\n3\n{"a": 2}\nc\n')
    rows, problems = rows_of(path)
    assert rows == [(3, 3), (4, {"a": 2})]
    assert [problem.line for problem in problems] == [1, 2, 5]


@pytest.mark.parametrize("value", ["a\ud83d", ["x", {"y": "\ude00"}], {"\ud800": 1}, [[["\udfff"]]]])
def test_a_lone_surrogate_is_found_wherever_it_is(value: Any) -> None:
    problem = surrogate_problem("f", 3, "field", value)
    assert problem is not None
    assert str(problem).startswith("f:3: field = text with a lone surrogate '\\ud")


@pytest.mark.parametrize("value", ["\U0001f600", {"a": ["b", None, 1.5]}, None, 3, "\uffff"])
def test_text_that_utf_8_can_hold_is_no_problem(value: Any) -> None:
    assert json.dumps(value, ensure_ascii=False).encode()
    assert surrogate_problem("f", 3, "field", value) is None


def test_malformed_lines_are_each_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = file_of(tmp_path, b'{"a": 1\n{"a": 2}\nnonsense\n{"a": "\x00"}\n')
    rows, problems = rows_of(path)
    assert rows == [(2, {"a": 2})]
    assert [problem.line for problem in problems] == [1, 3, 4]
    assert "NUL" in problems[2].fix


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b'[{"a": 1}\n{"a": 2}]', 2, "Expecting ',' or ']'"),
        (b'[{"a": 1},', 1, "Expecting value"),
        (b'[{"a": 1},\n\n]', 3, "Expecting value"),
        (b'[{"a": 1}]\n{"a": 2}', 2, "Extra data after the array"),
        (b'[\n{"a":\n oops}]', 3, "Expecting value"),
    ],
)
def test_malformed_array_is_told_with_its_line(tmp_path: Path, content: bytes, line: int, found: str) -> None:
    _, problems = rows_of(file_of(tmp_path, content))
    assert [problem.line for problem in problems] == [line]
    assert found in problems[0].found


def test_a_line_over_the_limit_is_skipped_whole(tmp_path: Path) -> None:
    long = json.dumps({"a": "x" * 1000}).encode()
    path = file_of(tmp_path, b'{"a": 1}\n' + long + b'\n{"a": 2}\n' + long)
    rows, problems = rows_of(path, max_line_bytes=100)
    assert rows == [(1, {"a": 1}), (3, {"a": 2})]
    assert [problem.line for problem in problems] == [2, 4]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a": ' + b"9" * 10_000 + b"}"])
def test_hostile_json_is_a_problem_not_a_crash(tmp_path: Path, content: bytes) -> None:
    rows, problems = rows_of(file_of(tmp_path, content + b"\n"))
    assert rows == []
    assert len(problems) == 1
