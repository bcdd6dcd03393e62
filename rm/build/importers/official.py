"""The raw files of the official scripts, before grouping: a sound trace or a flawed one a row, judged from 0 to 10.

A flawed trace names the row of its sound one by `parent_source_row_index`, or stands in that row's
`generated_negatives`. The judge's scores become labels as officially (arXiv 2605.03862): level = floor(score / 2), at
most 4; total = overall score / 10; sound traces of mathematics have the highest labels and total 1 whatever the judge
said.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from rm.build.importers.base import Importer, RowReader, Task, Trace
from rm.groups.parse import TOTAL
from rm.groups.schema import DEFAULT_NEGATIVE_KIND
from rm.rubric import Rubric

TOP = 4
JUDGED = 10.0
SOURCE = "tracelift"
_KEPT = ("negative_index", "rubric_label", "judge_meta", "source_row_index")


def traces(row: RowReader) -> Iterator[Trace]:
    """The row's trace, and the flawed ones in its `generated_negatives`."""
    fields = row.fields
    flawed = bool(row.text("raw_negative_clean") or row.text("negative_kind"))
    index = row.text("parent_source_row_index" if flawed else "source_row_index")
    if not index and not row.text("problem"):
        row.drop("neither a problem nor the index of one")
        return
    task = task_of(fields)
    own = row.text("raw_negative_clean") if flawed else row.text("reason_clean", "raw_reason")
    own = own or row.text("reason_clean", "raw_reason")
    if own:
        yield _trace(row, fields, own, index, task, positive=not flawed)
    else:
        row.drop("no reasoning", "raw_negative_clean" if flawed else "reason_clean", None)
    for each in fields.get("generated_negatives") or []:
        negative = each if isinstance(each, dict) else {"raw_negative_clean": each}
        found = [negative.get(key) for key in ("raw_negative_clean", "reason_clean", "raw_reason", "reasoning")]
        text = next((value for value in found if isinstance(value, str) and value.strip()), "")
        if text:
            yield _trace(row, negative, text, index, task, positive=False)
        else:
            row.drop("no reasoning", "generated_negatives", each)


def task_of(fields: Mapping[str, Any]) -> Task:
    """Code where the judge scored by the dimensions of the code rubric, else mathematics."""
    code = set(_dimensions("code")) - set(_dimensions("math"))
    return "code" if code & set(fields.get("rubric_scores") or {}) else "math"


@functools.cache
def _dimensions(task: Task) -> tuple[str, ...]:
    return Rubric.load(task).dimension_names


def _trace(
    row: RowReader, fields: Mapping[str, Any], reasoning: str, index: str, task: Task, *, positive: bool
) -> Trace:
    return Trace(
        problem=row.text("problem"),
        reasoning=reasoning,
        positive=positive,
        kind=str(fields.get("negative_kind") or DEFAULT_NEGATIVE_KIND),
        key=index,
        problem_id=f"{SOURCE}_{index}" if index else "",
        source=row.text("source") or SOURCE,
        task_type=task,
        reference=row.text("action_gt"),
        rubric=labels(row, fields, task, positive=positive),
        metadata={key: fields[key] for key in _KEPT if fields.get(key) not in (None, "", {})},
    )


def labels(row: RowReader, fields: Mapping[str, Any], task: Task, *, positive: bool) -> Mapping[str, float] | None:
    """Labels and total from the judge's scores; None, and counted, where they are not all there."""
    names = _dimensions(task)
    if positive and task == "math":
        return {**dict.fromkeys(names, TOP), TOTAL: 1.0}
    scores = fields.get("rubric_scores")
    levels = {name: level_of(scores.get(name)) for name in names} if isinstance(scores, dict) else {}
    overall = fields.get("rubric_score")
    if not levels and overall is None:
        return None
    found = {name: level for name, level in levels.items() if level is not None}
    if len(found) < len(names) or not _is_score(overall):
        row.dropped.add("labels left out: a judge's score is missing or not from 0 to 10", row.place)
        return None
    return {**found, TOTAL: float(overall) / JUDGED}


def level_of(score: object) -> int | None:
    """The level of a judge's score from 0 to 10; None for what is none."""
    return min(TOP, math.floor(score / 2)) if _is_score(score) else None


def _is_score(score: object) -> TypeGuard[float]:
    return isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= JUDGED


IMPORTER = Importer(
    name="official",
    description="raw files of the official TraceLift scripts",
    fields="reason_clean or raw_negative_clean, source_row_index or parent_source_row_index",
    detect=lambda row: (
        bool({"reason_clean", "raw_reason", "raw_negative_clean"} & row.keys())
        and bool({"source_row_index", "parent_source_row_index"} & row.keys())
    ),
    traces=traces,
)
