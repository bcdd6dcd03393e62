"""A code seed made ready for all kinds: its sound plan, and what the plan was told from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from rm.build.code.free_text import FreePlan
from rm.build.code.mutations import Mutant, mutants
from rm.build.code.plans import Step, Style, plan_lines, plan_of
from rm.build.code.programs import Program
from rm.build.code.words import Unwordable
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
        told: where it was told from the program; else None.
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
    if seed.plan.strip():
        return PreparedCode(seed, seed.plan.strip(), free=FreePlan.parse(seed.plan))
    if not seed.solution.strip():
        raise Unusable("neither a plan nor a program")
    program = Program.of(seed)
    style = Style(zlib.crc32(seed.problem_id.encode()))
    try:
        steps = plan_of(program, style)
        lines = plan_lines(steps, style.mark)
        found = mutants(program)
    except (Unwordable, RecursionError):
        raise Unusable("reference program holds what no plan is told of") from None
    if len(lines) < LEAST_LINES:
        raise Unusable("reference program is too short for a plan")
    if sum(map(len, lines)) > MOST_CHARACTERS:
        raise Unusable("reference program is too long for a plan")
    kinds = dict.fromkeys(each.kind for each in found)
    by_kind = {kind: tuple(each for each in found if each.kind == kind) for kind in kinds}
    return PreparedCode(seed, "\n".join(lines), told=Told(program, style, steps, by_kind))
