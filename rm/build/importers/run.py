"""`groups import`: files of others to one file of groups, with an account of what was left out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rm.build.importers.base import Dropped, Importer, Judge, RowReader
from rm.build.importers.join import Spool, group_of
from rm.build.importers.table import detect_importer, find_importer
from rm.errors import DataError, Problem
from rm.files import replace_file
from rm.groups.parse import RowParser
from rm.groups.rows import Row, read_rows, surrogate_problem
from rm.groups.schema import Group
from rm.groups.summary import Summary, Tally
from rm.uplift.loop import LoopThread
from rm.uplift.problems import Problem as Checked
from rm.uplift.verifiers.base import Verdict, Verifier
from rm.uplift.verifiers.table import make_verifier


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Args:
        importer: its name.
        rows: read.
        traces: found in them.
        groups: written.
        dropped: reason -> how many rows, traces or groups were left out for it.
        examples: reason -> the first places.
        summary: of the groups.
    """

    importer: str
    rows: int
    traces: int
    groups: int
    dropped: dict[str, int]
    examples: dict[str, list[str]]
    summary: Summary

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        fields = {key: value for key, value in vars(self).items() if key != "summary"}
        return {**fields, "statistics": asdict(self.summary)}


def import_groups(
    paths: Sequence[str],
    out: str | Path,
    name: str = "",
    *,
    limit: int | None = None,
    force: bool = False,
    progress: bool = False,
    announce: Callable[[Importer], object] = lambda importer: None,
) -> Imported:
    """Convert files to groups and write them as JSON Lines; the same files give the same groups.

    Args:
        paths: as `rm.groups.load_groups`; their rows are read one at a time.
        out: the file to write.
        name: of an importer; "" for the one that knows the first row's fields.
        limit: write only so many groups, the first.
        force: replace `out`.
        progress: bars on stderr.
        announce: called with the importer, before the rows are read.

    Raises:
        ConfigError: an unknown importer, or rows that none knows; `out` exists.
        DataError: a file cannot be read, or it gives no group, with the reasons.
    """
    dropped = Dropped()
    problems: list[Problem] = []
    rows = (row for path in paths for row in read_rows(path, problems.append, what="row"))
    first = next(rows, None)
    if first is None:
        raise DataError(problems)
    importer = find_importer(name) if name else detect_importer(first.value, f"{first.file}:{first.line}")
    announce(importer)
    with ExitStack() as stack:
        spool = stack.enter_context(Spool())
        judge = stack.enter_context(_verifying())
        count, traces = 0, 0
        for row in tqdm(_with_first(first, rows), "rows", unit=" rows", disable=None if progress else True):
            count += 1
            traces += _take(row, importer, judge, dropped, spool)
        if problems:
            raise DataError(problems)
        tally = Tally()
        staging = stack.enter_context(replace_file(out, force))
        with staging.open("w", encoding="utf-8", newline="\n") as file:
            for text, group in _groups(spool, importer, dropped, limit, progress):
                file.write(text + "\n")
                tally.add(group)
        summary = tally.summary()
        if summary is None:
            raise DataError([_nothing(paths, dropped)])
    return Imported(
        importer.name, count, traces, summary.groups, dict(dropped.counts.most_common()), dropped.examples, summary
    )


def _with_first(first: Row, rows: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rows


def _take(row: Row, importer: Importer, judge: Judge, dropped: Dropped, spool: Spool) -> int:
    """Spool the traces of a row; how many there were."""
    reader = RowReader(row, dropped, judge)
    if not isinstance(row.value, dict) or not importer.detect(row.value):
        reader.drop(f"rows of another form than {importer.name}")
        return 0
    if surrogate_problem("", 0, "", row.value):
        reader.drop("rows with half a character (a lone surrogate)")
        return 0
    count = 0
    for trace in importer.traces(reader):
        count += 1
        if not trace.problem.strip() and not trace.key:
            reader.drop("a blank problem")
        elif not trace.reasoning.strip():
            reader.drop("a blank trace")
        else:
            spool.add(trace, reader.place)
    return count


def _groups(
    spool: Spool, importer: Importer, dropped: Dropped, limit: int | None, progress: bool
) -> Iterator[tuple[str, Group]]:
    """Every group that is one by the schema, as a line and as it will be read."""
    parser = RowParser()
    written = 0
    ids: Counter[str] = Counter()
    for found in tqdm(spool.problems(), "groups", unit=" groups", disable=None if progress else True):
        if written == limit:
            return
        row = group_of(found, importer.name, dropped)
        if row is None:
            continue
        ids[row["problem_id"]] += 1
        if (again := ids[row["problem_id"]]) > 1:
            row["problem_id"] += f"_{again}"
        place = found[0][1]
        group = parser.parse(place, 0, row)
        if group is None:
            for problem in parser.errors:
                dropped.add(f"no group: {problem.field}, expected {problem.expected}", f"{place}: {problem.found}")
            parser.errors.clear()
            continue
        written += 1
        yield json.dumps(row, ensure_ascii=False), group


@contextmanager
def _verifying() -> Iterator[Judge]:
    """A judge by `rm.uplift.verifiers`; the verifier is made for the first answer."""
    verifier: Verifier | None = None
    outcomes = {"passed": True, "failed": False}

    def judge(answers: Sequence[str], reference: str) -> list[bool | None]:
        nonlocal verifier
        verifier = found = verifier or make_verifier("math")
        problem = Checked("", "", "math", answer=reference)

        async def all_of_them() -> list[Verdict]:
            return await asyncio.gather(*(found.verify(answer, problem) for answer in answers))

        return [outcomes.get(verdict.outcome) for verdict in loop.wait(all_of_them())]

    with LoopThread("answer checks") as loop:  # not the caller's: a notebook's runs already
        try:
            yield judge
        finally:
            if verifier is not None:
                loop.wait(verifier.close())


def _nothing(paths: Sequence[str], dropped: Dropped) -> Problem:
    reasons = "; ".join(
        f"{count:,} {reason} ({', '.join(dropped.examples[reason])})" for reason, count in dropped.counts.most_common(5)
    )
    return Problem(", ".join(map(str, paths)), 0, "", "rows that make a group", f"none: {reasons}")
