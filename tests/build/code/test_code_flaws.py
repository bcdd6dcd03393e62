"""Flaws and sound variants of plans that were told from programs."""

from __future__ import annotations

import ast
import difflib
import random
from dataclasses import replace

import pytest

from rm.build.code import KINDS, prepare
from rm.build.code.checks import mutated_program
from rm.build.code.labels import DIMENSIONS, labels_of, regraded, total_of
from rm.build.code.mutations import mutants
from rm.build.code.plans import STYLES, Style
from rm.build.code.prepared import Told
from rm.build.code.programs import Program
from rm.build.code.telling import tell
from rm.build.kinds import Variant
from rm.build.seed import Seed
from rm.rubric import Rubric

FLAWS = [name for name, kind in KINDS.items() if not kind.sound]


def made(seed: Seed, name: str, draws: int = 8) -> list[Variant]:
    """What a kind makes of a seed, over several generators."""
    prepared = prepare(seed)
    found = (KINDS[name].make(prepared, random.Random(draw)) for draw in range(draws))
    return [variant for variant in found if variant is not None]


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_says_where_it_is_and_is_graded(seeds: dict[str, Seed], name: str) -> None:
    variants = [(prepare(seed).plan, variant) for seed in seeds.values() for variant in made(seed, name)]
    assert variants
    for sound, variant in variants:
        lines, before = variant.reasoning.split("\n"), sound.split("\n")
        assert variant.kind == name
        assert not variant.sound
        assert variant.reasoning != sound
        first = variant.first_wrong_step
        assert first is not None
        same = [line.split(". ", 1)[-1] for line in lines[:first]] == [
            line.split(". ", 1)[-1] for line in before[:first]
        ]
        assert same or name == "code_dumped"  # which may leave the steps out that it stands for
        assert variant.why.startswith(f"line {first + 1}: ")
        assert set(variant.labels) == set(DIMENSIONS)
        assert min(variant.labels.values()) < 4
        assert 0 <= variant.total < 1
        assert variant.answer_kept <= bool(KINDS[name].right_answer)


def test_the_dimensions_are_those_of_the_official_rubric() -> None:
    assert Rubric.load("code").dimension_names == DIMENSIONS


@pytest.mark.parametrize("name", KINDS)
def test_the_same_generator_makes_the_same(seeds: dict[str, Seed], name: str) -> None:
    assert made(seeds["primes"], name) == made(seeds["primes"], name)


def test_making_flaws_leaves_the_program_as_it_is(seeds: dict[str, Seed]) -> None:
    prepared = prepare(seeds["primes"])
    before = ast.dump(prepared.told.program.tree, include_attributes=True)
    for draw in range(5):
        for kind in KINDS.values():
            kind.make(prepared, random.Random(draw))
    assert ast.dump(prepared.told.program.tree, include_attributes=True) == before


def test_a_mutant_differs_from_its_program_in_one_place(seeds: dict[str, Seed]) -> None:
    for seed in seeds.values():
        reference = ast.unparse(ast.parse(seed.solution)).split("\n")
        for name in ("boundary_off_by_one", "wrong_algorithm", "wrong_condition"):
            for variant in made(seed, name, 8):
                lines = mutated_program(variant).split("\n")
                changes = [line for line in difflib.ndiff(reference, lines) if line.startswith("+ ")]
                assert len(changes) == 1, variant.why


@pytest.mark.parametrize("name", ["reworded", "merged_steps", "split_steps", "reasoned"])
def test_sound_variants_tell_the_same_program(seeds: dict[str, Seed], name: str) -> None:
    variants = [(seed, variant) for seed in seeds.values() for variant in made(seed, name)]
    assert variants
    for seed, variant in variants:
        assert variant.sound
        assert variant.answer_kept
        assert (variant.total, variant.first_wrong_step) == (1.0, None)
        assert set(variant.labels.values()) == {4}
        assert variant.reasoning != prepare(seed).plan
        again = prepare(replace(seed, plan=variant.reasoning))
        assert again.told is not None
        assert ast.dump(again.told.program.tree) == ast.dump(ast.parse(seed.solution))


