"""The program that a completion holds, and whether two outputs are the same. Nothing is run or compiled here."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*([\w+-]*)[^\n]*$", re.MULTILINE)
_PYTHON = frozenset(("python", "python3", "py", "py3", "py2", "python2"))
_CODE_LINE = re.compile(r"^(?:def|class|import|from|for|while|if|print|@|\w+\s*=|#!)\b", re.MULTILINE)


def program_of(completion: str) -> str:
    """The last fenced Python block that is not blank, else the last without a language, else the whole text.

    A block that never closes ends with the text. A single fence may be the end of a block that the prompt opened:
    what comes before it is then the program, if that looks like Python and what follows does not.
    """
    fences = list(_FENCE.finditer(completion))
    if len(fences) == 1 and not fences[0][1]:
        before, after = completion[: fences[0].start()], completion[fences[0].end() :]
        return (before if _CODE_LINE.search(before) and not _CODE_LINE.search(after) else after).strip("\n")
    blocks = _blocks(completion, fences)
    for wanted in (_PYTHON, frozenset(("",))):
        if written := [block for language, block in blocks if language in wanted]:
            return next((block for block in reversed(written) if block.strip()), "")
    return completion.strip("\n")


def same_tokens(expected: str, found: str, tolerance: float = 0.0) -> bool:
    """Whether two outputs have the same tokens, split at white space.

    Args:
        expected: the output of the test.
        found: what the program printed.
        tolerance: where positive, two tokens that are both numbers are also the same if they differ by at most
            this, absolutely or relative to the expected one. NaN is the same as nothing.
    """
    tokens, others = expected.split(), found.split()
    if len(tokens) != len(others):
        return False
    return all(a == b or (tolerance > 0 and _close(a, b, tolerance)) for a, b in zip(tokens, others, strict=True))


def _close(expected: str, found: str, tolerance: float) -> bool:
    try:
        a, b = float(expected), float(found)
    except ValueError:
        return False
    return a == b or abs(a - b) <= tolerance * max(1.0, abs(a)) < float("inf")


def _blocks(completion: str, fences: list[re.Match[str]]) -> list[tuple[str, str]]:
    """(language, text) of each block; a fence with a language opens one even where another was not closed."""
    blocks, start, language = [], None, ""
    for fence in fences:
        if start is not None:
            blocks.append((language, completion[start : fence.start()].strip("\n")))
        opens = bool(fence[1]) or start is None
        start, language = (fence.end(), fence[1].lower()) if opens else (None, "")
    if start is not None:
        blocks.append((language, completion[start:].strip("\n")))
    return blocks
