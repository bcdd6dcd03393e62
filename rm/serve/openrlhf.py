"""OpenRLHF's request as rows: the completion is what a query has after its prompt, the label holds the problem row.

A label that is a JSON object with a `problem` is the problem row; with any other, the prompt is the problem. OpenRLHF
decodes queries with their special tokens: those at the end are taken off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from rm.reward.parts import RewardResult
from rm.serve.messages import OpenRLHFRequest, OpenRLHFResponse
from rm.serve.refusals import Field, Refusal

_END = re.compile(r"(?:<\|[^<>|\s]{1,40}\|>|</s>|<eos>|<pad>|<end_of_turn>|\[PAD\])\Z")
_LONGEST_END = 44


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
        rows.append({**row, "completion": _without_ends(query[place + len(prompt) :])})
    if wrong:
        raise Refusal(422, wrong)
    return rows


def response_of(results: Sequence[RewardResult], substitute: float | None) -> OpenRLHFResponse:
    """Rewards as OpenRLHF takes them. `extra_logs` has a list a part, where every item has it.

    Args:
        results: of all items.
        substitute: for rewards that could not be measured; None for nothing.

    Raises:
        Refusal: 503 where one could not be measured and there is no substitute.
    """
    missing = [index for index, result in enumerate(results) if result.reward is None]
    if missing and substitute is None:
        wrong = [
            Field(f"query[{index}]", f"no reward could be measured: {'; '.join(results[index].failures)}")
            for index in missing
        ]
        raise Refusal(503, wrong, {"Retry-After": "5"})
    rewards = [result.reward if result.reward is not None else substitute or 0.0 for result in results]
    logs: dict[str, list[float]] = {}
    if substitute is not None:
        logs["unmeasured"] = [float(result.reward is None) for result in results]
    for name in ("rm", "end_to_end", "coefficient"):
        values = [getattr(result.parts, name) for result in results]
        known = [float(value) for value in values if value is not None]
        if known and len(known) == len(values):
            logs[name] = known
    return OpenRLHFResponse(rewards=rewards, scores=[min(max(reward, 0.0), 1.0) for reward in rewards], extra_logs=logs)


def _without_ends(text: str) -> str:
    """A completion without the special tokens at its end, and without blanks there."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        found = _END.search(text[max(0, end - _LONGEST_END) : end])
        if found is None:
            return text[:end]
        end -= len(found[0])


def _problem_row(label: Any) -> dict[str, Any] | None:
    """The problem row in a label, None where it holds none."""
    value = label
    if isinstance(label, str):
        try:
            value = from_json(label, allow_inf_nan=False)
        except ValueError:
            return None
    return value if isinstance(value, dict) and "problem" in value else None
