"""Files to problems whose solutions can be checked, with traces to try.

Four forms of row, told apart by their keys, may be mixed in a file:
- group (`positive_pool`, `negative_bank`; the official schema): every candidate is a trace;
- problem row (`problem_id`, `problem`, and `reference_solution` or `answer`, or `tests`; optional `traces`), which
  the rows of MBPP are, too;
- GSM8K (`question`, `answer`); its id is FILE-STEM:LINE where it has none;
- oracle row (`oracle_source`, `tests`): its reward tests become those of the problem with the same id.

The task is that of `task_type` (else `metadata.task_type`): code where that names code, programming or Python, math
where it names math; where it names neither, code if there are tests or an entry point, else math, which
`guessed_task` tells.

A problem must be checkable. Math: a reference answer (after `####`, in a box, or bare on one line). Code: `tests` (or
`tests_or_constraints`) as assertions in a text or a list of texts, as a list of `{"input", "output"}`, or as
`{"inputs": [..], "outputs": [..]}`, any of them also as JSON in a text; failing all, the examples in the statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rm.errors import ConfigError, DataError
from rm.errors import Problem as Mistake
from rm.groups.parse import POOLS, RowParser, shown
from rm.groups.rows import Row, read_rows, surrogate_problem
from rm.groups.schema import Group
from rm.uplift.oracle import Oracle, as_asserts, chosen, io_tests, parse_oracle
from rm.uplift.problems import IOTest, Problem, Task, Trace
from rm.uplift.reference import reference_traces
from rm.uplift.verifiers.answers import reference_answer
from rm.uplift.verifiers.asserts import defines_check
from rm.uplift.verifiers.statement import assert_examples, io_examples

Traces = Literal["own", "reference", "none"]
TRACES: tuple[Traces, ...] = ("own", "reference", "none")

_CODE = re.compile(r"cod(?:e|ing)|program|python", re.IGNORECASE)
_MATH = re.compile(r"math|arithmetic|algebra", re.IGNORECASE)
_TEST_FORMS = 'assertions, or a list of {"input", "output"}'


def load_problems(
    paths: str | Path | Sequence[str | Path], *, traces: Traces = "own", limit: int | None = None
) -> tuple[Problem, ...]:
    """Read problems from one file or several: JSON Lines or one JSON array, UTF-8, plain or `.gz`.

    Args:
        paths: the files; an id may not repeat among them.
        traces: which traces the problems get: their rows' own, the plan of the reference solution
            (`rm.uplift.reference`), or none.
        limit: keep only so many problems, the first; everything is read and checked all the same.

    Returns:
        the problems, in the order of files and lines.

    Raises:
        DataError: with everything wrong in every file.
        ConfigError: an unknown kind of traces, or a limit below 1.
    """
    if traces not in TRACES:
        raise ConfigError(f"There are no traces {traces!r}. Choose one of: {', '.join(TRACES)}.")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit = {limit}, expected at least 1.")
    reader = _Reader()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for row in read_rows(path, reader.mistakes.append, what="problem"):
            reader.take(row.file, row)
    problems = reader.finished()
    if reader.mistakes:
        files = list(dict.fromkeys(mistake.file for mistake in reader.mistakes))
        raise DataError(sorted(reader.mistakes, key=lambda mistake: (files.index(mistake.file), mistake.line)))
    return tuple(_with_traces(problem, traces) for problem in problems[:limit])


def parse_problem(row: Mapping[str, Any], place: str) -> tuple[Problem | None, list[Mistake]]:
    """One problem row that stands in no file, without traces; and all that is wrong with it.

    Args:
        row: as a line of a file would hold it; pools and traces in it are passed over, and it may have no `problem_id`.
        place: what stands for the file in messages, e.g. `items[3]`.
    """
    reader = _Reader()
    plain = {key: value for key, value in row.items() if key not in (*POOLS, "traces")}
    if plain.get("problem_id") is None:
        plain["problem_id"] = "unnamed"
    reader.take(place, Row(0, plain))
    problems = reader.finished()
    return (problems[0] if problems and not reader.mistakes else None), reader.mistakes


def guessed_task(problem: Problem) -> str:
    """What a problem is taken for whose own task type names neither math nor code; empty where it is named, or none is.

    The type is read by reward models, too, which is why it may be anything.
    """
    named = _named_type(problem.raw)
    if not named or _CODE.search(named) or _MATH.search(named):
        return ""
    return (
        f"task_type = {shown(named)} names neither math nor code: taken as {problem.task}. Let it name one of them "
        "(math, arithmetic, algebra; code, coding, programming, python), such as math/geometry."
    )


def _named_type(row: Mapping[str, Any]) -> str:
    metadata = row.get("metadata")
    return str(row.get("task_type") or (metadata.get("task_type") if isinstance(metadata, dict) else None) or "")


def _with_traces(problem: Problem, traces: Traces) -> Problem:
    if traces == "own":
        return problem
    return replace(problem, traces=reference_traces(problem) if traces == "reference" else ())


class _Reader:
    """Gathers problems, oracles and mistakes over all files."""

    def __init__(self) -> None:
        self.groups = RowParser()
        self.mistakes = self.groups.errors
        self.problems: dict[str, _ProblemRow] = {}
        self.oracles: dict[str, Oracle] = {}

    def take(self, file: str, row: Row) -> None:
        if not isinstance(row.value, dict):
            self.mistakes.append(Mistake(file, row.line, "", "a JSON object, one problem", shown(row.value)))
        elif any(pool in row.value for pool in POOLS):
            if group := self.groups.parse(file, row.line, row.value):
                self.problems[group.problem_id] = _ProblemRow(self, file, row.line, _row_of(group), group)
        else:
            self._take_plain(_ProblemRow(self, file, row.line, row.value))

    def finished(self) -> list[Problem]:
        """The problems of all rows taken."""
        for problem_id, oracle in self.oracles.items():
            if problem_id not in self.problems:
                found = f"no problem {problem_id} in the files read"
                fix = "Read the file with the problems together with this one."
                self.mistakes.append(Mistake(oracle.file, oracle.line, "problem_id", "the id of a problem", found, fix))
        return [row.problem(problem_id, self.oracles.get(problem_id)) for problem_id, row in self.problems.items()]

    def _take_plain(self, row: _ProblemRow) -> None:
        if surrogate := surrogate_problem(row.file, row.line, "", row.row):
            self.mistakes.append(surrogate)
            return
        problem_id = row.problem_id()
        if "oracle_source" in row.row and "problem" not in row.row:
            if first := self.oracles.get(problem_id):
                row.wrong("problem_id", f"one oracle a problem ({first.file}:{first.line} has this one)", problem_id)
            self.oracles[problem_id] = parse_oracle(row.row, problem_id, row.wrong, row.file, row.line)
            return
        if first_place := self.groups.first_place_of(problem_id, row.file, row.line):
            fix = "Give one of them another id, or leave one out."
            row.wrong("problem_id", f"an id of its own ({first_place} has this one)", shown(problem_id), fix)
            problem_id = row.place
        if "oracle_source" in row.row:
            self.oracles[problem_id] = parse_oracle(row.row, problem_id, row.wrong, row.file, row.line)
        self.problems[problem_id] = row


class _ProblemRow:
    """One row on its way to a problem; knows its place, so that the methods below need only name fields."""

    def __init__(
        self, reader: _Reader, file: str, line: int, row: Mapping[str, Any], group: Group | None = None
    ) -> None:
        self.reader = reader
        self.file = file
        self.line = line
        self.row = row
        self.group = group

    def wrong(self, field: str, expected: str, found: str, fix: str = "") -> None:
        self.reader.mistakes.append(Mistake(self.file, self.line, field, expected, found, fix))

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def problem_id(self) -> str:
        """Its id; where it has none, which is a mistake, its place, so that the rest of it is checked, too."""
        value = self.row.get("problem_id")
        if value is None and "question" in self.row:
            return f"{Path(self.file).name.split('.')[0]}:{self.line}"
        whole_number = isinstance(value, int) and not isinstance(value, bool)
        if whole_number or (isinstance(value, str) and value.strip()):
            return str(value)
        expected = "a text or a whole number, one of its own for each problem"
        self.wrong("problem_id", expected, shown(value) if "problem_id" in self.row else "missing")
        return self.place

    def problem(self, problem_id: str, oracle: Oracle | None) -> Problem:
        tests = next((self.row[key] for key in ("tests_or_constraints", "tests") if self.row.get(key)), None)
        if oracle and tests is self.row.get("tests") and "oracle_source" in self.row:
            tests = None  # these are the oracle's
        task = self.task(tests is not None or oracle is not None)
        problem = Problem(
            problem_id=problem_id,
            problem=self.text("problem" if "problem" in self.row or "question" not in self.row else "question"),
            task=task,
            entry_point=str(self.row.get("entry_point") or "").strip(),
            reference_solution=self.optional_text("reference_solution") or self._solution(),
            traces=self.traces(),
            file=self.file,
            line=self.line,
            raw=self.group.raw if self.group else self.row,
        )
        return self.with_answer(problem) if task == "math" else self.with_tests(problem, tests, oracle)

    def task(self, has_tests: bool) -> Task:
        named = _named_type(self.row)
        if _CODE.search(named):
            return "code"
        if _MATH.search(named):
            return "math"
        return "code" if has_tests or self.row.get("entry_point") else "math"

    def text(self, key: str) -> str:
        value = self.row.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(key, "text that is not blank", shown(value) if key in self.row else "missing")
        return ""

    def optional_text(self, key: str) -> str:
        value = self.row.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not isinstance(value, str) and not number:
            self.wrong(key, "text", shown(value))
            return ""
        return "" if value is None else str(value)

    def with_answer(self, problem: Problem) -> Problem:
        answer = self.optional_text("answer") or problem.reference_solution
        if not reference_answer(answer).strip():
            field = "answer" if self.row.get("answer") else "reference_solution"
            expected = "a reference answer: after ####, in \\boxed{}, or bare on one line"
            found = shown(self.row.get(field)) if field in self.row else "missing"
            self.wrong(field, expected, found, "Without one no solution can be judged: add it, or leave the row out.")
        return replace(problem, answer=answer)

    def with_tests(self, problem: Problem, tests: Any, oracle: Oracle | None) -> Problem:
        if oracle is not None:
            tests_of_oracle = self.oracle_tests(oracle)
            if not oracle.entry_point:
                return replace(problem, io_tests=tests_of_oracle)
            return replace(problem, asserts=as_asserts(chosen(oracle)), entry_point=oracle.entry_point)
        form = _json_of(tests) if isinstance(tests, str) else tests
        if isinstance(form, Mapping):
            return replace(problem, io_tests=self.paired_tests(form))
        if isinstance(form, list) and not all(isinstance(each, str) for each in form):
            return replace(problem, io_tests=tuple(self.io_test(each, f"tests[{i}]") for i, each in enumerate(form)))
        asserts = "\n".join(form) if isinstance(form, list) else str(form or "")
        if "assert" in asserts or "check(" in asserts:
            self.check_asserts(asserts, problem.entry_point)
            return replace(problem, asserts=asserts)
        return self.with_examples(problem, tests)

    def with_examples(self, problem: Problem, tests: Any) -> Problem:
        """Tests from the statement, where the row has none."""
        examples = io_examples(problem.problem)
        asserts = assert_examples(problem.problem, problem.entry_point)
        if not examples and not asserts:
            fix = "Without tests no program can be judged: add them, or leave the row out."
            self.wrong("tests", _TEST_FORMS, shown(tests) if tests else "missing", fix)
        return replace(problem, io_tests=() if asserts else examples, asserts=asserts)

    def io_test(self, entry: Any, field: str) -> IOTest:
        if not isinstance(entry, Mapping):
            self.wrong(field, 'an object with "input" and "output"', shown(entry))
            return IOTest("", "")
        return IOTest(self.lines(entry, "input", field), self.lines(entry, "output", field))

    def lines(self, entry: Mapping[str, Any], key: str, field: str) -> str:
        """A text; a list of lines or a number is made one."""
        value = entry.get(key, "" if key == "input" else None)
        if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
            return "\n".join(map(str, value))
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            return str(value)
        fix = "Run the reference solution on the input to get it." if key == "output" else ""
        self.wrong(f"{field}.{key}", "text", shown(value) if key in entry else "missing", fix)
        return ""

    def paired_tests(self, form: Mapping[str, Any]) -> tuple[IOTest, ...]:
        inputs, outputs = form.get("inputs"), form.get("outputs")
        if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs or len(inputs) != len(outputs):
            expected = f"{_TEST_FORMS}, or inputs and outputs, as many of each"
            self.wrong("tests", expected, shown(dict(form)))
            return ()
        pairs = zip(inputs, outputs, strict=True)
        return tuple(self.io_test({"input": a, "output": b}, f"tests.pair[{i}]") for i, (a, b) in enumerate(pairs))

    def oracle_tests(self, oracle: Oracle) -> tuple[IOTest, ...]:
        if not chosen(oracle):
            self.reader.mistakes.append(
                Mistake(oracle.file, oracle.line, "tests", "at least one reward test", "none with is_reward_test")
            )
        for i, test in enumerate(oracle.tests):
            if test.reward and test.output is None:
                fix = "Run the oracle first: rm.uplift.oracle.with_outputs."
                mistake = Mistake(oracle.file, oracle.line, f"tests[{i}].output", "text", "missing", fix)
                self.reader.mistakes.append(mistake)
        return io_tests(oracle)

    def check_asserts(self, asserts: str, entry_point: str) -> None:
        try:
            needs_entry_point = defines_check(asserts)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.wrong("tests", "Python assertions", f"no Python ({error})")
            return
        if needs_entry_point and not entry_point:
            self.wrong("entry_point", "the name of the function that check is called with", "missing")

    def traces(self) -> tuple[Trace, ...]:
        if self.group is not None:
            return tuple(Trace(each.reasoning, each.kind, None, each.total) for each in self.group.candidates)
        entries = self.row.get("traces") or []
        if not isinstance(entries, list):
            self.wrong("traces", "a list of texts, or of objects with `reasoning`", shown(entries))
            return ()
        return tuple(self.trace(each, f"traces[{i}]") for i, each in enumerate(entries))

    def trace(self, entry: Any, field: str) -> Trace:
        entry = {"reasoning": entry} if isinstance(entry, str) else entry
        reasoning = entry.get("reasoning") if isinstance(entry, Mapping) else None
        if not isinstance(reasoning, str) or not reasoning.strip():
            self.wrong(f"{field}.reasoning", "text that is not blank", shown(entry))
            return Trace("")
        kind = str(entry.get("kind") or entry.get("negative_kind") or "")
        return Trace(reasoning, kind, self.share(entry, "rm_score", field), self.share(entry, "total", field))

    def share(self, entry: Mapping[str, Any], key: str, field: str) -> float | None:
        value = entry.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        self.wrong(f"{field}.{key}", "a number from 0 to 1, or null", shown(value))
        return None

    def _solution(self) -> str:
        """A GSM8K answer is a worked solution."""
        return self.optional_text("answer") if "question" in self.row else ""


def _row_of(group: Group) -> Mapping[str, Any]:
    """A group as a problem row; what reading groups has settled is taken from it."""
    settled = {"tests": group.tests, "tests_or_constraints": None, "reference_solution": group.reference_solution}
    return {**group.raw, **settled}


def _json_of(text: str) -> Any:
    """The value of a text that is a JSON list or object; else the text."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
