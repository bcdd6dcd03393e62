"""Traces that come in any order, joined to groups by problem, in bounded memory.

Traces wait in a temporary database on disk; one problem's are held at a time. Groups come in the order in which their
problems were met, traces in the order of the files.

Two traces of one side are the same where nothing but case, spacing and punctuation differs, and nearly the same where
they are of one kind, have the same numbers and signs of calculation in the same order, and sets of character 5-grams
with a Jaccard similarity of at least `NEAR`; the first one stays. Traces that differ in a number or a sign are never
merged: a single digit is what many flaws are made of.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from rm.build.importers.base import Dropped, Trace
from rm.groups.schema import DEFAULT_NEGATIVE_KIND, POSITIVE_KIND, problem_key
from rm.groups.similarity import shingles_of

NEAR = 0.9
_SIGNS = r"[-+*/=^<>%×÷·−–]"
_CALCULATED = re.compile(rf"\d+(?:[.,]\d+)*|{_SIGNS}")
_WORD = re.compile(rf"\w+(?:[.,]\d+)*|{_SIGNS}")

Row = dict[str, Any]


class Spool:
    """Traces on disk until all of a problem are there. A context manager; the file goes when it ends."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tracelift-import-")
        self._database = sqlite3.connect(Path(self._folder.name) / "traces.sqlite", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE problems (key TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;"
            "CREATE TABLE traces (number INTEGER, place TEXT, body TEXT);"
            "BEGIN"
        )
        self._problems = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, trace: Trace, place: str) -> None:
        """One more trace; `place` is its file and line."""
        key = trace.key or problem_key(trace.problem)
        found = self._database.execute("SELECT number FROM problems WHERE key = ?", (key,)).fetchone()
        if found is None:
            found = (self._problems,)
            self._database.execute("INSERT INTO problems VALUES (?, ?)", (key, self._problems))
            self._problems += 1
        self._database.execute("INSERT INTO traces VALUES (?, ?, ?)", (*found, place, json.dumps(asdict(trace))))

    def problems(self) -> Iterator[list[tuple[Trace, str]]]:
        """The traces of each problem, with their places. Nothing may be added afterwards."""
        self._database.execute("CREATE INDEX by_problem ON traces (number)")
        for number in range(self._problems):
            rows = self._database.execute("SELECT place, body FROM traces WHERE number = ? ORDER BY rowid", (number,))
            yield [(Trace(**json.loads(body)), place) for place, body in rows]


def group_of(found: Sequence[tuple[Trace, str]], importer: str, dropped: Dropped) -> Row | None:
    """The row of a group, from the traces of one problem; None, and counted, where a side is missing.

    Args:
        found: at least one trace, with its place.
        importer: name, for the group's metadata.
    """
    stated = [trace for trace, _ in found if trace.problem]
    if not stated:
        dropped.add("groups without a problem: only flawed traces, whose sound one is not among the files", found[0][1])
        return None
    first = next((trace for trace in stated if trace.positive), stated[0])
    key = problem_key(first.problem)
    own = []
    for trace, place in found:
        if trace.problem and problem_key(trace.problem) != key:
            dropped.add("traces of another problem under the same index; import such files one by one", place)
        else:
            own.append((trace, place))
    traces = _distinct(own, dropped)
    sides = {side: [trace for trace in traces if trace.positive == side] for side in (True, False)}
    for side, name in ((True, "right"), (False, "flawed")):
        if not sides[side]:
            dropped.add(f"groups without a {name} trace", found[0][1])
            return None
    return _row(first, sides[True], sides[False], importer)


def _row(first: Trace, positives: Sequence[Trace], negatives: Sequence[Trace], importer: str) -> Row:
    source = first.source or "imported"
    digest = hashlib.sha256(problem_key(first.problem).encode(errors="backslashreplace")).hexdigest()
    every = (*positives, *negatives)
    row: Row = {
        "problem_id": next((trace.problem_id for trace in every if trace.problem_id), f"{source}_{digest[:12]}"),
        "source": source,
        "task_type": first.task_type,
        "problem": first.problem,
        "reference_solution": next((trace.reference for trace in every if trace.reference), ""),
        "positive_pool": [_candidate(trace) for trace in positives],
        "negative_bank": [_candidate(trace) for trace in negatives],
        "metadata": {"importer": importer},
    }
    tests = next((trace.tests for trace in every if trace.tests is not None), None)
    return row if tests is None else {**row, "tests": tests}


def _candidate(trace: Trace) -> Row:
    entry: Row = {"reasoning": trace.reasoning}
    if not trace.positive:
        entry["negative_kind"] = trace.kind or DEFAULT_NEGATIVE_KIND
    if trace.rubric is not None:
        entry["rubric"] = dict(trace.rubric)
    if trace.metadata:
        entry["metadata"] = dict(trace.metadata)
    return entry


def _distinct(found: Sequence[tuple[Trace, str]], dropped: Dropped) -> list[Trace]:
    """Each trace once: near-duplicates of a side and what stands on both sides are counted and left out."""
    by_words: dict[str, set[bool]] = {}
    for trace, _ in found:
        by_words.setdefault(_words(trace), set()).add(trace.positive)
    kept: list[Trace] = []
    seen: set[str] = set()
    shingles: dict[tuple[str, ...], list[set[str]]] = {}
    for trace, place in found:
        words = _words(trace)
        if len(by_words[words]) > 1:
            dropped.add("traces that are called both right and flawed", place)
            continue
        side = POSITIVE_KIND if trace.positive else trace.kind
        alike = shingles.setdefault((side, *_CALCULATED.findall(trace.reasoning)), [])
        own = shingles_of(words)
        if words in seen or any(len(own & other) >= NEAR * len(own | other) for other in alike):
            dropped.add("near-duplicates of a trace of the same problem", place)
            continue
        seen.add(words)
        alike.append(own)
        kept.append(trace)
    return kept


def _words(trace: Trace) -> str:
    """A trace without case, spacing and punctuation; signs of calculation stay."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", trace.reasoning).casefold()))
