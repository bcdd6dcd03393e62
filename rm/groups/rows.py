"""Files to JSON rows: JSON Lines or one JSON array, UTF-8, plain or gzip.

Covers encoding, line length and JSON syntax; knows nothing of what a row means. JSON Lines are read line by
line, an array as a whole.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

from rm.errors import Problem

MAX_LINE_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 2**30

_CHUNK_BYTES = 2**20
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")

Report = Callable[[Problem], None]


class Row(NamedTuple):
    """One JSON value of a file, and the 1-based line on which it begins."""

    line: int
    value: Any


def read_rows(
    path: str | Path, report: Report, max_line_bytes: int = MAX_LINE_BYTES, what: str = "group"
) -> Iterator[Row]:
    """Yield the rows of one file; what cannot be read is reported and left out.

    A file whose first character is `[` is one JSON array, any other is JSON Lines (blank lines are skipped).
    A byte order mark is accepted, and `.gz` is decompressed.

    Args:
        path: the file.
        report: called with every problem, in the order of the file.
        max_line_bytes: a longer line of JSON Lines is a problem, not a crash.
        what: what a row is meant to be, for the messages.
    """
    file = str(path)
    count = 0
    try:
        with _open(Path(path)) as stream:
            for row in _stream_rows(stream, file, report, max_line_bytes, what):
                count += 1
                yield row
    except FileNotFoundError:
        report(Problem(file, 0, "", f"a file of {what}s", "no such file"))
    except IsADirectoryError:
        report(Problem(file, 0, "", f"a file of {what}s", "a directory", "Name the files in it."))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        report(Problem(file, 0, "", "a whole gzip file", f"damaged after {count} rows ({error})"))
    except OSError as error:
        report(Problem(file, 0, "", "a file that can be read", error.strerror or str(error)))


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _stream_rows(stream: BufferedIOBase, file: str, report: Report, max_line_bytes: int, what: str) -> Iterator[Row]:
    empty = True
    for line, content in _lines(stream, max_line_bytes):
        if line == 1:
            content = content.removeprefix(_BOM)
        if not content.strip():
            continue
        if empty and content.lstrip().startswith(b"["):
            yield from _array_rows(_with_rest(content, stream), line, file, report, what)
            return
        empty = False
        if len(content) > max_line_bytes:
            expected = f"at most {max_line_bytes / 2**20:g} MiB a line"
            report(Problem(file, line, "", expected, "a longer line", f"Write one {what} a line."))
            continue
        row = _line_row(content, line, file, report)
        if row is not None:
            yield row
    if empty:
        report(Problem(file, 0, "", f"at least one {what}", "an empty file"))


def _lines(stream: BufferedIOBase, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """1-based lines; of one that is too long, only the beginning, one byte more than allowed at least."""
    line = 0
    while content := stream.readline(max_line_bytes + 1):
        line += 1
        yield line, content
        while len(content) > max_line_bytes and not content.endswith(b"\n"):  # the rest of a long line
            content = stream.readline(max_line_bytes + 1)
            if not content:
                return


def _with_rest(start: bytes, stream: BufferedIOBase) -> bytes:
    """The file from `start` on, up to a little more than an array may have."""
    chunks, size = [start], len(start)
    while size <= MAX_ARRAY_BYTES and (chunk := stream.read(_CHUNK_BYTES)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _line_row(content: bytes, line: int, file: str, report: Report) -> Row | None:
    text = _decode(content, line, file, report)
    if text is None:
        return None
    try:
        return Row(line, json.loads(text.rstrip()))
    except (ValueError, RecursionError) as error:
        report(_not_json(error, file, line, "one JSON object a line", text))
        return None


def _array_rows(content: bytes, first_line: int, file: str, report: Report, what: str) -> Iterator[Row]:
    """The elements of one JSON array that begins on `first_line`; a syntax error ends it."""
    if len(content) > MAX_ARRAY_BYTES:
        expected = f"at most {MAX_ARRAY_BYTES / 2**30:g} GiB in one JSON array"
        report(Problem(file, first_line, "", expected, "a longer one", f"Write JSON Lines, one {what} a line."))
        return
    text = _decode(content, first_line, file, report)
    if text is None:
        return
    line, counted = first_line, 0
    try:
        for at, value in _elements(text):
            line, counted = line + text.count("\n", counted, at), at
            yield Row(line, value)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            line = first_line + error.lineno - 1
        report(_not_json(error, file, line, "one JSON array of objects", text))
        return
    if not counted:
        report(Problem(file, first_line, "", f"at least one {what}", "an empty array"))


def _elements(text: str) -> Iterator[tuple[int, Any]]:
    """Position and value of each element of the array that is `text`; JSONDecodeError where it is none."""
    decoder = json.JSONDecoder()
    at = _skip_space(text, text.index("[") + 1)
    if not text.startswith("]", at):
        while True:
            value, end = decoder.raw_decode(text, at)
            yield at, value
            at = _skip_space(text, end)
            if text.startswith("]", at):
                break
            if not text.startswith(",", at):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
            at = _skip_space(text, at + 1)
    rest = _skip_space(text, at + 1)
    if rest < len(text):
        raise json.JSONDecodeError("Extra data after the array", text, rest)


def _skip_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _decode(content: bytes, line: int, file: str, report: Report) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        found = f"byte {content[error.start]:#04x} at byte {error.start - line_start + 1} of the line"
        line += content.count(b"\n", 0, error.start)
        report(Problem(file, line, "", "UTF-8", found, "Convert the file to UTF-8."))
        return None


def _not_json(error: ValueError | RecursionError, file: str, line: int, expected: str, text: str) -> Problem:
    if isinstance(error, json.JSONDecodeError):
        found = f"no JSON ({error.msg} at character {error.colno})"
    elif isinstance(error, RecursionError):
        found = "JSON nested too deeply"
    else:
        found = f"no JSON ({error})"  # an integer of too many digits
    fix = "It holds NUL bytes: damaged, or UTF-16, which must be converted to UTF-8." if "\0" in text else ""
    return Problem(file, line, "", expected, found, fix)
