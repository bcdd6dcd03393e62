"""Does the program in a completion pass its problem's tests? Run in the sandbox, compared outside of it.

- Tests on stdin and stdout: the program reads the input; what it prints is compared token by token here.
- Assert tests: taken apart (`rm.uplift.verifiers.asserts`) into calls, evaluated with the program, and checks of their
  values, evaluated in a second sandboxed process that the program never enters. Expected values never get near the
  program, so it cannot read them, patch the comparison, or claim to have passed.
- Assert tests that cannot be taken apart (loops, helper functions) run beside the program in one interpreter, count
  as one test, and are safe only from a program that does not attack this very harness; see
  `rm.uplift.verifiers.harness.beside_source`. `beside=False` leaves them unjudged instead.

Limits of time and memory are the sandbox's, for each test; the calls of assert tests share a process, and one that
dies in a later call is started again from there, so that each call has the whole limit.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rm.errors import ConfigError
from rm.uplift.problems import IOTest, Problem
from rm.uplift.verifiers import harness
from rm.uplift.verifiers.asserts import AssertPlan, defines_check, plan_asserts
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.programs import program_of, same_tokens
from rm.uplift.verifiers.styles import TestOutcome, first_failure, pass_rate

MAX_TESTS = 8
"""How many tests of a problem are run, as officially."""

REASONS: Mapping[TestOutcome, str] = {
    "wrong": "wrong answer",
    "runtime_error": "runtime error",
    "timeout": "program time-out",
    "compile_error": "compile error",
}
"""First failing test's outcome -> reason of the verdict."""


class Run(Protocol):
    """What a sandbox says of one run (`rm.uplift.sandbox.RunResult`)."""

    @property
    def status(self) -> str: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def stdout(self) -> str: ...


class Runner(Protocol):
    """What runs programs: `rm.uplift.sandbox.Sandbox`."""

    async def start(self) -> object: ...
    async def run(self, source: str, stdin: str = "") -> Run: ...
    async def close(self) -> None: ...


class SandboxFailed(Exception):
    """The sandbox could not run something; nobody's answer is judged by that."""


@dataclass(frozen=True)
class _Report:
    """What came of one call or check: its data, or None and how the process ended instead."""

    data: Any
    ended: TestOutcome = "wrong"


