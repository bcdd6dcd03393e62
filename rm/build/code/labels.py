"""Rubric levels of a flawed plan: by its kind, by how many inputs meet the flaw, and by where in the plan it sits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rm.build.kinds import Variant

DIMENSIONS = ("task_understanding", "plan_quality", "step_coherence", "action_support", "non_leakage")
"""Of the official code rubric, in its order."""
TOP = 4

_LEVELS: dict[str, tuple[tuple[int, int, int, int, int], tuple[int, int, int, int, int]]] = {
    # kind: (every input meets it, only some do)
    "wrong_algorithm": ((3, 1, 4, 1, 4), (4, 2, 4, 2, 4)),
    "wrong_condition": ((3, 1, 4, 1, 4), (3, 2, 4, 2, 4)),
    "missed_constraint": ((1, 2, 4, 2, 4), (2, 2, 4, 3, 4)),
    "boundary_off_by_one": ((4, 2, 4, 2, 4), (4, 3, 4, 2, 4)),
    "wrong_data_structure": ((4, 1, 4, 2, 4), (4, 2, 4, 2, 4)),
    "wrong_complexity": ((4, 1, 4, 4, 4), (4, 2, 4, 4, 4)),
    "missing_edge_case": ((2, 2, 4, 3, 4), (3, 2, 4, 3, 4)),
    "swapped_steps": ((4, 2, 1, 2, 4), (4, 3, 2, 3, 4)),
    "dropped_step": ((4, 2, 2, 1, 4), (4, 2, 2, 2, 4)),
    "wrong_output_format": ((1, 3, 4, 2, 4), (2, 3, 4, 2, 4)),
    "vague_step": ((4, 2, 3, 1, 4), (4, 3, 3, 2, 4)),
    "code_dumped": ((4, 4, 4, 4, 0), (4, 4, 4, 4, 2)),
    "outputs_given": ((4, 3, 3, 4, 1), (4, 4, 3, 4, 2)),
}
LATE = 0.75
"""From this share of the plan on, what a flaw spoils is little."""


def labels_of(kind: str, everywhere: bool, position: float) -> dict[str, int]:
    """The level of each dimension.

    Args:
        kind: of the flaw.
        everywhere: every input meets it; for a leak: it gives away the most.
        position: of the first wrong step, from 0 (the first) to 1 (the last). Early in the plan, later steps rest on a
            wrong result, and their coherence loses a level.
    """
    levels = dict(zip(DIMENSIONS, _LEVELS[kind][not everywhere], strict=True))
    spoils = kind in ("wrong_algorithm", "wrong_condition", "wrong_data_structure", "missed_constraint")
    if spoils and everywhere and position < LATE:
        levels["step_coherence"] -= 1
    return levels


def total_of(labels: Mapping[str, int]) -> float:
    """The overall judgement, in [0, 1]: half the mean of the levels, half the lowest one, as one flaw sinks a plan."""
    return round((sum(labels.values()) / len(labels) + min(labels.values())) / (2 * TOP), 3)


def regraded(variant: Variant, passed: float) -> Variant:
    """A variant whose mutant was run, with its levels by what came of it.

    Args:
        variant: a flawed plan that has labels.
        passed: share of the tests that its mutant passes, in [0, 1). Where it is 0, ordinary inputs go wrong; where it
            is positive, some do.
    """
    if variant.labels is None or variant.sound:
        return variant
    wanted = 1 if passed == 0 else 2
    levels = {**variant.labels}
    if levels["plan_quality"] <= 2:
        levels["plan_quality"] = wanted
        levels["action_support"] = min(levels["action_support"], wanted + 1)
    return replace(variant, labels=levels, total=total_of(levels))
