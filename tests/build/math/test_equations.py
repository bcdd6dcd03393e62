"""Calculations are read as they are displayed, exactly; wrong ones are refused."""

import re
from fractions import Fraction

import pytest

from rm.build.kinds import Unusable
from rm.build.math.equations import decimals, display, displayed_as, evaluate, read_line, value_of

READ = [
    # line, [(value of the expression, index of the result among the line's numbers)]
    ("She sold 48/2 = <<48/2=24>>24 clips in May.", [(24, 2)]),
    ("48+24 = 72", [(72, 2)]),
    ("It costs 12 x 3 = $36.", [(36, 2)]),
    ("12 × 3 ÷ 4 = 9", [(9, 3)]),
    ("50 − 8 = 42", [(42, 2)]),
    ("48 divided by 2 is 24", [(24, 2)]),
    ("48 plus 24 equals 72", [(72, 2)]),
    ("3 \\times 4 = 12", [(12, 2)]),
    ("She paid $1,200 - $200 = $1,000.", [(1000, 2)]),
    ("20% of 50 = 10", [(10, 2)]),
    ("20/100*50 = 10", [(10, 3)]),
    ("3/4 of 20 = 15", [(15, 3)]),
    ("1/2 * 8 = 4", [(4, 3)]),
    ("2*(3+4) = 14", [(14, 3)]),
    ("(3+4)*2 - (1+1) = 12", [(12, 5)]),
    ("He works 6 hours * $12/hour = $72", [(72, 2)]),
    ("There are 20 red apples + 5 apples = 25 apples", [(25, 2)]),
    ("In 5 days she makes 54*5 = 270", [(270, 3)]),
    ("He eats 32 slices because 2 x 16 = 32", [(32, 3)]),
    ("10 = 2 * 5", [(10, 0)]),
    ("48+24 = 72/2 = 36", [(72, 2), (36, 4)]),
    ("20 - 5 - 3 = 15 - 3 = 12", [(12, 5), (12, 5)]),
    ("30/120*100 = 25%", [(25, 3)]),
    ("30/120 = 25%", [(Fraction(1, 4), 2)]),
    ("100% - 40% = 60%", [(Fraction(3, 5), 2)]),
    ("Half of 48 is <<48/2=24>>24.", [(24, 1)]),
    ("10/3 = 3.33", [(Fraction(10, 3), 2)]),
    ("17/3 = 5 full boxes", [(Fraction(17, 3), 2)]),
    ("1 hour = 60 minutes", []),
    ("No numbers here.", []),
    ("8(26) = 208", []),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_what_a_line_displays(text, expected):
    line = read_line(text)
    assert [(evaluate(e.tree, line.values), e.result) for e in line.equations] == expected


@pytest.mark.parametrize(("text", "_"), READ)
def test_the_text_is_kept_without_its_marks(text, _):
    assert str(read_line(text)) == re.sub(r"<<[^<>]*>>", "", text)


@pytest.mark.parametrize(
    "text",
    [
        "48/2 = 25",
        "6 * 2.5 = $18.00",
        "2 + 3.5 = 6",
        "15 = 2 * 7",
        "20% of 50 = 12",
        "Half is <<48/2=24>>23.",
        "4+4 = 3+4",
    ],
)
def test_a_wrong_calculation_is_refused(text):
    with pytest.raises(Unusable, match="a calculation of the solution is wrong"):
        read_line(text)


@pytest.mark.parametrize("text", ["2S + 5 = 11", "Let x be the price.", "x + 5 = 9", "1 1/2 cups", "8(26)=208"])
def test_unknowns_and_mixed_numbers_lock_a_line(text):
    assert read_line(text).locked


def test_an_article_is_no_unknown():
    assert not read_line("I bought a ball, 2 * 3 = 6. A ball costs 3 x 4 = 12.").locked


@pytest.mark.parametrize(
    ("value", "text", "mode"),
    [
        (Fraction(10, 3), "3.33", "~"),
        (Fraction(20, 3), "6", "<"),
        (Fraction(17, 3), "6", "~"),
        (Fraction(16, 3), "6", ">"),
        (Fraction(5), "5.00", "="),
        (Fraction(20, 3), "8", None),
    ],
)
def test_how_a_number_displays_a_value(value, text, mode):
    assert displayed_as(value, text, inexact=True) == mode


def test_nothing_is_rounded_where_it_need_not_be():
    assert displayed_as(Fraction(11, 2), "6", inexact=False) is None


@pytest.mark.parametrize(
    ("value", "like", "mode", "text"),
    [
        (Fraction(1234), "5,000", "=", "1,234"),
        (Fraction(5, 2), "7.50", "=", "2.50"),
        (Fraction(5, 2), "7", "=", "2.5"),
        (Fraction(1, 2), ".25", "=", ".50"),
        (Fraction(10, 3), "6.67", "~", "3.33"),
        (Fraction(10, 3), "6", "<", "3"),
        (Fraction(10, 3), "6", ">", "4"),
        (Fraction(10, 3), "6", "=", None),
    ],
)
def test_a_value_in_the_manner_of_another(value, like, mode, text):
    assert display(value, like, mode) == text


def test_values_and_decimals():
    assert value_of("1,200.50") == Fraction(2401, 2)
    assert value_of(".5") == Fraction(1, 2)
    assert decimals("3.25") == 2
    assert decimals("3") == 0
