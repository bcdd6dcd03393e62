"""Generated stories: the same for a seed, and right by an evaluation that shares no code with the generator."""

import ast
import random
import re
from fractions import Fraction

import pytest

from rm.lab.plots import PLOTS
from rm.lab.stories import Story, stories, story


def independent_value(expression: str) -> Fraction:
    """Replaces every number by an exact fraction and lets Python compute."""
    exact = re.sub(r"\d*\.?\d+", lambda match: f"Fraction('{match[0]}')", expression)
    allowed = (ast.Expression, ast.BinOp, ast.Call, ast.Name, ast.Load, ast.Constant, ast.operator)
    assert all(isinstance(node, allowed) for node in ast.walk(ast.parse(exact, mode="eval")))
    return eval(exact, {"Fraction": Fraction})


def shown_calculations(text: str) -> list[tuple[str, str]]:
    """(left, right) around every `=` of a text: `They pay 6 x $28 = $168` gives ("6*28", "168")."""
    plain = re.sub(r"(?<=\s)x(?=\s)", "*", text).replace("$", "")
    number = r"\d*\.?\d+"
    return re.findall(rf"({number}(?:\s*[-+*/]\s*{number})+)\s*=\s*({number})", plain)


@pytest.fixture(scope="module")
def sample() -> list[Story]:
    rng = random.Random(5)
    return [story(rng) for _ in range(300)]


def test_a_seed_decides_everything() -> None:
    first, second, other = (
        [story(random.Random(seed)).problem + story(random.Random(seed)).solution for _ in range(3)]
        for seed in (1, 1, 2)
    )
    assert first == second != other


def test_every_plot_occurs_with_two_to_six_steps(sample: list[Story]) -> None:
    assert {told.kind for told in sample} == {plot.kind for plot in PLOTS}
    assert {len(told.lines) for told in sample} <= {2, 3, 4, 5, 6}


def test_every_line_shows_one_calculation_and_it_is_right(sample: list[Story]) -> None:
    for told in sample:
        for line in told.solution.split("\n"):
            ((left, right),) = shown_calculations(line)
            assert independent_value(left) == Fraction(right), line


def test_steps_say_what_the_text_says(sample: list[Story]) -> None:
    for told in sample:
        for step in told.steps:
            assert independent_value(step.expression) == step.result
            assert step.operands == tuple(map(Fraction, re.findall(r"\d*\.?\d+", step.expression)))


def test_operands_are_given_or_made_by_the_steps_depended_on(sample: list[Story]) -> None:
    """Units (a half, hundredths, coin values) aside, every operand has a visible origin, and every number only one."""
    units = {Fraction(2), Fraction(100), Fraction(1, 4), Fraction(1, 10), Fraction(1, 20)}
    for told in sample:
        given = {Fraction(n) for n in re.findall(r"\d*\.?\d+", told.problem)}
        results = [step.result for step in told.steps]
        assert len(set(results)) == len(results)
        assert not given & set(results)
        for index, step in enumerate(told.steps):
            assert all(maker < index for maker in step.depends_on)
            made = {results[maker] for maker in step.depends_on}
            assert set(step.operands) <= given | made | units
            assert made <= set(step.operands)


def test_no_template_field_is_left_over(sample: list[Story]) -> None:
    for told in sample:
        assert not re.search(r"[{}<>\0\1]", told.problem + told.solution)


def test_retellings_share_problem_and_results() -> None:
    tellings = stories(random.Random(3), 5)
    assert len({told.problem for told in tellings}) == 1
    assert len({tuple(step.result for step in told.steps) for told in tellings}) == 1
    assert len({told.solution for told in tellings}) > 1
