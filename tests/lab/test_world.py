"""The tiny world: its problems hold what is said of them, and the truth about traces is what paper says."""

from __future__ import annotations

import random

import pytest

from rm.build.math.traces import numbers_in, trace_text
from rm.groups.parse import RowParser
from rm.groups.rows import Row
from rm.lab.habits import HABITS, KEEPS_ANSWER, SOUND, write_trace
from rm.lab.stories import Story
from rm.lab.world import (
    LARGEST,
    LEVELS,
    grade_truth,
    judge_trace,
    problem_row,
    story_of_row,
    uplift_problem,
    world_stories,
    world_story,
)
from rm.lab.world_groups import world_groups
from rm.uplift.prompts import known_answer
from rm.uplift.read import parse_problem

ROW = {
    "problem": "Tom has 9 cards. Ann has 14 cards. Tom buys 3 boxes of 4. Tom loses 6. How many cards has Tom now?",
    "reference_solution": "3*4=<<3*4=12>>12\n9+12=<<9+12=21>>21\n21-6=<<21-6=15>>15\n#### 15",
}


@pytest.fixture
def told() -> Story:
    return story_of_row(ROW)


def truth(told, *lines):
    return judge_trace(told, "\n".join(lines))


def test_problems_are_the_same_for_a_seed_and_differ_between_seeds():
    assert world_stories(1, 30) == world_stories(1, 30)
    assert not {s.problem for s in world_stories(1, 30)} & {s.problem for s in world_stories(2, 30)}


def test_a_problem_has_as_many_steps_as_its_level_and_no_quantity_twice():
    for level in LEVELS:
        for seed in range(60):
            story = world_story(random.Random(seed), level)
            assert len(story.lines) == level
            results = [line.results[0] for line in story.lines]
            assert len({*results, *story.given}) == len(results) + len(story.given)
            assert all(3 <= result <= LARGEST for result in results)
            assert str(results[-1]) == story.answer
            assert judge_trace(story, story.solution).sound


def test_no_problem_names_its_answer():
    assert not any(int(story.answer) in numbers_in(story.problem) for story in world_stories(3, 90))


def test_a_row_gives_its_story_back():
    for story in world_stories(4, 12):
        row = problem_row(story, "p")
        assert story_of_row(row) == story
        problem, mistakes = parse_problem(row, "row")
        assert not mistakes
        assert known_answer(problem) == known_answer(uplift_problem(story)) == story.answer


def test_the_solution_is_sound(told):
    found = truth(told, "3*4=12", "9+12=21", "21-6=15")
    assert (found.soundness, found.sound, found.complete, found.answer_right, found.leaks) == (
        1,
        True,
        True,
        True,
        False,
    )


@pytest.mark.parametrize("lines", [("4 * 3 = 12", "12 + 9 = 21.", "", "21 - 6 = 15"), ("4x3=12", "12+9=21", "21-6=15")])
def test_order_of_operands_blanks_and_signs_of_multiplication_do_not_matter(told, lines):
    assert truth(told, *lines).sound


@pytest.mark.parametrize(
    ("lines", "soundness", "answer_right", "leaks"),
    [
        (("3*4=12", "9+12=20", "20-6=14"), 1 / 3, False, False),  # a slip, carried: what follows is untrue as well
        (("3*4=13", "9+12=21", "21-6=15"), 1 / 3, True, False),  # garbled: 12 comes from nowhere
        (("9+12=21", "21-6=15"), 1 / 3, True, False),  # dropped: 9+12 has no support
        (("9+12=21", "3*4=12", "21-6=15"), 2 / 3, True, False),  # swapped
        (("3*4=12", "9+14=23", "9+12=21", "21-6=15"), 3 / 4, True, False),  # a calculation that nothing needs
        (("3*4=12", "3*4=12", "9+12=21", "21-6=15"), 3 / 4, True, False),  # twice
        (("3*4=12", "9-12=3", "21-6=15"), 1 / 3, True, False),  # another operation
        (("6-21=15", "3*4=12", "9+12=21"), 2 / 3, False, False),  # operands of a difference the wrong way round
        (("So the answer is 15.",), 0, True, True),
        (("3*4=12", "9+12=21", "So the answer is 15."), 2 / 3, True, True),
        (("3*4=12", "So the answer must be about 40."), 1 / 3, False, True),
        (("12",), 0, False, True),
        (("Tom has some cards.",), 0, False, False),
        ((), 0, False, False),
    ],
)
def test_what_is_wrong_is_seen(told, lines, soundness, answer_right, leaks):
    found = truth(told, *lines)
    assert found.soundness == pytest.approx(soundness)
    assert not found.sound
    assert (found.answer_right, found.leaks) == (answer_right, leaks)