def test_flaws_can_be_put_into_a_sound_variant(seeds: dict[str, Seed]) -> None:
    [variant, *_] = made(seeds["primes"], "reasoned")
    flawed = made(replace(seeds["primes"], plan=variant.reasoning), "boundary_off_by_one")
    assert flawed
    shared = set(variant.reasoning.split("\n")) & set(flawed[0].reasoning.split("\n"))
    assert len(shared) == len(variant.reasoning.split("\n")) - 1


def test_a_leak_is_graded_by_how_much_it_gives_away(seeds: dict[str, Seed]) -> None:
    levels = {variant.labels["non_leakage"] for variant in made(seeds["primes"], "code_dumped", 60)}
    assert levels == {0, 1, 2}
    whole = next(variant for variant in made(seeds["primes"], "code_dumped", 60) if variant.labels["non_leakage"] == 0)
    assert "def count_primes(limit):" in whole.reasoning
    assert {variant.labels["non_leakage"] for variant in made(seeds["primes"], "outputs_given", 20)} == {1, 2}


def kinds_of_missing_cases(source: str) -> dict[str, str]:
    """What is said of each case that is left out -> the kind of the flaw."""
    seed = Seed("f", "Write a function to do it.", source, task_type="code", entry_point="f")
    return {
        mutant.change: mutant.kind
        for mutant in mutants(Program.of(seed))
        if mutant.change.endswith("is not treated") or " otherwise” is right" in mutant.change
    }


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("def f(n):\n    if n < 2:\n        return 0\n    return sum(range(n))", ["missing_edge_case"]),
        ("def f(n):\n    if n < 2:\n        raise ValueError\n    return n * n", ["missing_edge_case"]),
        ("def f(n):\n    if n < 2:\n        return n\n    else:\n        return f(n - 1)", ["missing_edge_case"]),
        (
            "def f(n):\n    if n < 2:\n        return False\n    for d in range(2, n):\n        if n % d == 0:\n"
            "            return False\n        n += 1\n    return True",
            ["missing_edge_case", "missed_constraint"],
        ),
        ("def f(xs):\n    return max(xs) if xs else 0", ["missing_edge_case"]),
        ("def f(n):\n    if n < 2:\n        return\n    print(n * n)", ["missing_edge_case"]),
        # what the task is about
        (
            "def f(x):\n    y = x ^ (x >> 1)\n    if y & 1:\n        return True\n    return False",
            ["missed_constraint"],
        ),
        (
            "def f(x):\n    y = x * 2\n    if y > 4:\n        return 'a'\n    y += 1\n    return 'b'",
            ["missed_constraint"],
        ),
        ("def f(x):\n    if x > 1:\n        return x * 2\n    return x * 3", ["missed_constraint"]),
        ("def f(a, b):\n    return a if a > b else b", ["missed_constraint"]),
        ("def f(xs):\n    return sum([x * x if x > 0 else 0 for x in xs])", ["missed_constraint"]),
        (
            "def f(xs):\n    s = 0\n    for x in xs:\n        if x < 0:\n            continue\n        s += x\n"
            "    return s",
            ["missed_constraint"],
        ),
        # without it, the loop goes on
        ("def f(xs):\n    for x in xs:\n        if x < 0:\n            break\n        x += 1\n    return x", []),
    ],
)
def test_an_edge_case_is_a_guard_before_the_main_work(source: str, kinds: list[str]) -> None:
    assert list(kinds_of_missing_cases(source).values()) == kinds


