"""Labels follow the rule in its docstring; values by hand."""

import pytest

from rm.build.math.grading import ANSWER_LOST, DIMENSIONS, PROFILES, Harm, grade
from rm.build.math.table import KINDS
from rm.rubric import Rubric

MILD, WORST = Harm(1.0, 0.0, True), Harm(0.0, 1.0, False)


def test_a_late_slip_that_changes_nothing_else():
    assert grade("arithmetic_slip", MILD) == (dict(zip(DIMENSIONS, (4, 4, 4, 3, 3), strict=True)), 0.9)


def test_an_early_slip_that_spoils_all():
    # mean (4 + 4 + 4 + 1 + 1) / 20 = 0.7, less 0.1 for the answer and 0.1 for the reach
    assert grade("arithmetic_slip", WORST) == (dict(zip(DIMENSIONS, (4, 4, 4, 1, 1), strict=True)), 0.5)


@pytest.mark.parametrize("name", PROFILES)
def test_labels_are_levels_and_fall_with_the_harm(name):
    levels, total = grade(name, MILD)
    worse, lower = grade(name, WORST)
    assert list(levels) == list(worse) == list(DIMENSIONS)
    assert all(0 <= worse[d] <= levels[d] <= 4 for d in DIMENSIONS)
    assert 0 <= lower < total < 1


def test_a_kind_has_not_one_label_vector():
    for name in PROFILES:
        seen = {
            tuple(grade(name, Harm(place, reach, kept))[0].values())
            for place in (0.0, 1.0)
            for reach in (0.0, 1.0)
            for kept in (True, False)
        }
        assert len(seen) > 1, name


def test_the_dimensions_are_the_rubrics():
    assert Rubric.load("math").dimension_names == DIMENSIONS


def test_every_flawed_kind_is_graded_and_knows_about_its_answer():
    flawed = {name for name, kind in KINDS.items() if not kind.sound}
    assert flawed == {name.partition("/")[0] for name in PROFILES}
    assert {name for name in flawed if not KINDS[name].right_answer} == ANSWER_LOST
