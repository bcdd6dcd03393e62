"""Oracle rows from seeds: what is gathered, what the reference decides, and that the rows read back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rm.build.oracles import GIVEN, STATEMENT, Checked, check_all, checked, gathered
from rm.build.seed import Seed
from rm.errors import ConfigError
from rm.uplift.oracle import OracleTest
from rm.uplift.read import load_problems
from rm.uplift.sandbox import Limits, Sandbox
from rm.uplift.verifiers.code import CodeVerifier

SQUARE = Seed(
    "square",
    "Square it.\n>>> f(2)\n4\n>>> f(10)\n100\n",
    "def f(n):\n    return n * n\n",
    task_type="code",
    tests="def check(candidate):\n    assert candidate(2) == 4\n    assert set([candidate(3)]) == {9}\n"
    "    assert candidate(0) == 1\n    assert candidate(1)\n",
    entry_point="f",
)
SUM = Seed(
    "sum",
    "Add up.\n\nExample\nInput:\n1 2\nOutput:\n3\n",
    "print(sum(map(int, input().split())))\n",
    task_type="code",
    tests=[{"input": "4 5", "output": "9"}, {"input": "1 1", "output": "3"}, {"input": "7 8"}],
)


def in_sandbox(work: Callable[[Sandbox], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        sandbox = Sandbox(Limits(cpu_seconds=2, wall_seconds=10), workers=2)
        try:
            await sandbox.start()
        except ConfigError:
            sandbox = Sandbox(Limits(cpu_seconds=2, wall_seconds=10), workers=2, unsafe_subprocess=True)
            await sandbox.start()
        try:
            return await work(sandbox)
        finally:
            await sandbox.close()

    return asyncio.run(run())


def check(seed: Seed) -> Checked:
    return in_sandbox(lambda sandbox: checked(seed, sandbox))


def test_tests_of_a_function_are_expressions_and_their_values() -> None:
    oracle, dropped = gathered(SQUARE)
    assert oracle.entry_point == "f"
    assert not dropped
    assert [(test.input, test.output, test.source, test.feedback, test.reward) for test in oracle.tests] == [
        ("f(2)", "4", GIVEN, True, True),
        ("set([f(3)])", "{9}", GIVEN, False, True),
        ("f(0)", "1", GIVEN, False, True),
        ("bool(f(1))", "True", GIVEN, False, True),
        ("f(10)", "100", STATEMENT, True, False),
    ]


def test_what_the_reference_fails_is_dropped_and_counted() -> None:
    result = check(SQUARE)
    assert [test.input for test in result.oracle.tests] == ["f(2)", "set([f(3)])", "bool(f(1))", "f(10)"]
    assert result.dropped == {"reference: wrong answer": 1}


def test_inputs_without_outputs_get_them_from_the_reference() -> None:
    result = check(SUM)
    assert result.dropped == {"reference: wrong answer": 1}
    assert result.row() == {
        "problem_id": "sum",
        "oracle_source": SUM.solution,
        "tests": [
            {"input": "4 5", "output": "9", "source": GIVEN, "is_feedback_test": False, "is_reward_test": True},
            {"input": "7 8", "output": "15\n", "source": GIVEN, "is_feedback_test": False, "is_reward_test": True},
            {"input": "1 2", "output": "3", "source": STATEMENT, "is_feedback_test": True, "is_reward_test": False},
        ],
    }


def test_examples_count_where_there_is_nothing_else() -> None:
    oracle, _ = gathered(replace(SQUARE, tests=None))
    assert all(test.feedback and test.reward for test in oracle.tests)
    result = check(replace(SUM, tests=[{"input": "1 1", "output": "3"}]))  # the only given test is wrong
    assert result.oracle.tests == (OracleTest("1 2", "3", STATEMENT, True, True),)


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (replace(SQUARE, solution=""), "seed: no reference program"),
        (Seed("a", "Do it.", "print(1)", task_type="code"), "seed: no tests and no examples"),
        (replace(SUM, problem="Add up.", tests="assert ("), "given: tests that cannot be read"),
        (replace(SUM, problem="Add up.", tests=[{"input": 3}]), "given: not an input"),
        (replace(SQUARE, solution="def f(n):\n    return n *"), "seed: no test is left"),
        (replace(SQUARE, problem="Square it.", tests="for i in range(3):\n    assert f(i) == i * i"), "apart"),
        (replace(SUM, problem="Add up.", tests=[{"input": "x"}]), "does not end well"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_seeds_without_an_oracle_say_why(seed: Seed, reason: str) -> None:
    result = check(seed)
    assert result.oracle is None
    assert any(reason in each for each in result.dropped)


def test_one_test_that_spoils_all_is_dropped_alone() -> None:
    tests = "assert f(2) == 4\nassert f(3) == undefined_name\nassert f(4) == 16"
    result = check(replace(SQUARE, problem="Square it.", tests=tests))
    assert [test.input for test in result.oracle.tests] == ["f(2)", "f(4)"]


def test_rows_are_read_with_their_problems_and_judge_programs(tmp_path: Path) -> None:
    async def work(sandbox: Sandbox) -> list[dict[str, Any]]:
        return [each.row() async for each in check_all([SQUARE, SUM], sandbox)]

    rows = in_sandbox(work)
    problems = [
        {
            "problem_id": seed.problem_id,
            "problem": seed.problem,
            "task_type": "code",
            "reference_solution": seed.solution,
        }
        for seed in (SQUARE, SUM)
    ]
    for name, content in (("problems", problems), ("oracles", rows)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    square, total = load_problems([tmp_path / "problems.jsonl", tmp_path / "oracles.jsonl"])
    assert square.asserts == "assert (f(2)) == (4)\nassert (set([f(3)])) == ({9})\nassert (bool(f(1))) == (True)"
    assert (square.entry_point, square.io_tests) == ("f", ())
    assert [test.input for test in total.io_tests] == ["4 5", "7 8"]

    async def verdicts(sandbox: Sandbox) -> list[str]:
        verifier = CodeVerifier(sandbox)
        programs = [(SQUARE.solution, square), ("def f(n):\n    return n + n", square), (SUM.solution, total)]
        return [(await verifier.verify(*each)).outcome for each in programs]

    assert in_sandbox(verdicts) == ["passed", "failed", "passed"]
