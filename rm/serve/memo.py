"""Results of texts that were computed before, by a digest of what decides them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

from rm.text import Row

T = TypeVar("T")


class Memo(Generic[T]):
    """A bounded store, the least recently used going first.

    Sound for a model whose weights do not change: a score is a function of the row and the token limit. It holds no
    texts, only digests of 16 bytes: two texts with one digest are not to be expected in 2^64 of them.

    Args:
        entries: how many are kept; 0 keeps none.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._kept: OrderedDict[bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> T | None:
        """What was put there, None where nothing is."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, value: T) -> None:
        """Keep a value."""
        if not self._entries:
            return
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)


def digest(row: Row, max_length: int) -> bytes:
    """Of everything that decides a row's score. Lengths go in too, so that no two rows run together."""
    state = hashlib.blake2b(str(max_length).encode(), digest_size=16)
    for text in (row.problem, row.reasoning, row.task_name, row.task_type, row.tests):
        content = text.encode()
        state.update(b"|%d|" % len(content))
        state.update(content)
    return state.digest()
