"""Slips are those that people make; each is worked out by hand here."""

import random
from fractions import Fraction

import pytest

from rm.build.math.equations import read_line
from rm.build.math.slips import SLIPS, misread, slips


def all_slips(text: str) -> dict[str, set[int]]:
    line = read_line(text)
    found: dict[str, set[int]] = {}
    for seed in range(60):
        for name, value in slips(line, line.equations[-1], random.Random(seed)):
            found.setdefault(name, set()).add(value)
    return found


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("47 + 38 = 85", "carry", {75}),  # the 1 of 15 forgotten
        ("52 - 38 = 14", "carry", {24}),  # the borrow forgotten
        ("47 * 3 = 141", "carry", {121}),  # 21, the 2 forgotten
        ("47 + 38 = 85", "digit_swap", {58}),
        ("47 + 38 = 85", "sign", {9}),
        ("52 - 38 = 14", "sign", {90}),
        ("47 + 38 = 85", "off_by_one", {84, 86}),
        ("7 * 8 = 56", "times_table", {48, 49, 63, 64}),
        ("7 * 8 = 56", "decimal_place", {560, Fraction(28, 5)}),
    ],
)
def test_what_a_slip_gives(text, name, expected):
    assert all_slips(text)[name] == expected


def test_no_slip_where_it_cannot_happen():
    found = all_slips("12 + 11 = 23")
    assert "carry" not in found
    assert "times_table" not in found
    assert "decimal_place" not in found


def test_slips_are_positive_and_wrong():
    for text in ("10 - 7 = 3", "1 + 1 = 2", "6 / 2 = 3", "$2.50 * 2 = $5.00"):
        right = read_line(text).values[2]
        found = all_slips(text)
        assert set(found) <= set(SLIPS)
        assert all(value > 0 and value != right for values in found.values() for value in values)


def test_a_misread_number_has_as_many_digits():
    rng = random.Random(3)
    for _ in range(200):
        wrong = misread("518", Fraction(518), rng)
        assert 100 <= wrong <= 999
        assert wrong != 518
