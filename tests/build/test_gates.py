"""Each gate on traces made up for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rm.build.config import GatesConfig
from rm.build.gates import GATES, Case, check_gates, leads_to, refused, seed_refused
from rm.build.kinds import Variant
from rm.build.seed import Seed
from rm.errors import ConfigError

SEED = Seed("p", "Six twos and three more: how many?", "6*2=12\n12+3=15", answer="15")
SOUND = SEED.solution
SLIP = Variant("arithmetic_slip", "6*2=13\n13+3=16", False, False, answer="16")
OTHER = Variant("reworded", "2*6=12\nThen 12+3=15", True, True, answer="15")
PLAN = Seed("c", "Add two numbers.", "", plan="Take both numbers.\nReturn their sum.", task_type="code")
CONFIG = GatesConfig()


def test_a_flaw_and_a_sound_trace_pass():
    assert refused(Case(SEED, SLIP, SOUND), CONFIG) == ""
    assert refused(Case(SEED, OTHER, OTHER.reasoning), CONFIG) == ""


@pytest.mark.parametrize(
    ("changes", "right_answer", "reason"),
    [
        ({"reasoning": " \n"}, "", "blank"),
        ({"answer": "15"}, "", "the answer is right all the same"),
        ({"answer": "15.0", "answer_kept": True}, "a detour", ""),
        ({"answer": "15"}, "a detour", "right answer, its maker says otherwise"),
        ({"answer_kept": True}, "a detour", "wrong answer, its maker says otherwise"),
        ({"answer": None, "reasoning": "6*2=13\nso 15 in all"}, "", "the answer is right all the same"),
        ({"reasoning": "6*2=13\n13+3=16, which is wrong"}, "", "tell-tale words"),
        ({"reasoning": "Six by two.\nThirteen.\nAnd three.\nSo 16"}, "", "changed in more than one place"),
        ({"reasoning": "6*2=13\nNow add.\nThen 13+3=16"}, "", ""),
        ({"total": 1.5}, "", "a total outside [0, 1]"),
        ({"labels": {"step_coherence": -1}}, "", "a label that is none"),
    ],
)
def test_a_flawed_trace(changes, right_answer, reason):
    assert refused(Case(SEED, replace(SLIP, **changes), SOUND, right_answer), CONFIG) == reason


def test_a_sound_trace_with_another_answer_is_none():
    other = replace(OTHER, answer="16")
    assert refused(Case(SEED, other, other.reasoning), CONFIG) == "a sound trace with another answer than the reference"


def test_a_word_of_the_problem_or_of_the_sound_trace_gives_nothing_away():
    graded = replace(SEED, problem="The 6th grade has how many?")
    trace = replace(SLIP, reasoning="6*2=13\n13+3=16 in the grade")
    assert refused(Case(graded, trace, SOUND), CONFIG) == ""
    assert refused(Case(SEED, trace, SOUND), CONFIG) == "tell-tale words"


def test_words_of_ones_own_and_gates_left_out():
    trace = replace(SLIP, reasoning="6*2=13\n13+3=16 hm")
    assert refused(Case(SEED, trace, SOUND), GatesConfig(tell_tales=["hm+"])) == "tell-tale words"
    assert refused(Case(SEED, trace, SOUND), GatesConfig(tell_tales=["hm+"], off=["no_tell_tale"])) == ""


@pytest.mark.parametrize(
    ("text", "is_code"),
    [
        ("Take both numbers.\nReturn their sum.", False),
        ("If the list is empty, return 0.\nFor each number in the list: add it.", False),
        ("Take both.\n```python\nx = 1\n```", True),
        ("Take both.\n    return a + b", True),
        ("Go through it:\nfor x in numbers:", True),
        ("total = sum(numbers[1:])", True),
    ],
)
def test_a_plan_holds_no_code_unless_that_is_its_flaw(text, is_code):
    variant = Variant("reworded", text, True, True)
    assert refused(Case(PLAN, variant, text), CONFIG) == ("code in a plan" if is_code else "")
    dumped = Variant("code_dumped", text, False, True)
    assert refused(Case(PLAN, dumped, PLAN.plan, "the plan is right"), CONFIG) == ""


@pytest.mark.parametrize(
    ("solution", "answer", "reason"),
    [
        (SOUND, "15", ""),
        (SOUND, "$15.00", ""),
        (SOUND, "16", "the solution ends in another answer than the one given"),
        ("", "15", "an empty trace"),
        ("15 for 3 days", "15", ""),
    ],
)
def test_the_reference_has_to_be_right(solution, answer, reason):
    assert seed_refused(replace(SEED, answer=answer), solution) == reason


def test_answers_that_are_no_plain_numbers_are_compared_by_math_verify():
    assert leads_to("so \\boxed{\\frac{\\sqrt{2}}{2}}", None, "\\frac{1}{\\sqrt{2}}") is True
    assert leads_to("so \\boxed{\\sqrt{3}}", None, "\\frac{1}{\\sqrt{2}}") is False


def test_gates_work_inside_a_running_event_loop_as_a_notebook_has():
    roots = replace(SEED, solution="so \\boxed{\\frac{\\sqrt{2}}{2}}", answer="\\frac{1}{\\sqrt{2}}")
    other = replace(OTHER, reasoning=roots.solution, answer=None)

    async def cell():
        return seed_refused(roots, roots.solution), refused(Case(roots, other, roots.solution), CONFIG)

    assert asyncio.run(cell()) == ("", "")


def test_an_unknown_gate_and_a_broken_pattern_are_told_together():
    with pytest.raises(ConfigError) as caught:
        check_gates(GatesConfig(off=["locl"], tell_tales=["("]))
    assert len(caught.value.problems) == 2
    assert f"Choose among: {', '.join(GATES)}" in caught.value.problems[0]
