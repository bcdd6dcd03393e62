"""One JSON row to one `Group`: the only place that knows which rows are groups and which are not.

Reading and checking both come through here, so that a file that checks clean is a file that loads.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from rm.errors import Problem
from rm.groups.rows import surrogate_problem
from rm.groups.schema import DEFAULT_NEGATIVE_KIND, POSITIVE_KIND, UNKNOWN, Candidate, Group
from rm.rubric import Rubric

POOLS = ("positive_pool", "negative_bank")
TOTAL = "total"
ROW_KEYS = frozenset(
    {
        *("problem_id", "problem", "source", "task_type", "reference_solution", "tests", "tests_or_constraints"),
        *("metadata", *POOLS),
    }
)
TRACE_KEYS = frozenset({"reasoning", "rubric", "negative_kind", "metadata"})
"""What is read of a row and of a trace. Others may stand there; they are kept with the row."""
KEPT_ERRORS = 10_000
KEPT_WARNINGS = 1_000
"""How many errors, and how many warnings of a kind, are kept; all are counted."""

_Item = TypeVar("_Item")
_LINE_BITS = 40


@dataclass(frozen=True)
class Warned:
    """Something doubtful that does not stop the data from being used.

    Args:
        kind: a short phrase that is the same for all warnings of its sort, to count and sum up by.
        problem: where it is and what it is.
    """

    kind: str
    problem: Problem


class FirstOf(list[_Item]):
    """A list that keeps the first of what is appended; `total` counts all of it."""

    def __init__(self, limit: int = KEPT_ERRORS) -> None:
        super().__init__()
        self.limit = limit
        self.total = 0

    def append(self, item: _Item) -> None:
        self.total += 1
        if len(self) < self.limit:
            super().append(item)


class Warnings(list[Warned]):
    """The first warnings of each kind; `counts` has how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def append(self, item: Warned) -> None:
        self.counts[item.kind] += 1
        if self.counts[item.kind] <= KEPT_WARNINGS:
            super().append(item)


@dataclass
class RowParser:
    """Turns rows into groups; gathers errors and warnings, and remembers ids across rows and files.

    Args:
        rubric: what labels are checked against; without one, any integers from 0 on are labels.
    """

    rubric: Rubric | None = None
    errors: FirstOf[Problem] = field(default_factory=FirstOf)
    warnings: Warnings = field(default_factory=Warnings)
    _ignored: dict[tuple[str, str], list[int]] = field(default_factory=dict, init=False, repr=False)
    _files: list[str] = field(default_factory=list, init=False, repr=False)
    _id_places: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def parse(self, file: str, line: int, value: Any) -> Group | None:
        """The group on that line, or None where it has an error."""
        row = _RowParse(self, file, line)
        before = self.errors.total
        group = row.group(value)
        return group if self.errors.total == before else None

    def first_place_of(self, problem_id: str, file: str, line: int) -> str | None:
        """Where this id was seen before; None, and the place is remembered, where it is new."""
        seen = self._id_places.get(problem_id)
        if seen is not None:
            return f"{self._files[seen >> _LINE_BITS]}:{seen & ((1 << _LINE_BITS) - 1)}"
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._id_places[problem_id] = (len(self._files) - 1) << _LINE_BITS | line
        return None

    def ignore(self, kind: str, name: str, problem: Problem) -> None:
        """A warning of an entry that is passed over: one for all traces that have an entry of this name."""
        seen = self._ignored.get((kind, name))
        if seen is None:
            self._ignored[kind, name] = [len(self.warnings), 1]
            self.warnings.append(Warned(kind, problem))
        else:
            seen[1] += 1

    def all_warnings(self) -> Warnings:
        """The warnings, once every row is parsed: what was passed over says how often."""
        for at, count in self._ignored.values():
            if count > 1 and at < len(self.warnings):
                first = self.warnings[at]
                found = f"{first.problem.found}, and so in {count - 1:,} more places"
                self.warnings[at] = Warned(first.kind, replace(first.problem, found=found))
        self._ignored.clear()
        return self.warnings


