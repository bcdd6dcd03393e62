"""Plans told from programs, and seeds that no plan can be told of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rm.build.code import KINDS, prepare
from rm.build.code.plans import MARKS, Style, plan_of, plan_text
from rm.build.code.programs import Program, task_of
from rm.build.code.telling import tell
from rm.build.kinds import Unusable
from rm.build.seed import Seed


def plain(seed: Seed, **options: object) -> list[str]:
    """The plan in the first style that starts with inputs and task; without marks."""
    program = Program.of(seed)
    for number in range(24):
        style = Style(number, **options)
        texts = ["   " * step.depth + step.text for step in plan_of(program, style)]
        if texts[0].startswith("The function takes") and program.task in texts[0]:
            return texts
    raise AssertionError("no such style")


def test_a_plan_names_inputs_task_steps_and_result(seeds: dict[str, Seed]) -> None:
    first, *steps, last = plain(seeds["distinct"])
    assert first.startswith("The function takes a list items; ")
    assert first.endswith("keep the first of equal numbers, without negative ones, in their order.")
    assert any("an empty set seen" in step for step in steps)
    assert any("each element item of items" in step for step in steps)
    assert any("item does not occur in seen and item is at least 0" in step for step in steps)
    assert last.endswith(" kept.")


def test_a_short_loop_is_one_step_or_several(seeds: dict[str, Seed]) -> None:
    seed = replace(
        seeds["distinct"],
        solution="def total(xs):\n    s = 0\n    for x in xs:\n        if x > 2:\n            s += x\n    return s\n",
        tests="assert total([1, 3]) == 3",
        entry_point="total",
    )
    assert any("For each element x of xs, if x is greater than 2, " in step for step in plain(seed))
    apart = plain(seed, compact=False)
    assert any(step.startswith("For each element x of xs") and step.endswith(":") for step in apart)
    assert any(step.strip().startswith("If x is greater than 2, ") for step in apart)


def test_a_style_decides_everything(seeds: dict[str, Seed]) -> None:
    program = Program.of(seeds["primes"])
    texts = {number: plan_text(tell(program, Style(number)), Style(number).mark) for number in range(12)}
    assert texts == {number: plan_text(tell(program, Style(number)), Style(number).mark) for number in range(12)}
    assert len(set(texts.values())) > 8
    assert {Style(number).mark for number in range(24)} == set(MARKS)


def test_a_program_that_reads_its_input_has_a_plan_too() -> None:
    source = "n = int(input())\nxs = list(map(int, input().split()))\nprint(max(xs) - n)\n"
    seed = Seed(
        "io", "Print the largest minus n.", source, task_type="code", tests=[{"input": "1\n2 3", "output": "2"}]
    )
    text = prepare(seed).plan
    assert "the next line of the input as an integer" in text
    assert "rint the largest element of xs minus n" in text


def test_a_plan_that_comes_back_as_the_seeds_own_is_known_again(seeds: dict[str, Seed]) -> None:
    for seed in seeds.values():
        prepared = prepare(seed)
        again = prepare(replace(seed, plan=prepared.plan))
        assert again.told is not None
        assert again.plan == prepared.plan
    assert prepare(replace(seed, plan="Sort the pairs.\nReturn the first name.")).told is None


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (Seed("a", "p", "def f(:", task_type="code"), "reference program does not parse"),
        (Seed("b", "p", "", task_type="code"), "neither a plan nor a program"),
        (Seed("c", "p", "x = 1\n", task_type="code"), "reference program is too short for a plan"),
        (Seed("d", "p", "class A:\n    pass\n", task_type="code"), "reference program holds what no plan is told of"),
        (
            Seed("e", "p", "def f():\n    yield 1\n", task_type="code"),
            "reference program holds what no plan is told of",
        ),
        (Seed("f", "p", "", plan="Sort it.", task_type="code"), "plan of a single step"),
    ],
)
def test_unusable_seeds(seed: Seed, reason: str) -> None:
    with pytest.raises(Unusable) as refusal:
        prepare(seed)
    assert str(refusal.value) == reason


def test_tasks_of_statements() -> None:
    assert task_of("Write a function to find x. https://a.b/c") == "find x"
    assert task_of("Write a python function that doubles n. More.") == "write a function that doubles n"
    assert (
        task_of("def f():\n    '''\n    Write a function to find the n'th number.\n    '''") == "find the n'th number"
    )
    assert task_of("Find x.") == "find x"
    assert (
        task_of('def f(n: int):\n    """ Count the bits\n    of n.\n    >>> f(3)\n    2\n    """')
        == "count the bits of n"
    )
    assert task_of("You are given n. It is large.") == ""


def test_every_kind_is_described() -> None:
    assert all(kind.name == name and kind.description.endswith(".") for name, kind in KINDS.items())
    assert {name for name, kind in KINDS.items() if kind.sound} == {
        "reworded",
        "merged_steps",
        "split_steps",
        "reasoned",
    }
