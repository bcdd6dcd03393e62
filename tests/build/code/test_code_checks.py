"""Mutants in the sandbox: a flaw is a flaw."""

from __future__ import annotations

import ast
import asyncio
import bisect
import heapq
import inspect
import json
import random
import statistics
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rm.build.card import Card, Tally, _kind_rows
from rm.build.code import KINDS, prepare
from rm.build.code.checks import confirmed, fails_tests, mutated_program, share_passed
from rm.build.config import AuditConfig, BuildConfig, GatesConfig
from rm.build.draft import Draft
from rm.build.kinds import Unusable, Variant
from rm.build.pipeline import build_groups
from rm.build.read_seeds import file_rows
from rm.build.seed import Seed
from rm.config import load_config
from rm.errors import ConfigError
from rm.groups import load_groups
from rm.uplift.sandbox import Sandbox

CONFIG = Path(__file__).parents[3] / "configs" / "build-code.yaml"


def mutants(seed: Seed, generator: int = 0) -> list[Variant]:
    prepared = prepare(seed)
    made = [kind.make(prepared, random.Random(generator)) for kind in KINDS.values() if not kind.sound]
    return [variant for variant in made if variant is not None and mutated_program(variant)]


def test_references_pass_and_mutants_fail(seeds, in_sandbox) -> None:
    cases = [(variant, seed) for seed in seeds.values() for variant in mutants(seed) if not variant.answer_kept]

    async def work(sandbox):
        references = await asyncio.gather(*(share_passed(seed.solution, seed, sandbox) for seed in seeds.values()))
        return references, await asyncio.gather(*(fails_tests(*case, sandbox) for case in cases))

    references, failed = in_sandbox(work)
    assert references == [1.0] * len(seeds)
    assert len(cases) > 20
    passing = [variant.why for (variant, _), fails in zip(cases, failed, strict=True) if not fails]
    assert len(passing) <= len(cases) // 5, passing  # the tests of some seeds do not reach every place


def test_what_cannot_be_judged_is_none(seeds, in_sandbox) -> None:
    seed = seeds["primes"]
    [variant, *_] = mutants(seed)
    leak = KINDS["code_dumped"].make(prepare(seed), random.Random(0))

    async def work(sandbox):
        return [
            await fails_tests(leak, seed, sandbox),  # no mutant
            await fails_tests(variant, replace(seed, tests=None), sandbox),
            await fails_tests(variant, replace(seed, tests="assert ("), sandbox),
        ]

    assert in_sandbox(work) == [None, None, None]


def test_tests_on_stdin_judge_mutants_too(in_sandbox) -> None:
    source = "n = int(input())\ntotal = 0\nfor i in range(1, n + 1):\n    total += i\nprint(total)\n"
    tests = [{"input": "3", "output": "6"}, {"input": "4", "output": "10"}]
    seed = Seed("sum", "Print the sum from 1 to n.", source, task_type="code", tests=tests)
    found = mutants(seed)

    async def work(sandbox):
        return [await fails_tests(variant, seed, sandbox) for variant in found]

    assert {"boundary_off_by_one", "wrong_algorithm", "wrong_output_format"} <= {variant.kind for variant in found}
    assert all(in_sandbox(work))


def test_only_what_the_tests_do_not_contradict_is_confirmed(seeds, in_sandbox) -> None:
    seed = seeds["primes"]
    flaw = next(variant for variant in mutants(seed) if variant.kind == "boundary_off_by_one")
    harmless = replace(flaw, metadata={"mutant": seed.solution})
    boast = replace(flaw, answer_kept=True, metadata={"mutant": "def count_primes(limit): return -1"})
    leak = KINDS["code_dumped"].make(prepare(seed), random.Random(0))
    sound = KINDS["reworded"].make(prepare(seed), random.Random(0))

    variants = tuple(("sound", variant) for variant in (flaw, harmless, boast, leak, sound))
    drafted = Draft(seed, "sound", variants, dropped={"before": 1})
    done = in_sandbox(lambda sandbox: confirmed(drafted, sandbox))
    (text, kept), *rest = done.variants
    assert rest == [("sound", leak), ("sound", sound)]
    assert (text, kept.reasoning, done.unusable) == ("sound", flaw.reasoning, "")
    assert 0 <= kept.metadata["tests_passed"] < 1
    assert kept.labels["plan_quality"] == (1 if kept.metadata["tests_passed"] == 0 else 2)
    assert done.dropped == {
        "before": 1,
        "boundary_off_by_one: its program passes every test": 1,
        "boundary_off_by_one: its program fails a test": 1,
    }


