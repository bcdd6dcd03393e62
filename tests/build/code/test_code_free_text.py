"""Plans in free text: taken apart, changed by rules of words, put together again."""

from __future__ import annotations

import random

import pytest

from rm.build.code import KINDS, prepare
from rm.build.code.free_text import FreePlan
from rm.build.kinds import Variant
from rm.build.seed import Seed

NUMBERED = """1. Initialize an empty hash set called seen_values and a counter at 0.
2. Iterate over the list from index 0 to n - 1.
3. If the value is at least 10 and not in seen_values, add it to seen_values and increment the counter.
4. If the list is empty, the counter stays 0.
5. Sort seen_values in ascending order, only if there are several.
6. Return the counter as an integer."""
PARAGRAPH = "Count each letter. Find the largest count. Return the letters with that count in ascending order."


def made(plan: str, name: str, draws: int = 12, solution: str = "") -> list[Variant]:
    prepared = prepare(Seed("free", "A problem.", solution, plan=plan, task_type="code"))
    found = (KINDS[name].make(prepared, random.Random(draw)) for draw in range(draws))
    return [variant for variant in found if variant is not None]


@pytest.mark.parametrize("plan", [NUMBERED, PARAGRAPH, "- a\n   - b\n- c", "Step 1: a\nStep 2: b", "a\nb"])
def test_a_plan_is_put_together_as_it_was(plan: str) -> None:
    assert FreePlan.parse(plan).text() == plan


def test_numbers_count_on() -> None:
    plan = FreePlan.parse(NUMBERED)
    assert plan.with_steps(plan.steps[1:]).text().split("\n")[0].startswith("1. Iterate")
    assert [line[:2] for line in plan.with_steps(plan.steps[1:]).text().split("\n")] == ["1.", "2.", "3.", "4.", "5."]


CHANGES = {
    "boundary_off_by_one": {"from index 1 to", "more than 10", "to n."},
    "wrong_algorithm": {"descending", "decrement"},
    "wrong_condition": {
        "10 or not",
        "list is not empty",
        "value is not at least",
    },
    "missed_constraint": {"Sort seen_values in ascending order.", "Sort seen_values, only if there are several."},
    "wrong_complexity": {"ry all orderings until one is found that sorts seen_values"},
    "wrong_output_format": {"as a text", "Print the text of the counter"},
    "missing_edge_case": set(),
    "dropped_step": set(),
    "swapped_steps": set(),
}


@pytest.mark.parametrize(("name", "wanted"), CHANGES.items(), ids=CHANGES)
def test_flaws_of_words(name: str, wanted: set[str]) -> None:
    variants = made(NUMBERED, name, 30)
    assert variants
    for variant in variants:
        assert variant.reasoning != NUMBERED
        assert not wanted or any(text in variant.reasoning for text in wanted), variant.reasoning
        assert variant.answer_kept is (name == "wrong_complexity")
        assert 0 <= variant.first_wrong_step < len(variant.reasoning.split("\n"))


def test_the_edge_case_is_the_step_that_goes() -> None:
    assert {variant.why for variant in made(NUMBERED, "missing_edge_case")} == {
        "line 4: “If the list is empty, the counter stays 0” is not treated"
    }


def test_a_longer_phrase_is_not_changed_in_half() -> None:
    for variant in made("Take n.\nStop if it is greater than or equal to 3.", "boundary_off_by_one", 20):
        assert "equal" not in variant.reasoning


@pytest.mark.parametrize("name", ["reworded", "merged_steps"])
def test_sound_variants_of_words(name: str) -> None:
    variants = made(NUMBERED, name)
    assert variants
    assert all(variant.sound and variant.total == 1.0 and variant.reasoning != NUMBERED for variant in variants)


def test_steps_of_several_sentences_are_split() -> None:
    [variant, *_] = made("1. Sort it. Then take the first.\n2. Return it.", "split_steps")
    assert variant.reasoning == "1. Sort it.\n2. Then take the first.\n3. Return it."


def test_the_program_of_a_plan_can_be_dumped_into_it() -> None:
    [variant, *_] = made(NUMBERED, "code_dumped", solution="def f(xs):\n    return len(xs)\n")
    assert variant.reasoning.startswith(NUMBERED)
    assert variant.reasoning.endswith("def f(xs):\n    return len(xs)")
    assert made(NUMBERED, "code_dumped") == []


def test_a_paragraph_stays_one() -> None:
    variants = made(PARAGRAPH, "wrong_algorithm")
    assert {variant.reasoning.count("\n") for variant in variants} == {0}
    assert {variant.first_wrong_step for variant in variants} == {0}
