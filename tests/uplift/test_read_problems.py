"""Rows of every form to problems; the tests in statements; oracles; the plans in reference solutions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rm.errors import ConfigError, DataError
from rm.lab import SAMPLE_DEV
from rm.uplift.oracle import Oracle, OracleTest, io_tests, parse_oracle, with_outputs
from rm.uplift.problems import IOTest, Problem, Trace
from rm.uplift.read import guessed_task, load_problems, parse_problem
from rm.uplift.verifiers.statement import assert_examples, io_examples

MATH = {"problem_id": "m", "problem": "2 + 3?", "task_type": "math", "reference_solution": "5"}
ASSERTS = {"problem_id": "a", "problem": "Square.", "tests": "assert f(2) == 4", "entry_point": "f"}
IO = {"problem_id": "i", "problem": "Add.", "task_type": "code", "tests": [{"input": "1 2", "output": "3"}]}
GSM8K = {"question": "How many?", "answer": "He has 2+3 = <<2+3=5>>5 apples.\n#### 5"}
GROUP = {
    "problem_id": "g",
    "source": "s",
    "task_type": "math",
    "problem": "2 + 3?",
    "reference_solution": "5",
    "positive_pool": [{"reasoning": "Add them.", "rubric": {"total": 1.0}}],
    "negative_bank": [{"reasoning": "Subtract them.", "negative_kind": "wrong_operation"}],
}
ORACLE = {
    "problem_id": "i",
    "oracle_source": "print(1)",
    "tests": [
        {"input": "1", "output": "one", "is_feedback_test": True, "is_reward_test": False},
        {"input": "2", "output": "two", "is_feedback_test": False, "is_reward_test": True},
    ],
}


def read(path: Path, *rows: Mapping[str, Any], **options: Any) -> tuple[Problem, ...]:
    file = path / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return load_problems(file, **options)


def test_every_form_of_row_in_one_file(tmp_path: Path) -> None:
    math, asserts, io, gsm8k, group = read(tmp_path, MATH, ASSERTS, IO, GSM8K, GROUP)
    assert (math.task, math.answer, math.line) == ("math", "5", 1)
    assert (asserts.task, asserts.asserts, asserts.entry_point) == ("code", "assert f(2) == 4", "f")
    assert (io.task, io.io_tests) == ("code", (IOTest("1 2", "3"),))
    assert (gsm8k.problem_id, gsm8k.problem, gsm8k.task) == ("rows:4", "How many?", "math")
    assert gsm8k.answer == gsm8k.reference_solution == GSM8K["answer"]
    assert group.traces == (Trace("Add them.", "positive", None, 1.0), Trace("Subtract them.", "wrong_operation"))
    assert group.raw == GROUP


@pytest.mark.parametrize(
    ("extra", "task"),
    [
        ({"task_type": "math"}, "math"),
        ({"task_type": "competition_math", "tests": "assert f(1)"}, "math"),
        ({"task_type": "code_generation"}, "code"),
        ({"task_type": None, "metadata": {"task_type": "python"}}, "code"),
        ({"task_type": "other"}, "code"),
        ({"task_type": None, "tests": None, "entry_point": None}, "math"),
    ],
)
def test_the_task(tmp_path: Path, extra: dict[str, Any], task: str) -> None:
    row = {**ASSERTS, "reference_solution": "5", **extra}
    assert read(tmp_path, row)[0].task == task


@pytest.mark.parametrize(
    "tests",
    [
        [{"input": "1", "output": "2"}, {"input": "3", "output": "4"}],
        json.dumps([{"input": "1", "output": "2"}, {"input": "3", "output": "4"}]),
        {"inputs": ["1", "3"], "outputs": ["2", "4"]},
        [{"input": ["1"], "output": 2}, {"input": 3, "output": ["4"]}],
    ],
)
def test_forms_of_tests_on_stdin(tmp_path: Path, tests: Any) -> None:
    assert read(tmp_path, {**IO, "tests": tests})[0].io_tests == (IOTest("1", "2"), IOTest("3", "4"))


def test_asserts_may_be_a_list(tmp_path: Path) -> None:
    row = {**ASSERTS, "tests": ["assert f(1) == 1", "assert f(2) == 4"]}
    assert read(tmp_path, row)[0].asserts == "assert f(1) == 1\nassert f(2) == 4"


def test_a_row_without_tests_takes_the_examples_of_its_statement(tmp_path: Path) -> None:
    statement = "Add.\nInput:\n1 2\nOutput:\n3\n"
    assert read(tmp_path, {**IO, "problem": statement, "tests": None})[0].io_tests == (IOTest("1 2", "3"),)


def test_traces_of_a_problem_row(tmp_path: Path) -> None:
    traces = ["Think.", {"reasoning": "Guess.", "kind": "guess", "rm_score": 0.25, "total": 0}]
    expected = (Trace("Think."), Trace("Guess.", "guess", 0.25, 0.0))
    row = {**MATH, "traces": traces}
    assert read(tmp_path, row)[0].traces == expected
    assert read(tmp_path, row, traces="none")[0].traces == ()


def test_reference_traces(tmp_path: Path) -> None:
    code = {
        **ASSERTS,
        "problem": 'def f(x):\n    """Square it."""',
        "reference_solution": "def f(x):\n    return x * x",
    }
    remarks = {
        **code,
        "problem_id": "r",
        "reference_solution": 'def f(x):\n    """Square it."""\n    # multiply\n    return x * x',
    }
    problems = read(tmp_path, MATH, GSM8K, GROUP, code, remarks, traces="reference")
    assert [[trace.reasoning for trace in problem.traces] for problem in problems] == [
        [],
        ["He has 2+3 = 5 apples."],
        ["Add them."],
        [],
        ["multiply"],
    ]
    assert {trace.kind for problem in problems for trace in problem.traces} == {"reference"}


def test_oracles_bring_their_reward_tests(tmp_path: Path) -> None:
    bare = {"problem_id": "i", "problem": "Add.", "task_type": "code"}
    for rows in ([bare, ORACLE], [ORACLE, bare], [{**bare, **ORACLE}]):
        (problem,) = read(tmp_path, *rows)
        assert problem.io_tests == (IOTest("2", "two"),)


def test_the_limit_keeps_the_first(tmp_path: Path) -> None:
    assert [each.problem_id for each in read(tmp_path, MATH, ASSERTS, IO, limit=2)] == ["m", "a"]


MISTAKES = [
    ({**MATH, "reference_solution": ""}, "reference_solution = ''", "a reference answer"),
    ({**MATH, "reference_solution": "Some prose\nover lines 5"}, "reference_solution", "a reference answer"),
    ({"question": "How many?"}, "reference_solution = missing", "a reference answer"),
    ({**IO, "tests": []}, "tests = missing", "assertions, or a list"),
    ({**IO, "tests": "1 <= n <= 10"}, "tests = '1 <= n <= 10'", "assertions, or a list"),
    ({**IO, "tests": [{"input": "1"}]}, "tests[0].output = missing", "text"),
    ({**IO, "tests": {"inputs": ["1"], "outputs": []}}, "tests", "as many of each"),
    ({**IO, "tests": [1]}, "tests[0] = 1", "an object with"),
    ({**ASSERTS, "tests": "assert f(1 =="}, "tests = no Python", "Python assertions"),
    ({**ASSERTS, "tests": "def check(c):\n    assert c(1)", "entry_point": ""}, "entry_point = missing", "the name"),
    ({**MATH, "problem": " "}, "problem = ' '", "text that is not blank"),
    ({"problem": "2 + 3?", "reference_solution": "5"}, "problem_id = missing", "a text or a whole number"),
    ({**MATH, "traces": "Think."}, "traces = 'Think.'", "a list of texts"),
    ({**MATH, "traces": [""]}, "traces[0].reasoning", "text that is not blank"),
    ({**MATH, "traces": [{"reasoning": "x", "total": 2}]}, "traces[0].total = 2", "a number from 0 to 1"),
    ({**GROUP, "positive_pool": []}, "positive_pool = []", "a list of at least one trace"),
    ({**MATH, "problem": "\ud800"}, "surrogate", "UTF-8"),
    (ORACLE, "no problem i in the files", "the id of a problem"),
    ({**IO, **ORACLE, "oracle_source": ""}, "oracle_source = ''", "a program"),
    ({**IO, **ORACLE, "tests": [{"input": "1"}]}, "tests[0].output = missing", "text"),
    ({**IO, **ORACLE, "tests": ORACLE["tests"][:1]}, "none with is_reward_test", "at least one reward test"),
    ([1, 2], "[1, 2]", "a JSON object"),
]


@pytest.mark.parametrize(("row", "found", "expected"), MISTAKES)
def test_mistakes_name_line_field_and_what_was_expected(tmp_path: Path, row: Any, found: str, expected: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, {**MATH, "problem_id": "first"}, row)
    assert len(error.value.problems) == 1
    assert "rows.jsonl:2: " in str(error.value)
    assert found in str(error.value)
    assert expected in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    rows = [MATH, {**MATH, "reference_solution": ""}, {**GROUP, "problem_id": "m"}, {**IO, "tests": []}, IO, {**IO}]
    with pytest.raises(DataError) as error:
        read(tmp_path, *rows)
    assert [(each.line, each.field) for each in error.value.problems] == [
        (2, "problem_id"),
        (2, "reference_solution"),
        (3, "problem_id"),
        (4, "tests"),
        (5, "problem_id"),
        (6, "problem_id"),
    ]


def test_a_missing_id_hides_no_other_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(
            tmp_path,
            {"problem": " ", "reference_solution": "a\nb", "traces": [3]},
            {**ORACLE, "problem_id": None, "tests": 1},
        )
    assert {(each.line, each.field) for each in error.value.problems} >= {
        *((1, field) for field in ("problem_id", "problem", "reference_solution", "traces[0].reasoning")),
        *((2, field) for field in ("problem_id", "tests")),
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"task_type": "math/geometry"}, ""),
        ({"task_type": None, "source": "physics"}, ""),
        ({"task_type": "maht"}, "task_type = 'maht' names neither math nor code: taken as math"),
        ({"task_type": None, "metadata": {"task_type": "logic"}}, "task_type = 'logic' names neither"),
        ({"task_type": "cdoe", "tests": "assert f(1)"}, "taken as code"),
    ],
)
def test_a_type_that_names_no_task_is_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    [problem] = read(tmp_path, {**MATH, **change})
    assert told in guessed_task(problem)
    assert bool(guessed_task(problem)) == bool(told)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match="at least one problem") as error:
        load_problems([tmp_path / "empty.jsonl", tmp_path / "absent.jsonl"])
    assert len(error.value.problems) == 2


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="own, reference, none"):
        read(tmp_path, MATH, traces="all")
    with pytest.raises(ConfigError, match="limit = 0"):
        read(tmp_path, MATH, limit=0)


def test_the_shipped_groups_are_problems() -> None:
    problems = load_problems(SAMPLE_DEV)
    assert problems
    assert all(problem.task == "math" and problem.answer and problem.traces for problem in problems)


@pytest.mark.parametrize(
    ("statement", "tests"),
    [
        ("Input: 1 2\nOutput: 3", [("1 2", "3")]),
        ("**Examples**\n**Input**\n1 2\n3\n\n**Output**\n6\n\nExplanation: 1 + 2 + 3.", [("1 2\n3", "6")]),
        ("Input\nOne number.\nOutput\nIts square.\n-----Examples-----\nInput\n2\n\nOutput\n4", [("2", "4")]),
        ("Input\nOne number.\n\nOutput\nIts square.", []),
        ("Example 1:\nInput: 1\nOutput: 2\nExample 2:\nInput: 3\nOutput: 4", [("1", "2"), ("3", "4")]),
        ("### Sample Input 1\n```\n5\n```\n### Sample Output 1\n```\n25\n```\nNote: squares.", [("5", "25")]),
        ("Input: 1\nand no output", []),
        ("The input is a number. Output its square.", []),
        ("Output: 3", []),
    ],
)
def test_io_examples(statement: str, tests: list[tuple[str, str]]) -> None:
    assert io_examples(statement) == tuple(IOTest(*test) for test in tests)


@pytest.mark.parametrize(
    ("statement", "asserts"),
    [
        (
            "def f(x):\n    '''\n    >>> f(2)\n    4\n    >>> f('a b')\n    'aa'\n    '''",
            "assert f(2) == 4\nassert f('a b') == 'aa'",
        ),
        ("f(1, 2) == [3]", "assert f(1, 2) == [3]"),
        ("For example:\n`f(3)` is odd\n- f(3) -> True\nf(4) ➞ False.", "assert f(3) == True\nassert f(4) == False"),
        ("assert f(1) == 2", "assert f(1) == 2"),
        ("f('a == b') == 1\nf(1) == 2", "assert f(1) == 2"),
        (">>> g(1)\n2\n>>> f(1)\n>>> f(2)\nprints 3", ""),
        ("f(1) == open('x')", ""),
    ],
)
def test_assert_examples(statement: str, asserts: str) -> None:
    assert assert_examples(statement, "f") == asserts


class Echo:
    """A sandbox whose programs print their input doubled, and crash on `bad`."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def run(self, source: str, stdin: str = "") -> SimpleNamespace:
        return SimpleNamespace(status="exited", exit_code=int(stdin == "bad"), stdout=stdin * 2)


