"""The JSON object in a model's reply: found in fences or prose, read strictly, never guessed.

What is mended changes no value: thoughts in `<think>` and whatever stands around the object are left out, and line
breaks inside strings are taken as they are. Everything else is an error that is told to the model once. A tab or
another control character in a string is one too: it is what a backslash that was not doubled (`\\times`, `\\frac`)
turns into.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|afraid|unable|not able|not comfortable)|I (?:can(?:'|no)t|cannot|won't|will not|must "
    r"decline)|I apologi[sz]e|as an? (?:AI|language model|assistant)|(?:unethical|misinformation|harmful|"
    r"academic (?:dis)?honesty|mislead(?:ing)?\b.{0,40}\b(?:students?|people|users?)))\b",
    re.IGNORECASE,
)
_LONGEST = 200_000
"""Characters of a reply that are looked at."""
_TRIES = 50
"""Braces at which no object begins, after which the search is given up."""


class Unreadable(Exception):
    """A reply that cannot be used.

    Args:
        reason: short and stable, so that it can be counted.
        told: what is wrong, in a sentence for the model; empty where asking again is no use.
    """

    def __init__(self, reason: str, told: str = "") -> None:
        super().__init__(reason, told)
        self.reason = reason
        self.told = told


def read_object(text: str, keys: Collection[str]) -> dict[str, Any]:
    """The one object with these keys in a reply.

    Args:
        text: the whole reply.
        keys: that it must have; others are left out.

    Raises:
        Unreadable: `empty reply`, `refusal`, `no JSON`, `broken JSON`, `missing keys`, `several objects`, or
            `control characters`.
    """
    text = _THOUGHTS.sub("", text[:_LONGEST]).strip()
    if not text:
        raise Unreadable("empty reply")
    found, problem = _objects(text)
    fitting = [each for each in found if set(keys) <= set(each)]
    if not fitting:
        if found:
            missing = ", ".join(sorted(set(keys) - set(max(found, key=lambda each: len(set(keys) & set(each))))))
            raise Unreadable("missing keys", f"The object has no {missing}.")
        if sounds_like_refusal(text):
            raise Unreadable("refusal")
        if problem:
            raise Unreadable("broken JSON", f"The JSON cannot be read: {problem}.")
        raise Unreadable("no JSON", "There is no JSON object in it.")
    if any(each != fitting[0] for each in fitting[1:]):
        raise Unreadable("several objects", "There are several objects in it that differ; give one.")
    kept = {key: fitting[0][key] for key in keys}
    if _has_control(kept):
        raise Unreadable(
            "control characters", "A string holds a tab or another control character. Write each backslash twice."
        )
    return kept


def text_of(data: Mapping[str, Any], key: str) -> str:
    """A string that is not blank, stripped. Raises: Unreadable."""
    value = data[key]
    if not isinstance(value, str) or not value.strip():
        raise Unreadable("wrong type", f"{key} has to be a string that is not blank.")
    return value.strip()


def number_of(data: Mapping[str, Any], key: str, least: float, most: float, whole: bool = False) -> float:
    """A finite number in [least, most]; a number in quotes is none. Raises: Unreadable."""
    value = data[key]
    kind = "a whole number" if whole else "a number"
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not least <= value <= most:
        raise Unreadable("wrong type", f"{key} has to be {kind} from {least:g} to {most:g}, without quotes.")
    return float(value)


def sounds_like_refusal(text: str) -> bool:
    """Whether a text declines or moralises where something else was asked for."""
    return _REFUSAL.search(text.replace("’", "'")) is not None


def _objects(text: str) -> tuple[list[dict[str, Any]], str]:
    """Every outermost object that can be read, and what is wrong with the first that cannot."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, strict=False)
    found: list[dict[str, Any]] = []
    problem, failed, at = "", 0, text.find("{")
    while at >= 0 and failed < _TRIES:
        try:
            value, end = decoder.raw_decode(text, at)
            found.append(value)
        except (ValueError, RecursionError) as error:
            problem = problem or str(error) or "it is nested too deeply"
            failed, end = failed + 1, at + 1
        at = text.find("{", end)
    return found, problem


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _has_control(value: Any) -> bool:
    if isinstance(value, str):
        return _CONTROL.search(value) is not None
    if isinstance(value, dict):
        return any(map(_has_control, value.values()))
    return isinstance(value, list) and any(map(_has_control, value))
