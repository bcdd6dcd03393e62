"""The work file of a long command: what is done is on disk at once, so that a stopped run goes on where it was.

    with WorkFile(Path("rewards.jsonl"), {"rows": "9f2c", "seed": 0}, done.append) as work:
        work.append({"index": 3, "reward": 0.5})
        ...
        work.remove()

JSON Lines beside the output, `.OUT.partial`: a header that says what is made and how, then what is done, line by line.
Only whole lines count: what a kill left of the last one is dropped. A file is there only where something is done.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rm.errors import ConfigError, RunError


class WorkFile:
    """Opens or makes the file, and hands over what an interrupted run left in it.

    Args:
        output: the file to be.
        identity: everything that decides what is made, as JSON values; compared with the header.
        take: is given each line that is there already; None where the caller reads `rows`.
        version: of the lines' form.
        afresh: whether to begin anew where the file is of something else, which the option --force says; None where
            the command has no such option.

    Raises:
        ConfigError: the file is of something else, or another process is writing it.
        RunError: it is damaged other than in its last line, or cannot be written.
    """

    def __init__(
        self,
        output: Path,
        identity: Mapping[str, Any],
        take: Callable[[Mapping[str, Any]], object] | None = None,
        *,
        version: int = 1,
        afresh: bool | None = None,
    ) -> None:
        self.path = path_beside(output)
        self._header = {"format": version, "identity": identity}
        self._take = take
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise RunError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        try:
            self._lock()
            self._read(afresh)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.holds_work:
            self.remove()
        self._file.close()

    def append(self, row: Mapping[str, Any]) -> None:
        """Keep a line. It outlives the process; `sync` makes it outlive a failure of the machine."""
        self.append_line(json.dumps(row, ensure_ascii=True, allow_nan=False).encode())

    def append_line(self, line: bytes) -> None:
        """Keep a line that is JSON already, given without its end."""
        line += b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # a full disk takes what fits: half a line must not come before a whole one
                self._file.truncate(self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RunError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        self._size += written

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """1-based number and content of every line so far but the header; nothing is held in memory."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number > 1:
                    yield number, line

    def damaged(self, number: int, error: Exception) -> RunError:
        """The error of a line that is not what it should be."""
        return RunError(f"{self.path}:{number}: not a line of a work file ({error}). Remove the file to start afresh.")

    def sync(self) -> None:
        """Forces everything so far to the disk. May take milliseconds."""
        os.fsync(self._file.fileno())

    @property
    def holds_work(self) -> bool:
        """There is more than the header."""
        return self._size > self._empty_size

    def remove(self) -> None:
        """Once the output is where it belongs."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        """Held until the file is closed, by a kill too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process is writing {self.path}. Wait for it, or choose another output."
            ) from error

    def _read(self, afresh: bool | None) -> None:
        with self.path.open("rb") as file:
            whole = [len(line) for line in file if line.endswith(b"\n")]
        self._size = self._file.truncate(sum(whole))
        if len(whole) < 2:
            self._begin()
            return
        self._empty_size = whole[0]
        with self.path.open("rb") as file:
            line = file.readline()
        try:
            told = self._differing(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise self.damaged(1, error) from error
        if told and not afresh:
            how = "remove the file" if afresh is None else "add --force"
            raise ConfigError(f"{told}, or {how} to start afresh.")
        if told:
            self._begin()
        elif self._take is not None:
            for number, line in self.rows():
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise self.damaged(number, error) from error

    def _begin(self) -> None:
        self._size = self._file.truncate(0)
        self.append(self._header)
        self._empty_size = self._size

    def _differing(self, header: Mapping[str, Any]) -> str:
        """What the file is of, where that is something else; empty where it is of the same."""
        if header["format"] != self._header["format"]:
            return f"{self.path} is of another version of this program. Finish it with that one"
        before = _flat(header["identity"])
        now = _flat(json.loads(json.dumps(self._header["identity"])))
        differing = [
            f"  {name}: {before.get(name)} then, {now.get(name)} now"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if not differing:
            return ""
        return "\n".join(
            [
                f"{self.path} holds unfinished work on something else:",
                *differing,
                "Repeat that command to finish it, choose another output",
            ]
        )


def path_beside(output: Path) -> Path:
    """The work file of an output."""
    return output.with_name(f".{output.name}.partial")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values below values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
