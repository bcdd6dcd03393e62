"""Sources that run inside the sandbox around a program and its tests. Text only; nothing here runs anything.

Three harnesses:
- `calls_source`: the program, then the calls of its tests; reports their values. Holds nothing secret: whatever the
  program does to it, all it can do is to report values, and a value is right or wrong wherever it comes from.
- `checks_source`: the checks of those values, in a process in which no program has run.
- `beside_source`: program and tests in one interpreter, for tests that cannot be taken apart. See its docstring for
  what it does not stop.

Each reports by lines `MARKER INDEX JSON` on stdout, MARKER being random, so that no honest output is taken for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LOADED = -1
"""The index of the line that says that the program was loaded."""

NOT_COMPILED = 3
"""Exit code of `compile_source` for a program that does not compile."""

_REPORTER = """
def _reporter(marker):
    import json, os, sys
    stream = os.fdopen(os.dup(1), "wb")
    def report(index, data):
        sys.stdout.flush()
        stream.write(f"\\n{marker} {index} {json.dumps(data)}\\n".encode())
        stream.flush()
    return report
"""

_PLAIN_DATA = """
def _plain_data(source):
    import types
    module = types.ModuleType("plain_data")
    exec(source, module.__dict__)
    return module
"""

_CALLS = """
def _answer(marker, codec, calls):
    import os, sys
    report, codec = _reporter(marker), _plain_data(codec)
    report(-1, None)
    for index, call in calls:
        try:
            data = {"value": codec.encode(eval(call, globals()))}
        except BaseException as error:
            data = {"raised": type(error).__name__}
        report(index, data)
    os._exit(0)
"""

_CHECKS = """
import json, sys
marker, codec, checks, values = json.load(sys.stdin)
report, codec = _reporter(marker), _plain_data(codec)
_values = [codec.decode(value) for value in values]
for index, check in checks:
    try:
        holds = bool(eval(check, globals()))
    except Exception:
        holds = False
    report(index, {"holds": holds})
"""

_BESIDE = """
def _main():
    import ast, builtins, json, os, sys, types
    marker, codec, program, tests = json.load(sys.stdin)
    codec = _plain_data(codec)
    # Taken before the program can replace them.
    reports = {each: f"\\n{marker} 0 {json.dumps({each: True})}\\n".encode() for each in ("holds", "fails", "raised")}
    write, leave, stream = os.write, os._exit, os.dup(1)
    names, kept = vars(builtins), dict(vars(builtins))

    class Compare(ast.NodeTransformer):
        def visit_Compare(self, node):
            self.generic_visit(node)
            if len(node.ops) != 1 or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                return node
            call = ast.Call(ast.Name("_same", ast.Load()), [node.left, *node.comparators], [])
            return call if isinstance(node.ops[0], ast.Eq) else ast.UnaryOp(ast.Not(), call)

    def same(left, right, plain=codec.is_plain, encode=codec.encode, decode=codec.decode):
        if plain(left) or plain(right):
            return plain(left) and plain(right) and decode(encode(left)) == decode(encode(right))
        return left == right

    tests = compile(ast.fix_missing_locations(Compare().visit(ast.parse(tests))), "<checks>", "exec")
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(program, "<program>", "exec", dont_inherit=True), main.__dict__)
    names.clear()
    names.update(kept)
    main.__dict__["_same"] = same
    try:
        exec(tests, main.__dict__)
        outcome = "holds"
    except AssertionError:
        outcome = "fails"
    except BaseException:
        outcome = "raised"
    write(stream, reports[outcome])
    leave(0)

_main()
"""


@cache
def _codec() -> str:
    return Path(__file__).with_name("plain_data.py").read_text(encoding="utf-8")


def calls_source(program: str, imports: str, calls: Mapping[int, str], marker: str) -> str:
    """The program as it is, at its own line numbers, then the calls; `{"value": ..}` or `{"raised": name}` each."""
    answer = f"_answer({marker!r}, {_codec()!r}, {list(calls.items())!r})"
    return f"{program}\n\n{_REPORTER}{_PLAIN_DATA}{_CALLS}\n{imports}\n{answer}\n"


def checks_source(imports: str) -> str:
    """The checks, which it reads from stdin (`checks_input`); `{"holds": bool}` each."""
    return f"{imports}\n{_REPORTER}{_PLAIN_DATA}{_CHECKS}"


def checks_input(checks: Mapping[int, str], values: Sequence[Any], marker: str) -> str:
    """What `checks_source` reads: checks by their index, and the values of all calls as `plain_data` encodes them."""
    return json.dumps([marker, _codec(), list(checks.items()), values])


def beside_source() -> str:
    """Program and tests in one interpreter, read from stdin (`beside_input`); `{OUTCOME: true}` at 0.

    OUTCOME is `holds`, `fails` or `raised`. It is reported under a marker that the program is not given, when the
    tests have run to their end; stdin is used up by then. So exiting early (`sys.exit`, `os._exit`), printing what a
    pass would print, reading stdin, replacing builtins while it is loaded, defining its own `check`, and values that
    are equal to everything (`==` and `!=` of plain data compare copies of built-in types) are all failures.

    What it does not stop: a program written against this very harness. The code of the program shares the
    interpreter with tests and marker and can reach both through stack frames, the garbage collector or patched
    library modules; in one interpreter nothing prevents that.
    """
    return f"{_PLAIN_DATA}{_BESIDE}"


def beside_input(program: str, tests: str, marker: str) -> str:
    """What `beside_source` reads."""
    return json.dumps([marker, _codec(), program, tests])


def compile_source(program: str) -> str:
    """Compiles a program without running it; exit code `NOT_COMPILED` where it does not."""
    return f"""import sys, warnings
warnings.simplefilter("ignore")
try:
    compile({program!r}, "<program>", "exec", dont_inherit=True)
except (SyntaxError, ValueError, MemoryError, RecursionError):
    sys.exit({NOT_COMPILED})
"""


def reports(stdout: str, marker: str) -> dict[int, Any]:
    """Index -> data of the lines that were reported; the first of several. What is no report is passed over."""
    found: dict[int, Any] = {}
    for line in stdout.split("\n"):
        if line.startswith(marker):
            try:
                _, index, data = line.split(" ", 2)
                found.setdefault(int(index), json.loads(data))
            except (ValueError, RecursionError):
                continue
    return found
