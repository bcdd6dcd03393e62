"""What a server answers instead of a result: one form for every status, with the fields that are wrong.

    {"error": "items[3].problem: expected text, found a number", "fields": [{"field": "items[3].problem", ...}]}

What the client sent is never repeated, so an answer is small, is valid JSON, and holds no secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PRINTED = 20
"""How many fields an answer names."""


@dataclass(frozen=True)
class Field:
    """One thing wrong with a request.

    Args:
        field: where, e.g. `items[3].problem`; empty for the whole body.
        message: what was expected.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Refusal(Exception):
    """An answer other than 200.

    Args:
        status: HTTP status.
        fields: what is wrong, at least one.
        headers: further headers, such as Retry-After.
    """

    def __init__(self, status: int, fields: Sequence[Field], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(fields[0]))
        self.status = status
        self.fields = tuple(fields)
        self.headers = dict(headers or {})

    @staticmethod
    def of(status: int, message: str, field: str = "", headers: Mapping[str, str] | None = None) -> Refusal:
        """A refusal for one reason."""
        return Refusal(status, (Field(field, message),), headers)

    def to_dict(self) -> dict[str, object]:
        """The body of the answer."""
        more = len(self.fields) - 1
        rest = f" (and {more} more)" if more else ""
        shown = [{"field": each.field, "message": each.message} for each in self.fields[:PRINTED]]
        return {"error": f"{self.fields[0]}{rest}", "fields": shown}


def field_name(location: Sequence[str | int]) -> str:
    """`("items", 3, "problem")` as `items[3].problem`."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name
