"""Requests and answers: their forms, and bodies read strictly.

What is no JSON by the standard (NaN, invalid UTF-8, lone surrogates, deep nesting) is refused as a whole; wrong types
and missing keys are refused with the field. Keys that are not known are ignored, since clients send their whole rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator
from pydantic_core import from_json

from rm.serve.limits import Limits
from rm.serve.refusals import Field as WrongField
from rm.serve.refusals import Refusal, field_name

M = TypeVar("M", bound="Message")

EXAMPLE_PROBLEM = "What is 2 + 3 * 4?"
_GOOD, _BAD = "3 * 4 = 12\n2 + 12 = 14", "2 + 3 = 5\n5 * 4 = 20"
_LEVELS = {"problem_understanding": 3.8, "calculation_correctness": 3.6}


class Message(BaseModel):
    """Types as they are, no conversions; unknown keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ScoreItem(Message):
    """One text to score: a score row."""

    problem: str
    reasoning: str
    task_name: str | None = Field(None, description="default: the rubric's name")
    task_type: str | None = Field(None, description="default: metadata.task_type, then source, then task_name")
    source: str | None = None
    metadata: dict[str, Any] | None = None
    tests: Any = Field(None, description="shown to models that were trained to see tests")
    tests_or_constraints: Any = None


class ScoreRequest(Message):
    """The official contract. A bare list of items is accepted too, and answered by a bare list."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"problem": EXAMPLE_PROBLEM, "reasoning": _GOOD, "task_type": "math"},
                        {"problem": EXAMPLE_PROBLEM, "reasoning": _BAD, "task_type": "math"},
                    ],
                    "max_length": 2048,
                }
            ]
        }
    )

    items: Annotated[list[ScoreItem], FailFast()]
    max_length: Annotated[int, Field(gt=0)] | None = Field(
        None, description="tokens of a text; can only lower the server's own limit"
    )
    batch_size: Annotated[int, Field(gt=0)] | None = Field(None, description="accepted and ignored")

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, value: Any) -> Any:
        return {"items": value} if isinstance(value, list) else value


class ScoreResult(Message):
    """The score of one item; `score` is null where there is none, and `unscorable` says why."""

    score: float | None = Field(description="in [0, 1]")
    dimensions: dict[str, float] | None = Field(description="expected level of each dimension")
    truncated: bool = Field(description="the middle of the problem or of the tests was cut to fit")
    unscorable: str | None = None


class ScoreResponse(Message):
    """Scores in the order of the items."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scores": [
                        {"score": 0.91, "dimensions": _LEVELS, "truncated": False},
                        {
                            "score": None,
                            "dimensions": None,
                            "truncated": False,
                            "unscorable": "needs 3310 tokens, more than 2048",
                        },
                    ]
                }
            ]
        }
    )

    scores: list[ScoreResult]


class OpenRLHFRequest(Message):
    """OpenRLHF's remote reward model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": [f"{EXAMPLE_PROBLEM}<reasoning>{_GOOD}</reasoning>"],
                    "prompts": [EXAMPLE_PROBLEM],
                    "labels": ['{"problem": "What is 2 + 3 * 4?", "task_type": "math", "reference_solution": "14"}'],
                }
            ]
        }
    )

    query: Annotated[list[str], FailFast()] = Field(description="prompt and completion, as text")
    prompts: Annotated[list[str], FailFast()] = Field(description="the beginning of each query")
    labels: list[Any] | None = Field(None, description="the problem row as JSON text; else the prompt is the problem")


class OpenRLHFResponse(Message):
    """Rewards in the order of the queries; `scores` are the rewards within [0, 1]."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class RewardRequest(Message):
    """Completions to reward."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "problem": EXAMPLE_PROBLEM,
                            "task_type": "math",
                            "reference_solution": "14",
                            "completion": f"<reasoning>{_GOOD}</reasoning>",
                        }
                    ]
                }
            ]
        }
    )

    items: Annotated[list[dict[str, Any]], FailFast()] = Field(
        description="problem rows (`problem`, `task_type`, and `reference_solution` or `tests`) with `completion`"
    )


class RewardResponse(Message):
    """Rewards in the order of the items: `reward` (null where it could not be measured), `formula`, `parts`, `terms`,
    `failures` and `notes` each."""

    rewards: list[dict[str, Any]]


class RefusalBody(Message):
    """Any answer but 200."""

    error: str
    fields: list[dict[str, str]]


def read_body(content: bytes, model: type[M], limits: Limits, lists: tuple[str, ...]) -> M:
    """A request's body as a message.

    Args:
        content: as it came.
        model: its form.
        limits: of items.
        lists: keys of the body that hold a list of items.

    Raises:
        Refusal: 400 for what is no JSON, 413 for too many items, 422 with every wrong field.
    """
    try:
        value = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal.of(400, f"no valid JSON in UTF-8: {error}", "body") from None
    _check_counts(value, limits, lists)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = [WrongField(field_name(each["loc"]) or "body", each["msg"]) for each in problems]
        raise Refusal(422, wrong) from None


def _check_counts(value: Any, limits: Limits, lists: tuple[str, ...]) -> None:
    """Before anything looks at the items."""
    found = {"items": value} if isinstance(value, list) else value if isinstance(value, Mapping) else {}
    for key in lists:
        items = found.get(key)
        if isinstance(items, list) and len(items) > limits.items:
            raise Refusal.of(413, f"expected at most {limits.items} in one request, found {len(items)}", key)

