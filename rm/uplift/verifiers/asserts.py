"""Assert tests taken apart: the calls that the program must answer, and the checks of what it answers.

`assert set(f(3)) == {1, 2}` is the call `f(3)`, evaluated with the program, and the check `set(VALUE) == {1, 2}`,
evaluated in another process. The program then never meets an expected value, a comparison or an assertion, so none
of them can be read, patched or skipped: an assert test becomes as hard to forge as a test on stdin and stdout.

Taken apart are tests that consist of imports, plain asserts (at top level or in `check(candidate)`), and calls of
the program whose arguments are written out. Loops, local variables, helper functions, `try`, or a function of the
program passed on without a call make tests that can only run next to the program; for them there is no plan.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterable
from dataclasses import dataclass

VALUES = "_values"
"""What a check calls the list of the program's answers."""

_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True)
class AssertTest:
    """One assertion.

    Args:
        calls: which of the plan's calls it needs, as indices.
        check: expression over `_values[i]`, i an index of a call; true where the test is passed.
    """

    calls: tuple[int, ...]
    check: str


@dataclass(frozen=True)
class AssertPlan:
    """Tests taken apart.

    Args:
        imports: source of the imports that calls and checks need.
        calls: expressions to evaluate with the program, in the order in which the tests make them.
        tests: in their order.
    """

    imports: str
    calls: tuple[str, ...]
    tests: tuple[AssertTest, ...]

    def first(self, count: int) -> AssertPlan:
        """The plan of the first `count` tests."""
        tests = self.tests[:count]
        needed = max((index + 1 for test in tests for index in test.calls), default=0)
        return AssertPlan(self.imports, self.calls[:needed], tests)


def plan_asserts(source: str, entry_point: str = "") -> AssertPlan | None:
    """Takes the tests of a problem apart.

    Args:
        source: the tests. They are only parsed.
        entry_point: the function that `check` is called with.

    Returns:
        the plan; None where these tests must run next to the program.

    Raises:
        SyntaxError: the tests are no Python.
    """
    statements = _Statements(ast.parse(source), entry_point.strip())
    if statements.asserts is None:
        return None
    splitter = _Splitter(statements)
    tests = []
    for expression in statements.asserts:
        before = len(splitter.calls)
        check = splitter.visit(expression)
        if splitter.stuck or not splitter.known(check):
            return None
        if len(splitter.calls) > before:  # else nothing of the program: `assert True`
            tests.append(AssertTest(tuple(range(before, len(splitter.calls))), ast.unparse(check)))
    if not tests:
        return None
    imports = [ast.unparse(each) for each in statements.imports]
    imports += [f"import {name}" for name in sorted(splitter.modules)]
    return AssertPlan("\n".join(imports), tuple(splitter.calls), tuple(tests))


def defines_check(source: str) -> bool:
    """Whether tests define a `check` that nothing calls yet."""
    body = ast.parse(source).body
    defined = any(isinstance(each, ast.FunctionDef) and each.name == "check" for each in body)
    return defined and not any(_is_call_of_check(each) for each in body)


class _Statements:
    """The imports and asserts of a test source; `asserts` is None where there is anything else to it."""

    def __init__(self, tree: ast.Module, entry_point: str) -> None:
        self.imports: list[ast.stmt] = []
        self.asserts: list[ast.expr] | None = []
        self.entry_point = entry_point
        self.candidates: set[str] = set()
        self.imported: set[str] = set()
        self._take(tree.body, top=True)

    def _take(self, body: list[ast.stmt], top: bool) -> None:
        for each in body:
            if isinstance(each, ast.Import | ast.ImportFrom):
                self.imports.append(each)
                self.imported |= {(name.asname or name.name).split(".")[0] for name in each.names}
            elif isinstance(each, ast.Assert):
                if self.asserts is not None:
                    self.asserts.append(each.test)
            elif top and isinstance(each, ast.FunctionDef) and self._is_check(each):
                self.candidates.add(each.args.args[0].arg)
                self._take(each.body, top=False)
            elif not (_is_call_of_check(each) or _is_constant(each)):
                self.asserts = None

    def _is_check(self, function: ast.FunctionDef) -> bool:
        arguments = function.args
        others = (arguments.posonlyargs, arguments.kwonlyargs, arguments.vararg, arguments.kwarg, arguments.defaults)
        return function.name == "check" and len(arguments.args) == 1 and not any(others) and bool(self.entry_point)


class _Splitter(ast.NodeTransformer):
    """Replaces each call of the program in an expression by the value it will have."""

    def __init__(self, statements: _Statements) -> None:
        self.statements = statements
        self.calls: list[str] = []
        self.modules: set[str] = set()
        self.stuck = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = _called_name(node)
        if name is None or not self._of_program(name):
            return self.generic_visit(node)
        renamed = _Renamed(self.statements.candidates, self.statements.entry_point).visit(node)
        self.stuck |= not self.known(renamed, program=True)
        self.calls.append(ast.unparse(renamed))
        return ast.parse(f"{VALUES}[{len(self.calls) - 1}]", mode="eval").body

    def known(self, node: ast.AST, program: bool = False) -> bool:
        """Whether every name in an expression means something where it is evaluated; notes modules to import."""
        nodes = list(ast.walk(node))
        names = {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
        called = {each.func.id for each in nodes if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)}
        for name in names - _bound(node) - {VALUES}:
            if self._of_program(name) and (name in called or name in self._given):
                if not program:
                    return False
            elif name in sys.stdlib_module_names and name not in self.statements.imported:
                self.modules.add(name)
            elif name not in _BUILTINS and name not in self.statements.imported:
                return False
        return True

    @property
    def _given(self) -> set[str]:
        return {*self.statements.candidates, self.statements.entry_point}

    def _of_program(self, name: str) -> bool:
        return name in self._given or (name not in _BUILTINS and name not in self.statements.imported)


class _Renamed(ast.NodeTransformer):
    """The parameter of `check` as the function it stands for."""

    def __init__(self, candidates: Iterable[str], entry_point: str) -> None:
        self.candidates = candidates
        self.entry_point = entry_point

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.entry_point, node.ctx) if node.id in self.candidates else node


def _called_name(node: ast.expr) -> str | None:
    """The function called first in a chain: `f` of `f(1).g(2)[3](4)`; None where a chain starts with no such call."""
    while True:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                return node.func.id
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        else:
            return None


def _bound(node: ast.AST) -> set[str]:
    """Names that an expression binds itself: of comprehensions and lambdas."""
    targets = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return targets | {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}


def _is_call_of_check(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _is_constant(statement: ast.stmt) -> bool:
    """A docstring, `pass`, or a variable that (as `known` sees to) nothing uses, such as METADATA = {...}."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Assign | ast.Pass)
