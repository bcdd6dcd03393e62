"""Is a flaw of a plan one? Its mutant runs on the tests of the seed, in the sandbox.

What this does not tell: whether a plan says what its mutant does, and whether a flaw that a seed's few tests do not
reach is one all the same.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from rm.build.card import TESTED
from rm.build.code.labels import regraded
from rm.build.config import BuildConfig
from rm.build.draft import Draft, Setup, draft, sift
from rm.build.kinds import Variant
from rm.build.pipeline import Maker, rule_labels
from rm.build.seed import Seed
from rm.errors import ConfigError
from rm.uplift.loop import LoopThread
from rm.uplift.problems import Problem
from rm.uplift.read import parse_problem
from rm.uplift.sandbox import Limits, Sandbox
from rm.uplift.verifiers.code import CodeVerifier, Runner

MUTANT = "mutant"
"""The key of `Variant.metadata` under which a flaw's program stands."""
LIMITS = Limits(cpu_seconds=2.0, wall_seconds=10.0)
"""Of one run; a program that needs more fails."""


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


async def confirmed(drafted: Draft, sandbox: Runner) -> Draft:
    """What the tests of a seed do not contradict of a draft; what they do is counted in `dropped`.

    A flaw whose program passes every test is no flaw that these tests know of, and is dropped; so is one that claims
    to be right all the same (`answer_kept`) and fails. The others are graded by the share that their program passes
    (`regraded`), which stands in their metadata under `TESTED`. Sound variants, and flaws that have no program or could
    not be judged, stay as they are. A seed whose reference fails a test of its own is unusable.

    Args:
        drafted: of a seed.
        sandbox: started.
    """
    seed = drafted.seed
    if drafted.unusable:
        return drafted
    programs = dict.fromkeys([seed.solution, *(mutated_program(variant) for _, variant in drafted.variants)])
    shares = await asyncio.gather(*(share_passed(program, seed, sandbox) for program in programs))
    passed = dict(zip(programs, shares, strict=True))
    reference = passed[seed.solution]
    if reference is not None and reference < 1:
        return replace(drafted, unusable="its reference program fails a test of its own")
    kept, dropped = [], Counter(drafted.dropped)
    for sound, variant in drafted.variants:
        share = passed[mutated_program(variant)]
        if share is None or variant.sound:
            kept.append((sound, variant))
        elif (share == 1) is not variant.answer_kept:
            dropped[f"{variant.kind}: its program {'passes every test' if share == 1 else 'fails a test'}"] += 1
        else:
            graded = variant if variant.answer_kept else regraded(variant, share)
            kept.append((sound, replace(graded, metadata={**variant.metadata, TESTED: share})))
    return replace(drafted, variants=tuple(kept), dropped=dropped)


def sandbox_of(config: BuildConfig) -> Sandbox:
    """The sandbox of a build, not yet started: one run a process that the configuration allows."""
    gates = config.gates
    return Sandbox(LIMITS, _workers(config), unsafe_subprocess=gates.unsafe_subprocess)


async def start_tests(sandbox: Sandbox) -> None:
    """Start the sandbox of a build. Raises: ConfigError where this machine carries none, with the options that do
    without."""
    try:
        await sandbox.start()
    except ConfigError as error:
        options = "--gates.run_tests false leaves the tests out, --gates.unsafe_subprocess true runs plain processes"
        raise ConfigError(f"gates.run_tests: {error} Options: {options}.") from None


def by_tested_rule(config: BuildConfig) -> Maker:
    """The maker that uses rules, and asks the tests of every seed about their flaws (`confirmed`). Rules run in one
    process, programs in as many as the configuration says.

    Raises:
        ConfigError: as `Setup.of`; once seeds are read, where this machine has no sandbox.
    """
    setup = Setup.of(config)

    def make(seeds: Iterator[Seed]) -> Iterator[bytes]:
        sandbox = sandbox_of(config)

        async def line(seed: Seed) -> bytes:
            return sift(await confirmed(draft(seed, setup), sandbox), setup).line()

        with LoopThread("tests of programs") as loop:
            try:
                loop.wait(start_tests(sandbox))
                yield from loop.in_order(line, seeds, at_once=2 * _workers(config))
            finally:
                loop.wait(sandbox.close())

    return Maker(make, {"kinds": list(setup.rules.kinds)}, rule_labels(setup))


def _workers(config: BuildConfig) -> int:
    return config.workers or len(os.sched_getaffinity(0))
