"""Marked solutions: what is read from them, what is computed anew. Expected values are worked by hand."""

from fractions import Fraction

import pytest

from rm.build.math.traces import (
    dependencies,
    evaluate,
    format_number,
    numbers_in,
    parse_trace,
    recompute,
    trace_text,
)

TICKETS = """They have 112+139=$<<112+139=251>>251
The passes cost 6*28=$<<6*28=168>>168
They have 251-168=$<<251-168=83>>83 left.
#### 83"""


@pytest.mark.parametrize(
    ("expression", "value"),
    [("12/60", Fraction(1, 5)), (".5*20", 10), ("(5+3)*2", 16), ("100-50-30-15", 5), ("-4+9", 5), ("05*2", 10)],
)
def test_evaluate_is_exact(expression: str, value: Fraction | int) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize("expression", ["1/0", "2**3", "x+1", "", "__import__('os')", "3+"])
def test_evaluate_refuses_anything_else(expression: str) -> None:
    with pytest.raises(ValueError, match="cannot evaluate"):
        evaluate(expression)


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (Fraction(83), "", "83"),
        (Fraction(149, 100), "", "1.49"),
        (Fraction(5, 2), "1.25", "2.50"),
        (Fraction(12345), "9,999", "12,345"),
        (Fraction(1, 3), "7", "0.33"),
        (Fraction(-2, 5), "", "-0.4"),
    ],
)
def test_format_number(value: Fraction, like: str, text: str) -> None:
    assert format_number(value, like) == text


def test_marks_are_read_and_taken_out() -> None:
    lines = parse_trace(TICKETS)
    assert trace_text(lines) == "They have 112+139=$251\nThe passes cost 6*28=$168\nThey have 251-168=$83 left."
    assert [line.results for line in lines] == [(251,), (168,), (83,)]


def test_a_mark_that_does_not_hold_is_ignored() -> None:
    (line,) = parse_trace("So 2+2=<<2+2=5>>5 apples")
    assert line.calculations == ()
    assert str(line) == "So 2+2=5 apples"


def test_dependencies_leave_out_given_numbers() -> None:
    lines = parse_trace(TICKETS)
    assert dependencies(lines, {Fraction(n) for n in (112, 139, 6, 28)}) == {
        0: frozenset(),
        1: frozenset(),
        2: frozenset({0, 1}),
    }
    assert dependencies(lines, {Fraction(251)})[2] == frozenset({1})


def test_a_change_is_carried_through_expressions_and_results() -> None:
    lines = recompute(parse_trace(TICKETS)[1:], {Fraction(251): Fraction(241)})
    assert trace_text(lines) == "The passes cost 6*28=$168\nThey have 241-168=$73 left."


def test_numbers_are_found_in_digits_and_words() -> None:
    assert numbers_in("six passes for $1,250.50, half of them") == {6, Fraction(2501, 2), 2}
