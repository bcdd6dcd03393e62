"""The kinds of trace that rules make of a sound math solution."""

from __future__ import annotations

from rm.build.kinds import Kind
from rm.build.math import changed, ends, ordered
from rm.build.math.solution import Solution, prepare

_FLAWED = (
    Kind("arithmetic_slip", "One calculation has a wrong result.", changed.arithmetic_slip),
    Kind(
        "wrong_operation",
        "One step adds, subtracts, multiplies or divides where another is needed.",
        changed.wrong_operation,
    ),
    Kind("misread_quantity", "a", changed.misread_quantity),
    Kind("swapped_quantities", "a", changed.swapped_quantities),
    Kind("wrong_unit_or_rate", "a", changed.wrong_unit_or_rate),
    Kind("dropped_step", "a", ordered.dropped_step),
    Kind("repeated_step", "a", ordered.repeated_step),
    Kind("circular_step", "a", ordered.circular_step),
    Kind("swapped_steps", "a", ordered.swapped_steps),
    Kind("wrong_target", "a", ends.wrong_target),
    Kind("unsupported_conclusion", "a", ends.unsupported_conclusion),
    Kind("invented_condition", "a", ends.invented_condition),
    Kind("right_answer_wrong_way", "a", ends.right_answer_wrong_way),
    Kind("answer_given_away", "a", ends.answer_given_away),
)
KINDS: dict[str, Kind[Solution]] = {kind.name: kind for kind in _FLAWED}