class _RowParse:
    """The parsing of one row: knows its place, so that the methods below need only name fields."""

    def __init__(self, parser: RowParser, file: str, line: int) -> None:
        self.parser = parser
        self.file = file
        self.line = line

    def error(self, field: str, expected: str, found: str, fix: str = "") -> None:
        self.parser.errors.append(Problem(self.file, self.line, field, expected, found, fix))

    def ignore(self, kind: str, name: str, field: str, expected: str, value: object) -> None:
        problem = Problem(self.file, self.line, f"{field}.{name}", expected, shown(value), "Ignored.")
        self.parser.ignore(kind, name, problem)

    def misspelt(self, row: Mapping[str, Any], known: frozenset[str], field: str = "") -> None:
        """Warns of keys that nobody reads and that look like one which somebody would, and which is not there."""
        for name in row.keys() - known:
            meant = _close_key(str(name), known)
            if meant and meant not in row:
                problem = Problem(
                    self.file, self.line, f"{field}{name}", f"the key {meant}", shown(row[name]), "Ignored as it is."
                )
                self.parser.ignore("misspelt keys", str(name), problem)

    def group(self, row: Any) -> Group | None:
        if not isinstance(row, dict):
            self.error("", "a JSON object, one group", shown(row))
            return None
        self.misspelt(row, ROW_KEYS)
        metadata = _mapping(row.get("metadata"))
        source = _first_text(row.get("source"))
        group = Group(
            problem_id=self.problem_id(row),
            problem=self.text(row, "problem", "problem"),
            candidates=tuple(candidate for pool in POOLS for candidate in self.pool(row, pool)),
            source=source,
            task_type=_first_text(row.get("task_type"), metadata.get("task_type"), source),
            reference_solution=_reference(row.get("reference_solution")),
            tests=_tests(row),
            metadata=metadata,
            raw=row,
            file=self.file,
            line=self.line,
        )
        for name in ("problem_id", "source", "task_type", "reference_solution", "tests"):
            self.check_encodable(getattr(group, name), name)
        return group

    def problem_id(self, row: Mapping[str, Any]) -> str:
        value = row.get("problem_id")
        whole_number = isinstance(value, int) and not isinstance(value, bool)
        if not whole_number and not (isinstance(value, str) and value.strip()):
            found = shown(value) if "problem_id" in row else "missing"
            self.error("problem_id", "a text or a whole number, one of its own for each problem", found)
            return ""
        problem_id = str(value)
        first = self.parser.first_place_of(problem_id, self.file, self.line)
        if first is not None:
            fix = "Give one of them another id, or leave one out."
            self.error("problem_id", f"an id of its own ({first} has this one)", shown(value), fix)
        return problem_id

    def text(self, row: Mapping[str, Any], key: str, field: str) -> str:
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            self.error(field, "text that is not blank", shown(value) if key in row else "missing")
            return ""
        self.check_encodable(value, field)
        return value

    def check_encodable(self, value: object, field: str) -> None:
        problem = surrogate_problem(self.file, self.line, field, value)
        if problem is not None:
            self.parser.errors.append(problem)

    def pool(self, row: Mapping[str, Any], key: str) -> list[Candidate]:
        entries = row.get(key)
        if not isinstance(entries, list) or not entries:
            self.error(key, "a list of at least one trace", shown(entries) if key in row else "missing")
            return []
        candidates = (self.candidate(entry, key, f"{key}[{i}]") for i, entry in enumerate(entries))
        return [candidate for candidate in candidates if candidate is not None]

    def candidate(self, entry: Any, pool: str, field: str) -> Candidate | None:
        if not isinstance(entry, dict):
            self.error(field, "an object with `reasoning`", shown(entry), 'Write it as {"reasoning": "..."}.')
            return None
        self.misspelt(entry, TRACE_KEYS, f"{field}.")
        labels = entry.get("rubric")
        if labels is not None and not isinstance(labels, dict):
            self.error(f"{field}.rubric", "an object, dimension to label, or null", shown(labels))
            labels = None
        positive = pool == POOLS[0]
        kind = POSITIVE_KIND if positive else _first_text(entry.get("negative_kind"), DEFAULT_NEGATIVE_KIND)
        self.check_encodable(kind, f"{field}.negative_kind")
        return Candidate(
            reasoning=self.text(entry, "reasoning", f"{field}.reasoning"),
            positive=positive,
            kind=kind,
            rubric=self.labels(labels, f"{field}.rubric") if labels else None,
            total=self.total(labels.get(TOTAL), f"{field}.rubric.{TOTAL}") if labels else None,
            metadata=_mapping(entry.get("metadata")),
        )

    def total(self, value: Any, field: str) -> float | None:
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and 0 <= value <= 1:  # false for NaN
            return float(value)
        fix = "Divide a judge's 0-10 score by 10." if number and 1 < value <= 10 else ""
        self.error(field, "a number from 0 to 1, or null", shown(value), fix)
        return None

    def labels(self, row: Mapping[str, Any], field: str) -> Mapping[str, int] | None:
        if self.parser.rubric is None:
            return self.any_labels(row, field)
        return self.labels_of(self.parser.rubric, row, field)

    def labels_of(self, rubric: Rubric, row: Mapping[str, Any], field: str) -> Mapping[str, int] | None:
        """The labels of the rubric's dimensions, all of which must be there."""
        top = rubric.num_levels - 1
        for name in rubric.dimension_names:
            if name not in row:
                fix = f'Label it, drop this "rubric", or use another rubric than {rubric.name}.'
                self.error(f"{field}.{name}", f"an integer 0-{top}", "missing", fix)
            elif not _is_label(row[name]) or row[name] > top:
                self.error(f"{field}.{name}", f"an integer 0-{top}", shown(row[name]), _label_fix(row[name], top))
        known = {*rubric.dimension_names, TOTAL}
        for name in row:
            if name not in known:
                expected = f"a dimension of the rubric {rubric.name}"
                self.ignore("labels of unknown dimensions", name, field, expected, row[name])
        return {name: row[name] for name in rubric.dimension_names if name in row}

    def any_labels(self, row: Mapping[str, Any], field: str) -> Mapping[str, int] | None:
        """Whatever can be a label, where no rubric says what there should be."""
        entries = {name: value for name, value in row.items() if name != TOTAL}
        labels = {name: value for name, value in entries.items() if name.isidentifier() and _is_label(value)}
        for name, value in entries.items():
            if name not in labels:
                expected = "a name that a dimension can have, and an integer from 0 on"
                self.ignore("entries that are no labels", name, field, expected, value)
        return labels or None


@lru_cache(maxsize=1024)
def _close_key(name: str, known: frozenset[str]) -> str:
    """The known key that looks most like it; empty where none does."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)), "")


def shown(value: object) -> str:
    """A value short enough to print."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _label_fix(value: object, top: int) -> str:
    if _is_label(value):
        return f"Correct the label, or use a rubric with more than {top + 1} levels."
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return f"Write it as {int(value)}."
    return ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first_text(*values: object) -> str:
    """The first value that says something, as text; official rows fall back in this manner."""
    return next((str(value) for value in values if value not in (None, "")), UNKNOWN)


def _reference(value: object) -> str:
    return "" if value is None else str(value)


def _tests(row: Mapping[str, Any]) -> Any:
    for key in ("tests_or_constraints", "tests"):
        value = row.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if value and not isinstance(value, str):
            return value
    return None
