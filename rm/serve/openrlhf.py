"""OpenRLHF's request as rows: the completion is what a query has after its prompt, the label holds the problem row.

A label that is a JSON object with a `problem` is the problem row; with any other, the prompt is the problem. OpenRLHF
decodes queries with their special tokens: those at the end are taken off.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from rm.serve.messages import OpenRLHFRequest
from rm.serve.refusals import Field, Refusal

_ENDS = re.compile(r"(?:\s*(?:<\|[^<>|\s]{1,40}\|>|</s>|<eos>|<pad>|<end_of_turn>|\[PAD\]))+\s*\Z")


def rows_of_request(request: OpenRLHFRequest) -> list[dict[str, Any]]:
    """Problem rows with a `completion` each.

    Raises:
        Refusal: 422 for lists of different lengths, a query without its prompt, or a label that is no problem row.
    """
    labels = request.labels if request.labels is not None else [None] * len(request.query)
    wrong = [
        Field(name, f"expected as many as in query ({len(request.query)}), found {len(values)}")
        for name, values in (("prompts", request.prompts), ("labels", labels))
        if len(values) != len(request.query)
    ]
    if wrong:
        raise Refusal(422, wrong)
    rows = []
    for index, (query, prompt, label) in enumerate(zip(request.query, request.prompts, labels, strict=True)):
        place = query.find(prompt)
        if place < 0:
            wrong.append(Field(f"query[{index}]", "expected its prompt, and the completion after that"))
            continue
        row = _problem_row(label)
        if row is None:
            row = {"problem": prompt}
        if not isinstance(row.get("problem"), str) or not row["problem"].strip():
            wrong.append(Field(f"labels[{index}].problem", "expected text"))
            continue
        rows.append({**row, "completion": _ENDS.sub("", query[place + len(prompt) :])})
    if wrong:
        raise Refusal(422, wrong)
    return rows


def _problem_row(label: Any) -> dict[str, Any] | None:
    """The problem row in a label, None where it holds none."""
    value = label
    if isinstance(label, str):
        try:
            value = from_json(label, allow_inf_nan=False)
        except ValueError:
            return None
    return value if isinstance(value, dict) and "problem" in value else None
