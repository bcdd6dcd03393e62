"""Rows of Parquet and Arrow files as JSON values, some hundred at a time. pyarrow is loaded on use.

Arrow gives every row of a column the same keys and fills them up with null; these nulls are taken out again. Columns
that hold JSON (the type `arrow.json`, which `datasets` calls `Json`; or plain text where a group has lists and objects)
are read as what they hold, so that metadata may differ from row to row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rm.errors import MissingExtra

if TYPE_CHECKING:
    import pyarrow

BATCH = 256
TABLES = (".parquet", ".arrow")
NESTED = frozenset({"positive_pool", "negative_bank", "metadata", "traces", "rubric_scores", "judge_meta", "label"})
"""Columns that hold lists or objects: as text in a table, they are JSON."""

Plain = Callable[[Any], Any]


class DamagedTable(ValueError):
    """A file that is no whole table."""


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Each row as an object of JSON values; no more than a batch of rows, or a row group, is held at a time.

    Raises:
        MissingExtra: pyarrow is not installed.
        DamagedTable: no such table, or not a whole one.
        OSError: the file cannot be read.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise MissingExtra("pyarrow", "data", f"Reading {path.name}") from None
    try:
        with ExitStack() as stack:
            for batch in _batches(path, stack):
                columns = [(field.name, _plain(field.type, field.name)) for field in batch.schema]
                for row in batch.to_pylist():
                    yield _without_nulls(row, columns)
    except pa.ArrowInvalid as error:
        raise DamagedTable(str(error)) from None


def _batches(path: Path, stack: ExitStack) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet

    if path.suffix == ".parquet":
        table = stack.enter_context(pyarrow.parquet.ParquetFile(path, arrow_extensions_enabled=True))
        yield from table.iter_batches(BATCH)
        return
    source = stack.enter_context(pa.memory_map(str(path)))
    with pa.ipc.open_stream(source) as stream:  # what `datasets` writes
        for batch in stream:
            for start in range(0, batch.num_rows, BATCH):
                yield batch.slice(start, BATCH)


def _plain(kind: pyarrow.DataType, name: str = "") -> Plain:
    """What turns a value of that type, as Arrow gives it, into a JSON value."""
    import pyarrow as pa

    if isinstance(kind, pa.JsonType):
        return _parsed
    if pa.types.is_struct(kind):
        fields = [(field.name, _plain(field.type, field.name)) for field in kind]
        return lambda value: _without_nulls(value, fields)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        plain = _plain(kind.value_type)
        return lambda value: [None if each is None else plain(each) for each in value]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parsed_if_nested if name in NESTED else lambda value: value
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return lambda value: value
    return str  # dates, decimals: JSON has none


def _without_nulls(value: dict[str, Any], fields: list[tuple[str, Plain]]) -> dict[str, Any]:
    """Nulls of Arrow, and JSON of nothing but a null, which some versions of `datasets` write for one."""
    found = {name: plain(value[name]) for name, plain in fields if value[name] is not None}
    return {name: each for name, each in found.items() if each is not None}


def _parsed(value: str) -> Any:
    return json.loads(value)


def _parsed_if_nested(value: str) -> Any:
    if value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
