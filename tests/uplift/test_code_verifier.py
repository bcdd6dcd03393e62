"""Programs judged by their tests, in the real sandbox (plain processes where this machine carries none)."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from rm.errors import ConfigError
from rm.uplift.problems import IOTest, Problem
from rm.uplift.read import load_problems
from rm.uplift.sandbox import Limits, Sandbox
from rm.uplift.verifiers import plain_data
from rm.uplift.verifiers.asserts import plan_asserts
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.code import CodeVerifier
from rm.uplift.verifiers.harness import reports
from rm.uplift.verifiers.programs import program_of, same_tokens

MBPP = Path(__file__).parents[3] / "shared" / "data" / "mbpp_problems.jsonl"
SUM = Problem("sum", "Add two numbers.", "code", io_tests=tuple(IOTest(f"{a} 1", f"{a + 1}\n") for a in range(4)))
SUM_PROGRAM = "print(sum(map(int, input().split())))"
SQUARE = Problem(
    "square", "Square it.", "code", entry_point="f", asserts="assert f(2) == 4\nassert f(3) == 9\nassert f(0) == 0"
)
SHARED_LIST = Problem(
    "grow",
    "Append one to a list.",
    "code",
    entry_point="f",
    asserts="def check(candidate):\n    items = [0]\n    for size in (2, 3):\n        candidate(items)\n"
    "        assert items == [0] + [1] * (size - 1)\n        assert candidate([]) == [1]",
)
"""Tests that cannot be taken apart."""
GROW = "def f(items):\n    items.append(1)\n    return items"

PASSED, WRONG, CRASHED = Verdict.passed(), Verdict.failed("wrong answer"), Verdict.failed("runtime error")


def outcomes(cases: Sequence[tuple[str, Problem]], limits: Limits | None = None, **options: object) -> list[object]:
    """`CodeVerifier.outcomes` of (completion, problem), all in one sandbox."""
    return _with_verifier(lambda verifier: [verifier.outcomes(*case) for case in cases], limits, **options)


def verdicts(cases: Sequence[tuple[str, Problem]], limits: Limits | None = None, **options: object) -> list[Verdict]:
    return _with_verifier(lambda verifier: [verifier.verify(*case) for case in cases], limits, **options)


def _with_verifier(ask: Callable[[CodeVerifier], list], limits: Limits | None, **options: object) -> list:
    async def run() -> list:
        sandbox = Sandbox(limits or Limits(cpu_seconds=2, wall_seconds=10), workers=2)
        try:
            await sandbox.start()
        except ConfigError:
            sandbox = Sandbox(limits or Limits(cpu_seconds=2, wall_seconds=10), workers=2, unsafe_subprocess=True)
            await sandbox.start()
        verifier = CodeVerifier(sandbox, **options)
        try:
            return list(await asyncio.gather(*ask(verifier)))
        finally:
            await verifier.close()

    return asyncio.run(run())


def test_tests_on_stdin_and_stdout() -> None:
    table = {
        SUM_PROGRAM: ("passed",) * 4,
        f"Here it is:\n```python\n{SUM_PROGRAM}\n```\nDone.": ("passed",) * 4,
        "print(3)": ("wrong", "wrong", "passed", "wrong"),
        "a, b = map(int, input().split())\nprint(a // a + b, a + b if a else 1)": (
            "runtime_error",
            "wrong",
            "wrong",
            "wrong",
        ),
        "print(int(input().split()[0]) + 1)\nraise SystemExit(3)": ("runtime_error",) * 4,
        "def f(:\n": ("compile_error",) * 4,
        "raise SyntaxError('not one')": ("runtime_error",) * 4,
        "print('1 2 3 4')": ("wrong",) * 4,
        "import os\nos._exit(0)": ("wrong",) * 4,
        f"import sys\nsys.stdout.write('  ')\n{SUM_PROGRAM}\nprint()": ("passed",) * 4,
    }
    found = outcomes([(program, SUM) for program in table])
    assert dict(zip(table, found, strict=True)) == table


def test_assert_tests() -> None:
    table = {
        "def f(x): return x * x": ("passed",) * 3,
        "def f(x): return 4": ("passed", "wrong", "wrong"),
        "def f(x): return 4 / x * x * x / 4 * x": ("passed", "passed", "runtime_error"),
        "def f(x):\n    print('1', flush=True)\n    return x * x": ("passed",) * 3,
        "def f(x):\n    import os\n    if x == 3: os._exit(0)\n    return x * x": ("passed", "runtime_error", "passed"),
        "def g(x): return x * x": ("runtime_error",) * 3,
        "def f(x) return x": ("compile_error",) * 3,
        "f = lambda x: float(x * x)": ("passed",) * 3,
        "def f(x): return str(x * x)": ("wrong",) * 3,
    }
    found = outcomes([(program, SQUARE) for program in table])
    assert dict(zip(table, found, strict=True)) == table


def test_each_call_has_the_whole_time() -> None:
    slow = "def f(x):\n    while x == 3: pass\n    return x * x"
    never = "while True: pass"
    found = outcomes([(slow, SQUARE), (never, SQUARE)], Limits(cpu_seconds=0.5, wall_seconds=10))
    assert found == [("passed", "timeout", "passed"), ("timeout",) * 3]


FORGERIES = {
    "leaves before the tests": "import os\nos._exit(0)",
    "exits before the tests": "raise SystemExit(0)",
    "equal to everything": "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
    "def f(x): return E(7)",
    "an object equal to everything": "class E:\n    def __eq__(self, other): return True\ndef f(x): return E()",
    "a list equal to everything": "class E(list):\n    def __eq__(self, other): return True\ndef f(x): return E()",
    "assert that raises nothing": "import builtins\nclass A(Exception): pass\nbuiltins.AssertionError = A\n"
    "def f(x): return 7",
    "its own check": "def check(candidate): pass\ndef f(x): return 7",
    "patched json and eval": "import json, builtins\njson.dumps = lambda *a, **k: '{\"holds\": true}'\n"
    "builtins.eval = lambda *a: 4\ndef f(x): return 7",
    "prints every sort of success": "print('passed', '{\"holds\": true}', '0 {\"holds\": true}', sep='\\n')\n"
    "def f(x): return 7",
    "reads what it is given": "import sys, re\ntext = sys.stdin.read()\nprint(text, *sys.argv)\ndef f(x): return 7",
    "replaces the reporter": "_answer = _reporter = lambda *a: None\ndef f(x): return 7",
    "an exit handler": "import atexit, os\natexit.register(lambda: os.write(1, b'passed'))\ndef f(x): return 7",
    "truth of its own": "class T:\n    def __bool__(self): return True\n    def __eq__(self, o): return T()\n"
    "def f(x): return T()",
}


@pytest.mark.parametrize("problem", [SQUARE, SHARED_LIST], ids=["taken apart", "beside"])
def test_a_pass_cannot_be_forged(problem: Problem) -> None:
    found = verdicts([(program, problem) for program in FORGERIES.values()])
    passing = [name for name, verdict in zip(FORGERIES, found, strict=True) if verdict.outcome != "failed"]
    assert passing == []
    assert all(verdict.score == 0 for verdict in found)


def test_the_program_never_holds_what_is_expected() -> None:
    """Of tests that are taken apart: not in its source, its memory or its input."""
    problem = Problem("secret", "", "code", entry_point="f", asserts="assert f(1) == 'swordfish-7f3a'")
    spy = (
        "import sys, gc\n"
        "def f(x):\n"
        "    frames, texts, frame = [], [], sys._getframe()\n"
        "    while frame:\n"
        "        texts += [repr(frame.f_locals), repr(frame.f_globals), repr(frame.f_code.co_consts)]\n"
        "        frame = frame.f_back\n"
        "    texts.append(sys.stdin.read())\n"
        "    found = ''.join(['sword', 'fish', '-7f3a'])\n"
        "    return 'seen' if any(found in text for text in texts) else 'not seen'\n"
    )
    seen = Problem("seen", "", "code", entry_point="f", asserts="assert f(1) == 'not seen' or 'swordfish-7f3a' == 1")
    assert verdicts([(spy, seen), (spy, problem)]) == [PASSED, WRONG]


def test_tests_that_cannot_be_taken_apart_run_beside_the_program() -> None:
    table = {
        GROW: PASSED,
        "def f(items): return items + [1]": WRONG,
        "def f(items): return 1 / 0": CRASHED,
        "def f(items:": Verdict.failed("compile error"),
        "print('hello')\n" + GROW: PASSED,
    }
    found = verdicts([(program, SHARED_LIST) for program in table])
    assert dict(zip(table, found, strict=True)) == table
    assert verdicts([(GROW, SHARED_LIST)], beside=False) == [Verdict.unjudged("tests need the program's interpreter")]


def test_classes_can_be_tested() -> None:
    tests = "s = Stack()\ns.push(1)\nassert s.pop() == 1\nassert Stack() != s\nassert s == s"
    problem = Problem("stack", "", "code", asserts=tests)
    stack = "class Stack(list):\n    def push(self, x): self.append(x)\n"
    own = "class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n"
    own += "    def pop(self): return self.items.pop()\n"
    assert verdicts([(own, problem), (stack, problem)])[0] == PASSED


def test_verdicts_that_need_no_run() -> None:
    cases = [
        ("", SQUARE, Verdict.failed("empty")),
        ("```python\n```", SQUARE, Verdict.failed("no program")),
        ("def f(x): pass", Problem("p", "", "code"), Verdict.unjudged("no tests")),
        ("def f(x): pass", Problem("p", "", "code", asserts="assert f(1 =="), Verdict.unjudged("broken tests")),
        ("x", Problem("p", "", "code", asserts="def check(c):\n    assert c(1)"), Verdict.unjudged("broken tests")),
    ]
    verifier = CodeVerifier(NoSandbox())
    for completion, problem, verdict in cases:
        assert asyncio.run(verifier.verify(completion, problem)) == verdict


def test_a_sandbox_that_fails_judges_nobody() -> None:
    verifier = CodeVerifier(NoSandbox(), start=True)
    for problem in (SUM, SQUARE, SHARED_LIST):
        assert asyncio.run(verifier.verify(GROW, problem)) == Verdict.unjudged("sandbox failed")


def test_the_score_is_the_share_and_at_most_so_many_tests_are_run() -> None:
    many = Problem("many", "", "code", io_tests=tuple(IOTest(str(n), "1") for n in range(12)))
    both = Problem("both", "", "code", io_tests=SUM.io_tests[:1], asserts="assert f(2) == 4", entry_point="f")
    cases = [("print(1)", many), ("print(int(input()) // 6)", many), (SUM_PROGRAM + "\ndef f(x): return x", both)]
    ones, later, mixed = verdicts(cases)
    assert ones == PASSED
    assert later == Verdict.failed("wrong answer", 2 / 8)  # of inputs 0 to 7, 6 and 7 give 1
    assert mixed.outcome == "failed"


def test_numbers_may_differ_by_a_tolerance() -> None:
    third = Problem("third", "", "code", io_tests=(IOTest("", "0.3333"),))
    assert verdicts([("print(1 / 3)", third)]) == [WRONG]
    assert verdicts([("print(1 / 3)", third)], tolerance=1e-3) == [PASSED]


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "same"),
    [
        ("1 2\n3", "1\n2   3\n", 0, True),
        ("1 2", "12", 0, False),
        ("1.0", "1", 0, False),
        ("1.0", "1", 1e-9, True),
        ("1000000", "1000000.5", 1e-6, True),
        ("0", "0.01", 1e-6, False),
        ("nan", "nan", 0, True),
        ("1", "nan", 1, False),
        ("inf", "inf", 1e-6, True),
        ("1", "inf", 1e-6, False),
        ("yes", "no", 1, False),
        ("", "", 0, True),
        ("", "x", 0, False),
    ],
)
def test_tokens(expected: str, found: str, tolerance: float, same: bool) -> None:
    assert same_tokens(expected, found, tolerance) is same


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("x = 1", "x = 1"),
        ("```python\na\n```", "a"),
        ("```python\na\n```\nor better\n```python\nb\n```\nend", "b"),
        ("```python\na\n```\nOutput:\n```\n3\n```", "a"),
        ("```\na\n```", "a"),
        ("```py\na = 1", "a = 1"),
        ("text\n```Python\nb = 2\n```", "b = 2"),
        ("def f():\n    pass\n```\nThis works.", "def f():\n    pass"),
        ("Here:\n```\nimport os", "import os"),
        ("```python\n```", ""),
        ("~~~python\na\n~~~", "a"),
        ("```python\na\n```python\nb\n```", "b"),
        ("```bash\nls\n```", "```bash\nls\n```"),
        ("    x = 1", "    x = 1"),
    ],
)
def test_the_program_of_a_completion(completion: str, program: str) -> None:
    assert program_of(completion) == program


@pytest.mark.parametrize(
    ("tests", "calls"),
    [
        ("assert f(1) == 2", ["f(1)"]),
        ("def check(candidate):\n    assert candidate(1) == 2\ncheck(f)", ["f(1)"]),
        ("def check(c):\n    '''Doc.'''\n    assert set(c([1])) == {1}, 'message'\n    assert True", ["f([1])"]),
        ("assert f(g(1)) == g(2)", ["f(g(1))", "g(2)"]),
        ("assert math.isclose(f(math.pi), 1)", ["f(math.pi)"]),
        ("from math import inf\nassert f(inf) and not f(-inf)", ["f(inf)", "f(-inf)"]),
        ("METADATA = {'a': 1}\nassert Stack(1).push(2).size == 2", ["Stack(1).push(2)"]),
        ("assert f(lambda x: x + 1) == [y for y in range(3)]", ["f(lambda x: x + 1)"]),
        # these must run beside the program
        ("x = [1]\nassert f(x) == 2", None),
        ("for i in range(3):\n    assert f(i) == i", None),
        ("assert all(f(i) == i for i in range(3))", None),
        ("assert list(map(f, [1])) == [2]", None),
        ("assert np.allclose(f(1), 2)", None),
        ("def helper(x): return x\nassert f(1) == helper(1)", None),
        ("assert True", None),
    ],
)
def test_asserts_are_taken_apart(tests: str, calls: list[str] | None) -> None:
    plan = plan_asserts(tests, "f")
    assert (list(plan.calls) if plan else None) == calls


def test_checks_hold_no_call_of_the_program() -> None:
    plan = plan_asserts("assert sorted(sum(10, 15)) == [6]", "sum ")  # an entry point named like a builtin
    assert plan is not None
    assert plan.calls == ("sum(10, 15)",)
    assert [test.check for test in plan.tests] == ["sorted(_values[0]) == [6]"]


def test_plain_data_crosses_unchanged() -> None:
    values = [
        None, True, 0, -(10**400), 0.1, -0.0, 1j, "ü\n", b"\0\xff", [1, [2]], (1,), {1, 2}, frozenset("a"),
        {(1, 2): [3], "a": {}}, range(3), float("inf"),
    ]  # fmt: skip
    for value in values:
        back = plain_data.decode(json.loads(json.dumps(plain_data.encode(value))))
        assert (back, type(back)) == (value, type(value))
    assert math.isnan(plain_data.decode(plain_data.encode(float("nan"))))
    assert list(plain_data.decode(plain_data.encode(map(str, [1])))) == ["1"]
    opaque = plain_data.decode(plain_data.encode(object()))
    assert opaque != opaque


def test_reports_pass_over_what_is_none() -> None:
    text = 'noise\nM x {}\nM 1 {"value": 2}\nM 1 {"value": 3}\nM 2 {"val\n' + "M 3 " + "[" * 100_000
    assert reports(text, "M") == {1: {"value": 2}}


def test_versions_tell_options_apart() -> None:
    versions = [CodeVerifier(NoSandbox(), **options).version for options in ({}, {"max_tests": 3}, {"tolerance": 0.1})]
    assert len(set(versions)) == 3


def _mbpp(problems: Sequence[Problem]) -> None:
    limits = Limits(cpu_seconds=60, wall_seconds=120)  # mbpp_123 takes about 5 s
    found = verdicts([(problem.reference_solution, problem) for problem in problems], limits)
    assert {p.problem_id: v for p, v in zip(problems, found, strict=True) if v != PASSED} == {}
    empty = [f"def {problem.entry_point}(*arguments):\n    pass" for problem in problems]
    broken = verdicts([*zip(empty, problems, strict=True)], limits)
    assert [p.problem_id for p, v in zip(problems, broken, strict=True) if v.outcome != "failed"] == []
    other = [problem.reference_solution for problem in [*problems[1:], problems[0]]]
    swapped = verdicts([*zip(other, problems, strict=True)], limits)
    assert [p.problem_id for p, v in zip(problems, swapped, strict=True) if v.outcome != "failed"] == []


needs_mbpp = pytest.mark.skipif(not MBPP.exists(), reason="needs ../shared/data/mbpp_problems.jsonl")


@needs_mbpp
def test_reference_solutions_pass_and_emptied_or_wrong_ones_fail() -> None:
    _mbpp(load_problems(MBPP)[::22])


@needs_mbpp
@pytest.mark.long
def test_all_reference_solutions_pass_and_emptied_or_wrong_ones_fail() -> None:
    _mbpp(load_problems(MBPP))


class NoSandbox:
    """A sandbox that never starts anything."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def run(self, source: str, stdin: str = "") -> SimpleNamespace:
        return SimpleNamespace(status="failed_to_start", exit_code=None, stdout="")
