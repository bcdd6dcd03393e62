"""A code seed made ready for all kinds: its sound plan, and what the plan was told from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from rm.build.code.free_text import FreePlan
from rm.build.code.mutations import Mutant, mutants
from rm.build.code.plans import MANNERS, STYLES, Step, Style, header_of, plan_lines, plan_text
from rm.build.code.programs import Program
from rm.build.code.syntax import Unwordable
from rm.build.code.telling import tell
from rm.build.kinds import Unusable
from rm.build.seed import Seed

LEAST_LINES = 2
MOST_CHARACTERS = 6000


@dataclass(frozen=True)
class Told:
    """A plan that was told from a program.

    Args:
        program: the reference.
        style: how it was told.
        steps: the plan.
        mutants: of the program, by the kind of flaw.
    """

    program: Program
    style: Style
    steps: tuple[Step, ...]
    mutants: dict[str, tuple[Mutant, ...]] = field(repr=False)


@dataclass(frozen=True)
class PreparedCode:
    """A seed as the code kinds see it.

    Args:
        seed: the seed.
        plan: the sound plan: the seed's own, or told from its program.
        told: where it was told from the program (also where it comes as the seed's plan again); else None.
        free: the seed's own plan taken apart; else None.
    """

    seed: Seed
    plan: str
    told: Told | None = None
    free: FreePlan | None = None


def prepare(seed: Seed) -> PreparedCode:
    """A code seed made ready.

    Raises:
        Unusable: no plan and no program, a program that does not parse or has no words, or a plan too short or long.
    """
    own = seed.plan.strip()
    if own:
        return _retold(seed, own) or PreparedCode(seed, own, free=_free(own))
    if not seed.solution.strip():
        raise Unusable("neither a plan nor a program")
    try:
        styles = list(_styles())
        return _told(seed, Program.of(seed), styles[zlib.crc32(seed.problem_id.encode()) % len(styles)])
    except (Unwordable, RecursionError):
        raise Unusable("reference program holds what no plan is told of") from None


def _told(seed: Seed, program: Program, style: Style) -> PreparedCode:
    steps = tell(program, style)
    lines = plan_lines(steps, style.mark)
    if len(lines) < LEAST_LINES:
        raise Unusable("reference program is too short for a plan")
    if sum(map(len, lines)) > MOST_CHARACTERS:
        raise Unusable("reference program is too long for a plan")
    found = mutants(program)
    kinds = dict.fromkeys(each.kind for each in found)
    by_kind = {kind: tuple(each for each in found if each.kind == kind) for kind in kinds}
    return PreparedCode(seed, "\n".join(lines), told=Told(program, style, steps, by_kind))


def _retold(seed: Seed, plan: str) -> PreparedCode | None:
    """A plan that was told from the seed's own program, known again by telling it in each style; None for another."""
    if not seed.solution.strip():
        return None
    try:
        program = Program.of(seed)
        for style in _styles():
            start = plan_text(header_of(program, style), style.mark)
            if plan.startswith(start.rstrip(".")) and plan_text(tell(program, style), style.mark) == plan:
                return _told(seed, program, style)
    except (Unwordable, Unusable, RecursionError):
        return None
    return None


def _styles() -> Iterator[Style]:
    for manner in MANNERS:
        for compact in (True, False):
            yield from (Style(number, compact, manner) for number in range(STYLES))


def _free(plan: str) -> FreePlan:
    free = FreePlan.parse(plan)
    if len(free.steps) < LEAST_LINES:
        raise Unusable("plan of a single step")
    return free
