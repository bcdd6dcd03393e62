"""Files to JSON rows: JSON Lines or one JSON array, UTF-8, plain or gzip; Parquet and Arrow tables.

Covers encoding, line length and JSON syntax; knows nothing of what a row means. JSON Lines are read line by
line, tables by batches, an array as a whole. A file of another kind is one problem, not one a line.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from rm.errors import Problem
from rm.groups.locate import DataFile, locate
from rm.groups.tables import TABLES, DamagedTable, table_rows

MAX_LINE_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 2**30

_CHUNK_BYTES = 2**20
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")

_UTF_8 = "UTF-8"
_UTF_16 = ("UTF-16 text", "Convert it to UTF-8, for example with iconv.")
_STARTS = {
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff", b"{\0", b"[\0", b"\0{", b"\0["), _UTF_16),
    b"\x1f\x8b": ("gzip data", "Give the file a name that ends in .gz."),
    b"PK\x03\x04": ("a zip archive", "Unpack it."),
    b"PAR1": ("a Parquet file", "Give the file a name that ends in .parquet."),
}
"""First bytes of a file that cannot be what is read here -> what it is, and what to do."""
_SPREAD = re.compile(rb"\{(.*[{\[,])?", re.DOTALL)
_TABLE_HEAD = re.compile(rb"[\w \".-]+([,;\t][\w \".-]+)+")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_ROW_KEYS = frozenset({"problem", "problem_id", "question", "reasoning", "positive_pool", "negative_bank"})
"""An object with any of these is a row, whatever lists it holds."""
_ON_ONE_LINE = "Write each object on a line of its own: jq -c . FILE."

Report = Callable[[Problem], None]


class Row(NamedTuple):
    """One JSON value of a file, and the 1-based line on which it begins; of a table, the 1-based row.

    `file` is what messages call the file: the path as given, or `ORG/NAME:path/inside`. `span` is where the row lies in
    a plain file of JSON Lines, first byte and number of bytes; None elsewhere.
    """

    line: int
    value: Any
    file: str = ""
    span: tuple[int, int] | None = None


def read_rows(
    path: str | Path, report: Report, max_line_bytes: int = MAX_LINE_BYTES, what: str = "group"
) -> Iterator[Row]:
    """Yield the rows of a file, or of all that a folder or a hub name stands for; what cannot be read is reported and
    left out.

    A file whose first character is `[` is one JSON array, any other is JSON Lines (blank lines are skipped).
    A byte order mark is accepted, and `.gz` is decompressed. JSON Lines none of which is an object make one
    problem together: of a table, of an object spread over lines, of binary data.

    Args:
        path: the file, or what `rm.groups.locate` takes for files.
        report: called with every problem, in the order of the file.
        max_line_bytes: a longer line of JSON Lines is a problem, not a crash.
        what: what a row is meant to be, for the messages.

    Raises:
        ConfigError, RunError: a repository of the hub that cannot be read.
        MissingExtra: a table, and no pyarrow.
    """
    for file in locate(path, report, what):
        yield from file_rows(file, report, max_line_bytes, what)


def file_rows(
    located: DataFile, report: Report, max_line_bytes: int = MAX_LINE_BYTES, what: str = "group"
) -> Iterator[Row]:
    """The rows of one file that was located. Arguments, reports and errors as `read_rows`."""
    file, path = located
    count = 0
    try:
        if path.suffix in TABLES:
            for count, value in enumerate(table_rows(path), 1):
                yield Row(count, value, file)
            if not count:
                report(Problem(file, 0, "", f"at least one {what}", "an empty table"))
            return
        with _open(path) as stream:
            for row in _stream_rows(stream, file, report, max_line_bytes, what):
                count += 1
                yield row if path.suffix != ".gz" else row._replace(span=None)
    except FileNotFoundError:
        report(Problem(file, 0, "", f"a file of {what}s", "no such file"))
    except DamagedTable as error:
        report(Problem(file, 0, "", f"a whole {path.suffix} file", f"damaged after {count} rows ({error})"))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        report(Problem(file, 0, "", "a whole gzip file", f"damaged after {count} rows ({error})"))
    except OSError as error:
        report(Problem(file, 0, "", "a file that can be read", error.strerror or str(error)))


def surrogate_problem(file: str, line: int, field: str, value: Any) -> Problem | None:
    """The problem of a JSON value with a lone surrogate in any of its texts, keys included; None where all is well.

    An escape such as \\ud83d without its other half parses, and breaks whatever writes or tokenizes the text.
    """
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending += [*each, *each.values()]
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, str) and (surrogate := _SURROGATE.search(each)):
            fix = "Half of a character is missing: repair it, or take the escape out."
            found = f"text with a lone surrogate {surrogate[0]!a}"
            return Problem(file, line, field, "text that UTF-8 can hold", found, fix)
    return None


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _stream_rows(stream: BufferedIOBase, file: str, report: Report, max_line_bytes: int, what: str) -> Iterator[Row]:
    lines = (each for each in _lines(stream, max_line_bytes) if each[2].strip())
    line, at, content = next(lines, (0, 0, b""))
    start = content.strip()
    if not start:
        report(Problem(file, 0, "", f"at least one {what}", "an empty file"))
    elif kind := next((kind for magic, kind in _STARTS.items() if start.startswith(magic)), None):
        report(_other_kind(file, *kind))
    elif start == b"{":
        report(_other_kind(file, "a JSON object spread over several lines", _ON_ONE_LINE))
    elif start.startswith(b"["):
        yield from _array_rows(_with_rest(content, stream), line, file, report, what)
    else:
        read = (_line_row(*each, file, max_line_bytes) for each in chain([(line, at, content)], lines))
        yield from _told_together(read, start, file, report)


def _told_together(read: Iterator[Row | Problem], start: bytes, file: str, report: Report) -> Iterator[Row]:
    """Rows, with problems reported between them; where no row is an object, one problem in place of all."""
    held: list[Row | Problem] = []
    for each in read:
        held.append(each)
        if isinstance(each, Row) and isinstance(each.value, dict):
            break
    else:
        other = _kind_without_objects(start, held)
        if other is not None:
            report(_other_kind(file, *other))
            return
    following = list(islice(read, 1))
    if not following and len(held) == 1 and isinstance(held[0], Row) and (key := _wrapper(held[0].value)):
        report(_other_kind(file, f"one JSON object that holds the rows under {key!r}", _take_out(key)))
        return
    for each in chain(held, following, read):
        if isinstance(each, Row):
            yield each
        else:
            report(each)


def _kind_without_objects(start: bytes, lines: Sequence[Row | Problem]) -> tuple[str, str] | None:
    """What a file that begins with `start` is, none of its lines being an object; None: see what each line is."""
    if len(lines) == 1:
        return None
    if _CONTROL.search(start) and not start.startswith(b"{"):
        return "binary data", "Name a text file."
    if _SPREAD.fullmatch(start):
        return "a JSON object spread over several lines", _ON_ONE_LINE
    if _TABLE_HEAD.fullmatch(start):
        return "a table such as CSV", "Write each row as a JSON object."
    if any(isinstance(each, Problem) and each.expected == _UTF_8 for each in lines):
        return "binary data, or text in another encoding", "Name a text file, or convert it to UTF-8."
    first = lines[0].found if isinstance(lines[0], Problem) else "JSON, but no object"
    return f"no JSON object on any of {len(lines):,} lines (the first: {first})", "Write one object a line."


def _wrapper(value: Any) -> str:
    """The key under which a file's only object holds a list of objects, where it holds nothing else of that kind and
    is no row itself; empty for none."""
    if not isinstance(value, dict) or _ROW_KEYS & value.keys():
        return ""
    lists = [key for key, each in value.items() if each and isinstance(each, list) and isinstance(each[0], dict)]
    return lists[0] if len(lists) == 1 else ""


def _take_out(key: str) -> str:
    return f"Write the list alone: jq -c '.[{json.dumps(key)}][]' FILE > ROWS.jsonl."


def _other_kind(file: str, found: str, fix: str) -> Problem:
    return Problem(file, 0, "", "JSON Lines or one JSON array, in UTF-8", found, fix)


def _lines(stream: BufferedIOBase, max_line_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """1-based lines, where they begin in bytes, and what they hold, without a byte order mark; of a line too long, only
    the beginning, one byte more than allowed at least."""
    line = at = 0
    while content := stream.readline(max_line_bytes + 1):
        line += 1
        marked = line == 1 and content.startswith(_BOM)
        yield (line, at + len(_BOM), content.removeprefix(_BOM)) if marked else (line, at, content)
        at += len(content)
        while len(content) > max_line_bytes and not content.endswith(b"\n"):  # the rest of a long line
            content = stream.readline(max_line_bytes + 1)
            at += len(content)
            if not content:
                return


def _with_rest(start: bytes, stream: BufferedIOBase) -> bytes:
    """The file from `start` on, up to a little more than an array may have."""
    chunks, size = [start], len(start)
    while size <= MAX_ARRAY_BYTES and (chunk := stream.read(_CHUNK_BYTES)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _line_row(line: int, at: int, content: bytes, file: str, max_line_bytes: int) -> Row | Problem:
    if len(content) > max_line_bytes:
        expected = f"at most {max_line_bytes / 2**20:g} MiB a line"
        return Problem(file, line, "", expected, "a longer line", "Write one object a line.")
    text = _decode(content, line, file)
    if isinstance(text, Problem):
        return text
    try:
        return Row(line, json.loads(text.rstrip()), file, (at, len(content)))
    except (ValueError, RecursionError) as error:
        return _not_json(error, file, line, "one JSON object a line", text)


def _array_rows(content: bytes, first_line: int, file: str, report: Report, what: str) -> Iterator[Row]:
    """The elements of one JSON array that begins on `first_line`; a syntax error ends it."""
    if len(content) > MAX_ARRAY_BYTES:
        expected = f"at most {MAX_ARRAY_BYTES / 2**30:g} GiB in one JSON array"
        report(Problem(file, first_line, "", expected, "a longer one", f"Write JSON Lines, one {what} a line."))
        return
    text = _decode(content, first_line, file)
    if isinstance(text, Problem):
        report(text)
        return
    line, counted = first_line, 0
    try:
        for at, value in _elements(text):
            line, counted = line + text.count("\n", counted, at), at
            yield Row(line, value, file)
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


def _decode(content: bytes, line: int, file: str) -> str | Problem:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        found = f"byte {content[error.start]:#04x} at byte {error.start - line_start + 1} of the line"
        line += content.count(b"\n", 0, error.start)
        return Problem(file, line, "", _UTF_8, found, "Convert the file to UTF-8.")


def _not_json(error: ValueError | RecursionError, file: str, line: int, expected: str, text: str) -> Problem:
    if isinstance(error, json.JSONDecodeError):
        found = f"no JSON ({error.msg} at character {error.colno})"
    elif isinstance(error, RecursionError):
        found = "JSON nested too deeply"
    else:
        found = f"no JSON ({error})"  # an integer of too many digits
    fix = "It holds NUL bytes: the file is damaged." if "\0" in text else ""
    return Problem(file, line, "", expected, found, fix)
