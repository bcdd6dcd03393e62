"""Every kind does what it says and nothing else; traces are checked by their text alone (`text_checker`)."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rm.build.kinds import Unusable, Variant
from rm.build.math.grading import DIMENSIONS, SOUND
from rm.build.math.solution import Solution, prepare
from rm.build.math.table import KINDS
from rm.build.seed import Seed
from rm.lab.stories import story

sys.path.insert(0, str(Path(__file__).parent))
from text_checker import CARRIED, calculations, is_consistent, number, numbers, uneven_lines, wrong_lines

FLAWED = [name for name, kind in KINDS.items() if not kind.sound]
TELLINGS = [name for name, kind in KINDS.items() if kind.sound]
ROWS = [
    (
        "Weng earns $12 an hour for babysitting. Yesterday, she did 50 minutes of it. How much did she earn?",
        "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\nFor 50 minutes she got 0.2 x 50 = $<<0.2*50=10>>10.",
        "10",
    ),
    (
        "A school has 1,200 pupils. 40% walk, 1/4 of the others take the bus, the rest are driven. How many are?",
        "40% of 1,200 = <<.4*1200=480>>480 pupils walk.\nThat leaves 1,200 - 480 = <<1200-480=720>>720 pupils.\n"
        "The bus takes 1/4 * 720 = <<720/4=180>>180 pupils.\nSo 720 - 180 = <<720-180=540>>540 pupils are driven.",
        "540",
    ),
    (
        "Ann buys 6 pens at $3 each and 5 books at $14 each, and pays with a $100 note. How much change does she get?",
        "The pens cost 6 * $3 = $18.\nThe books cost 5 * $14 = $70.\nTogether they cost $18 + $70 = $88.\n"
        "Ann gets $100 - $88 = $12 of change.",
        "12",
    ),
    (
        "He fills 7 boxes with 13 apples each, eats 11 and gives a fifth of the rest away. How many does he keep?",
        "He has 91 apples because 7 x 13 = 91\nHe has 80 apples left because 91 - 11 = 80\n"
        "He gives 16 away because 80 / 5 = 16\nHe keeps 64 apples because 80 - 16 = 64",
        "64",
    ),
    (
        "A pool holds 54 liters. It loses 3 liters an hour for 8 hours. What is left?",
        "First find how much is lost: 3 liters/hour * 8 hours = 24 liters\n"
        "Then subtract that from what was there: 54 liters - 24 liters = 30 liters",
        "30",
    ),
]


def seeds() -> Iterator[Seed]:
    for place, (problem, solution, answer) in enumerate(ROWS):
        yield Seed(f"row{place}", problem, solution, answer=answer)
    rng = random.Random(5)
    for place in range(60):
        told = story(rng)
        yield Seed(f"story{place}", told.problem, told.solution, answer=told.answer)


@pytest.fixture(scope="module")
def made() -> dict[str, list[tuple[Solution, Variant]]]:
    """A few traces of each kind from each seed."""
    found: dict[str, list[tuple[Solution, Variant]]] = {name: [] for name in KINDS}
    for seed in seeds():
        solution = prepare(seed)
        for name, kind in KINDS.items():
            for draw in range(3):
                variant = kind.make(solution, random.Random(f"{seed.problem_id}/{name}/{draw}"))
                if variant is not None:
                    found[name].append((solution, variant))
    return found


Made = dict[str, list[tuple[Solution, Variant]]]


def test_every_kind_finds_its_places(made: Made) -> None:
    least = {"swapped_quantities": 10, "wrong_unit_or_rate": 5, "reordered": 5, "split": 1}
    assert {name: len(found) for name, found in made.items() if len(found) < least.get(name, 60)} == {}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_variant_says_of_itself(name: str, made: Made) -> None:
    for solution, variant in made[name]:
        assert variant.kind == name
        assert variant.sound == KINDS[name].sound
        assert variant.reasoning != solution.trace
        assert "<<" not in variant.reasoning
        assert all(line.strip() for line in variant.reasoning.split("\n"))
        assert variant.labels is not None
        assert list(variant.labels) == list(DIMENSIONS)
        assert all(level in range(5) for level in variant.labels.values())
        assert json.loads(json.dumps(variant.metadata)) == variant.metadata
        if variant.sound:
            assert (variant.labels, variant.total, variant.first_wrong_step) == (SOUND, 1.0, None)
            assert variant.answer_kept
        else:
            assert variant.total is not None
            assert 0 <= variant.total < 1
            assert min(variant.labels.values()) < 4
            assert variant.first_wrong_step is not None
            assert variant.first_wrong_step < len(variant.reasoning.split("\n"))
            assert variant.why.endswith(tuple("abcdefghijklmnopqrstuvwxyz0123456789)")), variant.why
            assert KINDS[name].right_answer or not variant.answer_kept


@pytest.mark.parametrize("name", FLAWED)
def test_the_answer_is_where_the_trace_says_it(name: str, made: Made) -> None:
    for solution, variant in made[name]:
        assert variant.answer is not None
        same = number(variant.answer) == abs(solution.answer)
        assert same == variant.answer_kept
        assert number(variant.answer) in numbers(variant.reasoning)


@pytest.mark.parametrize("name", KINDS)
def test_the_same_generator_gives_the_same_trace(name: str) -> None:
    solution = prepare(next(seeds()))
    first, second = (KINDS[name].make(solution, random.Random(7)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", [n for n in KINDS if n not in ("arithmetic_slip", "right_answer_wrong_way")])
def test_all_calculations_are_right_but_in_kinds_that_miscalculate(name: str, made: Made) -> None:
    for _, variant in made[name]:
        assert wrong_lines(variant.reasoning) == [], variant.reasoning


def test_a_slip_is_the_only_wrong_calculation(made: Made) -> None:
    for _, variant in made["arithmetic_slip"]:
        assert wrong_lines(variant.reasoning) == [variant.first_wrong_step], variant.reasoning


def test_a_wrong_way_to_the_right_answer_has_one_wrong_calculation_or_two_that_cancel(made: Made) -> None:
    for _, variant in made["right_answer_wrong_way"]:
        wrong = wrong_lines(variant.reasoning)
        assert len(wrong) == (2 if variant.metadata["how"] == "cancelling" else 1), variant.reasoning
        assert wrong[0] == variant.first_wrong_step


@pytest.mark.parametrize("name", [*CARRIED, "repeated_step", "invented_condition"])
def test_a_change_is_carried_into_every_later_step_and_into_no_earlier_one(name: str, made: Made) -> None:
    for solution, variant in made[name]:
        step = variant.first_wrong_step
        assert step is not None
        before, after = solution.trace.split("\n"), variant.reasoning.split("\n")
        assert before[:step] == after[:step]
        assert before[step : step + 1] != after[step : step + 1]
        assert uneven_lines(solution.trace, variant) == [], variant.reasoning


@pytest.mark.parametrize("name", ["repeated_step", "invented_condition"])
def test_a_line_added_or_extended_has_another_result(name: str, made: Made) -> None:
    for solution, variant in made[name]:
        step = variant.first_wrong_step or 0
        if variant.metadata["how"] != "only_there_twice":
            old = solution.trace.split("\n")[step - (variant.metadata["how"] != "in_the_step")]
            assert calculations(variant.reasoning.split("\n")[step])[-1][2] != calculations(old)[-1][2]


def test_order_kinds_keep_the_lines_themselves(made: Made) -> None:
    for solution, variant in made["swapped_steps"]:
        assert sorted(variant.reasoning.split("\n")) == sorted(solution.trace.split("\n"))
    for solution, variant in made["dropped_step"]:
        lines = solution.trace.split("\n")
        lines.pop(int(str(variant.metadata["step"])))
        assert variant.reasoning.split("\n") == lines


@pytest.mark.parametrize("name", ["dropped_step", "swapped_steps"])
def test_the_first_wrong_step_uses_a_number_from_nowhere(name: str, made: Made) -> None:
    for solution, variant in made[name]:
        lines, step = variant.reasoning.split("\n"), variant.first_wrong_step or 0
        stated = {value for line in lines[:step] for _, _, value in calculations(line)}
        own = {value for _, _, value in calculations(lines[step])}
        uses = set(numbers(lines[step])) - own - set(numbers(solution.problem)) - stated
        missing = numbers(variant.why.partition("uses ")[2].partition(", which")[0])
        assert set(missing) <= uses
        assert missing


def test_a_circular_step_uses_what_comes_later(made: Made) -> None:
    for solution, variant in made["circular_step"]:
        lines, step = variant.reasoning.split("\n"), variant.first_wrong_step or 0
        later = {value for line in lines[step + 1 :] for _, _, value in calculations(line)}
        used = {v for text, _, _ in calculations(lines[step]) for v in numbers(text)}
        known = solution.given.union(*(numbers(line) for line in lines[:step]))
        assert (used - known) & later, variant.reasoning
        named = int(variant.why.rsplit(" ", 1)[1]) - 1
        assert used & {value for _, _, value in calculations(lines[named])} - known, variant.why


def test_a_trace_that_stops_says_at_its_first_wrong_step(made: Made) -> None:
    told = [variant for _, variant in made["wrong_target"] if "the trace stops at" in variant.why]
    assert told
    for variant in told:
        assert variant.why.startswith(f"step {(variant.first_wrong_step or 0) + 1}:"), variant.why


def test_a_check_turned_round_is_no_circle_where_its_result_was_known() -> None:
    """500 - 100 is what the step computes from anyway: the line before it names the 500."""
    told = (
        "Her income in a day is $500.\nShe loses 20/100*$500=$<<20/100*500=100>>100.\n"
        "She receives $500-$100=$<<500-100=400>>400.\nWe check: 400+100=<<400+100=500>>500.\n#### 400"
    )
    problem = "Amanda makes $50 an hour and works 10 hours. 20% are withheld. How much does she receive?"
    solution = prepare(Seed("pay", problem, told, answer="400"))
    found = [KINDS["circular_step"].make(solution, random.Random(seed)) for seed in range(12)]
    assert not any(variant and "500-100" in variant.reasoning.replace("$", "").split("\n")[2] for variant in found)


@pytest.mark.parametrize("name", TELLINGS)
def test_another_telling_is_a_seed_again_with_the_same_answer(name: str, made: Made) -> None:
    for solution, variant in made[name]:
        again = prepare(Seed("again", solution.problem, variant.reasoning, answer=solution.answer_text))
        assert again.answer == solution.answer
        assert {v for line in again.lines for v in line.results} & {v for line in solution.lines for v in line.results}


def test_tellings_change_what_they_say() -> None:
    solution = prepare(Seed("pens", *ROWS[2][:2], answer=ROWS[2][2]))
    rng = random.Random(1)
    assert "Check" not in solution.trace
    checked = KINDS["checked"].make(solution, rng)
    assert checked is not None
    assert calculations(checked.reasoning.split("\n")[-1])[0][2] in (88, 100)
    merged = KINDS["merged"].make(solution, rng)
    assert merged is not None
    assert len(merged.reasoning.split("\n")) < 5
    assert "(" in merged.reasoning


def test_flaws_can_be_put_into_another_telling() -> None:
    counts = dict.fromkeys(FLAWED, 0)
    for seed in seeds():
        solution = prepare(seed)
        told = KINDS["reworded"].make(solution, random.Random(2))
        if told is None:
            continue
        again = prepare(replace(seed, solution=told.reasoning))
        for name in FLAWED:
            counts[name] += KINDS[name].make(again, random.Random(3)) is not None
    assert min(counts.values()) > 2


def test_on_gsm8k(shared_data) -> None:
    """The shares that RESULTS.md states, on a sample: problems with 4 kinds and more, and traces found consistent."""
    rows = (shared_data / "gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()
    rng = random.Random(8)
    rich = consistent = total = 0
    sample = rng.sample(rows, 300)
    for row in map(json.loads, sample):
        solution_text, _, answer = row["answer"].partition("####")
        try:
            solution = prepare(Seed("gsm8k", row["question"], solution_text, answer=answer.strip()))
        except Unusable:
            continue
        variants = [v for name in FLAWED if (v := KINDS[name].make(solution, rng)) is not None]
        rich += len(variants) >= 4
        if wrong_lines(solution.trace):
            continue  # what the checker misreads
        for variant in variants:
            total += 1
            consistent += is_consistent(solution.trace, variant)
    assert rich / len(sample) > 0.9
    assert consistent / total > 0.99
