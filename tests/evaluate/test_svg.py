"""Drawings: what their axes say."""

from __future__ import annotations

import re

import pytest

from rm.evaluate.svg import curve, lines


def labels(drawing: str) -> list[str]:
    return re.findall(r"<text[^>]*end[^>]*>([^<]*)</text>", drawing)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.1, 0.9], ["0.1", "0.9"]),
        ([2.583, 2.571, 2.579], ["2.57", "2.58"]),  # two digits would say 2.6 twice
        ([0.5, 0.5], ["0.5"]),
        ([None, None], ["0"]),
    ],
)
def test_the_ends_of_an_axis_are_told_apart(values: list[float | None], shown: list[str]) -> None:
    steps = [float(step + 1) for step in range(len(values))]
    assert labels(curve(steps, values, "title")) == [*shown, f"{steps[-1]:g}"]


def test_several_lines_have_the_ends_of_them_all() -> None:
    drawing = lines({"a": [2.571, 2.575], "b": [2.58, 2.583]}, {"a": "s0", "b": "s1"}, "title")
    assert labels(drawing) == ["2.57", "2.58", "2"]
