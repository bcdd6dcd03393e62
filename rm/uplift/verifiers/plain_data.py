"""Values as JSON and back, exactly, for values that cross from the untrusted process to the one that compares.

The text of this file runs inside sandboxes, after an untrusted program or before trusted tests; it imports only the
standard library and keeps to built-in types. What comes out of `decode` is made of built-in values alone (numbers,
texts, containers, a few immutable types of the standard library): no method of a program survives the crossing. An
object of any other kind arrives as an `Opaque`, which is true or false as it was, and equal to nothing.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
from typing import Any


class Opaque:
    """Stands for an object that is no plain data."""

    def __init__(self, truth: bool, name: str) -> None:
        self.truth = truth
        self.name = name

    def __bool__(self) -> bool:
        return self.truth

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = object.__hash__


_CONTAINERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}
_SET_VIEWS: Any = (type({}.keys()), type({}.items()))
_VALUES_VIEW: Any = type({}.values())
_DATES = {each.__name__: each for each in (datetime.datetime, datetime.date, datetime.time)}


def encode(value: Any) -> Any:
    """JSON of a value. Subclasses become their built-in base; an iterator is used up."""
    if value is None or value is True or value is False or type(value) is str:
        return value
    for encoder in (_encode_scalar, _encode_container, _encode_other):
        encoded = encoder(value)
        if encoded is not None:
            return encoded
    return {"opaque": type(value).__name__, "truth": bool(value)}


def is_plain(value: Any) -> bool:
    """Whether a value crosses whole: nothing in it is `Opaque` on the other side. Iterators are not plain."""
    pending: list[Any] = [value]
    containers: Any = tuple(_CONTAINERS.values())
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending += [*dict.keys(each), *dict.values(each)]
        elif isinstance(each, containers):
            pending.extend(each)
        elif hasattr(type(each), "__next__") or (isinstance(data := encode(each), dict) and "opaque" in data):
            return False
    return True


def decode(data: Any) -> Any:
    """The value of what `encode` made. Raises ValueError, TypeError or KeyError on anything else."""
    if data is None or isinstance(data, bool | str):
        return data
    ((kind, content), *rest) = data.items()
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](decode(each) for each in content)
    if kind == "dict":
        return {decode(key): decode(each) for key, each in content}
    if kind == "iterator":
        return iter([decode(each) for each in content])
    if kind == "opaque":
        return Opaque(rest[0][1], content)
    if kind in _DATES:
        return _DATES[kind].fromisoformat(content)
    return _SCALARS[kind](content)


_SCALARS: dict[str, Any] = {
    "int": lambda digits: int(digits, 16),
    "float": float.fromhex,
    "complex": lambda parts: complex(*map(float.fromhex, parts)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "decimal": decimal.Decimal,
    "fraction": fractions.Fraction,
    "range": lambda ends: range(*ends),
    "timedelta": lambda parts: datetime.timedelta(*parts),
}


def _encode_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return {"int": int.__format__(value, "x")}
    if isinstance(value, float):
        return {"float": float.hex(value)}
    if isinstance(value, complex):
        return {"complex": [float.hex(value.real), float.hex(value.imag)]}
    if isinstance(value, bytes):
        return {"bytes": bytes.hex(value)}
    if isinstance(value, bytearray):
        return {"bytearray": bytearray.hex(value)}
    return None


def _encode_container(value: Any) -> Any:
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(each)] for key, each in dict.items(value)]}
    for name, kind in _CONTAINERS.items():
        if isinstance(value, kind):
            return {name: [encode(each) for each in kind.__iter__(value)]}
    if isinstance(value, _SET_VIEWS):
        return {"set": [encode(each) for each in value]}
    if isinstance(value, _VALUES_VIEW) or hasattr(type(value), "__next__"):
        return {"iterator": [encode(each) for each in value]}
    return None


def _encode_other(value: Any) -> Any:
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, fractions.Fraction):
        return {"fraction": str(value)}
    if isinstance(value, datetime.timedelta):
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    for name, kind in _DATES.items():
        if isinstance(value, kind):
            return {name: value.isoformat()}
    return None
