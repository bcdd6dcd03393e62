"""Rows to seeds: problems with one sound solution each, from files or from any iterator of rows.

Forms of row, told apart by their keys:
- group (`positive_pool`; the official schema): its first positive trace is the solution (code: the plan), its other
  traces are passed over;
- GSM8K (`question`, `answer` that ends in `#### 24`);
- a problem, its solution and its answer, under any of the usual names (`_NAMES`);
- MBPP and HumanEval (`prompt` or `text`, `code` or `canonical_solution`, tests, `entry_point`), and problem rows.

`fields` says which key holds what in rows of another form. A math row needs a worked solution and an answer (of its
own, after `####`, or in a box); a code row a program or a plan. A row that lacks them is reported and left out.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from rm.build.seed import Seed
from rm.errors import PRINTED, ConfigError, DataError, Problem
from rm.groups.locate import DataFile
from rm.groups.parse import POOLS, shown
from rm.groups.read import located
from rm.groups.rows import read_rows, surrogate_problem
from rm.groups.schema import UNKNOWN
from rm.uplift.verifiers.answers import reference_answer

FIELDS = ("problem_id", "problem", "solution", "plan", "answer", "tests", "entry_point", "source")
"""What a mapping of fields may name."""
_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "math": {
        "problem_id": ("problem_id", "id", "task_id"),
        "problem": ("problem", "question", "prompt", "query", "text"),
        "solution": ("solution", "reasoning", "rationale", "worked_solution", "response", "reference_solution"),
        "answer": ("answer", "final_answer", "expected_answer", "reference_answer"),
        "source": ("source",),
    },
    "code": {
        "problem_id": ("problem_id", "task_id", "id", "name"),
        "problem": ("problem", "prompt", "text", "question"),
        "solution": ("reference_solution", "canonical_solution", "code", "solution"),
        "plan": ("plan", "reasoning"),
        "tests": ("tests_or_constraints", "tests", "test", "test_list"),
        "entry_point": ("entry_point",),
        "source": ("source",),
    },
}
"""Task -> what -> the keys that may hold it, the first that has something decides."""

_KEYS = 20
"""Of a row's keys so many are told, at most."""

RawRow = tuple[Any, str, int]
"""A JSON value, the file it stands in, and its 1-based line: what any source of seeds yields."""