class CodeVerifier:
    """Judges programs by the tests of their problem. The score of a verdict is the share of tests passed.

    Verdicts: failed `empty`, `no program`, or by the first failing test `wrong answer`, `runtime error`,
    `program time-out`, `compile error`; unjudged `no tests`, `broken tests` (they are no Python, or need an entry
    point that is not given), `tests need the program's interpreter` (with `beside=False`), `sandbox failed`.

    Args:
        sandbox: runs the programs; closed with the verifier.
        max_tests: how many tests of a problem are run, at least 1.
        tolerance: for numbers printed (`same_tokens`); 0 compares the text. Assert tests compare by themselves.
        beside: whether tests that cannot be taken apart are run beside the program.
        limits: names the sandbox's limits in `version`.
        start: whether the sandbox is still to be started, with the first program.

    Raises:
        ConfigError: an option out of its range.
    """

    def __init__(
        self,
        sandbox: Runner,
        *,
        max_tests: int = MAX_TESTS,
        tolerance: float = 0.0,
        beside: bool = True,
        limits: str = "",
        start: bool = False,
    ) -> None:
        if max_tests < 1 or not 0 <= tolerance < float("inf"):
            found = f"max_tests = {max_tests}, tolerance = {tolerance}"
            raise ConfigError(f"{found}: expected at least one test and a finite tolerance of at least 0.")
        self.sandbox = sandbox
        self._to_start = start
        self._starting = asyncio.Lock()
        self.max_tests = max_tests
        self.tolerance = tolerance
        self.beside = beside
        self.limits = limits

    @property
    def version(self) -> str:
        """Names the rules, and every option that could change a verdict."""
        beside = "beside" if self.beside else "apart"
        return f"code-v1+{self.max_tests}tests+{self.tolerance:g}tolerance+{beside}+{self.limits}"

    async def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion by `problem.io_tests` and `problem.asserts`."""
        outcomes = await self.outcomes(completion, problem)
        if isinstance(outcomes, Verdict):
            return outcomes
        failure = first_failure(outcomes)
        return Verdict.passed() if failure == "passed" else Verdict.failed(REASONS[failure], pass_rate(outcomes))

    async def outcomes(self, completion: str, problem: Problem) -> tuple[TestOutcome, ...] | Verdict:
        """What each test says, in order, for `rm.uplift.verifiers.styles`; a verdict where none could be run."""
        program = program_of(completion)
        try:
            if not (problem.io_tests or problem.asserts.strip()):
                return Verdict.unjudged("no tests")
            if not completion.strip():
                return Verdict.failed("empty")
            if not program.strip():
                return Verdict.failed("no program")
            plan = plan_asserts(problem.asserts, problem.entry_point)
            io_tests = problem.io_tests[: self.max_tests]
            outcomes = await self._io_outcomes(program, io_tests)
            left = self.max_tests - len(io_tests)
            if not left or not problem.asserts.strip():
                return outcomes
            if plan is not None:
                return outcomes + await self._apart(program, plan.first(left))
            if not self.beside:
                return Verdict.unjudged("tests need the program's interpreter")
            if defines_check(problem.asserts) and not problem.entry_point.strip():
                return Verdict.unjudged("broken tests")
            return (*outcomes, await self._beside(program, problem))
        except SyntaxError:  # of the tests; the program is compiled in the sandbox only
            return Verdict.unjudged("broken tests")
        except SandboxFailed:
            return Verdict.unjudged("sandbox failed")

    async def close(self) -> None:
        """Close the sandbox."""
        await self.sandbox.close()

    async def _run(self, source: str, stdin: str = "") -> Run:
        async with self._starting:
            if self._to_start:
                await self.sandbox.start()
                self._to_start = False
        run = await self.sandbox.run(source, stdin)
        if run.status == "failed_to_start":
            raise SandboxFailed
        return run

    async def _io_outcomes(self, program: str, tests: Sequence[IOTest]) -> tuple[TestOutcome, ...]:
        if not tests:
            return ()
        first = await self._io_outcome(program, tests[0])
        if first == "runtime_error" and not await self._compiles(program):
            return tuple("compile_error" for _ in tests)
        return (first, *await asyncio.gather(*(self._io_outcome(program, test) for test in tests[1:])))

    async def _io_outcome(self, program: str, test: IOTest) -> TestOutcome:
        run = await self._run(program, test.input)
        if (ended := _ended(run)) != "wrong":
            return ended
        return "passed" if same_tokens(test.output, run.stdout, self.tolerance) else "wrong"

    async def _compiles(self, program: str) -> bool:
        run = await self._run(harness.compile_source(program))
        return run.exit_code != harness.NOT_COMPILED

    async def _apart(self, program: str, plan: AssertPlan) -> tuple[TestOutcome, ...]:
        marker = secrets.token_hex(16)

        def calls_from(indices: Sequence[int]) -> tuple[str, str]:
            calls = {index: plan.calls[index] for index in indices}
            return harness.calls_source(program, plan.imports, calls, marker), ""

        answers = await self._reports(calls_from, range(len(plan.calls)), marker)
        failures = [_failure(answer) for answer in answers]
        if failures[0] == "runtime_error" and not await self._compiles(program):
            return tuple("compile_error" for _ in plan.tests)
        pairs = zip(answers, failures, strict=True)
        values = [answer.data["value"] if failure is None else None for answer, failure in pairs]
        answered = [i for i, test in enumerate(plan.tests) if all(failures[call] is None for call in test.calls)]
        checks = await self._checks(plan, answered, values)
        return tuple(
            checks[i] if i in checks else next(failure for call in test.calls if (failure := failures[call]))
            for i, test in enumerate(plan.tests)
        )

    async def _checks(self, plan: AssertPlan, tests: Sequence[int], values: Sequence[Any]) -> dict[int, TestOutcome]:
        """Outcome of the tests all of whose calls were answered, by their index."""
        marker = secrets.token_hex(16)

        def checks_from(indices: Sequence[int]) -> tuple[str, str]:
            checks = {index: plan.tests[index].check for index in indices}
            return harness.checks_source(plan.imports), harness.checks_input(checks, values, marker)

        reports = await self._reports(checks_from, tests, marker)
        holds = [isinstance(report.data, dict) and report.data.get("holds") is True for report in reports]
        return {index: "passed" if each else "wrong" for index, each in zip(tests, holds, strict=True)}

    async def _beside(self, program: str, problem: Problem) -> TestOutcome:
        marker = secrets.token_hex(16)
        call = f"\ncheck({problem.entry_point.strip()})\n" if defines_check(problem.asserts) else ""
        stdin = harness.beside_input(program, problem.asserts + call, marker)
        run = await self._run(harness.beside_source(), stdin)
        found = harness.reports(run.stdout, marker)
        if 0 in found:
            return "passed" if "holds" in found[0] else "wrong" if "fails" in found[0] else "runtime_error"
        ended = _ended(run, early="runtime_error")
        if ended == "runtime_error" and not await self._compiles(program):
            return "compile_error"
        return ended

    async def _reports(
        self, source_from: Callable[[Sequence[int]], tuple[str, str]], indices: Sequence[int], marker: str
    ) -> list[_Report]:
        """Runs a harness until it has reported on each index, or died on it as the first thing it did."""
        done: dict[int, _Report] = {}
        left = list(indices)
        while left:
            run = await self._run(*source_from(left))
            found = harness.reports(run.stdout, marker)
            done |= {index: _Report(found[index]) for index in left if index in found}
            ended = _ended(run, early="runtime_error")
            missing = [index for index in left if index not in found]
            if missing and (found.keys() <= {harness.LOADED}):  # no answer at all
                stuck = missing if harness.LOADED not in found else missing[:1]
                done |= {index: _Report(None, ended) for index in stuck}
                missing = missing[len(stuck) :]
            left = missing
        return [done[index] for index in indices]


def _failure(answer: _Report) -> TestOutcome | None:
    """How a call failed; None where it has a value."""
    if isinstance(answer.data, dict) and "value" in answer.data:
        return None
    return answer.ended if answer.data is None else "runtime_error"


def _ended(run: Run, early: Literal["wrong", "runtime_error"] = "wrong") -> TestOutcome:
    """How a run ended; `early` stands for an exit with code 0."""
    if run.status == "timeout":
        return "timeout"
    return early if run.status == "exited" and run.exit_code == 0 else "runtime_error"
