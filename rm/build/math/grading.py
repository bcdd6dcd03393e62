"""Labels of a flawed trace by the official math rubric, from where the flaw sits and how far it reaches.

A written rule, no judge's opinion. A kind starts from the levels of a flaw that changes nothing else; it loses more in
the dimensions that the rubric ties to it where the answer is lost, where at least half of the other steps rest on the
flaw, and where the flaw sits in the first half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DIMENSIONS = (
    "problem_understanding",
    "solution_strategy",
    "step_coherence",
    "calculation_correctness",
    "answer_support",
)
SOUND: Mapping[str, int] = dict.fromkeys(DIMENSIONS, 4)
_PU, _SS, _SC, _CC, _AS = DIMENSIONS


@dataclass(frozen=True)
class Harm:
    """What a flaw does.

    Attributes:
        place: of the flaw, 0 at the first line to 1 at the last.
        reach: share of the sound trace's other lines that it changes, deprives of a premise or leaves out, in [0, 1].
        answer_kept: the trace still leads to the right answer.
    """

    place: float
    reach: float
    answer_kept: bool


@dataclass(frozen=True)
class Profile:
    """Levels (in the order of `DIMENSIONS`) of a kind's mildest flaw, and what is lost where."""

    mild: tuple[int, int, int, int, int]
    lost: Mapping[str, int] = field(default_factory=dict)
    far: Mapping[str, int] = field(default_factory=dict)
    early: Mapping[str, int] = field(default_factory=dict)


# By kind, or "kind/way" where the ways of a kind differ.
PROFILES: Mapping[str, Profile] = {
    "arithmetic_slip": Profile((4, 4, 4, 3, 3), {_CC: 1, _AS: 1}, {_CC: 1, _AS: 1}),
    "wrong_operation": Profile((4, 2, 3, 4, 3), {_AS: 1}, {_SS: 1, _AS: 1}, {_PU: 1}),
    "misread_quantity": Profile((3, 4, 4, 4, 3), {_PU: 1, _AS: 1}, {_PU: 1, _AS: 1}, {_SS: 1}),
    "swapped_quantities": Profile((3, 3, 4, 4, 3), {_PU: 1, _AS: 1}, {_SS: 1, _AS: 1}, {_PU: 1}),
    "wrong_unit_or_rate": Profile((3, 3, 4, 3, 3), {_CC: 1, _AS: 1}, {_SS: 1, _AS: 1}, {_PU: 1}),
    "wrong_unit_or_rate/rate": Profile((3, 2, 3, 4, 3), {_AS: 1}, {_SS: 1, _AS: 1}, {_PU: 1}),
    "dropped_step": Profile((4, 3, 2, 4, 3), {}, {_SC: 1, _AS: 1}, {_SS: 1}),
    "repeated_step": Profile((4, 3, 3, 4, 4), {_SS: 1, _SC: 1, _AS: 2}, {_AS: 1}),
    "circular_step": Profile((4, 3, 2, 4, 3), {}, {_SC: 1, _AS: 1}, {_SS: 1}),
    "swapped_steps": Profile((4, 4, 2, 4, 4), {}, {_SC: 1}, {_AS: 1}),
    "wrong_target": Profile((2, 3, 4, 4, 3), {_PU: 1, _AS: 2}, {_SS: 1}),
    "unsupported_conclusion": Profile((4, 3, 3, 4, 2), {_AS: 1}, {_SS: 1, _SC: 1, _AS: 1}),
    "invented_condition": Profile((3, 3, 3, 4, 3), {_PU: 1, _AS: 1}, {_SS: 1, _AS: 1}, {_PU: 1}),
    "right_answer_wrong_way": Profile((4, 3, 3, 2, 2), {}, {_CC: 1}, {_SS: 1}),
    "answer_given_away": Profile((3, 2, 2, 4, 1), {}, {_SS: 1, _SC: 1, _AS: 1}, {_PU: 1}),
}

ANSWER_LOST = frozenset(
    (
        "arithmetic_slip",
        "wrong_operation",
        "misread_quantity",
        "swapped_quantities",
        "wrong_unit_or_rate",
        "wrong_target",
        "invented_condition",
    )
)
"""Kinds whose traces never lead to the right answer."""


def grade(profile: str, harm: Harm) -> tuple[dict[str, int], float]:
    """Level 0-4 of each dimension, and a total in [0, 1].

    The total is the mean level / 4, less 0.1 where the answer is lost and up to 0.1 by reach: two traces with the
    same levels still differ where one spoils more.
    """
    rule = PROFILES[profile]
    levels = dict(zip(DIMENSIONS, rule.mild, strict=True))
    far, early = harm.reach >= 0.5, harm.place < 0.5
    for losses, applies in ((rule.lost, not harm.answer_kept), (rule.far, far), (rule.early, early)):
        for dimension, loss in losses.items() if applies else ():
            levels[dimension] = max(0, levels[dimension] - loss)
    total = sum(levels.values()) / (4 * len(levels)) - (0 if harm.answer_kept else 0.1) - 0.1 * harm.reach
    return levels, round(max(0.0, total), 3)
