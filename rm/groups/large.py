"""Groups of files that are too large for memory: checked once, then read one by one from where they lie.

The first time, every row is checked, and its place (file, first byte, length) goes into an index in the user's cache
folder; the next time the index alone is read. It is found by path, size and time of change of the files and by the
rubric. Rows of Parquet, Arrow, `.gz` and JSON arrays have no place of their own: they are copied beside the index, as
JSON Lines. Files must not change while groups are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, overload
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from rm.errors import DataError, RunError
from rm.files import cache_folder, replace_file
from rm.groups.locate import DataFile
from rm.groups.parse import RowParser
from rm.groups.read import parsed_rows
from rm.groups.schema import Group
from rm.groups.tables import TABLES
from rm.rubric import Rubric

LARGE_BYTES = 256 * 2**20
"""Files of more bytes than that, taken together, are not held in memory: as groups they take three times the space."""
PACKED = 8
"""A byte of a compressed file is about so many bytes of JSON."""
VERSION = 1
"""Of the index and of what it was checked for."""

_PLACE = np.dtype([("file", np.uint16), ("line", np.uint32), ("start", np.uint64), ("size", np.uint32)])


@dataclass(frozen=True)
class LabelCounts:
    """What training asks of all groups.

    Args:
        candidates: how many.
        unlabelled: those without rubric labels.
        judged: those with rubric labels or a total.
    """

    candidates: int = 0
    unlabelled: int = 0
    judged: int = 0

    def plus(self, group: Group) -> LabelCounts:
        """With one more group."""
        return LabelCounts(
            self.candidates + len(group.candidates),
            self.unlabelled + sum(each.rubric is None for each in group.candidates),
            self.judged + sum(bool(each.rubric) or each.total is not None for each in group.candidates),
        )


def label_counts(groups: Iterable[Group]) -> LabelCounts:
    """Of groups; at once of those of an index."""
    if isinstance(groups, LargeGroups):
        return groups.counts
    counts = LabelCounts()
    for group in groups:
        counts = counts.plus(group)
    return counts


class LargeGroups(Sequence[Group]):
    """Groups on disk: a group is read and parsed each time it is asked for. A slice is of the same kind.

    Args:
        files: names for messages, and where the rows are read.
        places: (G,) of each group, see `_PLACE`.
        counts: of the labels of all groups of the files.
        rubric: whose labels candidates keep.
        key: names the files' content and the rubric.
    """

    def __init__(
        self, files: Sequence[DataFile], places: np.ndarray, counts: LabelCounts, rubric: Rubric | None, key: str
    ) -> None:
        self._files = tuple(files)
        self._places = places
        self._rubric = rubric
        self.counts = counts
        self.key = key

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> LargeGroups: ...
    def __getitem__(self, index: int | slice) -> Group | LargeGroups:
        if isinstance(index, slice):
            places = self._places[index]
            return LargeGroups(self._files, places, self.counts, self._rubric, f"{self.key}{index}")
        file, line, start, size = self._places[index].item()
        name, path = self._files[file]
        with path.open("rb") as stream:
            stream.seek(start)
            content = stream.read(size)
        parser = RowParser(self._rubric)
        try:
            group = parser.parse(name, line, json.loads(content))
        except ValueError:
            group = None
        if group is None:
            raise RunError(f"{name}: it changed while its groups were read. Start again.")
        return group

    def remembered(self, what: str, compute: Callable[[], int]) -> int:
        """A number that follows from these groups, computed once.

        Args:
            what: names the number, everything else that it follows from included.
        """
        file = _index_file(self.key).with_suffix(f".{_digest(what)}.json")
        with suppress(OSError, ValueError):
            return int(json.loads(file.read_text(encoding="utf-8")))
        number = compute()
        with replace_file(file, force=True) as staging:
            staging.write_text(json.dumps(number), encoding="utf-8")
        return number


def is_large(files: Sequence[DataFile]) -> bool:
    """Whether these files are not to be held in memory."""
    return sum(_json_bytes(file.path) for file in files if file.path.is_file()) > LARGE_BYTES


def open_large(files: Sequence[DataFile], rubric: Rubric | None = None) -> LargeGroups:
    """The groups of large files; with a bar on stderr where they have to be checked first.

    Raises:
        DataError: with the problems in the files.
        RunError: the cache folder cannot be written, or its disk is full.
    """
    state = [[str(file.path.resolve()), file.path.stat().st_size, file.path.stat().st_mtime_ns] for file in files]
    family, content = _digest([path for path, _, _ in state]), _digest([VERSION, state])
    key = f"{family}-{content}-{_digest(rubric.fingerprint if rubric else '')}"
    found = _read_index(key, files, rubric)
    if found is not None:
        return found
    for old in _index_file(key).parent.glob(f"{family}-*"):
        if not old.name.startswith(f"{family}-{content}-"):  # of the same files before they changed
            old.unlink(missing_ok=True)
    return _make_index(key, files, rubric)


def _make_index(key: str, files: Sequence[DataFile], rubric: Rubric | None) -> LargeGroups:
    parser = RowParser(rubric)
    counts = LabelCounts()
    places: list[np.ndarray] = []
    numbers = {file.name: number for number, file in enumerate(files)}
    with ExitStack() as stack:
        copy = _Copy(_index_file(key).with_suffix(".jsonl"), stack)
        rows = tqdm(parsed_rows(files, parser), "checking, once", unit=" groups", disable=None)
        block: list[tuple[int, int, int, int]] = []
        copied = set()
        for row, group in rows:
            number = numbers[row.file]
            if row.span is None:
                copied.add(number)
            block.append((number, row.line, *(row.span or copy.add(row.value))))
            counts = counts.plus(group)
            if len(block) == 4096:
                places.append(np.array(block, _PLACE))
                block = []
        if parser.errors:
            raise DataError(parser.errors, parser.errors.total)
        places.append(np.array(block, _PLACE))
        index = stack.enter_context(replace_file(_index_file(key), force=True))
        facts = {"counts": asdict(counts), "copied": sorted(copied)}
        with index.open("wb") as stream:
            np.savez(stream, places=np.concatenate(places), facts=np.array(json.dumps(facts)))
    return LargeGroups(_read_from(key, files, copied), np.concatenate(places), counts, rubric, key)


class _Copy:
    """Rows that have no place of their own, as JSON Lines in the cache folder; the file is made with the first row."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._stack = stack
        self._stream: BinaryIO | None = None
        self._end = 0

    def add(self, value: Any) -> tuple[int, int]:
        """Where the row lies now: first byte and length."""
        if self._stream is None:
            staging = self._stack.enter_context(replace_file(self._path, force=True))
            self._stream = self._stack.enter_context(staging.open("wb"))
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        self._stream.write(content)
        self._end += len(content)
        return self._end - len(content), len(content)


def _read_index(key: str, files: Sequence[DataFile], rubric: Rubric | None) -> LargeGroups | None:
    """The groups of an index; None where there is none, or no whole one."""
    try:
        with _index_file(key).open("rb") as stream, np.load(stream, allow_pickle=False) as index:
            places, facts = index["places"], json.loads(str(index["facts"]))
        read_from = _read_from(key, files, facts["copied"])
        if places.dtype != _PLACE or not all(file.path.exists() for file in read_from):
            return None
        return LargeGroups(read_from, places, LabelCounts(**facts["counts"]), rubric, key)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None


def _read_from(key: str, files: Sequence[DataFile], copied: Iterable[int]) -> list[DataFile]:
    """The files, the copy in the place of those that were copied."""
    numbers = set(copied)
    copy = _index_file(key).with_suffix(".jsonl")
    return [file._replace(path=copy) if number in numbers else file for number, file in enumerate(files)]


def _index_file(key: str) -> Path:
    return cache_folder() / "groups" / f"{key}.npz"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _json_bytes(path: Path) -> int:
    return path.stat().st_size * (PACKED if path.suffix in (*TABLES, ".gz") else 1)
