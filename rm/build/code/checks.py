"""Is a flaw of a plan one? Its mutant runs on the tests of the seed, in the sandbox."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rm.build.code.labels import regraded
from rm.build.kinds import Variant
from rm.build.seed import Seed
from rm.uplift.problems import Problem
from rm.uplift.read import parse_problem
from rm.uplift.verifiers.code import CodeVerifier, Runner

MUTANT = "mutant"
"""The key of `Variant.metadata` under which a flaw's program stands."""


def mutated_program(variant: Variant) -> str:
    """The program that does what a flawed plan says; "" where the flaw has none (a leak, a vague step, free text)."""
    return str(variant.metadata.get(MUTANT, ""))


def problem_of(seed: Seed) -> Problem | None:
    """A seed as the verifier takes it; None where it has no tests that can be run, in its row or in its statement."""
    row = {
        "problem_id": seed.problem_id,
        "problem": seed.problem,
        "task_type": "code",
        "tests": seed.tests,
        "entry_point": seed.entry_point,
    }
    return parse_problem(row, seed.file or seed.problem_id)[0]


async def share_passed(program: str, seed: Seed, sandbox: Runner) -> float | None:
    """Share of the seed's tests that a program passes, in [0, 1]; None where it could not be judged.

    Args:
        program: a program; it is run in the sandbox only.
        seed: with its tests.
        sandbox: a started `rm.uplift.sandbox.Sandbox`, whose rules of refusal hold.
    """
    problem = problem_of(seed)
    if problem is None or not program.strip():
        return None
    verdict = await CodeVerifier(sandbox).verify(program, problem)
    return None if verdict.outcome == "unjudged" else verdict.score


async def fails_tests(variant: Variant, seed: Seed, sandbox: Runner) -> bool | None:
    """Whether the program of a flawed plan fails a test; None where there is no program, or none could be judged."""
    share = await share_passed(mutated_program(variant), seed, sandbox)
    return None if share is None else share < 1


async def confirmed(
    variants: Sequence[Variant], seed: Seed, sandbox: Runner
) -> tuple[tuple[Variant, ...], Counter[str]]:
    """The variants that the tests of their seed do not contradict, and why others were dropped.

    A flaw whose program passes every test is no flaw that these tests know of, and is dropped; so is one that claims
    to be right all the same (`answer_kept`) and fails. The others are graded by the share that their program passes
    (`regraded`), which stands in `metadata["tests_passed"]`. Sound variants, and flaws that have no program or could
    not be judged, stay as they are.

    Args:
        variants: made of one seed.
        seed: their seed; a reference that fails its own tests is the caller's affair (`share_passed`).
        sandbox: started.
    """
    shares = await asyncio.gather(*(share_passed(mutated_program(each), seed, sandbox) for each in variants))
    kept, dropped = [], Counter[str]()
    for variant, share in zip(variants, shares, strict=True):
        if share is None or variant.sound:
            kept.append(variant)
        elif (share == 1) is not variant.answer_kept:
            dropped[f"{variant.kind}: its program {'passes every test' if share == 1 else 'fails a test'}"] += 1
        else:
            graded = variant if variant.answer_kept else regraded(variant, share)
            kept.append(replace(graded, metadata={**variant.metadata, "tests_passed": share}))
    return tuple(kept), dropped