@pytest.mark.parametrize("name", ["counts", "distinct"])
def test_a_plan_does_not_state_two_structures_of_a_variable(seeds: dict[str, Seed], name: str) -> None:
    source = seeds[name].solution.replace("    return kept", "    return [kept[i] for i in range(len(kept))]")
    seed, replaced, added = replace(seeds[name], solution=source), 0, 0
    program = Program.of(seed)
    for number in range(STYLES):
        style = Style(number)
        steps = tell(program, style)
        plan = replace(prepare(seed), told=Told(program, style, steps, {}))
        variant = KINDS["wrong_complexity"].make(plan, random.Random(number))
        assert variant is not None
        lines = variant.reasoning.split("\n")
        assert sum(" rather than " in line for line in lines) == 1
        stated = [line for line in lines if "dictionary" in line]
        assert all("list of pairs rather than a dictionary" in line for line in stated)
        assert len(stated) == (name == "counts")
        first = lines[variant.first_wrong_step]
        assert "list of pairs" in first if name == "counts" else "linked list rather" in first
        replaced += len(lines) == len(steps)
        added += len(lines) == len(steps) + 1
    assert replaced
    assert added
    assert replaced + added == STYLES


def test_what_is_given_as_a_dictionary_is_one() -> None:
    source = "def f(d, keys):\n    return [d[key] for key in keys]\n"
    seed = Seed("f", "", source, task_type="code", tests="assert f({1: 2}, [1]) == [2]", entry_point="f")
    found = [KINDS["wrong_complexity"].make(prepare(seed), random.Random(draw)) for draw in range(4)]
    assert found == [None] * 4


BRANCHES = """\
def dog_age(h_age, pairs):
    if h_age < 0:
        exit()
    elif h_age <= 2:
        d_age = h_age * 10.5
    else:
        d_age = 21 + (h_age - 2) * 4
    for a, b in pairs:
        for other in (a, b):
            d_age += other * 2
    for a, b in pairs:
        if a == b:
            d_age = a * 7 + b
            break
    else:
        d_age = d_age * 3 + 1
    if d_age > 100:
        d_age = d_age * 2 - 1
    return d_age
"""


@pytest.mark.parametrize("compact", [True, False])
def test_a_dumped_step_keeps_its_condition_and_its_loops(compact: bool) -> None:
    seed = Seed("dog", "Write a function to find the age.", BRANCHES, task_type="code", entry_point="dog_age")
    program = Program.of(seed)
    dumped = set()
    for number in range(STYLES):
        style = Style(number, compact)
        plan = replace(prepare(seed), told=Told(program, style, tell(program, style), {}))
        for draw in range(20):
            variant = KINDS["code_dumped"].make(plan, random.Random(draw))
            if variant.labels["non_leakage"] > 0:
                step, code = variant.why.split("“")[1].split("”")[0], variant.reasoning
                dumped.add(step)
                assert "therwise" not in step
                assert not step.startswith("If ") or "if d_age > 100:" in code
                assert " and each element other" not in step or "for a, b in pairs:" in code
                assert code.count("therwise") == "\n".join(step.text for step in plan.told.steps).count("therwise")
    assert any(step.startswith("If d_age is greater than 100") for step in dumped)
    assert any(" other " in step for step in dumped)


def test_labels_follow_reach_and_place() -> None:
    everywhere, some = labels_of("wrong_algorithm", True, 0.3), labels_of("wrong_algorithm", False, 0.3)
    assert everywhere["plan_quality"] < some["plan_quality"]
    assert labels_of("wrong_algorithm", True, 1.0)["step_coherence"] > everywhere["step_coherence"]
    assert total_of(everywhere) < total_of(some) < 1


def test_a_run_mutant_is_graded_by_its_tests(seeds: dict[str, Seed]) -> None:
    [variant, *_] = made(seeds["primes"], "boundary_off_by_one")
    rare, always = regraded(variant, 0.6), regraded(variant, 0.0)
    assert (rare.labels["plan_quality"], always.labels["plan_quality"]) == (2, 1)
    assert always.total < rare.total
    assert regraded(replace(variant, labels=None), 0.0).labels is None
