"""The work file of a measurement: what is done is on disk at once, so that a killed run goes on where it was.

JSON Lines beside the output, `.OUT.partial`: a header that says what is measured and how, then judged runs of both
arms and log-likelihoods as they come, and a result each finished trace, which is forced to the disk. Only whole lines
count: what a kill left of the last one is dropped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rm.errors import ConfigError, RunError
from rm.uplift.results import TraceResult
from rm.uplift.runs import Run, Slot

FORMAT = 2

Place = tuple[str, int | None]
"""Problem and trace; None for the problem's baseline."""
LogName = Literal["answer", "masked"]
"""Which log-likelihood of a place: that of the answer, or that after the trace with the answer masked."""


class Journal:
    """Opens or makes the work file, and holds what an interrupted run left in it.

    Args:
        output: the results file to be.
        identity: everything that decides the results, as JSON values; compared with the header.

    Attributes:
        results: of finished traces.
        slots: judged runs, by place and index.
        logs: log-likelihoods in nats, by place and which one.

    Raises:
        ConfigError: the file is of a measurement of something else, or another process is writing it.
        RunError: it is damaged other than in its last line, or cannot be written.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any]) -> None:
        self.path = output.with_name(f".{output.name}.partial")
        self.results: dict[Place, TraceResult] = {}
        self.slots: dict[Place, dict[int, Slot]] = {}
        self.logs: dict[tuple[Place, LogName], float] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise RunError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        try:
            self._lock()
            self._read(identity)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add_slots(self, place: Place, slots: Sequence[Slot]) -> None:
        """Keeps the judged ones. They outlive the process, not a failure of the machine."""
        kept = [[*astuple(slot.run), list(slot.failures)] for slot in slots if slot.run is not None]
        if kept:
            self._append({"of": place, "runs": kept})

    def add_log(self, place: Place, name: LogName, log: float) -> None:
        """Keeps a log-likelihood. Outlives the process, not a failure of the machine."""
        self._append({"of": place, "log": name, "nats": log})

    def add_result(self, place: Place, result: TraceResult) -> None:
        """Keeps a finished trace; `sync` makes sure of it."""
        self._append({"of": place, "result": result.as_row()})

    def sync(self) -> None:
        """Forces everything so far to the disk. May take milliseconds."""
        os.fsync(self._file.fileno())

    @property
    def holds_work(self) -> bool:
        """There is more than the header."""
        return self._size > self._empty_size

    def remove(self) -> None:
        """Once the results are where they belong."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        """Held until the file is closed, by a kill too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another process is writing {self.path}. Wait for it, or choose another output."
            ) from error

    def _read(self, identity: Mapping[str, Any]) -> None:
        self._file.seek(0)
        content = self._file.readall() or b""
        whole = content[: content.rfind(b"\n") + 1]
        self._size = self._file.truncate(len(whole))
        lines = whole.splitlines()
        if not lines:
            self._append({"format": FORMAT, "identity": identity})
            self._empty_size = self._size
            return
        self._empty_size = len(lines[0]) + 1
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                if number == 1:
                    self._check(row, identity)
                else:
                    self._take(row)
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(
                    f"{self.path}:{number}: not a line of a work file ({error}). Remove the file to start afresh."
                ) from error

    def _check(self, header: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        if header["format"] != FORMAT:
            raise ConfigError(f"{self.path} is of another version of this program. Remove it to start afresh.")
        before = header["identity"]
        now = json.loads(json.dumps(identity))
        differing = [
            f"  {name}: {before.get(name)} then, {now.get(name)} now"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if differing:
            raise ConfigError(
                f"{self.path} holds an unfinished measurement of something else:\n"
                + "\n".join(differing)
                + "\nRepeat that command to finish it, choose another output, or remove the file to start afresh."
            )

    def _take(self, row: Mapping[str, Any]) -> None:
        problem_id, trace = row["of"]
        place = (problem_id, trace)
        if "result" in row:
            self.results[place] = TraceResult.from_row(row["result"])
            return
        if "log" in row:
            self.logs[place, row["log"]] = row["nats"]
            return
        kept = self.slots.setdefault(place, {})
        for index, seed, passed, score, reason, failures in row["runs"]:
            kept[index] = Slot(index, Run(index, seed, passed, score, reason), tuple(failures))

    def _append(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # a full disk takes what fits: half a line must not come before a whole one
                self._file.truncate(self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RunError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        self._size += written
