"""A reference program as its plan needs it: its syntax tree, its main function, and what is known of its values."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from rm.build.code.syntax import parsed
from rm.build.code.words import Words
from rm.build.kinds import Unusable
from rm.build.seed import Seed

_WRITE = re.compile(
    r"\bwrite\s+(?:a|an|the)\s+(?:python\s*3?\s+)?(?:function|program|code|method)\b[^.\n]*?\b(?P<how>to|that|which)\s+(?P<what>[^\n]+)",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"(?:^|\"{3}|'{3})\s*(?P<what>(?:Check|Return|Find|Count|Compute|Calculate|Determine|Read|Print|Sort|Remove|Convert"
    r"|Create|Filter|Test|Get|Insert|Output|Add|Sum|Reverse|Compare)\b.*?)(?:\.\s|\.$|\n\s*\n|>>>|\"{3}|'{3}|$(?!\n))",
    re.DOTALL,
)
"""A statement, or its docstring, that begins with a command."""
_LONGEST_TASK = 300
_LINK = re.compile(r"\s*https?://\S+")
_ANNOTATED = {"int", "float", "str", "bool", "list", "tuple", "set", "dict", "complex"}
CASES = 4
_LONGEST_CASE = 100
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Program:
    """A program that parses.

    Args:
        source: its text.
        tree: its syntax tree; never changed, only copied.
        main: the function that the tests call; "" for a program that reads its input.
        task: what the statement asks for, `find the largest ...`; "" where it does not say so in a known form.
        types: name of a variable -> name of its type, where it is clear.
        imports: name -> what it stands for, with its module.
        cases: (input, result) of given tests that are short, in words.
        structures: (variable, whether it is looked up by key rather than by index) of all that is read by subscript,
            but for texts and tuples.
        returns: whether the main function returns a value.
    """

    source: str
    tree: ast.Module = field(repr=False)
    main: str
    task: str
    types: Mapping[str, str]
    imports: Mapping[str, str]
    cases: tuple[tuple[str, str], ...] = ()
    structures: tuple[tuple[str, bool], ...] = ()
    returns: bool = False

    @property
    def words(self) -> Words:
        return Words(self.types, self.imports)

    @classmethod
    def of(cls, seed: Seed) -> Program:
        """The program of a seed.

        Raises:
            Unusable: it does not parse, or defines nothing and does nothing.
        """
        try:
            tree = parsed(seed.solution)
            ast.unparse(tree)
        except _UNREADABLE:
            raise Unusable("reference program does not parse") from None
        functions = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
        main = _main(functions, seed)
        types = _Types(_imports(tree))
        types.learn_arguments(tree, main, str(seed.tests or ""))
        types.visit(tree)
        cases = tuple(islice(_cases(main, seed.tests), CASES))
        structures = _structures(tree, types.known)
        task, returns = task_of(seed.problem), _returns(tree, main)
        return cls(seed.solution, tree, main, task, types.known, types.imports, cases, structures, returns)


def _structures(tree: ast.Module, types: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    found: dict[str, bool] = {}
    variables = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    variables |= {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in variables):
            continue
        kind = types.get(node.value.id, "")
        if not isinstance(node.slice, ast.Slice | ast.Constant | ast.UnaryOp) and kind in ("dict", "list", ""):
            found[node.value.id] = kind == "dict"
    return tuple(sorted(found.items()))


def _returns(tree: ast.Module, main: str) -> bool:
    function = next((each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == main), None)
    return function is not None and any(isinstance(each, ast.Return) and each.value for each in ast.walk(function))


def _cases(main: str, tests: object) -> Iterator[tuple[str, str]]:
    if isinstance(tests, list):
        for each in tests:
            if isinstance(each, dict) and len(f"{each.get('input')}{each.get('output')}") < _LONGEST_CASE:
                yield f'the input "{str(each.get("input")).strip()}"', f'"{str(each.get("output")).strip()}"'
        return
    try:
        tree = parsed(str(tests or ""))
    except _UNREADABLE:
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq)):
            continue
        call = node.left
        if isinstance(call, ast.Call) and ast.unparse(call.func) in (main, "candidate"):
            given, result = ", ".join(ast.unparse(each) for each in call.args), ast.unparse(node.comparators[0])
            if given and len(given) + len(result) < _LONGEST_CASE:
                yield given, result


def task_of(statement: str) -> str:
    """`find the largest item` of `Write a function to find the largest item.`; "" where it is said otherwise."""
    found = _WRITE.search(statement)
    if found is None:
        command = _COMMAND.search(_LINK.sub("", statement))
        text = " ".join(command["what"].split()).rstrip(".,;: ") if command else ""
        return text[:1].lower() + text[1:] if len(text) <= _LONGEST_TASK else ""
    sentence = re.split(r"(?<=[a-z0-9)'’\"])\.(?:\s|$)", _LINK.sub("", found["what"]))[0].strip().rstrip(".,;: ")
    if not sentence or len(sentence) > _LONGEST_TASK:
        return ""
    return sentence if found["how"].lower() == "to" else f"write a function that {sentence}"


def _main(functions: list[str], seed: Seed) -> str:
    """The function that the tests call: the entry point, unless they call another one only."""
    called = [name for name in functions if re.search(rf"\b{re.escape(name)}\s*\(", str(seed.tests or ""))]
    entry = seed.entry_point.strip()
    if entry in functions and (entry in called or not called):
        return entry
    if called:
        return called[-1]
    return functions[-1] if functions and not isinstance(seed.tests, list) else ""


def _imports(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(each.asname or each.name).split(".")[0]: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return found


class _Types(ast.NodeVisitor):
    """Types of variables, from the literal arguments of the tests and the forms of what is assigned."""

    def __init__(self, imports: Mapping[str, str]) -> None:
        self.imports = imports
        self.known: dict[str, str] = {}
        self.conflicting: set[str] = set()

    def learn_arguments(self, tree: ast.Module, main: str, tests: str) -> None:
        function = next((f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name == main), None)
        if function is None:
            return
        names = [argument.arg for argument in function.args.args]
        for each in function.args.args:
            base = each.annotation.value if isinstance(each.annotation, ast.Subscript) else each.annotation
            if isinstance(base, ast.Name) and base.id.lower() in _ANNOTATED:
                self.known[each.arg] = base.id.lower()
        seen: dict[str, Counter[str]] = {name: Counter() for name in names}
        for call in _calls_of(main, tests):
            for name, argument in zip(names, call.args, strict=False):
                seen[name][_literal_type(argument)] += 1
        for name, kinds in seen.items():
            if len(kinds) == 1 and "" not in kinds:
                self.known[name] = next(iter(kinds))

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._note(target.id, Words(self.known, self.imports).type_of(node.value))
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.target, ast.Name):
            words = Words(self.known, self.imports)
            kind = words.type_of(node.iter)
            self._note(node.target.id, {"str": "str", "range": "int"}.get(kind, ""))
        self.generic_visit(node)

    def _note(self, name: str, kind: str) -> None:
        if not kind or name in self.conflicting:
            return
        if self.known.setdefault(name, kind) != kind:
            self.conflicting.add(name)
            del self.known[name]


def _calls_of(name: str, tests: str) -> Iterator[ast.Call]:
    try:
        tree = parsed(tests)
    except _UNREADABLE:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in (name, "candidate"):
            yield node


def _literal_type(node: ast.expr) -> str:
    try:
        return type(ast.literal_eval(node)).__name__
    except (*_UNREADABLE, TypeError):
        return ""