def test_an_oracle_of_a_function_brings_assertions(tmp_path: Path) -> None:
    tests = [
        {"input": "f(1)", "output": "2"},
        {"input": "sorted(f([3]))", "output": "[3]"},
        {"input": "f(5)", "output": "6", "is_reward_test": False},
    ]
    row = {"problem_id": "p", "oracle_source": "def f(n): return n + 1", "entry_point": "f", "tests": tests}
    problem = {"problem_id": "p", "problem": "Add one.", "task_type": "code"}
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(problem)}\n{json.dumps(row)}\n", encoding="utf-8")
    [read] = load_problems(path)
    assert read.asserts == "assert (f(1)) == (2)\nassert (sorted(f([3]))) == ([3])"
    assert (read.entry_point, read.io_tests) == ("f", ())


def test_an_entry_point_that_the_inputs_do_not_call_is_none_of_the_oracle() -> None:
    row = {**ORACLE, "entry_point": "f"}
    oracle = parse_oracle(row, "p", lambda *wrong: pytest.fail(str(wrong)))
    assert oracle.entry_point == ""


def test_running_an_oracle_gives_the_missing_outputs() -> None:
    oracle = Oracle(
        "p", "...", (OracleTest("a"), OracleTest("b", "kept"), OracleTest("c", feedback=True, reward=False))
    )
    filled = asyncio.run(with_outputs(oracle, Echo()))
    assert io_tests(filled) == (IOTest("a", "aa"), IOTest("b", "kept"))
    assert io_tests(filled, "feedback") == (IOTest("c", "cc"),)
    assert len(io_tests(filled, "all")) == 3
    broken = Oracle("p", "...", (OracleTest("bad"), OracleTest("a")), "o.jsonl", 7)
    with pytest.raises(DataError, match=r"o\.jsonl:7: tests\[0\]\.input = exited, exit code 1"):
        asyncio.run(with_outputs(broken, Echo()))


def test_a_row_that_stands_in_no_file():
    row = {"problem": "1 + 1 = ?", "reference_solution": "2", "positive_pool": [], "traces": "none of ours"}
    problem, mistakes = parse_problem(row, "items[3]")
    assert (problem.task, problem.answer, problem.traces, mistakes) == ("math", "2", (), [])
    nothing, mistakes = parse_problem({"problem": "1 + 1 = ?"}, "items[3]")
    assert (nothing, mistakes[0].file, mistakes[0].field) == (None, "items[3]", "reference_solution")