def test_a_reference_that_fails_its_own_tests_makes_a_seed_unusable(seeds, in_sandbox) -> None:
    seed = replace(seeds["primes"], tests="assert count_primes(10) == 5")
    done = in_sandbox(lambda sandbox: confirmed(Draft(seed, "sound"), sandbox))
    assert done.unusable == "its reference program fails a test of its own"
    untold = Draft(replace(seed, tests=None), "sound")
    assert in_sandbox(lambda sandbox: confirmed(untold, sandbox)) == untold


@pytest.fixture
def rows(seeds, write) -> Path:
    return write(
        *(
            {"id": seed.problem_id, "prompt": seed.problem, "code": seed.solution, "tests": seed.tests}
            for seed in seeds.values()
        )
    )


@pytest.fixture(scope="module")
def walls() -> bool:
    """Whether this machine carries a sandbox."""

    async def starts() -> bool:
        async with Sandbox(workers=1):
            return True

    try:
        return asyncio.run(starts())
    except ConfigError:
        return False


def right_answers(card: Path) -> dict[str, str]:
    """The column on right answers, by kind, of a data card."""
    table = card.read_text().partition("| right answer all the same |")[2].partition("\n## ")[0]
    rows = (line.split(" | ") for line in table.splitlines() if line.startswith("| ") and "---" not in line)
    return {cells[0].removeprefix("| "): cells[2] for cells in rows}


def built(rows: Path, out: Path, **gates: Any) -> Card:
    config = BuildConfig(task="code", workers=2, audit=AuditConfig(groups=0), gates=GatesConfig(**gates))
    return build_groups(config, lambda refused: file_rows([rows], refused), out, files=[rows]).card


def test_a_build_runs_the_tests_where_it_is_asked_to_and_says_so(rows, walls, tmp_path) -> None:
    tested = {"run_tests": True, "unsafe_subprocess": not walls}
    card = built(rows, tmp_path / "tested.jsonl", **tested)
    entries = [entry for group in load_groups(tmp_path / "tested.jsonl") for entry in group.negatives]
    shares = [entry.metadata["tests_passed"] for entry in entries if "tests_passed" in entry.metadata]
    assert card.tally.tested.total() == len(shares) > len(entries) // 2
    assert all((share == 1) is entry.metadata["answer_kept"] for entry in entries
               if (share := entry.metadata.get("tests_passed")) is not None)  # fmt: skip
    assert any(reason.endswith("its program passes every test") for reason in card.dropped)
    told = f"the programs of {len(shares)} of {len(entries)} flawed plans came out as their kind says"
    assert told in (tmp_path / "tested.card.md").read_text()
    right = right_answers(tmp_path / "tested.card.md")
    assert right["vague_step"] == "not run"  # it has no program
    assert all(right[kind] == "0" for kind, run in card.tally.tested.items() if run == card.tally.kinds[kind])
    built(rows, tmp_path / "again.jsonl", **tested)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "tested.jsonl").read_bytes()


