"""The four official execution reward styles, worked by hand from their description."""

from __future__ import annotations

import pytest

from rm.errors import ConfigError
from rm.uplift.verifiers.styles import STYLES, TestOutcome, execution_reward, first_failure

P: TestOutcome = "passed"
W: TestOutcome = "wrong"
R: TestOutcome = "runtime_error"
T: TestOutcome = "timeout"
C: TestOutcome = "compile_error"

TABLE = [
    # outcomes           binary  rate  coderl  hybrid
    ((), 0, 0, -1, 0),
    ((P,), 1, 1, 1, 1),
    ((P, P, P, P), 1, 1, 1, 1),
    ((W,), 0, 0, -0.3, 0.2),
    ((R,), 0, 0, -0.6, 0.05),
    ((T,), 0, 0, -0.6, 0.05),
    ((C, C), 0, 0, -1, 0),
    ((P, W), 0, 0.5, -0.3, 0.6),  # 0.8 * 1/2 + 0.2
    ((W, P), 0, 0.5, -0.3, 0.6),
    ((P, R), 0, 0.5, -0.6, 0.45),  # 0.8 * 1/2 + 0.05
    ((P, P, P, T), 0, 0.75, -0.6, 0.65),  # 0.8 * 3/4 + 0.05
    ((P, W, R), 0, 1 / 3, -0.3, 0.8 / 3 + 0.2),  # the first failing test sets the class
    ((P, R, W), 0, 1 / 3, -0.6, 0.8 / 3 + 0.05),
    ((T, W, P, P), 0, 0.5, -0.6, 0.45),
]


@pytest.mark.parametrize(("outcomes", "binary", "rate", "coderl", "hybrid"), TABLE)
def test_styles(outcomes: tuple[TestOutcome, ...], binary: float, rate: float, coderl: float, hybrid: float) -> None:
    expected = {"binary": binary, "pass_rate": rate, "coderl": coderl, "hybrid": hybrid}
    assert {name: execution_reward(outcomes, name) for name in STYLES} == pytest.approx(expected)


def test_hybrid_is_the_default() -> None:
    assert execution_reward((P, W)) == pytest.approx(0.6)


def test_the_class_is_that_of_the_first_failure() -> None:
    assert first_failure((P, T, W)) == "timeout"
    assert first_failure((P, P)) == "passed"


def test_an_unknown_style_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match="binary, pass_rate, coderl, hybrid"):
        execution_reward((P,), "best")
