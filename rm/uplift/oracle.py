"""Oracle rows: a program known to be right, and inputs; running it on them gives the outputs of tests.

A row: `problem_id`, `oracle_source`, `tests: [{"input", "output", "source", "is_feedback_test", "is_reward_test"}]`.
An output may be missing until the oracle is run. A row with an `entry_point` that all inputs call tests a function: an
input is an expression (`f(1, 2)`, `sorted(f([3]))`), an output the expression that it has to equal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rm.errors import DataError, Problem
from rm.groups.parse import shown
from rm.uplift.problems import IOTest
from rm.uplift.verifiers.code import Runner

Use = Literal["reward", "feedback", "all"]
Report = Callable[[str, str, str, str], None]
"""Called with field, expected, found and fix of something wrong in a row."""


@dataclass(frozen=True)
class OracleTest:
    """One input.

    Args:
        input: standard input; of a function, an expression that calls it.
        output: what must be printed, or the expression that the input has to equal; None until the oracle has been
            run.
        source: where the input comes from.
        feedback: whether its outcome may be shown to the planner.
        reward: whether it counts in the reward.
    """

    input: str
    output: str | None = None
    source: str = ""
    feedback: bool = False
    reward: bool = True


@dataclass(frozen=True)
class Oracle:
    """The oracle of one problem, and where it was read; with an entry point, of a function."""

    problem_id: str
    source: str
    tests: tuple[OracleTest, ...]
    file: str = ""
    line: int = 0
    entry_point: str = ""


def chosen(oracle: Oracle, use: Use = "reward") -> tuple[OracleTest, ...]:
    """The tests for one use: those of the reward, those of feedback, or all."""
    return tuple(each for each in oracle.tests if use == "all" or (each.reward if use == "reward" else each.feedback))


def io_tests(oracle: Oracle, use: Use = "reward") -> tuple[IOTest, ...]:
    """The tests for one use that have an output."""
    return tuple(IOTest(each.input, each.output) for each in chosen(oracle, use) if each.output is not None)


def as_asserts(tests: Iterable[OracleTest]) -> str:
    """The tests of a function as assertions, one a line; those without an output are left out."""
    return "\n".join(f"assert ({each.input}) == ({each.output})" for each in tests if each.output is not None)


async def with_outputs(oracle: Oracle, sandbox: Runner) -> Oracle:
    """Runs the oracle on every input that has no output yet: a value that a function returns is written as Python does.

    Raises:
        DataError: it crashes or meets a limit on one of them, or the sandbox cannot run it; with every such input.
    """
    missing = [i for i, test in enumerate(oracle.tests) if test.output is None]
    inputs = [oracle.tests[i].input for i in missing]
    if oracle.entry_point:
        programs = [f"{oracle.source}\n\nprint(ascii({text}))\n" for text in inputs]
        runs = await asyncio.gather(*(sandbox.run(program) for program in programs))
    else:
        runs = await asyncio.gather(*(sandbox.run(oracle.source, text) for text in inputs))
    tests, problems = list(oracle.tests), []
    for i, run in zip(missing, runs, strict=True):
        if run.status == "exited" and run.exit_code == 0:
            tests[i] = replace(tests[i], output=run.stdout)
            continue
        found = f"{run.status}, exit code {run.exit_code}" if run.status == "exited" else run.status
        field = f"tests[{i}].input"
        problems.append(Problem(oracle.file, oracle.line, field, "an input on which oracle_source ends well", found))
    if problems:
        raise DataError(problems)
    return replace(oracle, tests=tuple(tests))


def parse_oracle(row: Mapping[str, Any], problem_id: str, report: Report, file: str = "", line: int = 0) -> Oracle:
    """An oracle row; everything wrong with it is reported."""
    source = row.get("oracle_source")
    if not isinstance(source, str) or not source.strip():
        report("oracle_source", "a program", shown(source), "")
    entries = row.get("tests")
    if not isinstance(entries, list) or not entries:
        report("tests", 'a list of {"input": ...}', shown(entries) if "tests" in row else "missing", "")
        entries = []
    tests = tuple(_test(entry, f"tests[{i}]", report) for i, entry in enumerate(entries))
    entry_point = str(row.get("entry_point") or "").strip()
    function = entry_point if all(calls(entry_point, test.input) for test in tests) else ""
    return Oracle(problem_id, str(source), tests, file, line, function)


def calls(entry_point: str, text: str) -> bool:
    """Whether an input calls the function, as an expression; else it is what a program reads."""
    return bool(entry_point) and re.search(rf"\b{re.escape(entry_point)}\s*\(", text) is not None


def _test(entry: Any, field: str, report: Report) -> OracleTest:
    if not isinstance(entry, dict) or not isinstance(entry.get("input"), str):
        report(field, 'an object with a text "input"', shown(entry), "")
        return OracleTest("")
    output = entry.get("output")
    if not isinstance(output, str | None):
        report(f"{field}.output", "a text, or null until the oracle is run", shown(output), "")
        output = None
    feedback, reward = entry.get("is_feedback_test", False), entry.get("is_reward_test", True)
    for name, flag in (("is_feedback_test", feedback), ("is_reward_test", reward)):
        if not isinstance(flag, bool):
            report(f"{field}.{name}", "true or false", shown(flag), "")
    return OracleTest(entry["input"], output, str(entry.get("source") or ""), bool(feedback), bool(reward))
