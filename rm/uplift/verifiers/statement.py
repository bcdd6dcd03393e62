"""Tests that a problem's statement states itself: its examples, read as text. Pure functions; nothing is run.

Only what is written in a common form is found, and nothing is guessed: a statement without such examples has none.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise

from rm.uplift.problems import IOTest

_LABEL = re.compile(
    r"^[ \t]*[#*_]*[ \t]*(?P<sample>example\s+|sample\s+)?(?P<what>input|output)s?(?:[ \t]*#?[ \t]*\d+)?"
    r"[ \t]*(?P<mark>:?)[#*_]*[ \t]*(?P<mark2>:?)[ \t]*(?P<same>[^\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(r"^[ \t#*_-]*(?:examples?|samples?)\b[^\n]{0,20}$", re.IGNORECASE | re.MULTILINE)
_END = re.compile(
    r"^[ \t]*[#*_]*[ \t]*"
    r"(?:explanation|note|constraints?|examples?\b[ \t]*#?\d*[ \t]*:?[#*_ \t]*$|sample\b|-{3,}|={3,})",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$\n?", re.MULTILINE)
_CALL_LINE = re.compile(r"^[ \t>#*`-]*(?:assert\s+)?(?P<test>\w[\w.]*\(.*)$", re.MULTILINE)
_ARROW = re.compile(r"\s*(?:➞|→|=>|->|should (?:return|be)|returns|==>)\s*")


def io_examples(statement: str) -> tuple[IOTest, ...]:
    """The `Input:` / `Output:` pairs of a statement, in order.

    Where the statement has a heading such as `Example 1` or `Samples`, only what follows it is looked at: before it,
    `Input` heads the description of the input. A label stands at the start of a line, with a colon, or (below such a
    heading, or as `Sample Input`) alone. Its text is the rest of its line; if that is blank, the lines up to the next
    label or a heading such as `Explanation`. Code fences around it are taken off. An input without an output is
    passed over.
    """
    heading = _HEADING.search(statement)
    text = statement[heading.start() :] if heading else statement
    labels = [label for label in _LABEL.finditer(text) if _is_label(label, alone=heading is not None)]
    ends = [*(label.start() for label in labels[1:]), len(text)]
    texts = [
        (label["what"].lower(), _content(label["same"], text[label.end() : end]))
        for label, end in zip(labels, ends, strict=False)
    ]
    return tuple(
        IOTest(given, wanted)
        for (label, given), (next_label, wanted) in pairwise(texts)
        if (label, next_label) == ("input", "output") and wanted.strip()
    )


def assert_examples(statement: str, entry_point: str) -> str:
    """The examples of a function as assertions, one a line; empty where there are none.

    Found are doctests (`>>> f(1)` and the value on the next line), `f(1) == 2` (with or without `assert`), and
    `f(1) -> 2` in several spellings of the arrow, where both sides are Python expressions.

    Args:
        statement: the problem, docstring included.
        entry_point: the function that examples call; others are passed over.
    """
    tests = [*_doctests(statement), *_comparisons(statement)]
    found = (_assertion(call, value, entry_point.strip()) for call, value in tests)
    return "\n".join(dict.fromkeys(source for source in found if source))


def _is_label(match: re.Match[str], alone: bool) -> bool:
    if match["mark"] or match["mark2"]:
        return True
    return not match["same"].strip() and (alone or bool(match["sample"]))


def _content(same_line: str, following: str) -> str:
    if same_line.strip():
        return same_line.strip().strip("`")
    text = following[: end.start()] if (end := _END.search(following)) else following
    if len(fences := list(_FENCE.finditer(text))) >= 2:
        text = text[fences[0].end() : fences[1].start()]
    return text.strip("\n")


def _doctests(statement: str) -> list[tuple[str, str]]:
    lines = statement.splitlines()
    return [
        (line.strip()[3:].strip(), value.strip())
        for line, value in pairwise(lines)
        if line.strip().startswith(">>>") and value.strip() and not value.strip().startswith((">>>", "..."))
    ]


def _comparisons(statement: str) -> list[tuple[str, str]]:
    found = []
    for match in _CALL_LINE.finditer(statement):
        parts = _ARROW.split(match["test"], maxsplit=1)
        if len(parts) == 2:
            found.append((parts[0], parts[1]))
        elif (equal := match["test"].find("==")) > 0:
            found.append((match["test"][:equal], match["test"][equal + 2 :]))
    return found


def _assertion(call: str, value: str, entry_point: str) -> str:
    """`assert call == value` where both are expressions and the call is one of the function; else empty."""
    try:
        given = ast.parse(call.strip(), mode="eval").body
        wanted = ast.parse(value.strip().rstrip(".`").strip(), mode="eval").body
        ast.literal_eval(wanted)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return ""
    if not (isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == entry_point):
        return ""
    return f"assert {ast.unparse(given)} == {ast.unparse(wanted)}"
