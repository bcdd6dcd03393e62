from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm.uplift.executors.arithmetic import (
    ArithmeticExecutor,
    last_calculation,
    only_calculation,
    value,
    written,
)
from rm.uplift.executors.base import Completion, Executor, Sampling
from rm.uplift.executors.config import ArithmeticConfig
from rm.uplift.problems import Problem
from rm.uplift.prompts import executor_prompt

STORY = Problem("p", "Mei has 6 boxes with 15 socks each and shares them among 9. How many has each?", "math")
SOUND = "The boxes hold 6*15=90 socks.\nOne share is 90/9=10 socks."
WARM = Sampling(temperature=1.0)


def answers(problem: Problem, trace: str | None, n: int = 1, error_rate: float = 0.0, **how: Any) -> list[str]:
    executor = ArithmeticExecutor(ArithmeticConfig(error_rate=error_rate))
    settings = {"sampling": WARM, "seed": 0, **how}
    got = asyncio.run(executor.sample(executor_prompt(problem, trace), n, **settings))
    return [each.text for each in got if isinstance(each, Completion)]


def test_a_sound_trace_helps_and_flawed_ones_do_not():
    assert answers(STORY, SOUND) == [" 10"]
    assert answers(STORY, None) == [" -1"]
    assert answers(STORY, "6*15=80, 80/9=8.89") == [" 80/9"]  # a slip that a later step uses
    assert answers(STORY, "6*15=90, 90/9=12") == [" 10"]  # a stated result is computed anew
    assert answers(STORY, "6*15=90 socks. So the answer is 10.") == [" 90"]  # claims are no calculations
    assert answers(STORY, "Share them.") == [" -1"]
    assert answers(STORY, "") == [" -1"]


def test_alone_it_answers_a_problem_that_is_a_calculation():
    assert answers(Problem("p", "What is 12 * 4?", "math"), None) == [" 48"]
    assert answers(Problem("p", "What is 12 * 4?", "math"), "Think.") == [" 48"]


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("a cost of 2 * 3 = $6.\n 6 + 24 + 21 = $51 at", 51),
        ("$6 x 4 = $24", 24),
        ("6x4=24", 24),
        ("6 × 4 ÷ 3 = ?", 8),
        ("3 * 4 + 2 = 12 + 2 = 14", 14),
        ("2 + 3 * 4 =", 14),
        ("(2 + 3) * 4 =", 20),
        ("((2 + 3) * (4 - 1)) / 5 =", 3),
        ("20 - 3 - 4 =", 13),
        ("24 / 4 / 2 =", 3),
        ("(that is 3 + 4 = 7)", 7),
        ("it is (3 + 4 = 7", 7),
        ("1/4 * 24 = 6", 6),
        ("1/3 + 1/6 =", Fraction(1, 2)),
        ("1,200 / 4 = 300", 300),
        ("3.5 – .5 = 3", 3),
        ("50 * 20% = 10", 10),
        ("10 − 12 =", -2),
        ("x = 10\n- 5 + 3 = 8", 8),  # a list, not a subtraction
        ("8 + 2 = 10. Then 4 / 0 = ?", 10),  # what has no value is passed over
        ("4 / 0 = ?", None),
        ("4 / (3 - 3) = ?", None),
        ("2 ** 3 = 8", None),
        ("3 + 4", None),
        ("x + 4 = 7", None),
        ("so 7 = 7", None),
        ("", None),
    ],
)
def test_the_last_calculation(trace, expected):
    assert last_calculation(trace) == expected


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("What is 12 * 4?", 48),
        ("Compute (1 + 2) / 4.", Fraction(3, 4)),
        ("Tom has 3 boxes of 4 - 2 apples.", None),
        ("What is 1 + 1, and what is 2 + 2?", None),
        ("Tom has 3 boxes.", None),
        ("How many?", None),
    ],
)
def test_a_problem_that_is_one_calculation(problem, expected):
    assert only_calculation(problem) == expected


@given(
    st.recursive(
        st.integers(1, 99).map(str),
        lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
        max_leaves=8,
    )
)
def test_values_agree_with_python(expression):
    assert value(expression) == eval(expression)


@pytest.mark.parametrize(
    ("number", "text"),
    [("10", "10"), ("0", "0"), ("-3", "-3"), ("5/2", "2.5"), ("-7/4", "-1.75"), ("1/3", "1/3"), ("-2/3", "-2/3"),
     ("1/1000000", "0.000001"), ("123456789", "123456789"), ("100", "100")],
)  # fmt: skip
def test_numbers_are_written_exactly(number, text):
    assert written(Fraction(number)) == text
    assert Fraction(text) == Fraction(number)


@pytest.mark.parametrize("text", ["(" * 50_000, "1 " * 50_000, "1+" * 50_000, "1" * 50_000, "1,111" * 20_000 + "+1="])
def test_endless_texts_have_no_value(text):
    assert last_calculation(text) is None


def test_slips_come_at_their_rate_and_again_for_the_same_seed():
    some = answers(STORY, SOUND, 2000, error_rate=0.3)
    assert {*some} == {" 10", " 11"}
    assert some.count(" 11") / 2000 == pytest.approx(0.3, abs=0.04)  # 4 standard errors
    assert some == answers(STORY, SOUND, 2000, error_rate=0.3)
    assert some[5:] == answers(STORY, SOUND, 1995, error_rate=0.3, seed=5)
    assert some != answers(STORY, SOUND, 2000, error_rate=0.3, seed=2000)


def test_greedy_samples_are_one():
    assert len({*answers(STORY, SOUND, 50, error_rate=0.5, sampling=Sampling(temperature=0.0))}) == 1


def test_it_is_an_executor():
    executor = ArithmeticExecutor()
    assert isinstance(executor, Executor)
    asyncio.run(executor.sample(executor_prompt(STORY, SOUND), 3, WARM, 0))
    asyncio.run(executor.close())
    assert (executor.usage.calls, executor.usage.samples) == (1, 3)
    assert executor.fingerprint != ArithmeticExecutor(ArithmeticConfig(error_rate=0.1)).fingerprint
