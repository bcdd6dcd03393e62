"""Oracle rows: a program known to be right, and inputs; running it on them gives the outputs of tests.

A row: `problem_id`, `oracle_source`, `tests: [{"input", "output", "source", "is_feedback_test", "is_reward_test"}]`.
An output may be missing until the oracle is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
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
        input: standard input.
        output: what must be printed; None until the oracle has been run.
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
    """The oracle of one problem, and where it was read."""

    problem_id: str
    source: str
    tests: tuple[OracleTest, ...]
    file: str = ""
    line: int = 0


def chosen(oracle: Oracle, use: Use = "reward") -> tuple[OracleTest, ...]:
    """The tests for one use: those of the reward, those of feedback, or all."""
    return tuple(each for each in oracle.tests if use == "all" or (each.reward if use == "reward" else each.feedback))


def io_tests(oracle: Oracle, use: Use = "reward") -> tuple[IOTest, ...]:
    """The tests for one use that have an output."""
    return tuple(IOTest(each.input, each.output) for each in chosen(oracle, use) if each.output is not None)


async def with_outputs(oracle: Oracle, sandbox: Runner) -> Oracle:
    """Runs the oracle on every input that has no output yet.

    Raises:
        DataError: it crashes or meets a limit on one of them, or the sandbox cannot run it; with every such input.
    """
    missing = [i for i, test in enumerate(oracle.tests) if test.output is None]
    runs = await asyncio.gather(*(sandbox.run(oracle.source, oracle.tests[i].input) for i in missing))
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
    return Oracle(problem_id, str(source), tests, file, line)


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
