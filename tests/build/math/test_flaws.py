"""Each kind of flaw changes what it claims and nothing else; checked on the text by an independent evaluation."""

import ast
import random
import re
from fractions import Fraction

import pytest

from rm.build.math.flaws import FLAWS, Flaw, slipped
from rm.build.math.traces import parse_trace, trace_text
from rm.lab.stories import Story, story

Pair = tuple[Story, Flaw]
CARRIED = ("arithmetic_slip", "wrong_operation", "misread_quantity")


def wrong_lines(texts: list[str]) -> list[int]:
    """Indices of the lines with a calculation that is off by more than rounding to cents."""
    return [i for i, text in enumerate(texts) if any(not _right(left, right) for left, right in _calculations(text))]


def _calculations(text: str) -> list[tuple[str, str]]:
    plain = re.sub(r"(?<=\s)x(?=\s)", "*", text).replace("$", "")
    number = r"-?\d*\.?\d+"
    return re.findall(rf"({number}(?:\s*[-+*/]\s*\(?{number}\)?)+)\s*=\s*({number})", plain)


def _right(left: str, right: str) -> bool:
    exact = re.sub(r"\d*\.?\d+", lambda match: f"Fraction('{match[0]}')", left)
    ast.parse(exact, mode="eval")
    return abs(eval(exact, {"Fraction": Fraction}) - Fraction(right)) <= Fraction(1, 200)


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[Pair]]:
    rng = random.Random(11)
    found: dict[str, list[Pair]] = {kind: [] for kind in FLAWS}
    for _ in range(150):
        told = story(rng)
        for kind, make in FLAWS.items():
            flaw = make(told.lines, told.given, rng)
            if flaw is not None:
                found[kind].append((told, flaw))
    return found


def texts(lines: tuple) -> list[str]:
    return [str(line) for line in lines]


def test_every_kind_is_often_possible(pairs: dict[str, list[Pair]]) -> None:
    assert all(len(found) > 100 for found in pairs.values())


@pytest.mark.parametrize("kind", CARRIED)
def test_a_carried_flaw_leaves_the_steps_before_and_ends_elsewhere(kind: str, pairs: dict[str, list[Pair]]) -> None:
    for told, flaw in pairs[kind]:
        before, after = texts(told.lines), texts(flaw.lines)
        assert len(before) == len(after)
        assert before[: flaw.step] == after[: flaw.step]
        assert before[flaw.step] != after[flaw.step]
        assert flaw.visible == flaw.step


def test_a_slip_is_the_only_wrong_calculation(pairs: dict[str, list[Pair]]) -> None:
    for _, flaw in pairs["arithmetic_slip"]:
        assert wrong_lines(texts(flaw.lines)) == [flaw.step], trace_text(flaw.lines)


@pytest.mark.parametrize("kind", ["wrong_operation", "misread_quantity", "dropped_step", "swapped_steps"])
def test_other_flaws_calculate_rightly(kind: str, pairs: dict[str, list[Pair]]) -> None:
    for _, flaw in pairs[kind]:
        assert wrong_lines(texts(flaw.lines)) == [], trace_text(flaw.lines)


def test_another_operation_keeps_the_operands(pairs: dict[str, list[Pair]]) -> None:
    for told, flaw in pairs["wrong_operation"]:
        old, new = told.lines[flaw.step].calculations[0], flaw.lines[flaw.step].calculations[0]
        assert old.operands == new.operands
        assert re.findall(r"[-+*/]", old.expression) != re.findall(r"[-+*/]", new.expression)


def test_a_misread_quantity_changes_one_operand(pairs: dict[str, list[Pair]]) -> None:
    for told, flaw in pairs["misread_quantity"]:
        old, new = told.lines[flaw.step].calculations[0], flaw.lines[flaw.step].calculations[0]
        assert sum(a != b for a, b in zip(old.operands, new.operands, strict=True)) == 1


def test_later_steps_use_the_changed_results(pairs: dict[str, list[Pair]]) -> None:
    """A result that differs from the sound one is what later steps show; the sound one is gone."""
    for kind in CARRIED:
        for told, flaw in pairs[kind]:
            for index, step in enumerate(told.steps):
                old, new = step.result, flaw.lines[index].results[0]
                if old == new or old in {r for line in flaw.lines for r in line.results}:
                    continue
                for user, later in enumerate(told.steps):
                    if index in later.depends_on and user > flaw.step:
                        assert old not in flaw.lines[user].used
                        assert abs(new) in {abs(value) for value in flaw.lines[user].used}


def test_a_dropped_step_is_missed_by_a_later_one(pairs: dict[str, list[Pair]]) -> None:
    for told, flaw in pairs["dropped_step"]:
        before, after = texts(told.lines), texts(flaw.lines)
        assert after == before[: flaw.step] + before[flaw.step + 1 :]
        assert flaw.step in told.steps[flaw.visible + 1].depends_on
        assert told.steps[flaw.step].result in flaw.lines[flaw.visible].used


def test_swapped_steps_depend_on_each_other(pairs: dict[str, list[Pair]]) -> None:
    for told, flaw in pairs["swapped_steps"]:
        before, after = texts(told.lines), texts(flaw.lines)
        moved = [index for index in range(len(before)) if before[index] != after[index]]
        assert sorted(before) == sorted(after)
        assert len(moved) == 2
        assert moved[0] == flaw.step == flaw.visible
        assert moved[0] in told.steps[moved[1]].depends_on


def test_an_unsupported_conclusion_is_neither_right_nor_derived(pairs: dict[str, list[Pair]]) -> None:
    for told, flaw in pairs["unsupported_conclusion"]:
        after = texts(flaw.lines)
        assert after[:-1] == texts(told.lines)[: flaw.step]
        assert "=" not in after[-1]
        assert told.answer not in re.findall(r"\d*\.?\d+", after[-1])


def test_a_flaw_is_the_same_for_a_seed() -> None:
    told = story(random.Random(2))
    for make in FLAWS.values():
        assert make(told.lines, told.given, random.Random(7)) == make(told.lines, told.given, random.Random(7))


def test_no_place_for_a_flaw_gives_none() -> None:
    lines = parse_trace("There is nothing to compute here.")
    assert all(make(lines, frozenset(), random.Random(0)) is None for make in FLAWS.values())


def test_a_slip_is_near_and_never_the_number_itself() -> None:
    rng = random.Random(4)
    changed = [slipped(text, rng) for text in ("168", "2.50", "7", "1,200") for _ in range(50)]
    assert {"168", "2.50", "7", "1,200"}.isdisjoint(changed)
    assert all(new is None or Fraction(new.replace(",", "")) > 0 for new in changed)