def test_a_step_that_is_left_out_is_skipped_and_one_too_late_is_not(told):
    assert truth(told, "9+12=21", "21-6=15").skips
    assert not truth(told, "9+12=21", "3*4=12", "21-6=15").skips
    assert not truth(told, "3*4=12", "9+12=21").skips
    assert not truth(told, "So the answer is 15.").skips
    assert not truth(told, "3*4=12", "9+12=21", "21-6=15").skips


def test_a_conclusion_that_is_derived_counts_neither_way(told):
    found = truth(told, "3*4=12", "9+12=21", "21-6=15", "So the answer is 15.")
    assert found.sound
    assert not found.leaks
    assert found.lines[-1].supported


def test_a_conclusion_from_a_slip_is_a_leak(told):
    assert truth(told, "3*4=12", "9+12=21", "21-6=16", "So the answer is 15.").leaks


@pytest.mark.parametrize(
    "text", ["1/0=3", "9+12=21-6=15", "=15", "3*4", "-1*4=12", "9" * 5000 + "+1=2", "½+1=2", "３*４=12"]
)
def test_odd_lines_are_no_sound_steps(told, text):
    assert truth(told, text).soundness == 0


def test_a_sound_trace_has_all_levels_and_an_empty_one_none(told):
    assert set(grade_truth(truth(told, "3*4=12", "9+12=21", "21-6=15")).values()) == {4, 1.0}
    assert set(grade_truth(truth(told)).values()) == {0}


def test_labels_tell_what_is_wrong(told):
    assert grade_truth(truth(told, "3*4=12", "9+12=21", "21-6=16")) == {
        "problem_understanding": 4,
        "solution_strategy": 4,
        "step_coherence": 4,
        "calculation_correctness": 3,  # 4 * 2/3
        "answer_support": 3,
        "total": 0.6,  # 2/3 * 18/20
    }


@pytest.mark.parametrize("kind", HABITS)
def test_a_habit_does_what_its_name_says(kind):
    rng = random.Random(kind)
    found = [(story, HABITS[kind](story, rng)) for story in world_stories(5, 60)]
    found = [(story, lines) for story, lines in found if lines is not None]
    assert len(found) > 15
    for story, lines in found:
        told = judge_trace(story, trace_text(lines))
        assert told.sound == (kind == SOUND)
        assert told.answer_right == (kind == SOUND or kind in KEEPS_ANSWER)
        assert told.leaks == (kind in ("leaked_answer", "unsupported_conclusion"))


def test_habits_are_drawn_by_their_shares(told):
    rng = random.Random(1)
    kinds = [write_trace(told, {SOUND: 3.0, "leaked_answer": 1.0}, rng)[0] for _ in range(400)]
    assert kinds.count(SOUND) == pytest.approx(300, abs=40)


def test_a_habit_without_a_place_gives_way_to_another(told):
    two = story_of_row({**ROW, "reference_solution": "9-6=<<9-6=3>>3\n#### 3"})
    shares = {"swapped_steps": 1.0, SOUND: 1e-9}
    assert write_trace(two, shares, random.Random(1))[0] == SOUND
    with pytest.raises(ValueError, match="no habit"):
        write_trace(two, {"swapped_steps": 1.0}, random.Random(1))


@pytest.mark.parametrize("hard_kinds", [True, False])
def test_groups_are_rows_of_the_schema(hard_kinds):
    rows = world_groups(world_stories(6, 30), 1, hard_kinds=hard_kinds)
    parser = RowParser()
    groups = [parser.parse("groups", number, row) for number, row in enumerate(rows, start=1)]
    assert parser.errors == []
    assert len({group.problem_id for group in groups}) == 30
    for row in rows:
        assert (4 if hard_kinds else 1) <= len(row["negative_bank"]) <= 4
        assert all(negative["rubric"]["total"] < 1 for negative in row["negative_bank"])
        kinds = {negative["negative_kind"] for negative in row["negative_bank"]}
        assert hard_kinds or not kinds & set(KEEPS_ANSWER)


def test_groups_take_a_row_object():
    row = Row(1, world_groups(world_stories(7, 1), 1)[0])
    assert row.value["positive_pool"][0]["rubric"]["total"] == 1
