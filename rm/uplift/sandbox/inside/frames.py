"""What caller and sandbox tell each other over the supervisor's stdin and stdout.

The supervisor greets with one byte. A request is REQUEST, the source, the standard input. It is answered by STARTED
just before the program's first line runs, then REPLY, stdout, stderr.
"""

from __future__ import annotations

import os
import struct

from rm.uplift.sandbox.runs import Status

REUSABLE, SINGLE_USE = b"R", b"1"
STARTED = b"S"
REQUEST = struct.Struct("!QQ")
"""Lengths of source and stdin."""
REPLY = struct.Struct("!BidQQ")
"""Index into STATUSES, exit code (or NO_CODE), seconds, lengths of stdout and stderr."""
STATUSES: tuple[Status, ...] = ("exited", "timeout", "memory", "output", "killed")
NO_CODE = -(1 << 31)


def read_exactly(descriptor: int, count: int) -> bytes:
    """Raises EOFError where the other side closes first."""
    parts: list[bytes] = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            raise EOFError("the caller has gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
