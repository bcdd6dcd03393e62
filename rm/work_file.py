"""A work file beside an output: what is done is on disk at once, so that a killed run goes on where it was.

JSON Lines, `.OUT.partial`: a header that says what is made and how, then a row a piece of work. Only whole lines
count: what a kill left of the last one is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rm.errors import ConfigError, RunError


class WorkFile:
    """Opens or makes the work file of an output.

    Args:
        output: the file to be.
        identity: everything that decides the result, as JSON values; compared with the header.
        format: number of the form of its rows; a file of another one is refused.
        what: what a run makes, for the messages.

    Attributes:
        path: of the work file.

    Raises:
        ConfigError: the file is of a run of something else, or another process is writing it.
        RunError: it is damaged other than in its last line, or cannot be written.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], format: int, what: str) -> None:
        self.path = output.with_name(f".{output.name}.partial")
        self._what = what
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise RunError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        try:
            self._lock()
            self._size = self._cut_to_whole_lines()
            if not self._size:
                self.append({"format": format, "identity": identity})
            self._header_size = self._check(format, identity)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def holds_work(self) -> bool:
        """There is more than the header."""
        return self._size > self._header_size

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """1-based line and content of every row so far, the header left out; nothing is held in memory."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number > 1:
                    yield number, line

    def append(self, row: Mapping[str, Any]) -> None:
        """Keeps a row. It outlives the process, not a failure of the machine."""
        self.append_line(json.dumps(row, ensure_ascii=True, allow_nan=False).encode())

    def append_line(self, line: bytes) -> None:
        """Keeps a row that is JSON on one line already, without its end."""
        line += b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # a full disk takes what fits: half a line must not come before a whole one
                self._file.truncate(self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RunError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        self._size += written

    def sync(self) -> None:
        """Forces everything so far to the disk. May take milliseconds."""
        os.fsync(self._file.fileno())

    def remove(self) -> None:
        """Once the result is where it belongs."""
        self.path.unlink(missing_ok=True)

    def damaged(self, number: int, error: Exception) -> RunError:
        """The error of a line that is no row."""
        return RunError(f"{self.path}:{number}: not a line of a work file ({error}). Remove the file to start afresh.")

    def _lock(self) -> None:
        """Held until the file is closed, by a kill too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process is writing {self.path}. Wait for it, or choose another output."
            ) from error

    def _cut_to_whole_lines(self) -> int:
        """The size that is left."""
        with self.path.open("rb") as file:
            size = sum(len(line) for line in file if line.endswith(b"\n"))
        self._file.truncate(size)
        return size

    def _check(self, format: int, identity: Mapping[str, Any]) -> int:
        """Size of the header, which has to be this run's."""
        with self.path.open("rb") as file:
            line = file.readline()
        try:
            header = json.loads(line)
            other_version, before = header["format"] != format, header["identity"]
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged(1, error) from error
        if other_version:
            raise ConfigError(f"{self.path} is of another version of this program. Remove it to start afresh.")
        now = json.loads(json.dumps(identity))
        differing = [
            f"  {name}: {before.get(name)} then, {now.get(name)} now"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if differing:
            raise ConfigError(
                f"{self.path} holds an unfinished {self._what} of something else:\n"
                + "\n".join(differing)
                + "\nRepeat that command to finish it, choose another output, or remove the file to start afresh."
            )
        return len(line)
