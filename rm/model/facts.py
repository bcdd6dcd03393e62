"""What a checkpoint's files say of the reward model itself (`rm_*`), checked before anything is built on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rm.errors import ConfigError
from rm.model.pooling import POOLING
from rm.text import TEMPLATE_VERSION

QUANTIZATIONS = ("none", "nf4", "int8")


@dataclass(frozen=True)
class _Kind:
    """What a value must be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def _integer_from(least: int) -> _Kind:
    return _Kind(f"an integer of at least {least}", lambda value: type(value) is int and value >= least)


def _one_of(*choices: str) -> _Kind:
    return _Kind(" or ".join(choices), lambda value: isinstance(value, str) and value in choices)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_weights(value: Any) -> bool:
    weights = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and all(_is_number(weight) for weight in weights)


_BOOLEAN = _Kind("true or false", lambda value: isinstance(value, bool))
_SHARE = _Kind("a number in [0, 1)", lambda value: _is_number(value) and 0 <= value < 1)
_NAMES = _Kind("a list of names", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value))
_WEIGHTS = _Kind("a list of numbers, or a number by name", _are_weights)
_KINDS = {
    "rm_rubric": _Kind("a mapping", lambda value: isinstance(value, dict)),
    "rm_dimension_names": _NAMES,
    "rm_dimension_weights": _WEIGHTS,
    "dimension_names": _NAMES,
    "dimension_weights": _WEIGHTS,
    "rm_num_labels": _integer_from(2),
    "rm_use_total_head": _BOOLEAN,
    "rm_template_version": _one_of(TEMPLATE_VERSION),
    "rm_pooling": _one_of(*POOLING),
    "rm_head_dropout": _SHARE,
    "classifier_dropout": _SHARE,
    "rm_include_tests": _BOOLEAN,
    "rm_max_length": _integer_from(1),
    "rm_quantization": _one_of(*QUANTIZATIONS),
    "rm_base_fingerprint": _Kind("a string", lambda value: isinstance(value, str)),
}


def stated_facts(content: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The content of a checkpoint's file, its facts checked; one that is null is left out, as not stated.

    Args:
        content: of `config.json` or `rm_metadata.json`.
        file: its name, for messages.

    Raises:
        ConfigError: with every fact that is not of its kind.
    """
    stated = {key: value for key, value in content.items() if key not in _KINDS or value is not None}
    problems = [
        f"{file}: {key} = {_shown(stated[key])}, expected {kind.expected}."
        for key, kind in _KINDS.items()
        if key in stated and not kind.holds(stated[key])
    ]
    if problems:
        raise ConfigError(problems)
    return stated


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
