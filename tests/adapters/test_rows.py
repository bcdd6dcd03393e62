"""Trainers' data become problem rows, and nothing that JSON cannot hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rm.adapters.rows import plain, problem_row, rows_of_columns, text_of
from rm.errors import ConfigError


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("as it is", "as it is"),
        ([{"role": "assistant", "content": "said"}], "said"),
        ([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}], "b"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
        ([{"role": "assistant", "content": None}], ""),
        ([], ""),
    ],
)
def test_texts_and_messages_are_texts(message, text):
    assert text_of(message) == text


def test_what_is_neither_is_refused():
    with pytest.raises(ConfigError, match="found int"):
        text_of(3)


def test_columns_become_rows():
    rows = rows_of_columns(
        {"problem": ["1 + 1?", "2 + 2?"], "reference_solution": ["2", None], "trainer": object()}, ["a", "b"]
    )
    assert rows == [
        {"problem": "1 + 1?", "reference_solution": "2", "completion": "a"},
        {"problem": "2 + 2?", "completion": "b"},
    ]


def test_a_dataset_without_problems_is_told_what_is_missing():
    with pytest.raises(ConfigError, match=r"no column `problem`.*found question"):
        rows_of_columns({"question": ["1 + 1?"]}, ["2"])
    assert rows_of_columns({}, []) == []


def test_what_comes_out_of_a_parquet_file_becomes_plain():
    row = problem_row(
        {
            "problem": "1 + 1?",
            "level": np.int64(3),
            "tests": np.array([{"input": "1", "output": np.str_("2")}], dtype=object),
            "missing": None,
            "nan": float("nan"),
            "image": object(),
        }
    )
    assert row == {"problem": "1 + 1?", "level": 3, "tests": [{"input": "1", "output": "2"}]}
    assert json.loads(json.dumps(row)) == row


def test_numbers_keep_their_types():
    assert [type(plain(each)) for each in (True, 1, 1.5, np.float32(0.5), np.bool_(True))] == [
        bool,
        int,
        float,
        float,
        bool,
    ]