def test_a_build_runs_no_program_unasked_and_says_so(rows, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("rm.uplift.sandbox.Sandbox.start", lambda self: pytest.fail("started"))
    card = built(rows, tmp_path / "groups.jsonl")
    assert not card.tally.tested.total()
    assert "- tests: not run; that a flawed plan gives a wrong program rests on the rule of its kind alone\n" in (
        (tmp_path / "groups.card.md").read_text()
    )
    assert right_answers(tmp_path / "groups.card.md") == {
        kind: f"{card.tally.kinds[kind]}" if card.tally.answer_kept[kind] else "not run" for kind in card.tally.kinds
    }
    assert {"not run"} < set(right_answers(tmp_path / "groups.card.md").values())


def test_where_there_is_no_sandbox_a_build_says_so_and_leaves_nothing(rows, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ConfigError, match=r"bubblewrap.* --gates\.run_tests false leaves the tests out, --gates\.unsafe_"
    ):
        built(rows, tmp_path / "groups.jsonl", run_tests=True)
    assert [path.name for path in tmp_path.iterdir()] == [rows.name]


def test_the_shipped_configuration_runs_the_tests(rows, walls, tmp_path) -> None:
    overrides = {"audit.groups": ["0"], "rebalance.enabled": ["false"], "workers": ["2"]}
    overrides |= {} if walls else {"gates.run_tests": ["false"]}  # as its error says
    config = load_config(BuildConfig, CONFIG, overrides)
    assert load_config(BuildConfig, CONFIG).gates.run_tests
    assert not BuildConfig().gates.run_tests
    card = build_groups(config, lambda refused: file_rows([rows], refused), tmp_path / "a.jsonl", files=[rows]).card
    assert bool(card.tally.tested.total()) is walls


def test_a_program_that_was_not_run_is_not_said_to_be_wrong() -> None:
    tally = Tally(kinds=Counter(a=3, b=3, c=3, d=3), tested=Counter(a=3, b=2), answer_kept=Counter(d=3))
    card = Card({}, {}, tally, {}, None, None, "", {"task": "code"}, {}, {})
    assert [row[2] for row in _kind_rows(card)] == ["0", "0 of 2 run", "not run", "3"]
    assert [row[2] for row in _kind_rows(replace(card, config={"task": "math"}))] == ["0", "0", "0", "3"]


def test_problems_of_math_have_no_tests(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"gates\.run_tests: problems of the task math have no tests"):
        build_groups(BuildConfig(gates=GatesConfig(run_tests=True)), pytest.fail, tmp_path / "groups.jsonl")


def mbpp_seeds(path: Path) -> list[Seed]:
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [
        Seed(
            row["problem_id"],
            row["problem"],
            row["reference_solution"],
            task_type="code",
            tests=row["tests"],
            entry_point=row["entry_point"],
        )
        for row in rows
    ]


def test_nearly_every_seed_of_mbpp_gives_four_kinds(mbpp) -> None:
    counts = Counter()
    for seed in mbpp_seeds(mbpp)[::4]:
        try:
            prepared = prepare(seed)
        except Unusable:
            counts["unusable"] += 1
            continue
        made = [kind.make(prepared, random.Random(1)) for kind in KINDS.values() if not kind.sound]
        counts["four kinds" if sum(variant is not None for variant in made) >= 4 else "fewer"] += 1
    assert counts["four kinds"] / counts.total() > 0.9


def test_most_flaws_of_mbpp_fail_a_test(mbpp, in_sandbox) -> None:
    cases = [(variant, seed) for seed in mbpp_seeds(mbpp)[::40] for variant in mutants(seed) if not variant.answer_kept]

    async def work(sandbox):
        return await asyncio.gather(*(fails_tests(*case, sandbox) for case in cases))

    failed = in_sandbox(work)
    assert len(failed) > 40
    assert sum(map(bool, failed)) / len(failed) > 0.8


@pytest.mark.parametrize("module", [bisect, heapq, statistics, textwrap], ids=lambda module: module.__name__)
def test_functions_of_the_standard_library_are_told_or_refused(module) -> None:
    """Programs that nobody wrote for this; whatever is made of them parses."""
    made = Counter()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.FunctionDef):
            continue
        seed = Seed(node.name, "Write a function to do it.", ast.unparse(node), task_type="code", entry_point=node.name)
        try:
            prepared = prepare(seed)
        except Unusable as refusal:
            made[str(refusal)] += 1
            continue
        for kind in KINDS.values():
            if (variant := kind.make(prepared, random.Random(1))) is not None:
                ast.parse(mutated_program(variant))
                made["variants"] += 1
    assert made["variants"] > 20
