"""An executor without a model: it carries out calculations that are written down for it. For demos and tests.

With a trace it computes the last `... = ` of the trace anew and answers with the result; the result that the trace
states itself does not matter. Without one it answers problems that are themselves one calculation ("What is
12 * 4?"), and everything else wrongly. So traces help, and wrong ones do not, for a reason.

Not covered: equations, powers, percentages of something, numbers in words, programs.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import replace
from fractions import Fraction

from rm.uplift.executors.base import Completion, Executor, Lost, Prompt, Sampling, Usage
from rm.uplift.executors.config import ArithmeticConfig
from rm.uplift.prompts import read_prompt

WRONG = Fraction(-1)
"""The answer to what it cannot do."""
_NUMBER = r"\$?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)%?"
_ATOM = rf"[( \t]{{0,9}}{_NUMBER}[ \t)]{{0,9}}"
_EXPRESSION = re.compile(rf"(?<![\w.,]){_ATOM}(?:[-+*/x×÷·–−]{_ATOM})+")
_TOKEN = re.compile(rf"{_NUMBER}|[-+*/x×÷·–−()]")
_SIGNS = str.maketrans({"x": "*", "×": "*", "·": "*", "÷": "/", "–": "-", "−": "-"})
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
_LONGEST = 300


class ArithmeticExecutor(Executor):
    """See the module.

    Args:
        config: how often it slips. Slips depend on the prompt and the sample's seed alone, and at temperature 0 on
            the prompt.
    """

    def __init__(self, config: ArithmeticConfig | None = None) -> None:
        self._config = config or ArithmeticConfig()
        self._usage = Usage()

    @property
    def fingerprint(self) -> str:
        return self._config.fingerprint()

    @property
    def usage(self) -> Usage:
        return self._usage

    async def sample(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> list[Completion | Lost]:
        """See `Executor.sample`."""
        self._usage = replace(self._usage, calls=self._usage.calls + 1, samples=self._usage.samples + n)
        answer = answer_to(*read_prompt(prompt))
        seeds = [seed + i if sampling.temperature else 0 for i in range(n)]
        return [Completion(f" {written(answer + self._slip(prompt, each))}", tokens=1) for each in seeds]

    async def close(self) -> None:
        """Nothing to give back."""

    def _slip(self, prompt: Prompt, seed: int) -> int:
        digest = hashlib.sha256(f"{seed}\n{prompt.text}".encode()).digest()
        return 1 if random.Random(digest).random() < self._config.error_rate else 0


def answer_to(problem: str, reasoning: str | None) -> Fraction:
    """What the executor makes of a problem and a trace; `WRONG` where neither holds a calculation that it can do."""
    found = None if reasoning is None else last_calculation(reasoning)
    if found is None:
        found = only_calculation(problem)
    return WRONG if found is None else found


def last_calculation(text: str) -> Fraction | None:
    """The value of the last expression with an operator that an `=` follows; None for none."""
    values = (value(match[0]) for match in _EXPRESSION.finditer(text) if text.startswith("=", match.end()))
    return next((found for found in reversed(list(values)) if found is not None), None)


def only_calculation(text: str) -> Fraction | None:
    """The value of a text's one expression; None where it has none, several, or numbers besides."""
    found = _EXPRESSION.findall(text)
    if len(found) != 1 or re.search(r"\d", text.replace(found[0], "", 1)):
        return None
    return value(found[0])


def value(expression: str) -> Fraction | None:
    """The exact value of numbers, `+ - * /` (also x × ÷ ·) and parentheses; None where it has none.

    Unbalanced parentheses, such as those of the sentence around it, are left out.
    """
    tokens = _balanced(_TOKEN.findall(expression.translate(_SIGNS))) if len(expression) <= _LONGEST else []
    values: list[Fraction] = []
    operators: list[str] = []
    try:
        for token in tokens:
            if token == "(":
                operators.append(token)
            elif token == ")":
                while operators[-1] != "(":
                    _apply(operators.pop(), values)
                operators.pop()
            elif token in _PRECEDENCE:
                while operators and _PRECEDENCE.get(operators[-1], 0) >= _PRECEDENCE[token]:
                    _apply(operators.pop(), values)
                operators.append(token)
            else:
                values.append(_number(token))
        while operators:
            _apply(operators.pop(), values)
    except (IndexError, ZeroDivisionError):
        return None
    return values[0] if len(values) == 1 else None


def written(number: Fraction) -> str:
    """As a whole number, a decimal where that is exact in six places, else a fraction."""
    scaled = number * 10**6
    if scaled.denominator != 1:
        return f"{number.numerator}/{number.denominator}"
    digits = f"{abs(scaled.numerator):07d}"
    text = f"{digits[:-6]}.{digits[-6:]}".rstrip("0").rstrip(".")
    return f"-{text}" if number < 0 else text


def _number(token: str) -> Fraction:
    plain = Fraction(token.strip("$%").replace(",", ""))
    return plain / 100 if token.endswith("%") else plain


def _apply(operator: str, values: list[Fraction]) -> None:
    right, left = values.pop(), values.pop()
    match operator:
        case "+":
            values.append(left + right)
        case "-":
            values.append(left - right)
        case "*":
            values.append(left * right)
        case "/":
            values.append(left / right)


def _balanced(tokens: list[str]) -> list[str]:
    """Without the parentheses that have no partner."""
    opened: list[int] = []
    lonely: set[int] = set()
    for index, token in enumerate(tokens):
        if token == "(":
            opened.append(index)
        elif token == ")":
            if opened:
                opened.pop()
            else:
                lonely.add(index)
    lonely.update(opened)
    return [token for index, token in enumerate(tokens) if index not in lonely]
