"""A trainer's data as problem rows with a completion. Pure.

Trainers carry the problem row in forms of their own: columns of a dataset, numpy arrays out of parquet files, message
lists for texts. What JSON cannot hold (images, environments) is no part of a problem row and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rm.errors import ConfigError

MISSING = object()


def text_of(message: Any) -> str:
    """A prompt or a completion as text: a text, or a message list, of which the last message counts.

    Raises:
        ConfigError: neither.
    """
    if isinstance(message, str):
        return message
    if isinstance(message, Sequence) and all(isinstance(each, Mapping) for each in message):
        return _content(message[-1].get("content")) if message else ""
    raise ConfigError(f"expected a text or a list of messages, found {type(message).__name__}.")


def rows_of_columns(columns: Mapping[str, Any], completions: Sequence[Any]) -> list[dict[str, Any]]:
    """Problem rows of N completions.

    Args:
        columns: name -> N values; what has not N values is no column.
        completions: N texts or message lists.

    Raises:
        ConfigError: no column `problem`.
    """
    count = len(completions)
    lists = {
        name: values
        for name, values in columns.items()
        if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == count
    }
    if count and "problem" not in lists:
        raise ConfigError(
            "The dataset has no column `problem`. It needs the columns of a problem row: problem, task_type, and "
            f"reference_solution or tests; found {', '.join(sorted(lists)) or 'none'}."
        )
    return [
        {**problem_row({name: values[index] for name, values in lists.items()}), "completion": text_of(completion)}
        for index, completion in enumerate(completions)
    ]


def problem_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold of a row, without fields that are None, which is how tables say that there is nothing."""
    row = {str(name): plain(value) for name, value in fields.items()}
    return {name: value for name, value in row.items() if value is not MISSING and value is not None}


def plain(value: Any) -> Any:
    """A value in JSON's types: numpy scalars and arrays become numbers and lists; MISSING where JSON has nothing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else MISSING
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(name): each for name, each in ((k, plain(v)) for k, v in value.items()) if each is not MISSING}
    if isinstance(value, list | tuple):
        inside = [plain(each) for each in value]
        return MISSING if any(each is MISSING for each in inside) else inside
    convert = getattr(value, "tolist", None)  # numpy, torch
    return plain(convert()) if callable(convert) else MISSING


def _content(content: Any) -> str:
    """Text of a message: a text, or parts of which those of type text count."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return ""
