"""Oracle rows from code seeds: the tests that a seed brings and the examples that its statement states, each kept only
where the reference program passes it in the sandbox.

- Tests on stdin and stdout become `{"input", "output"}`; an input without an output gets what the reference prints.
- Assertions are taken apart (`rm.uplift.verifiers.asserts`) into an expression over the function and its value:
  `assert set(f(3)) == {1, 2}` is the input `set(f(3))` and the output `{1, 2}`; one without `==` has the output `True`.
  Such a row names its `entry_point`, and its tests become assertions again where it is read.

A given test counts in the reward. An example of the statement may be shown to the planner; it counts in the reward
only where no test is given, since a program can hard-code what it was shown. What the reference fails, or what cannot
be judged, is dropped and counted by its reason.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from rm.build.code.checks import problem_of
from rm.build.code.syntax import parsed
from rm.build.seed import Seed
from rm.errors import DataError
from rm.uplift.oracle import Oracle, OracleTest, as_asserts, calls, with_outputs
from rm.uplift.problems import IOTest, Problem
from rm.uplift.verifiers.asserts import VALUES, plan_asserts
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.code import REASONS, CodeVerifier, Runner
from rm.uplift.verifiers.statement import assert_examples, io_examples

GIVEN = "given"
STATEMENT = "statement"
AT_ONCE = 16
"""Seeds that are worked on at the same time."""


@dataclass(frozen=True)
class Checked:
    """What came of one seed.

    Args:
        seed: the seed.
        oracle: with the tests that its reference passes; None where none is left.
        dropped: why tests (or, as `seed: ...`, the whole seed) were left out -> how many.
    """

    seed: Seed
    oracle: Oracle | None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The oracle row. Raises: ValueError where there is no oracle."""
        if self.oracle is None:
            raise ValueError(f"{self.seed.problem_id} has no oracle")
        tests = [
            {
                "input": test.input,
                "output": test.output,
                "source": test.source,
                "is_feedback_test": test.feedback,
                "is_reward_test": test.reward,
            }
            for test in self.oracle.tests
        ]
        row: dict[str, Any] = {"problem_id": self.oracle.problem_id, "oracle_source": self.oracle.source}
        if self.oracle.entry_point:
            row["entry_point"] = self.oracle.entry_point
        return {**row, "tests": tests}


def gathered(seed: Seed) -> tuple[Oracle | None, Counter[str]]:
    """A seed's tests and examples before they are run, and what was left out already.

    A test stands once: an example that is among the given tests is shown and counts.
    """
    dropped: Counter[str] = Counter()
    entry = seed.entry_point.strip()
    given = _given(seed, dropped)
    is_function = any(isinstance(each, _Case) for each in given) or (bool(entry) and not given)
    shown = _examples_of_function(seed) if is_function else io_examples(seed.problem)
    tests: dict[tuple[str, str], OracleTest] = {}
    for each in given:
        tests[_key(each.input, each.output)] = OracleTest(each.input, each.output, GIVEN)
    for example in shown:
        key = _key(example.input, example.output)
        if key in tests:
            tests[key] = replace(tests[key], feedback=True)
        else:
            tests[key] = OracleTest(example.input, example.output, STATEMENT, feedback=True, reward=not given)
    if not tests:
        return None, +dropped or Counter({"seed: no tests and no examples": 1})
    entry_point = _called([test.input for test in tests.values()], entry) if is_function else ""
    return Oracle(seed.problem_id, seed.solution, tuple(tests.values()), seed.file, seed.line, entry_point), +dropped


async def checked(seed: Seed, sandbox: Runner) -> Checked:
    """The oracle of one seed, with the tests that its reference passes.

    Args:
        seed: a code seed; without a program it has no oracle.
        sandbox: started; its rules of refusal hold.
    """
    if not seed.solution.strip():
        return Checked(seed, None, {"seed: no reference program": 1})
    oracle, dropped = gathered(seed)
    if oracle is None:
        return Checked(seed, None, dropped)
    kept = []
    for test, reason in zip(oracle.tests, await _outcomes(oracle, sandbox), strict=True):
        if reason:
            dropped[reason] += 1
        else:
            kept.append(test)
    if any(test.output is None for test in kept):
        kept = await _printed(replace(oracle, tests=tuple(kept)), sandbox, dropped)
    if not kept:
        dropped["seed: no test is left"] += 1
        return Checked(seed, None, dropped)
    if not any(test.reward for test in kept):  # the given ones are gone: the examples have to do
        kept = [replace(test, reward=True) for test in kept]
    return Checked(seed, replace(oracle, tests=tuple(kept)), dropped)


async def check_all(seeds: Iterable[Seed], sandbox: Runner) -> AsyncIterator[Checked]:
    """`checked` for many seeds, in their order, `AT_ONCE` at a time."""
    pending = iter(seeds)
    while chunk := list(islice(pending, AT_ONCE)):
        for each in await asyncio.gather(*(checked(seed, sandbox) for seed in chunk)):
            yield each


