"""Baseline runs kept in one SQLite file: paid for once, topped up later, shared by processes.

The file (`rm.uplift.database`) holds numbers and short texts, never objects. Runs are told apart by (key, index):
whoever writes an index first has written it, and a second copy is dropped. Claims keep two processes from doing the
same run at once; they save work and guard nothing: a claim whose process is gone, or that is older than its lease, may
be taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from rm.errors import RunError
from rm.uplift.database import Database, Layout
from rm.uplift.executors.base import Sampling
from rm.uplift.problems import Problem
from rm.uplift.runs import Run

SCHEMA_VERSION = 1
LEASE_SECONDS = 300.0
"""How long a claim of a living process is respected."""

_CREATE = """
CREATE TABLE baselines (
    id INTEGER PRIMARY KEY,
    problem TEXT NOT NULL, executor TEXT NOT NULL, prompts TEXT NOT NULL, sampling TEXT NOT NULL,
    verifier TEXT NOT NULL,
    UNIQUE (problem, executor, prompts, sampling, verifier)
);
CREATE TABLE runs (
    baseline INTEGER NOT NULL REFERENCES baselines (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, seed INTEGER NOT NULL, passed INTEGER NOT NULL, score REAL NOT NULL,
    reason TEXT NOT NULL, made REAL NOT NULL,
    PRIMARY KEY (baseline, position)
) WITHOUT ROWID;
CREATE TABLE claims (
    baseline INTEGER NOT NULL REFERENCES baselines (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, owner TEXT NOT NULL, pid INTEGER NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (baseline, position)
) WITHOUT ROWID;
"""
_LAYOUT = Layout(
    what="baseline cache",
    application_id=0x544C5246,  # "TLRF"
    version=SCHEMA_VERSION,
    create=_CREATE,
    remedy="baselines are measured anew. Results files are not touched by this.",
)


@dataclass(frozen=True)
class BaselineKey:
    """What decides the outcome of a run without a trace. Two equal keys may share their runs.

    Args:
        problem: `problem_hash`.
        executor: its fingerprint.
        prompts: version of the templates.
        sampling: `sampling_text`.
        verifier: its version.
    """

    problem: str
    executor: str
    prompts: str
    sampling: str
    verifier: str


def problem_hash(problem: Problem) -> str:
    """SHA-256 of what the executor reads and of what the verifier compares with; names, traces and places do not
    count."""
    content = [problem.problem, problem.task, problem.answer, [asdict(test) for test in problem.io_tests]]
    content += [problem.asserts, problem.entry_point]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def sampling_text(sampling: Sampling) -> str:
    """Every field, in a fixed order."""
    return json.dumps(asdict(sampling), sort_keys=True)


@dataclass(frozen=True)
class Taken:
    """What `take` gave for the positions asked.

    Args:
        found: runs that are in the file.
        mine: positions now claimed by the caller, who should run them and `add` or `release` them. Positions in
            neither are being run by somebody else.
    """

    found: dict[int, Run]
    mine: frozenset[int]


@dataclass(frozen=True)
class ExecutorShare:
    """What the file holds of one executor: number of baselines and runs, Unix times of the oldest and newest run."""

    executor: str
    baselines: int
    runs: int
    oldest: float
    newest: float


@dataclass(frozen=True)
class CacheInfo:
    """What the file holds: `executors` in order of their fingerprint."""

    file: str
    size_bytes: int
    baselines: int
    runs: int
    executors: tuple[ExecutorShare, ...]


class BaselineCache:
    """The file, open. Safe for several threads of one process and for several processes.

    Args:
        path: made, with its folders, where it is missing.
        lease_seconds: > 0, how long the claims made here are respected while this process lives.

    Raises:
        RunError: the file is damaged, was made by another program or by a newer version of this one, or cannot be
            opened.
    """

    def __init__(self, path: str | Path, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds = lease_seconds
        self._owner = uuid.uuid4().hex
        self._file = Database(path, _LAYOUT)

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._file.path

    def __enter__(self) -> BaselineCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives back all claims and closes the file; a second call does nothing."""
        # Closed already, damaged, busy: a claim left behind ends with this process.
        with suppress(RunError), self._file.transaction() as database:
            database.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
        self._file.close()

    def take(self, key: BaselineKey, positions: Iterable[int]) -> Taken:
        """The runs there are, and claims on those that neither exist nor are being made by a living process."""
        wanted = sorted(set(positions))
        now = time.time()
        with self._file.transaction() as database:
            baseline = self._baseline(database, key)
            found = {}
            mine = set()
            for position in wanted:
                row = database.execute(
                    "SELECT seed, passed, score, reason FROM runs WHERE baseline = ? AND position = ?",
                    (baseline, position),
                ).fetchone()
                if row is not None:
                    seed, passed, score, reason = row
                    found[position] = Run(position, seed, bool(passed), score, reason)
                elif self._claim(database, baseline, position, now):
                    mine.add(position)
        return Taken(found, frozenset(mine))

    def add(self, key: BaselineKey, runs: Sequence[Run]) -> None:
        """Keeps judged runs and ends their claims; a position that is there already stays as it is."""
        now = time.time()
        with self._file.transaction() as database:
            baseline = self._baseline(database, key)
            database.executemany(
                "INSERT OR IGNORE INTO runs (baseline, position, seed, passed, score, reason, made) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(baseline, run.index, run.seed, int(run.passed), run.score, run.reason, now) for run in runs],
            )
            self._unclaim(database, baseline, [run.index for run in runs])

    def release(self, key: BaselineKey, positions: Iterable[int]) -> None:
        """Ends claims on runs that came to nothing."""
        with self._file.transaction() as database:
            self._unclaim(database, self._baseline(database, key), positions)

    def info(self) -> CacheInfo:
        """What is in the file now."""
        with self._file.reading() as database:
            rows = database.execute(
                "SELECT executor, COUNT(DISTINCT id), COUNT(*), MIN(made), MAX(made) "
                "FROM baselines JOIN runs ON baseline = id GROUP BY executor ORDER BY executor"
            ).fetchall()
        shares = tuple(ExecutorShare(*row) for row in rows)
        return CacheInfo(
            file=str(self.path),
            size_bytes=self._file.size_bytes,
            baselines=sum(share.baselines for share in shares),
            runs=sum(share.runs for share in shares),
            executors=shares,
        )

    def prune(self, older_than: float | None = None, executor: str | None = None) -> int:
        """Removes the runs that meet every condition given, and gives the space back.

        Args:
            older_than: age in seconds, >= 0.
            executor: a fingerprint.

        Returns:
            How many runs were removed; all of them where no condition is given.
        """
        latest = time.time() + 1 if older_than is None else time.time() - older_than
        with self._file.transaction() as database:
            removed = database.execute(
                "DELETE FROM runs WHERE made <= ? AND baseline IN (SELECT id FROM baselines WHERE ? IN (executor, ''))",
                (latest, executor or ""),
            ).rowcount
            database.execute(
                "DELETE FROM baselines WHERE id NOT IN (SELECT baseline FROM runs UNION SELECT baseline FROM claims)"
            )
        if removed:
            self._file.shrink()
        return int(removed)

    def _claim(self, database: sqlite3.Connection, baseline: int, position: int, now: float) -> bool:
        row = database.execute(
            "SELECT owner, pid, until FROM claims WHERE baseline = ? AND position = ?", (baseline, position)
        ).fetchone()
        if row is not None:
            owner, pid, until = row
            if owner != self._owner and until > now and _alive(pid):
                return False
        database.execute(
            "INSERT OR REPLACE INTO claims (baseline, position, owner, pid, until) VALUES (?, ?, ?, ?, ?)",
            (baseline, position, self._owner, os.getpid(), now + self.lease_seconds),
        )
        return True

    def _unclaim(self, database: sqlite3.Connection, baseline: int, positions: Iterable[int]) -> None:
        database.executemany(
            "DELETE FROM claims WHERE baseline = ? AND position = ? AND owner = ?",
            [(baseline, position, self._owner) for position in positions],
        )

    def _baseline(self, database: sqlite3.Connection, key: BaselineKey) -> int:
        """The key's row, made where it is missing. Looked up every time, since another process may prune it."""
        values = (key.problem, key.executor, key.prompts, key.sampling, key.verifier)
        database.execute(
            "INSERT OR IGNORE INTO baselines (problem, executor, prompts, sampling, verifier) VALUES (?, ?, ?, ?, ?)",
            values,
        )
        row = database.execute(
            "SELECT id FROM baselines "
            "WHERE problem = ? AND executor = ? AND prompts = ? AND sampling = ? AND verifier = ?",
            values,
        ).fetchone()
        return int(row[0])


def _alive(pid: int) -> bool:
    """Whether a process of this number exists; it may be another one by now, which the lease takes care of."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
