"""The kinds of trace that rules make of a sound math solution."""

from __future__ import annotations

from rm.build.kinds import Kind
from rm.build.math import changed, ends, ordered, sound
from rm.build.math.solution import Solution, prepare

__all__ = ["KINDS", "prepare"]

_IN_ORDER = "what is written down is computed rightly, only its place in the argument is wrong"
_FLAWED: tuple[Kind[Solution], ...] = (
    Kind(
        "arithmetic_slip",
        "One calculation has a wrong result, as from a forgotten carry or swapped digits; later steps go on with it.",
        changed.arithmetic_slip,
    ),
    Kind(
        "wrong_operation",
        "One step adds, subtracts, multiplies or divides where another operation is needed; it is computed rightly.",
        changed.wrong_operation,
    ),
    Kind(
        "misread_quantity",
        "A number of the problem is read as another one, or a step uses one known quantity in place of another.",
        changed.misread_quantity,
    ),
    Kind(
        "swapped_quantities",
        "Two numbers of the problem have changed places wherever the trace uses them.",
        changed.swapped_quantities,
    ),
    Kind(
        "wrong_unit_or_rate",
        "A unit is converted with a wrong size, or an amount for one stands for the amount for all, or the reverse.",
        changed.wrong_unit_or_rate,
    ),
    Kind(
        "dropped_step",
        "A step is missing whose result a later step uses.",
        ordered.dropped_step,
        right_answer="later steps go on with the right result of the missing step",
    ),
    Kind(
        "repeated_step",
        "A step is done a second time on its own result, or stands there twice.",
        ordered.repeated_step,
        right_answer="a step that only stands there twice changes no result",
    ),
    Kind(
        "circular_step",
        "A step computes its result from a later one that is itself computed from it.",
        ordered.circular_step,
        right_answer="the step runs backwards from numbers that are right",
    ),
    Kind(
        "swapped_steps",
        "A step comes after one that needs its result.",
        ordered.swapped_steps,
        right_answer=_IN_ORDER,
    ),
    Kind(
        "wrong_target",
        "The trace answers another question: it stops too early, goes on too far, or names another quantity.",
        ends.wrong_target,
    ),
    Kind(
        "unsupported_conclusion",
        "The trace breaks off and claims an answer that its steps do not establish.",
        ends.unsupported_conclusion,
        right_answer="the number that it claims may be the right one",
    ),
    Kind(
        "invented_condition",
        "A condition that the problem does not state changes a quantity, and later steps go on with it.",
        ends.invented_condition,
    ),
    Kind(
        "right_answer_wrong_way",
        "Two errors cancel, or a wrong calculation is written with the right number as its result.",
        ends.right_answer_wrong_way,
        right_answer="that is what this kind is: a wrong way to the right number",
    ),
    Kind(
        "answer_given_away",
        "The trace begins with the answer, and what follows does not lead to it.",
        ends.answer_given_away,
        right_answer="it states the right answer without deriving it",
    ),
)
_SOUND: tuple[Kind[Solution], ...] = tuple(
    Kind(name, (make.__doc__ or "").strip(), make, sound=True) for name, make in sound.MAKERS.items()
)
KINDS: dict[str, Kind[Solution]] = {kind.name: kind for kind in (*_FLAWED, *_SOUND)}
"""Name -> kind: fourteen flawed ones, then seven sound ones. A trace has at most two lines more than its solution."""