async def _outcomes(oracle: Oracle, sandbox: Runner) -> list[str]:
    """Why each test cannot stay; "" where the reference passes it or it has no output yet."""
    with_output = [test for test in oracle.tests if test.output is not None]
    if not with_output:
        return [""] * len(oracle.tests)
    verifier = CodeVerifier(sandbox, max_tests=len(with_output))
    problem = Problem(oracle.problem_id, "", "code", entry_point=oracle.entry_point)
    if oracle.entry_point:
        found = await _assert_outcomes(verifier, oracle, replace(problem, asserts=as_asserts(with_output)), with_output)
    else:
        io_tests = tuple(IOTest(test.input, test.output or "") for test in with_output)
        found = _reasons(await verifier.outcomes(oracle.source, replace(problem, io_tests=io_tests)), len(with_output))
    reasons = iter(found)
    return ["" if test.output is None else next(reasons) for test in oracle.tests]


async def _assert_outcomes(
    verifier: CodeVerifier, oracle: Oracle, problem: Problem, tests: list[OracleTest]
) -> list[str]:
    outcomes = await verifier.outcomes(oracle.source, problem)
    if not isinstance(outcomes, Verdict) and len(outcomes) == len(tests):
        return _reasons(outcomes, len(tests))
    each = [replace(problem, asserts=as_asserts([test])) for test in tests]  # one of them spoils it for all
    return [_reasons(await verifier.outcomes(oracle.source, one), 1)[0] for one in each]


def _reasons(outcomes: tuple[Any, ...] | Verdict, count: int) -> list[str]:
    if isinstance(outcomes, Verdict):
        return [outcomes.reason] * count
    return ["" if each == "passed" else f"reference: {REASONS[each]}" for each in outcomes]


async def _printed(oracle: Oracle, sandbox: Runner, dropped: Counter[str]) -> list[OracleTest]:
    """The tests with the outputs that were missing; those on which the reference does not end well are dropped."""
    kept = []
    for test in oracle.tests:
        try:
            [filled] = (await with_outputs(replace(oracle, tests=(test,)), sandbox)).tests
        except DataError:
            dropped["reference: does not end well on an input without output"] += 1
            continue
        kept.append(filled)
    return kept


# what a seed brings


@dataclass(frozen=True)
class _Input:
    """A run of a program: what it reads, and what it has to print; None where only the reference knows."""

    input: str
    output: str | None


@dataclass(frozen=True)
class _Case:
    """An expression over a function, and its value as an expression."""

    input: str
    output: str


def _given(seed: Seed, dropped: Counter[str]) -> list[_Input | _Case]:
    if not seed.tests:
        return []
    if isinstance(seed.tests, list) and any(isinstance(each, dict) for each in seed.tests):
        open_inputs = [each for each in seed.tests if isinstance(each, dict) and each.get("output") is None]
        if open_inputs:
            complete = [each for each in seed.tests if each not in open_inputs]
            inputs = [_Input(str(each["input"]), None) for each in open_inputs if isinstance(each.get("input"), str)]
            dropped["given: not an input"] += len(open_inputs) - len(inputs)
            return [*(_given(replace(seed, tests=complete), dropped) if complete else []), *inputs]
    problem = problem_of(seed)
    if problem is None:
        dropped["given: tests that cannot be read"] += 1
        return []
    if problem.asserts:
        cases = list(_cases(problem.asserts, seed.entry_point))
        left_out = sum(isinstance(each, ast.Assert) for each in ast.walk(parsed(problem.asserts))) - len(cases)
        dropped["given: assertions that cannot be taken apart"] += left_out
        return list(cases)
    return [_Input(each.input, each.output) for each in problem.io_tests]


def _examples_of_function(seed: Seed) -> list[_Case]:
    return list(_cases(assert_examples(seed.problem, seed.entry_point), seed.entry_point))


def _cases(asserts: str, entry_point: str) -> Iterator[_Case]:
    """Assertions as expressions and their values; those are passed over that cannot be taken apart."""
    try:
        plan = plan_asserts(asserts, entry_point)
        alone = [ast.unparse(each) for each in parsed(asserts).body if isinstance(each, ast.Assert)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    if plan is None:
        if alone != [asserts]:  # one of them may spoil it for all
            for each in alone:
                yield from _cases(each, entry_point)
        return
    for test in plan.tests:
        check = _Filled(plan.calls).visit(ast.parse(test.check, mode="eval").body)
        if isinstance(check, ast.Compare) and len(check.ops) == 1 and isinstance(check.ops[0], ast.Eq):
            right = check.comparators[0]
            if not any(isinstance(each, ast.Call) and ast.unparse(each) in plan.calls for each in ast.walk(right)):
                yield _Case(ast.unparse(check.left), ast.unparse(right))
                continue
        yield _Case(f"bool({ast.unparse(check)})", "True")


def _called(inputs: list[str], entry_point: str) -> str:
    """The function that all inputs call: the entry point, unless it is another one."""
    names = [re.findall(r"\b([A-Za-z_]\w*)\s*\(", text) for text in inputs]
    shared = [name for name in names[0] if all(calls(name, text) for text in inputs) and name not in dir(builtins)]
    return entry_point if entry_point in shared or not shared else shared[0]


class _Filled(ast.NodeTransformer):
    """Puts the calls back where a check names their values."""

    def __init__(self, calls: tuple[str, ...]) -> None:
        self.calls = calls

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == VALUES and isinstance(node.slice, ast.Constant):
            return ast.parse(self.calls[int(str(node.slice.value))], mode="eval").body
        return self.generic_visit(node)


def _key(given: str, wanted: str | None) -> tuple[str, str]:
    """What makes two tests the same: white space apart, their texts."""
    return " ".join(given.split()), " ".join((wanted or "").split())
