"""Traces to groups: joined by problem or index, each once, both sides there."""

from __future__ import annotations

from typing import Any

import pytest

from rm.build.importers.base import Dropped, Trace
from rm.build.importers.join import Spool, group_of


def trace(reasoning: str, positive: bool, problem: str = "P?", **fields: Any) -> Trace:
    return Trace(problem=problem, reasoning=reasoning, positive=positive, **fields)


def joined(*traces: Trace) -> tuple[list[dict[str, Any] | None], dict[str, int]]:
    dropped = Dropped()
    with Spool() as spool:
        for i, each in enumerate(traces):
            spool.add(each, f"f:{i}")
        return [group_of(found, "samples", dropped) for found in spool.problems()], dict(dropped.counts)


def test_traces_of_a_problem_meet_whatever_their_order():
    groups, dropped = joined(
        trace("wrong 1", False, "One?", kind="slip", reference="4", metadata={"model": "m"}),
        trace("right 2", True, "Two?"),
        trace("right 1", True, "one?  ", rubric={"total": 1.0}),
        trace("wrong 2", False, "Two?"),
    )
    assert dropped == {}
    assert [group["problem"] for group in groups] == ["one?  ", "Two?"]
    assert groups[0]["positive_pool"] == [{"reasoning": "right 1", "rubric": {"total": 1.0}}]
    assert groups[0]["negative_bank"] == [{"reasoning": "wrong 1", "negative_kind": "slip", "metadata": {"model": "m"}}]
    assert groups[0]["reference_solution"] == "4"
    assert len({group["problem_id"] for group in groups}) == 2


def test_an_index_joins_what_has_no_problem_and_does_not_mix_problems():
    groups, dropped = joined(
        trace("wrong", False, "", key="7"),
        trace("right", True, "P?", key="7", problem_id="official_7"),
        trace("other", True, "Q?", key="7"),
        trace("alone", False, "", key="8"),
    )
    assert [len(group["positive_pool"]) if group else None for group in groups] == [1, None]
    assert groups[0]["problem_id"] == "official_7"
    assert [reason.split(";")[0].split(":")[0] for reason in dropped] == [
        "traces of another problem under the same index",
        "groups without a problem",
    ]


def test_a_side_that_is_missing_is_counted():
    groups, dropped = joined(trace("a", True, "One?"), trace("b", False, "Two?"))
    assert groups == [None, None]
    assert dropped == {"groups without a flawed trace": 1, "groups without a right trace": 1}


LONG = "First we add the apples of Tom to those of Ann and find that there are 5 + 7 = 12 of them in the basket."


@pytest.mark.parametrize(
    ("other", "kept"),
    [
        (LONG, 1),
        (LONG.upper().replace(",", " ;").replace(".", "!!\n"), 1),
        (LONG.replace("basket", "baskets"), 1),
        (LONG.replace("12", "13"), 2),
        (LONG.replace("+", "*"), 2),
        ("Another text with 12 in it.", 2),
    ],
)
def test_near_duplicates_of_a_side_are_left_out_but_no_other_number_is(other, kept):
    [group], dropped = joined(trace(LONG, True), trace("w", False), trace(other, True))
    assert len(group["positive_pool"]) == kept
    assert sum(dropped.values()) == 2 - kept


def test_kinds_of_flaws_that_differ_by_a_word_are_kept_apart():
    flaws = (trace(LONG, False, kind="slip"), trace(LONG.replace("add", "take"), False, kind="wrong_operation"))
    [group], dropped = joined(trace("right", True), *flaws, trace(LONG + " ...", False, kind="third"))
    assert [each["negative_kind"] for each in group["negative_bank"]] == ["slip", "wrong_operation"]
    assert sum(dropped.values()) == 1


def test_a_trace_that_is_called_both_is_neither():
    [group], dropped = joined(trace("x = 1", True), trace("X = 1.", False), trace("a", True), trace("b", False))
    assert ([each["reasoning"] for each in group["positive_pool"]], dropped) == (
        ["a"],
        {"traces that are called both right and flawed": 2},
    )


def test_signs_of_calculation_tell_traces_apart():
    [group], _ = joined(trace("3 + 4", True), trace("3 - 4", False))
    assert group["negative_bank"][0]["reasoning"] == "3 - 4"
