"""From the results of a program's tests to its execution reward: the four official styles, as pure functions.

Source: TraceLift's reference code (github MasaiahHan/TraceLift at 69b7ba5); figures only. Its reward for code is
built from one of these; `hybrid` is its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from rm.errors import ConfigError

TestOutcome = Literal["passed", "wrong", "runtime_error", "timeout", "compile_error"]
"""`wrong`: the program ended by itself, exit code 0, with another output or value. `runtime_error`: it raised, was
killed for its memory or output, or left too early. `timeout`: it met a limit on time."""

CODERL = {"passed": 1.0, "wrong": -0.3, "runtime_error": -0.6, "timeout": -0.6, "compile_error": -1.0}
"""Class of a program (its first failing test's outcome) -> reward, in the style `coderl`."""

HYBRID_SHARE = 0.8
HYBRID_CLEAN = 0.2
HYBRID_CRASHED = 0.05


def first_failure(outcomes: Sequence[TestOutcome]) -> TestOutcome:
    """The class of a program: the outcome of its first failing test; `passed` where none fails."""
    return next((outcome for outcome in outcomes if outcome != "passed"), "passed")


def binary(outcomes: Sequence[TestOutcome]) -> float:
    """1 if there are tests and all are passed, else 0."""
    return float(bool(outcomes) and first_failure(outcomes) == "passed")


def pass_rate(outcomes: Sequence[TestOutcome]) -> float:
    """Share of tests passed, in [0, 1]; 0 without tests."""
    return sum(outcome == "passed" for outcome in outcomes) / len(outcomes) if outcomes else 0.0


def coderl(outcomes: Sequence[TestOutcome]) -> float:
    """By class (`CODERL`), in [-1, 1]; -1 without tests."""
    return CODERL[first_failure(outcomes)] if outcomes else -1.0


def hybrid(outcomes: Sequence[TestOutcome]) -> float:
    """0.8 * pass rate, and a bonus by class: 0.2 where none failed or the first to fail ended by itself, 0.05 where
    that crashed or timed out.

    In [0, 1]. A program that does not compile, or has no tests, gets 0.
    """
    if not outcomes:
        return 0.0
    bonus = {"passed": HYBRID_CLEAN, "wrong": HYBRID_CLEAN, "runtime_error": HYBRID_CRASHED, "timeout": HYBRID_CRASHED}
    return HYBRID_SHARE * pass_rate(outcomes) + bonus.get(first_failure(outcomes), 0.0)


STYLES: Mapping[str, Callable[[Sequence[TestOutcome]], float]] = {
    "binary": binary,
    "pass_rate": pass_rate,
    "coderl": coderl,
    "hybrid": hybrid,
}
"""Name -> style."""

DEFAULT_STYLE = "hybrid"


def execution_reward(outcomes: Sequence[TestOutcome], style: str = DEFAULT_STYLE) -> float:
    """The reward of a program by the outcomes of its tests, in their order.

    Raises:
        ConfigError: there is no such style.
    """
    if style not in STYLES:
        raise ConfigError(f"There is no execution reward style {style!r}. Choose one of: {', '.join(STYLES)}.")
    return STYLES[style](outcomes)
