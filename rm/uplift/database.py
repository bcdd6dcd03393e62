"""One SQLite file that is ours, open: WAL, committed whole or not at all, errors told in words.

The file holds committed rows only, so that `kill -9` costs what was under way and nothing else.

What this does not cover: SQLite's WAL needs shared memory, so all processes must be on one machine, and a network
file system is refused where SQLite notices it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rm.errors import RunError

BUSY_SECONDS = 30.0
"""How long a statement waits for another process to finish its own."""


@dataclass(frozen=True)
class Layout:
    """What a kind of file looks like.

    Args:
        what: the file, for messages, e.g. `baseline cache`.
        application_id: in the file's header; tells these files from others'.
        version: of the tables.
        create: SQL statements that make them.
        remedy: what to do with a damaged file, a sentence or two.
    """

    what: str
    application_id: int
    version: int
    create: str
    remedy: str


class Database:
    """The file, open. Safe for several threads of one process and for several processes.

    Args:
        path: made, with its folders, where it is missing.
        layout: what has to be in it.

    Raises:
        RunError: the file is damaged, was made by another program or by a newer version of this one, or cannot be
            opened.
    """

    def __init__(self, path: str | Path, layout: Layout) -> None:
        self.path = Path(path).expanduser()
        self._layout = layout
        self._lock = threading.Lock()
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        with self._lock:
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, over all processes; all of the block is committed or nothing. Raises: RunError."""
        with self._lock, self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                with suppress(sqlite3.Error):  # the first error is the one to tell
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """What is committed now; also for statements that no transaction takes. Raises: RunError."""
        with self._lock, self._told():
            yield self._database

    def shrink(self) -> None:
        """Gives back the space of removed rows. Raises: RunError."""
        with self.reading() as database:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def size_bytes(self) -> int:
        """Of the file and of the one that holds what is not yet moved into it."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _prepare(self) -> None:
        """Checks whose file it is, turns WAL on, and makes the tables where the file is new."""
        version = self._pragma("user_version")
        if version or self._pragma("application_id") or self._pragma("schema_version"):
            self._check_origin(version)
        mode = self._wal()
        if mode != "wal":
            raise RunError(
                f"{self.path}: the file system does not let processes share a SQLite file (journal mode {mode}). "
                "Put the cache on a local disk."
            )
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA foreign_keys = ON")
        with self.transaction() as database:
            if self._pragma("user_version") == 0:
                for statement in filter(str.strip, self._layout.create.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {self._layout.application_id}")
                database.execute(f"PRAGMA user_version = {self._layout.version}")
        self._check_origin(self._pragma("user_version"))

    def _check_origin(self, version: int) -> None:
        if self._pragma("application_id") != self._layout.application_id:
            raise RunError(f"{self.path} is a SQLite file of another program. Give the cache another path.")
        if version > self._layout.version:
            raise RunError(
                f"{self.path} was made by a newer version of this program (schema {version}, known up to "
                f"{self._layout.version}). Upgrade, or give the cache another path."
            )

    def _wal(self) -> str:
        """Turns WAL on. SQLite does not wait for others here, so this does."""
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return str(self._database.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what SQLite or the file system refuses into a message for the user."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise RunError(f"The {self._layout.what} {self.path} cannot be used: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise RunError(
                f"The {self._layout.what} {self.path} is damaged ({error}). Move it away, with its -wal and -shm "
                f"files, and run again: {self._layout.remedy}"
            ) from error
        except OSError as error:
            raise RunError(f"The {self._layout.what} {self.path} cannot be used: {error.strerror or error}.") from error
