"""`groups check --against`: how much of one set stands in another, groups or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, cycle
from typing import Any

from rm.errors import DataError, Problem
from rm.groups.parse import FirstOf, shown
from rm.groups.read import data_files
from rm.groups.rows import file_rows
from rm.groups.schema import problem_key
from rm.groups.similarity import DEFAULT_THRESHOLD, Overlap, overlap

REPORTED_PAIRS = 20
_TEXTS = ("problem", "question")


@dataclass(frozen=True)
class Stated:
    """A problem of any row that has a `problem` or a `question`; its id is FILE:LINE where the row has none."""

    problem_id: str
    problem: str

    @property
    def problem_key(self) -> str:
        """As `Group.problem_key`."""
        return problem_key(self.problem)


@dataclass(frozen=True)
class Contamination:
    """What two sets share, seen from the smaller one.

    Args:
        smaller, larger: the names of their files.
        problems: of the smaller set.
        overlap: its problems are the `dev` side.
    """

    smaller: tuple[str, ...]
    larger: tuple[str, ...]
    problems: int
    overlap: Overlap

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, with the closest pairs."""
        found = asdict(self)
        found["overlap"]["closest"] = found["overlap"]["closest"][:REPORTED_PAIRS]
        return found


def contamination(
    paths: Sequence[str], against: Sequence[str], threshold: float = DEFAULT_THRESHOLD, *, progress: bool = False
) -> Contamination:
    """Compare the problems of two sets; the smaller one is held in memory.

    Args:
        paths, against: as `rm.groups.load_groups`; rows of any kind with a `problem` or a `question`.
        threshold: Jaccard similarity from which on two problems are near-duplicates, in (0, 1].
        progress: a bar on stderr.

    Raises:
        DataError: a row without a problem, a file that cannot be read.
    """
    problems: FirstOf[Problem] = FirstOf()
    streams = [stated_problems(names, problems) for names in (paths, against)]
    heads: tuple[list[Stated], list[Stated]] = ([], [])
    turn = 0
    for turn in cycle((0, 1)):  # one of each in turn; the set that ends first is the smaller one
        each = next(streams[turn], None)
        if each is None:
            break
        heads[turn].append(each)
    larger = chain(heads[1 - turn], streams[1 - turn])
    found = overlap(larger, heads[turn], threshold, progress=progress)
    if problems:
        raise DataError(problems, problems.total)
    names = (tuple(map(str, paths)), tuple(map(str, against)))
    return Contamination(names[turn], names[1 - turn], len(heads[turn]), found)


def stated_problems(paths: Sequence[str], problems: FirstOf[Problem]) -> Iterator[Stated]:
    """The problems of files, one a row; rows without one are told to `problems`."""
    for file in data_files(paths):
        for row in file_rows(file, problems.append, what="problem"):
            fields = row.value if isinstance(row.value, dict) else {}
            text = next((fields[key] for key in _TEXTS if isinstance(fields.get(key), str)), "")
            if text.strip():
                yield Stated(str(fields.get("problem_id") or f"{row.file}:{row.line}"), text)
            else:
                problems.append(Problem(row.file, row.line, "problem", "text that is not blank", shown(text)))
