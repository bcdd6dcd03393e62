"""Benchmarks from local files of the hub's forms; every problem's own reference passes its verifier."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from rm.errors import ConfigError, DataError
from rm.planner.benchmarks import BENCHMARKS, load_benchmark
from rm.uplift.verifiers.table import make_verifier

GSM8K = {"question": "Two boxes of 3. How many?", "answer": "2 * 3 = <<2*3=6>>6\n#### 6"}
MATH500 = {
    "problem": "What is $\\frac{1}{2} + \\frac{1}{4}$?",
    "solution": "The sum is $\\boxed{\\frac{3}{4}}$.",
    "answer": "\\frac{3}{4}",
    "subject": "Prealgebra",
    "level": 1,
    "unique_id": "test/prealgebra/1.json",
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(n: int) -> int:\n    """Twice n."""\n',
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-1) == -2\n",
    "entry_point": "double",
}
MBPP = {
    "source_file": "x",
    "task_id": 2,
    "prompt": "Write a function to find the shared elements of two lists.",
    "code": "def shared(a, b):\n    return tuple(set(a) & set(b))",
    "test_imports": ["import math"],
    "test_list": ["assert set(shared((3, 4), (5, 4))) == set((4,))", "assert shared((1,), (2,)) == ()"],
}
ROWS = {"gsm8k": GSM8K, "math500": MATH500, "humaneval": HUMANEVAL, "mbpp": MBPP}
ANSWERS = {"gsm8k": "6", "math500": "3/4"}


def test_every_benchmark_has_a_row_here():
    assert ROWS.keys() == BENCHMARKS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_local_file_of_the_same_form(name, write):
    [problem] = load_benchmark(str(write(ROWS[name]))).problems
    assert problem.task == ("code" if name in ("humaneval", "mbpp") else "math")
    right = ANSWERS.get(name) or f"```python\n{problem.reference_solution}\n```"
    wrong = "```python\ndef double(n):\n    return 0\n```" if problem.task == "code" else "7"

    async def judge() -> list[str]:
        verifier = make_verifier(problem.task, {"unsafe_subprocess": True} if problem.task == "code" else {})
        try:
            return [(await verifier.verify(text, problem)).outcome for text in (right, wrong)]
        finally:
            await verifier.close()

    assert asyncio.run(judge()) == ["passed", "failed"]


def test_ids_are_the_benchmarks_own(write):
    ids = [load_benchmark(str(write(ROWS[name], name=f"{name}.jsonl"))).problems[0].problem_id for name in ROWS]
    assert ids == ["gsm8k.jsonl:1", "test/prealgebra/1.json", "HumanEval/0", "2"]


def test_mbpp_shows_its_tests(write):
    [problem] = load_benchmark(str(write(MBPP))).problems
    assert problem.problem.startswith(MBPP["prompt"])
    assert all(test in problem.problem for test in MBPP["test_list"])


def test_forms_may_be_mixed_and_packed(tmp_path):
    file = tmp_path / "all.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS.values()).encode()))
    loaded = load_benchmark(str(file))
    assert Counter(problem.task for problem in loaded.problems) == {"math": 2, "code": 2}
    assert loaded.data["file"] == "all.jsonl.gz"
    assert len(load_benchmark(str(file), limit=3).problems) == 3


def test_problem_rows_and_groups_are_read_as_elsewhere(write):
    row = {"problem_id": "a", "problem": "1 + 1?", "reference_solution": "2", "traces": ["1 + 1 = 2"]}
    [problem] = load_benchmark(str(write(row))).problems
    assert problem.problem_id == "a"
    assert problem.traces == ()


def test_the_development_problems_are_read(shared_data):
    loaded = load_benchmark(str(shared_data / "mbpp_problems.jsonl"), limit=20)
    assert len(loaded.problems) == 20
    assert all(problem.task == "code" and problem.asserts for problem in loaded.problems)


def test_broken_rows_are_told_with_their_lines(write):
    file = write(HUMANEVAL, {**HUMANEVAL, "task_id": "HumanEval/1", "test": "def check(:"}, HUMANEVAL, {"question": 1})
    with pytest.raises(DataError) as error:
        load_benchmark(str(file))
    told = str(error.value)
    assert f"{file}:2: tests = no Python" in told
    assert f"{file}:3: task_id = 'HumanEval/0', expected an id of its own" in told
    assert f"{file}:4: others, expected the keys of the other rows" in told


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no file and no known name. Known: gsm8k, math500, humaneval, mbpp"):
        load_benchmark("gsm9k")


def test_without_the_hub_a_name_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("rm.planner.benchmarks.hub_reachable", lambda: False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", Path(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"openai/gsm8k cannot be loaded.*give the file"):
        load_benchmark("gsm8k")
