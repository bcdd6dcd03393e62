"""Files of groups, read whole: every problem at once, or every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rm.errors import DataError, Problem
from rm.groups.locate import DataFile, locate
from rm.groups.parse import RowParser, Warned
from rm.groups.rows import MAX_LINE_BYTES, read_rows
from rm.groups.schema import Group
from rm.rubric import Rubric

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Scan:
    """What some files hold.

    Args:
        groups: the rows without errors, in the order of files and lines.
        errors: what makes rows or files unusable.
        warnings: what is doubtful within a row.
    """

    groups: tuple[Group, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Warned, ...]


def scan_groups(paths: Paths, rubric: Rubric | None = None, max_line_bytes: int = MAX_LINE_BYTES) -> Scan:
    """Read files as far as they can be read. `load_groups` and `check_groups` both go through this.

    Args:
        paths: as `load_groups`.
        rubric: what labels are checked against, if anything.
        max_line_bytes: longer lines are errors.
    """
    parser = RowParser(rubric)
    groups = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for row in read_rows(path, parser.errors.append, max_line_bytes):
            group = parser.parse(row.file, row.line, row.value)
            if group is not None:
                groups.append(group)
    return Scan(tuple(groups), tuple(parser.errors), tuple(parser.warnings))


def data_files(paths: Paths) -> list[DataFile]:
    """The files that names stand for, folders and hub names included. Raises: DataError for names without files."""
    problems: list[Problem] = []
    names = [paths] if isinstance(paths, str | Path) else paths
    files = [file for name in names for file in locate(name, problems.append)]
    if problems:
        raise DataError(problems)
    return files


def load_groups(paths: Paths, rubric: Rubric | None = None) -> tuple[Group, ...]:
    """Read groups in the official schema (TraceLift-Groups, arXiv 2605.03862) from one file or several.

    Several positives, a single negative, and traces without labels are all fine.

    Args:
        paths: one file or several: JSON Lines or one JSON array, UTF-8, plain or `.gz`; Parquet; folders of such files
            and datasets saved by `datasets`; `ORG/NAME:path/inside` on the hub (see `rm.groups.locate`). An id may not
            repeat among them.
        rubric: if given, each labelled trace must have an integer label in range for each of its dimensions,
            and candidates keep the labels of these dimensions only. Else they keep whatever labels there are.

    Returns:
        the groups, in the order of files and lines.

    Raises:
        DataError: with every problem in every file.
    """
    scan = scan_groups(paths, rubric)
    if scan.errors:
        raise DataError(scan.errors)
    return scan.groups