@dataclass
class Refused:
    """Rows that became no seeds.

    Attributes:
        counts: how many, by what was wrong.
        first: the first of them, as many as a message prints.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: list[Problem] = field(default_factory=list)

    def __call__(self, problem: Problem) -> None:
        self.counts[f"{problem.field}: {problem.expected}" if problem.field else problem.expected] += 1
        if len(self.first) < PRINTED:
            self.first.append(problem)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def seed_files(paths: Sequence[str | Path]) -> list[DataFile]:
    """The files that names of seeds stand for, as `file_rows` reads them.

    Raises:
        ConfigError, RunError: a repository of the hub that cannot be read.
        DataError: names without files, and files that are not there.
    """
    problems: list[Problem] = []
    files = located(paths, problems.append, "problem")
    absent = (file.name for file in files if not file.path.exists())
    problems += [Problem(name, 0, "", "a file of problems", "no such file") for name in absent]
    if problems:
        raise DataError(problems)
    return files


def file_rows(paths: Sequence[str | Path], refused: Refused) -> Iterator[RawRow]:
    """The rows of files: JSON Lines or one JSON array, UTF-8, plain or `.gz`; Parquet; folders of such files and
    datasets saved by `datasets`; `ORG/NAME:path/inside` on the hub (`rm.groups.locate`). What cannot be read is
    refused.

    Raises:
        ConfigError, RunError, MissingExtra: as `rm.groups.rows.read_rows`.
    """
    for path in paths:
        for row in read_rows(path, refused, what="problem"):
            yield row.value, row.file, row.line


def check_fields(fields: Mapping[str, str]) -> None:
    """Raises: ConfigError for a mapping of something that a seed has not."""
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise ConfigError([f"fields: a seed has no {name!r}. Map one of: {', '.join(FIELDS)}." for name in unknown])


def read_seeds(
    rows: Iterable[RawRow], task: str, refused: Refused, *, fields: Mapping[str, str] | None = None, source: str = ""
) -> Iterator[Seed]:
    """The seeds in rows, one after another; rows that hold none go to `refused`.

    Args:
        rows: from `file_rows`, or from anywhere.
        task: "math" or "code".
        refused: told what is wrong with each other row.
        fields: what (`FIELDS`) -> the key that holds it, ahead of the usual names.
        source: of rows that name none; else the name of the file.
    """
    fields = fields or {}
    check_fields(fields)
    seen, names = set[int](), dict[str, str]()
    for value, file, line in rows:
        if file not in names:
            names[file] = _name_of(file, set(names.values()))
        seed = _Row(value, file, line, task, fields, refused).seed(source, names[file])
        if seed is None:
            continue
        key = hash(seed.problem_id)  # 8 bytes an id; a chance of 1e-8 among a million to refuse a row too many
        if key in seen:
            fix = "Give one of them another id, or leave one out."
            refused(Problem(file, line, "problem_id", "an id of its own", f"{shown(seed.problem_id)} again", fix))
            continue
        seen.add(key)
        yield seed


def _name_of(file: str, taken: Collection[str]) -> str:
    """A short name of a file that no other file has: its own without endings, with folders before it where need be. A
    dataset saved by `datasets` goes by its folder."""
    path = PurePath(file)
    folders = [part for part in path.parts[:-1] if part not in (path.anchor, "..")]
    name = path.name.split(".")[0]
    if path.suffix == ".arrow" and folders:
        name = folders.pop()
    while name in taken and folders:
        name = f"{folders.pop()}/{name}"
    return f"{name}-{len(taken) + 1}" if name in taken else name


class _Row:
    """One row on its way to a seed; knows its place, so that the methods below need only name fields."""

    def __init__(self, row: Any, file: str, line: int, task: str, fields: Mapping[str, str], refused: Refused) -> None:
        self.row, self.file, self.line, self.task, self.fields, self.refused = row, file, line, task, fields, refused

    def wrong(self, field: str, expected: str, found: str, fix: str = "") -> None:
        if found == "missing":
            fix += f" The row has: {', '.join(map(str, list(self.row)[:_KEYS])) or 'nothing'}."
        self.refused(Problem(self.file, self.line, field, expected, found, fix))

    def seed(self, source: str, name: str) -> Seed | None:
        if not isinstance(self.row, dict):
            self.wrong("", "a JSON object, one problem", shown(self.row))
            return None
        if surrogate := surrogate_problem(self.file, self.line, "", self.row):
            self.refused(surrogate)
            return None
        if POOLS[0] in self.row and not self._take_positive():
            return None
        # A solution may stand in the answer; the problem and the answer are asked for below.
        asked_below = ("problem", "answer")
        absent = [(what, key) for what, key in self.fields.items() if key not in self.row and what not in asked_below]
        for what, key in absent:
            self.wrong(key, "a worked solution" if what == "solution" else f"the {what} of the problem", "missing")
        if absent:
            return None
        problem = self.text("problem")
        if not problem.strip():
            key = self.key("problem") or self.names("problem")[0]
            found = shown(self.row[key]) if key in self.row else "missing"
            self.wrong(key, "text that is not blank", found, "Name the key that holds it: --field problem=KEY.")
            return None
        seed = Seed(
            problem_id=self.text("problem_id") or f"{name}:{self.line}",
            problem=problem,
            solution=self.text("solution"),
            plan=self.text("plan"),
            answer=self.text("answer"),
            task_type=self.task,
            source=self.text("source") or source or name or UNKNOWN,
            tests=self.row.get(self.key("tests")),
            entry_point=self.text("entry_point"),
            metadata=self.row["metadata"] if isinstance(self.row.get("metadata"), dict) else {},
            file=self.file,
            line=self.line,
        )
        return self.math(seed) if self.task == "math" else self.code(seed)

    def names(self, what: str) -> tuple[str, ...]:
        return (self.fields[what],) if what in self.fields else _NAMES[self.task].get(what, ())

    def key(self, what: str) -> str:
        """The key of the row that holds something of that kind; empty for none."""
        return next((name for name in self.names(what) if self.row.get(name) not in (None, "", [], {})), "")

    def text(self, what: str) -> str:
        """A text; a number is made one, anything else counts as missing."""
        value = self.row.get(self.key(what))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return value if isinstance(value, str) else ""

    def math(self, seed: Seed) -> Seed | None:
        solution, answer = seed.solution, seed.answer
        if "####" in answer and len(answer.strip().splitlines()) > 1 and not solution:
            solution = answer  # GSM8K
        answer = reference_answer(answer) or reference_answer(solution)
        if answer == solution.strip() and not seed.answer:
            answer = ""  # a solution of one line, nothing of which is marked as its answer
        if not solution.strip() or solution.strip() == answer:
            found = "missing" if not solution.strip() else f"the bare answer {shown(answer)}"
            fix = "Flaws are put into a sound solution: add one, or name its key: --field solution=KEY."
            self.wrong(self.fields.get("solution", "solution"), "a worked solution", found, fix)
            return None
        if not answer.strip():
            expected = "an answer: of its own, after ####, or in \\boxed{}"
            fix = "Without one no flaw can be told from a detour: add it, or name its key: --field answer=KEY."
            found = shown(self.row.get(self.key("answer"))) if seed.answer else "missing"
            self.wrong(self.fields.get("answer", "answer"), expected, found, fix)
            return None
        return replace(seed, solution=solution, answer=answer)

    def code(self, seed: Seed) -> Seed | None:
        program = seed.solution
        if program and not _parses(program) and _parses(seed.problem + program):
            program = seed.problem + program  # HumanEval's solution is the body alone
        if program and not _parses(program):
            self.wrong("solution", "a Python 3 program", "text that is none", "Correct it, or give a plan instead.")
            return None
        if not program and not seed.plan.strip():
            fix = "Add one, or name its key: --field solution=KEY, --field plan=KEY."
            self.wrong("solution", "a reference program or a plan", "missing", fix)
            return None
        tests = "\n".join(seed.tests) if _texts(seed.tests) else seed.tests
        return replace(seed, solution=program, tests=tests, entry_point=seed.entry_point or _called(program, tests))

    def _take_positive(self) -> bool:
        """Puts the first positive where the solution (or plan) of other rows is."""
        pool = self.row[POOLS[0]]
        first = pool[0] if isinstance(pool, list) and pool else None
        reasoning = first.get("reasoning") if isinstance(first, dict) else None
        if not isinstance(reasoning, str) or not reasoning.strip():
            self.wrong(f"{POOLS[0]}[0].reasoning", "text that is not blank", shown(first))
            return False
        taken = {key: value for key, value in self.row.items() if key not in POOLS}
        if self.task == "code":
            self.row = {**taken, "plan": reasoning}
        else:
            reference = str(taken.pop("reference_solution", "") or "")
            self.row = {**taken, "solution": reasoning, "answer": taken.get("answer") or reference_answer(reference)}
        return True


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _parses(program: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as "\\d": the author's affair
            ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _called(program: str, tests: Any) -> str:
    """The last function of the program that the tests name; empty where there is none."""
    if not program or not isinstance(tests, str):
        return ""
    names = [node.name for node in ast.parse(program).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return next((name for name in reversed(names) if re.search(rf"\b{name}\b", tests)), "")
