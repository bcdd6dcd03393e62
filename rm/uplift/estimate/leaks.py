"""Does a trace state the answer, and what is left of it without?

Rules. An answer that is a number (after `####`, in a `\\boxed{}`, between `$`, with a currency sign, a percent sign or
a unit) is looked for by value: `1,234.50` is `1234.5`, `50%` is `50`, and `1/2`, `\\frac{1}{2}` and `0.5` are one
answer. A number that is not whole may be written as a fraction; for a whole answer the two numbers of `24/4` are read
apart, since they are a calculation. A minus sign belongs to the number after it unless a word, number or bracket ends
just before it, or a number or bracket and one space: `10 - 5` and `x-5` state 5, `is -5` states -5. Digits inside a
word or a longer number (`x2`, `5th`, `112`) are no occurrence. Any other answer is looked for as text between word
boundaries, with any white space and in any case; a single letter in its own case only. Answers without a letter or
digit are never looked for.

Not recognised: numbers in words (`twelve`), in powers or scientific notation, expressions that only come to the same
value (`6 * 3` for 18), numbers of more than 1,000 characters, paraphrases. A number may also stand in the trace because
the problem gives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MASK = "[...]"
"""Holds no letter and no digit, so that no masked text states an answer."""

_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_SIGN = r"(?:(?<![\w)\]}%])(?<![\d)\]}%][ ])[-−])?"
_START, _END = r"(?<![A-Za-z_\d.])", r"(?!\d|\.\d|(?:st|nd|rd|th)\b)"
_WHOLE = re.compile(rf"{_SIGN}{_START}(?:{_DIGITS}){_END}")
_LATEX_FRACTION = r"\\[dt]?frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
_FRACTION = re.compile(rf"{_SIGN}(?:{_LATEX_FRACTION}|{_START}(\d+)\s*/\s*(\d+){_END}|{_START}(?:{_DIGITS}){_END})")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_AROUND_NUMBER = re.compile(
    r"^\s*[$€£¥]?\s*(.*?)\s*(?:\\?%|[$€£¥]|\s[A-Za-z][A-Za-z ./]*|[A-Za-z]{2,}\.?)?\s*\.?\s*$", re.DOTALL
)
_LONGEST_NUMBER = 1000
"""Characters; a model that runs away writes thousands of digits, more than Python makes a number of."""


@dataclass(frozen=True)
class Leak:
    """Occurrences of the answer in a trace.

    Args:
        anywhere: how many in the whole trace.
        last_line: how many in its last line that is not empty.
    """

    anywhere: int
    last_line: int

    def __bool__(self) -> bool:
        return self.anywhere > 0


def find_leak(trace: str, answer: str) -> Leak:
    """Count where a trace states the answer, by the rules above."""
    lines = trace.rstrip().splitlines()
    return Leak(len(_occurrences(trace, answer)), len(_occurrences(lines[-1], answer)) if lines else 0)


def mask_answer(trace: str, answer: str) -> str:
    """The trace with `MASK` in place of every statement of the answer; unchanged where there is none."""
    while found := _occurrences(trace, answer):
        for start, end in reversed(found):
            trace = trace[:start] + MASK + trace[end:]
    return trace


def _occurrences(trace: str, answer: str) -> list[tuple[int, int]]:
    bare = _bare(answer)
    value = _number(bare)
    if value is not None:
        pattern = _WHOLE if value.denominator == 1 else _FRACTION
        return [match.span() for match in pattern.finditer(trace) if _value(match.group()) == value]
    if not re.search(r"[^\W_]", bare):
        return []
    words = r"\s+".join(re.escape(word) for word in bare.split())
    flags = 0 if len(bare) == 1 else re.IGNORECASE
    return [match.span() for match in re.finditer(rf"(?<!\w){words}(?!\w)", trace, flags)]


def _bare(answer: str) -> str:
    """Without what is written around an answer."""
    text = answer.rsplit("####", 1)[-1].strip()
    while boxed := _BOXED.search(text):
        text = boxed.group(1).strip()
    text = _TEXT.sub(r"\1", text).replace("\\$", "$")
    return text.strip("$ \t\n").rstrip(".").strip()


def _number(text: str) -> Fraction | None:
    """The value of a text that is one number; None for anything else."""
    if len(text) > _LONGEST_NUMBER:
        return None
    # Every run of spaces as one: the pattern may divide a run in very many ways.
    inner = _AROUND_NUMBER.match(re.sub(r"\s+", lambda run: "\n" if "\n" in run.group() else " ", text))
    if inner is None or not (match := _FRACTION.fullmatch(inner.group(1))):
        return None
    return _value(match.group())


def _value(written: str) -> Fraction | None:
    if len(written) > _LONGEST_NUMBER:
        return None
    sign, text = (-1, written[1:]) if written[0] in "-−" else (1, written)
    fraction = _FRACTION.fullmatch(text)
    parts = [part for part in fraction.groups() if part is not None] if fraction else []
    if parts:
        above, below = (int(part) for part in parts)
        return sign * Fraction(above, below) if below else None
    return sign * Fraction(re.sub(r"\\,|[,{}]", "", text))
