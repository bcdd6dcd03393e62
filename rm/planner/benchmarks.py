"""Benchmarks as problems: by name from the hub, or from a local file of the same form.

| name | data set on the hub | row |
|---|---|---|
| gsm8k | openai/gsm8k, main, test | `question`, `answer` (after `####`) |
| math500 | HuggingFaceH4/MATH-500, test | `problem`, `solution`, `answer`, `unique_id` |
| humaneval | openai/openai_humaneval, test | `task_id`, `prompt`, `canonical_solution`, `test`, `entry_point` |
| mbpp | google-research-datasets/mbpp, sanitized, test | `task_id`, `prompt`, `code`, `test_list`, `test_imports` |

A file may hold rows of any of these forms, told apart by their keys, or what `rm.uplift.read` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rm.errors import ConfigError, DataError
from rm.errors import Problem as Mistake
from rm.groups.read import data_files
from rm.groups.rows import read_rows
from rm.provenance import data_facts
from rm.sources import hub_reachable
from rm.uplift.problems import Problem
from rm.uplift.read import load_problems, parse_problem

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """A data set of problems.

    Args:
        dataset, config, split: on the hub.
        keys: by which a row of it is known.
        problem: such a row as a problem row, without an id.
        id_key: where its id stands; empty for rows that have none.
    """

    dataset: str
    config: str | None
    split: str
    keys: frozenset[str]
    problem: Callable[[Row], dict[str, Any]]
    id_key: str = ""


def _gsm8k(row: Row) -> dict[str, Any]:
    return {"problem": row["question"], "reference_solution": row["answer"], "task_type": "math"}


def _math500(row: Row) -> dict[str, Any]:
    kept = {"problem": row["problem"], "answer": row["answer"], "reference_solution": row["solution"]}
    return {**kept, "task_type": "math"}


def _humaneval(row: Row) -> dict[str, Any]:
    return {
        "problem": row["prompt"],
        "tests": row["test"],
        "entry_point": row["entry_point"],
        "reference_solution": f"{row['prompt']}{row.get('canonical_solution', '')}",
        "task_type": "code",
    }


def _mbpp(row: Row) -> dict[str, Any]:
    """The statement names no function; its tests do, and stand in it as usual for this benchmark."""
    tests = list(row["test_list"])
    return {
        "problem": "\n".join([str(row["prompt"]), "", "Your code should pass these tests:", "", *map(str, tests)]),
        "tests": [*(row.get("test_imports") or []), *tests],
        "reference_solution": row.get("code", ""),
        "task_type": "code",
    }


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "gsm8k": Benchmark("openai/gsm8k", "main", "test", frozenset({"question", "answer"}), _gsm8k),
        "math500": Benchmark(
            "HuggingFaceH4/MATH-500",
            None,
            "test",
            frozenset({"problem", "solution", "answer", "unique_id"}),
            _math500,
            "unique_id",
        ),
        "humaneval": Benchmark(
            "openai/openai_humaneval",
            None,
            "test",
            frozenset({"task_id", "prompt", "test", "entry_point"}),
            _humaneval,
            "task_id",
        ),
        "mbpp": Benchmark(
            "google-research-datasets/mbpp",
            "sanitized",
            "test",
            frozenset({"task_id", "prompt", "test_list"}),
            _mbpp,
            "task_id",
        ),
    }
)
"""Name -> benchmark; a visible table, to which a row is added for another one."""


@dataclass(frozen=True)
class Loaded:
    """A benchmark that was read.

    Args:
        name: as it was asked for; of a file, its name without directories.
        problems: with distinct ids and no traces.
        data: file and hash, or data set and split.
    """

    name: str
    problems: tuple[Problem, ...]
    data: dict[str, Any]


def load_benchmark(name: str, limit: int | None = None) -> Loaded:
    """The problems of a benchmark.

    Args:
        name: one of `BENCHMARKS`, or a file.
        limit: keep only so many problems, the first.

    Raises:
        ConfigError: neither, or a name and no hub.
        DataError: with everything wrong in it.
    """
    if name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        rows = [(f"{name}:{index}", row) for index, row in enumerate(_from_hub(name, benchmark), start=1)]
        data = {"dataset": benchmark.dataset, "config": benchmark.config, "split": benchmark.split}
        return Loaded(name, _problems(rows)[:limit], data)
    if not Path(name).is_file():
        raise ConfigError(f"--benchmark: {name} is no file and no known name. Known: {', '.join(BENCHMARKS)}.")
    mistakes: list[Mistake] = []
    found = [(f"{name}:{row.line}", row.value) for row in read_rows(name, mistakes.append, what="problem")]
    if not mistakes and any(_form_of(row) for _, row in found):
        problems = _problems(found)[:limit]
    else:
        problems = load_problems(name, traces="none", limit=limit)
    if not problems:
        raise ConfigError(f"--benchmark: there are no problems in {name}.")
    return Loaded(Path(name).name, problems, data_facts(data_files([name]))[0])


def _form_of(row: Any) -> Benchmark | None:
    """The benchmark whose rows look like this; a problem row, with `problem_id`, is none of them."""
    if not isinstance(row, Mapping) or "problem_id" in row:
        return None
    return next((each for each in BENCHMARKS.values() if each.keys <= row.keys()), None)


def _problems(rows: Iterable[tuple[str, Any]]) -> tuple[Problem, ...]:
    """Rows with their places as problems. Raises: DataError."""
    problems: dict[str, Problem] = {}
    mistakes: list[Mistake] = []
    for place, row in rows:
        form = _form_of(row)
        if form is None:
            keys = " or ".join("{" + ", ".join(sorted(each.keys)) + "}" for each in BENCHMARKS.values())
            mistakes.append(Mistake(place, 0, "", f"the keys of the other rows, one of {keys}", "others"))
            continue
        problem_id = str(row[form.id_key]) if form.id_key else Path(place).name
        problem, wrong = parse_problem({"problem_id": problem_id, **form.problem(row)}, place)
        mistakes += wrong
        if problem is not None and problem_id in problems:
            mistakes.append(Mistake(place, 0, form.id_key, "an id of its own", repr(problem_id)))
        elif problem is not None:
            problems[problem_id] = problem
    if mistakes:
        raise DataError(mistakes)
    return tuple(problems.values())


def _from_hub(name: str, benchmark: Benchmark) -> Iterable[Row]:
    """Raises: ConfigError where it is neither in the cache nor to be had."""
    from datasets import DownloadConfig, load_dataset

    offline = not hub_reachable()
    try:
        return load_dataset(
            benchmark.dataset,
            benchmark.config,
            split=benchmark.split,
            download_config=DownloadConfig(local_files_only=offline),
        )
    except (OSError, ValueError) as error:
        why = "the hub cannot be reached, and it is not in the cache" if offline else " ".join(str(error).split())
        raise ConfigError(
            f"--benchmark {name}: {benchmark.dataset} cannot be loaded: {why}. Download it on a machine with a network "
            "and give the file: a JSON object a line, with the fields of the data set."
        ) from None
