"""The plan in a reference solution, to be tried as a trace: how it is solved, without the solution itself."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from rm.groups.schema import POSITIVE_KIND
from rm.uplift.problems import Problem, Trace
from rm.uplift.verifiers.answers import reference_answer
from rm.uplift.verifiers.numbers import parse_number

KIND = "reference"

_MARK = re.compile(r"<<[^<>\n]*>>")
_FINAL = re.compile(r"^[ \t]*####.*$", re.MULTILINE)
_UNREADABLE = (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError)


def reference_traces(problem: Problem) -> tuple[Trace, ...]:
    """The one trace that `--trace reference` tries, or none where the reference has no plan.

    A group whose reference solution has no plan lends its first positive trace.

    - math: the worked solution without calculator marks `<<48/2=24>>` and without the final line `#### 24`. A
      reference that is a bare answer has no plan. The last step may still state the answer, as every worked solution
      does; the leak guard of likelihood estimates is for that.
    - code: the docstrings and comments of the reference program, without its code and without what the problem itself
      says. Most programs have none, and their problems no trace.
    """
    plan = _steps(problem) if problem.task == "math" else _remarks(problem)
    plan = plan or next((trace.reasoning for trace in problem.traces if trace.kind == POSITIVE_KIND), "")
    return (Trace(plan, KIND),) if plan else ()


def _steps(problem: Problem) -> str:
    solution = problem.reference_solution
    plan = _FINAL.sub("", _MARK.sub("", solution)).strip()
    bare = parse_number(plan) is not None or plan == reference_answer(solution)
    return "" if bare else plan


def _remarks(problem: Problem) -> str:
    try:
        tree = ast.parse(problem.reference_solution)
        tokens = list(tokenize.generate_tokens(io.StringIO(problem.reference_solution).readline))
    except _UNREADABLE:
        return ""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    comments = [token.string.lstrip("#! ").strip() for token in tokens if token.type == tokenize.COMMENT]
    known = _single_spaced(problem.problem)
    remarks = [text for text in (*docstrings, *comments) if text and _single_spaced(text) not in known]
    return "\n".join(remarks)


def _single_spaced(text: str) -> str:
    return " ".join(text.casefold().split())
