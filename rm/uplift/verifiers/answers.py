"""Where a text says its answer.

A completion's answer is looked for in this order; the first place that has one decides, and within it the last:
1. the rest of a line after `####` (the form of GSM8K);
2. the content of `\\boxed{}` or `\\fbox{}`, braces balanced;
3. what follows "answer is", "answer:" or "answer =", up to the end of the clause; "the answer is not 5" is none;
4. as the last resort the last number, those directly after "not" left out.

A reference says it after `####`, in a box, or is the bare answer itself: one line of at most 200 characters.
"""

from __future__ import annotations

import re

from rm.uplift.verifiers.numbers import MAX_LENGTH, ascii_form, parse_number

TAIL = 20_000
"""Only so many characters from the end of a completion are looked at."""

_MARK = re.compile(r"####[ \t]*([^\n#]*[^\s#][^\n]*)")
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_BARE_BOX = re.compile(r"\\boxed\s+([^\s{}]+)")
_STATED = re.compile(
    r"\banswer(?:\s+to\s+[^.\n]{1,80}?|\s+here)?\s*(?:\*\*)?\s*(?:is|was|:|=)[ \t]*(?:\*\*)?[ \t]*:?[ \t]*",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(?:not|never|n't|neither)\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"\n|[.!?](?=\s|$)|;|,(?=\s)|\s(?:because|since|so|as|which|but|where|after|when)\b|\s\(")
_TOKEN = re.compile(
    r"(?<![\w.,/^])(?<!\d\*\*)[+-]?[$€£¥₹]?"
    r"(?>\d+\s+\d+/\d+|\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+|[eE][+-]?\d+)?|\.\d+)(?!(?:st|nd|rd|th)\b)(?:\s*%)?"
)
"""A number in running text, as much of it as there is; `4th` is none."""
_BEFORE_NEGATED = re.compile(r"(?:\bnot|n't|\bnever)\s+(?:equal\s+to\s+|be\s+)?[$(]*$", re.IGNORECASE)
_PROSE = re.compile(r"[A-Za-z .,'’:$€£%\d/-]+")
_MATH_WORD = re.compile(
    r"\b(?:root|squared|cubed|times|plus|minus|over|log|sin|cos|tan|pi|half|not|or|and)\b", re.IGNORECASE
)


def completion_answer(completion: str) -> str:
    """The answer that a completion gives; empty where it gives none."""
    text = ascii_form(completion[-TAIL:])
    for place in (_marked, _boxed, _stated):
        if answer := place(text):
            return answer
    return _last_number(text)


def reference_answer(reference: str) -> str:
    """The answer that a reference gives; empty where it gives none."""
    for place in (_marked, _boxed):
        if answer := place(reference):
            return answer
    bare = reference.strip()
    return bare if "\n" not in bare and len(bare) <= MAX_LENGTH else ""


def _marked(text: str) -> str:
    marks = _MARK.findall(text)
    return _within(marks[-1]) if marks else ""


def _boxed(text: str) -> str:
    """The content of the last box that is closed and not blank."""
    for start in reversed([match.end() for match in _BOX.finditer(text)]):
        content = _balanced(text, start)
        if content is not None and content.strip():
            inner = _boxed(content) if _BOX.search(content) else ""
            return inner or content.strip()
    bare = _BARE_BOX.findall(text)
    return bare[-1].strip("$. ") if bare else ""


def _balanced(text: str, start: int) -> str | None:
    """What stands between an opening brace that ends at `start` and its closing one; None where it never closes."""
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return text[start : match.start()]
    return None


def _stated(text: str) -> str:
    for match in reversed(list(_STATED.finditer(text))):
        rest = text[match.end() :].lstrip()
        if _NEGATED.match(rest):
            continue
        clause = rest[: end.start()] if (end := _CLAUSE_END.search(rest)) else rest
        if clause.strip(" *_$"):
            return _within(clause)
    return ""


def _within(clause: str) -> str:
    """The answer in a piece of text that is meant to be one: a box in it, the one number of its prose, or all of it."""
    clause = clause.strip().strip("*_").strip()
    if boxed := _boxed(clause):
        return boxed
    if (match := _STATED.search(clause)) and not _NEGATED.match(clause[match.end() :]):
        clause = clause[match.end() :]
    if parse_number(clause) is None and _PROSE.fullmatch(clause) and not _MATH_WORD.search(clause):
        tokens = list(_TOKEN.finditer(clause))
        if len(tokens) == 1 and clause[: tokens[0].start()].strip(" $"):
            return clause[tokens[0].start() :].strip()
    return clause


def _last_number(text: str) -> str:
    for match in reversed(list(_TOKEN.finditer(text))):
        if not _BEFORE_NEGATED.search(text[max(0, match.start() - 24) : match.start()]):
            return match[0].strip().rstrip(",")
    return ""
