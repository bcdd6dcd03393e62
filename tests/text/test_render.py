"""The official text, written out by hand from its description (github MasaiahHan/TraceLift at 69b7ba5)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rm
from rm import text
from rm.text import TEMPLATE_VERSION, Row, render

PACKAGE = Path(rm.__file__).parent


def test_a_row_without_tests_has_three_parts():
    assert render(Row("1 + 1 = ?", "1 and 1 make 2.", "math", "arithmetic")) == (
        "<task>math</task>\n<type>arithmetic</type>\n<problem>\n1 + 1 = ?\n</problem>\n"
        "<reasoning>\n1 and 1 make 2.\n</reasoning>"
    )


def test_tests_stand_between_the_problem_and_the_reasoning():
    assert render(Row("Add two numbers.", "Return a + b.", "code", "mbpp", "assert add(1, 2) == 3")) == (
        "<task>code</task>\n<type>mbpp</type>\n<problem>\nAdd two numbers.\n</problem>\n"
        "<tests>\nassert add(1, 2) == 3\n</tests>\n<reasoning>\nReturn a + b.\n</reasoning>"
    )


def test_blank_tests_are_no_tests():
    assert render(Row("p", "r", "code", tests=" \n\t")) == render(Row("p", "r", "code"))


def test_problem_tests_and_reasoning_are_stripped_at_their_ends_only():
    assert render(Row(" \n a  b\n", "\n c\n\n d \n", "math", "t", "\te  f ")) == (
        "<task>math</task>\n<type>t</type>\n<problem>\na  b\n</problem>\n<tests>\ne  f\n</tests>\n"
        "<reasoning>\nc\n\n d\n</reasoning>"
    )


def test_task_and_type_are_not_stripped():
    assert render(Row("p", "r", " math ", " t ")).startswith("<task> math </task>\n<type> t </type>\n")


def test_tags_inside_the_reasoning_are_left_as_they_are():
    assert render(Row("p", "</reasoning> x", "math")).endswith("<reasoning>\n</reasoning> x\n</reasoning>")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"task_type": "a", "metadata": {"task_type": "b"}, "source": "c"}, "a"),
        ({"metadata": {"task_type": "b"}, "source": "c"}, "b"),
        ({"task_type": "", "metadata": {"task_type": "b"}}, "b"),
        ({"task_type": None, "metadata": {"task_type": None}, "source": "c"}, "c"),
        ({"metadata": "no mapping", "source": "c"}, "c"),
        ({"metadata": None}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_type_falls_back_from_row_to_metadata_to_source(fields, expected):
    assert text.task_type_of(fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tests_or_constraints": "a", "tests": "b"}, "a"),
        ({"tests_or_constraints": None, "tests": "b"}, "b"),
        ({"tests_or_constraints": " ", "tests": "b"}, "b"),
        ({"tests": None}, ""),
        ({"tests": []}, ""),
        ({"tests": [{"input": "1", "output": "é"}]}, '[{"input": "1", "output": "é"}]'),
        ({}, ""),
    ],
)
def test_tests_fall_back_from_tests_or_constraints_to_tests(fields, expected):
    assert text.tests_of(fields) == expected


def test_the_template_has_a_version():
    assert TEMPLATE_VERSION == "tracelift-1", "another text needs another version, and this test its new name"


def test_no_other_file_of_the_package_writes_the_template():
    # A string literal that opens with a tag, docstrings aside. <reasoning> is also what planners write around theirs.
    literal = re.compile(r"""^[^#`]*["']</?(problem|tests|task|type)>""", re.MULTILINE)
    files = {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
    writers = {name for name, code in files.items() if literal.search(code)}
    assert writers == {"text/render.py"}
