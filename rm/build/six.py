"""TEMPORARY adapter until the table of math kinds is merged."""

from __future__ import annotations

from dataclasses import dataclass

from rm.build.kinds import Kind, Unusable, Variant
from rm.build.math.flaws import FLAWS
from rm.build.math.traces import numbers_in, parse_trace, trace_text
from rm.build.seed import Seed


@dataclass(frozen=True)
class P:
    lines: tuple
    given: frozenset
    seed: Seed


def prepare(seed):
    lines = parse_trace(seed.solution)
    if not any(l.calculations for l in lines):
        raise Unusable("no calculation that can be read")
    return P(lines, numbers_in(seed.problem), seed)


def _mk(name):
    def make(p, rng):
        f = FLAWS[name](p.lines, p.given, rng)
        if f is None:
            return None
        text = trace_text(f.lines)
        from rm.build.gates import leads_to

        kept = bool(leads_to(text, None, p.seed.answer))
        return Variant(
            name,
            text,
            False,
            kept,
            dict(
                problem_understanding=3,
                solution_strategy=3,
                step_coherence=3,
                calculation_correctness=2,
                answer_support=1,
            ),
            0.5,
            f.visible,
            None,
            "why",
        )

    return make


KINDS = {n: Kind(n, n, _mk(n), right_answer="x" if "step" in n else "") for n in FLAWS}
