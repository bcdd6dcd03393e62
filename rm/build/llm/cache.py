"""Replies of language models kept in one SQLite file: a rerun or a resumed build asks nothing twice."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from rm.uplift.database import Database, Layout
from rm.uplift.executors.base import Prompt, Sampling

SCHEMA_VERSION = 1
_LAYOUT = Layout(
    what="cache of replies",
    application_id=0x544C5250,  # "TLRP"
    version=SCHEMA_VERSION,
    create="""
CREATE TABLE replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, prompts TEXT NOT NULL,
    text TEXT NOT NULL, finished INTEGER NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, made REAL NOT NULL
) WITHOUT ROWID;
""",
    remedy="models are asked anew.",
)


@dataclass(frozen=True)
class Question:
    """What decides a reply. Two equal questions may share theirs.

    Args:
        model: fingerprint of the executor.
        prompts: version of the template.
        prompt: what is asked.
        sampling: how the reply is drawn.
        seed: of the draw.
    """

    model: str
    prompts: str
    prompt: Prompt
    sampling: Sampling
    seed: int

    @property
    def key(self) -> str:
        """SHA-256 of everything."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Replied:
    """A reply as it came.

    Args:
        text: may be empty.
        finished: False where it was cut off.
        prompt_tokens, completion_tokens: None where the server does not tell.
    """

    text: str
    finished: bool
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class ModelShare:
    """What the file holds of one model: its fingerprint, number of replies, their tokens as far as told, Unix times of
    the oldest and newest."""

    model: str
    replies: int
    tokens: int
    oldest: float
    newest: float


@dataclass(frozen=True)
class RepliesInfo:
    """What the file holds: `models` in order of their fingerprint."""

    file: str
    size_bytes: int
    replies: int
    models: tuple[ModelShare, ...]


class ReplyCache:
    """The file, open; for threads and processes as `rm.uplift.database` says.

    Args:
        path: made, with its folders, where it is missing.

    Raises:
        RunError: as `Database`.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = Database(path, _LAYOUT)

    def __enter__(self) -> ReplyCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._file.path

    def get(self, question: Question) -> Replied | None:
        """The reply to this very question, if there was one."""
        with self._file.reading() as database:
            row = database.execute(
                "SELECT text, finished, prompt_tokens, completion_tokens FROM replies WHERE key = ?", (question.key,)
            ).fetchone()
        return None if row is None else Replied(row[0], bool(row[1]), row[2], row[3])

    def put(self, question: Question, reply: Replied) -> None:
        """Keeps a reply; one that is there already stays."""
        values = (question.key, question.model, question.prompts, reply.text, int(reply.finished))
        with self._file.transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, reply.prompt_tokens, reply.completion_tokens, time.time()),
            )

    def info(self) -> RepliesInfo:
        """What is in the file now."""
        with self._file.reading() as database:
            rows = database.execute(
                "SELECT model, COUNT(*), SUM(IFNULL(prompt_tokens, 0) + IFNULL(completion_tokens, 0)), MIN(made), "
                "MAX(made) FROM replies GROUP BY model ORDER BY model"
            ).fetchall()
        shares = tuple(ModelShare(*row) for row in rows)
        return RepliesInfo(str(self.path), self._file.size_bytes, sum(share.replies for share in shares), shares)

    def prune(self, older_than: float | None = None, model: str | None = None) -> int:
        """Removes the replies that meet every condition given, and gives the space back.

        Args:
            older_than: age in seconds, >= 0.
            model: a fingerprint.

        Returns:
            How many were removed; all of them where no condition is given.
        """
        latest = time.time() + 1 if older_than is None else time.time() - older_than
        with self._file.transaction() as database:
            removed = database.execute(
                "DELETE FROM replies WHERE made <= ? AND ? IN (model, '')", (latest, model or "")
            ).rowcount
        if removed:
            self._file.shrink()
        return int(removed)

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._file.close()
