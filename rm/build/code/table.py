"""The kinds of code plans, by name."""

from __future__ import annotations

import random
from collections.abc import Callable

from rm.build.code import flaws, free_text, sound
from rm.build.code.free_text import Change, FreePlan
from rm.build.code.prepared import PreparedCode
from rm.build.kinds import Kind, Variant

_Maker = Callable[[PreparedCode, random.Random], Variant | None]
_FreeMaker = Callable[[FreePlan, Callable[[int], int]], Change | None]


def _by_text(kind: str, maker: _FreeMaker, is_sound: bool, kept: bool) -> _Maker:
    def make(prepared: PreparedCode, rng: random.Random) -> Variant | None:
        change = maker(prepared.free, rng.randrange) if prepared.free else None
        if prepared.free is None or change is None or (text := change.plan.text()) == prepared.plan:
            return None
        if is_sound:
            return sound.sound(kind, text.split("\n"))
        line = change.plan.line_of(change.at)
        everywhere = kind not in ("boundary_off_by_one", "missing_edge_case", "missed_constraint")
        return flaws.flawed(kind, text.split("\n"), line, change.what, everywhere, kept=kept)

    return make


def _kind(
    name: str,
    description: str,
    of_program: _Maker,
    of_text: _FreeMaker | None = None,
    *,
    is_sound: bool = False,
    right_answer: str = "",
    kept: bool = False,
) -> Kind[PreparedCode]:
    """A kind whose maker depends on where the plan comes from."""
    by_text = _by_text(name, of_text, is_sound, kept) if of_text else None

    def make(prepared: PreparedCode, rng: random.Random) -> Variant | None:
        if prepared.told is not None:
            return of_program(prepared, rng)
        return by_text(prepared, rng) if by_text else None

    return Kind(name, description, make, is_sound, right_answer)


def _mutant(
    name: str, description: str, of_text: _FreeMaker | None = None, *, right_answer: str = ""
) -> Kind[PreparedCode]:
    return _kind(
        name, description, lambda plan, rng: flaws.mutated(name, plan, rng), of_text, right_answer=right_answer
    )


def _retold(name: str) -> _Maker:
    return lambda plan, rng: sound.retold(name, plan, rng)


def _words(name: str) -> _FreeMaker:
    return lambda plan, choose: free_text.reworded_words(plan, name, choose)


def _shown(prepared: PreparedCode, rng: random.Random) -> Variant | None:
    """The program of a seed that has a plan of its own, written into it."""
    if prepared.told is not None:
        return flaws.code_dumped(prepared, rng)
    if not prepared.seed.solution.strip():
        return None
    lines, code = prepared.plan.split("\n"), prepared.seed.solution.strip().split("\n")
    start = rng.choice(("The program:", "In code:", "It can be written like this:"))
    return flaws.flawed(
        "code_dumped", [*lines, start, *code], len(lines), "the whole program is written out", True, kept=True
    )


_KINDS = (
    _mutant(
        "wrong_algorithm",
        "A decisive operation, order or formula is another one than the task needs.",
        _words("wrong_algorithm"),
    ),
    _mutant(
        "wrong_condition", "A condition or its outcome is turned round or joined wrongly.", _words("wrong_condition")
    ),
    _mutant(
        "missed_constraint",
        "A condition, filter or property that the task asks for is not there.",
        free_text.missed_constraint,
    ),
    _mutant(
        "boundary_off_by_one",
        "A range, index, count or comparison starts or ends one too early or too late.",
        _words("boundary_off_by_one"),
    ),
    _mutant(
        "wrong_data_structure",
        "A structure that loses what is needed: order, duplicates, or which item comes next.",
        _words("wrong_data_structure"),
    ),
    _kind(
        "wrong_complexity",
        "A structure or a way of computing that gives the right result at a needless cost.",
        flaws.slow_structure,
        _words("wrong_complexity"),
        right_answer="slower, but every result is right",
        kept=True,
    ),
    _mutant("missing_edge_case", "A special case that the task has is not treated.", free_text.missing_edge_case),
    _mutant("swapped_steps", "A step comes before the one whose result it needs.", free_text.swapped_steps),
    _mutant("dropped_step", "A step is missing that later ones rest on.", free_text.dropped_step),
    _mutant(
        "wrong_output_format",
        "The result is returned or printed in a form that is not asked for.",
        _words("wrong_output_format"),
    ),
    _kind(
        "vague_step",
        "A decisive step says nothing that could be acted on.",
        flaws.vague_step,
        right_answer="a programmer may guess what is left open",
    ),
    Kind(
        "code_dumped",
        "A line, a block or the whole of the program stands in the plan as code.",
        _shown,
        right_answer="what is copied is right",
    ),
    _kind(
        "outputs_given",
        "Results of given tests stand in the plan, to be returned as they are.",
        flaws.outputs_given,
        right_answer="the other steps are right",
    ),
    _kind(
        "reworded",
        "The same plan in other words and other marks.",
        _retold("reworded"),
        free_text.other_words,
        is_sound=True,
    ),
    _kind("merged_steps", "Two steps told as one.", _retold("merged_steps"), free_text.merged_steps, is_sound=True),
    _kind("split_steps", "A step told as several.", _retold("split_steps"), free_text.split_steps, is_sound=True),
    _kind("reasoned", "Reasons or the choice of a structure are added to a step.", _retold("reasoned"), is_sound=True),
)

KINDS: dict[str, Kind[PreparedCode]] = {kind.name: kind for kind in _KINDS}
"""Name -> kind."""
