"""Files of groups: every problem at once, or every group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rm.errors import DataError, Problem
from rm.groups.locate import DataFile, Report, locate
from rm.groups.parse import RowParser
from rm.groups.rows import MAX_LINE_BYTES, Row, file_rows
from rm.groups.schema import Group
from rm.rubric import Rubric

Paths = str | Path | Sequence[str | Path]


def parsed_rows(
    files: Sequence[DataFile], parser: RowParser, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[Row, Group]]:
    """Rows without errors, one at a time, as groups; what is wrong or doubtful is in the parser afterwards.

    `load_groups` and `check_groups` both go through this.
    """
    for file in files:
        for row in file_rows(file, parser.errors.append, max_line_bytes):
            group = parser.parse(row.file, row.line, row.value)
            if group is not None:
                yield row, group


def located(paths: Paths, report: Report, what: str = "group") -> list[DataFile]:
    """The files that names stand for, folders and hub names included; names without files are reported. Arguments as
    `locate`."""
    names = [paths] if isinstance(paths, str | Path) else paths
    return [file for name in names for file in locate(name, report, what)]


def data_files(paths: Paths) -> list[DataFile]:
    """As `located`. Raises: DataError for names without files."""
    problems: list[Problem] = []
    files = located(paths, problems.append)
    if problems:
        raise DataError(problems)
    return files


def load_groups(paths: Paths, rubric: Rubric | None = None) -> Sequence[Group]:
    """Read groups in the official schema (TraceLift-Groups, arXiv 2605.03862) from one file or several.

    Several positives, a single negative, and traces without labels are all fine. Files of more than
    `rm.groups.large.LARGE_BYTES` are read and checked once; of their groups only the places are held.

    Args:
        paths: one file or several: JSON Lines or one JSON array, UTF-8, plain or `.gz`; Parquet; folders of such files
            and datasets saved by `datasets`; `ORG/NAME:path/inside` on the hub (see `rm.groups.locate`). An id may not
            repeat among them.
        rubric: if given, each labelled trace must have an integer label in range for each of its dimensions,
            and candidates keep the labels of these dimensions only. Else they keep whatever labels there are.

    Returns:
        the groups, in the order of files and lines: a tuple, or of large files a sequence that reads a group whenever
        it is asked for it (`rm.groups.large.LargeGroups`).

    Raises:
        DataError: with every problem in every file.
    """
    from rm.groups.large import is_large, open_large

    parser = RowParser(rubric)
    files = located(paths, parser.errors.append)
    if is_large(files) and not parser.errors:
        return open_large(files, rubric)
    groups = tuple(group for _, group in parsed_rows(files, parser))
    if parser.errors:
        raise DataError(parser.errors, parser.errors.total)
    return groups
