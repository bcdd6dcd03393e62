"""Rows of many forms to seeds; what is wrong with the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar

from rm.build.read_seeds import Refused, file_rows, read_seeds, seed_files
from rm.errors import ConfigError, DataError

disable_progress_bar()

WORKED = "Six twos are 6*2=<<6*2=12>>12.\nWith three more, 12+3=<<12+3=15>>15.\n#### 15"
PROGRAM = "def add(a, b):\n    return a + b\n"


def read(*rows, task="math", **options):
    refused = Refused()
    located = [(row, "some/file.jsonl", line) for line, row in enumerate(rows, start=1)]
    return list(read_seeds(located, task, refused, **options)), refused


def test_gsm8k():
    (seed,), refused = read({"question": "How many?", "answer": WORKED})
    assert (seed.problem_id, seed.problem, seed.solution, seed.answer) == ("file:1", "How many?", WORKED, "15")
    assert (seed.source, seed.line, refused.total) == ("file", 1, 0)


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"problem": "p", "solution": "6 + 1 = 7", "answer": 7}, "7"),
        ({"problem": "p", "reasoning": "so \\boxed{7}"}, "7"),
        ({"prompt": "p", "response": "6 + 1 = 7", "final_answer": "7"}, "7"),
        ({"problem": "p", "reference_solution": "6 + 1 = 7\n#### 7"}, "7"),
    ],
)
def test_a_problem_its_solution_and_its_answer_under_the_usual_names(row, answer):
    (seed,), _ = read(row)
    assert seed.answer == answer
    assert seed.solution


def test_a_group_gives_its_first_positive_as_the_solution():
    positives = [{"reasoning": "6 + 1 = 7"}, {"reasoning": "1 + 6 = 7"}]
    row = {"problem_id": 5, "problem": "p", "reference_solution": "7", "positive_pool": positives, "negative_bank": []}
    (seed,), _ = read(row)
    assert (seed.problem_id, seed.solution, seed.answer) == ("5", "6 + 1 = 7", "7")
    (plan,), _ = read({**row, "reference_solution": PROGRAM}, task="code")
    assert (plan.plan, plan.solution) == ("6 + 1 = 7", PROGRAM)


def test_fields_come_before_the_usual_names():
    row = {"task": "p", "problem": "not this", "gold": "7", "steps": "6 + 1 = 7"}
    (seed,), _ = read(row, fields={"problem": "task", "answer": "gold", "solution": "steps"})
    assert (seed.problem, seed.solution, seed.answer) == ("p", "6 + 1 = 7", "7")
    with pytest.raises(ConfigError, match=r"a seed has no 'task'\. Map one of: problem_id, problem"):
        read(row, fields={"task": "problem"})


def test_a_field_that_is_named_has_to_be_there():
    seeds, refused = read({"problem": "p", "answer": WORKED}, fields={"solution": "gold"})
    assert not seeds
    (problem,) = refused.first
    assert (problem.field, problem.found) == ("gold", "missing")
    assert "The row has: problem, answer." in problem.fix


def test_files_of_one_name_keep_their_rows_apart():
    files = ("a/train.jsonl", "b/train.jsonl", "/c/b/train.jsonl", "b/train.json", "x/set/data-00000-of-00001.arrow")
    rows = [({"question": "How many?", "answer": WORKED}, file, 1) for file in files]
    found = list(read_seeds(rows, "math", refused := Refused()))
    assert [seed.problem_id for seed in found] == [
        "train:1",
        "b/train:1",
        "c/b/train:1",
        "b/train-4:1",
        "set:1",
    ]
    assert refused.total == 0


def test_mbpp_and_humaneval():
    tests = ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]
    (mbpp,), _ = read({"task_id": 11, "text": "Add.", "code": PROGRAM, "test_list": tests}, task="code")
    assert (mbpp.problem_id, mbpp.solution, mbpp.tests, mbpp.entry_point) == ("11", PROGRAM, "\n".join(tests), "add")
    prompt = 'def add(a, b):\n    """Add."""\n'
    (humaneval,), _ = read(
        {"prompt": prompt, "canonical_solution": "    return a + b\n", "entry_point": "add"}, task="code"
    )
    assert humaneval.solution == prompt + "    return a + b\n"


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("math", "text", "file.jsonl:1: 'text', expected a JSON object, one problem."),
        ("math", {"problem": " ", "solution": WORKED}, "problem = ' ', expected text that is not blank."),
        ("math", {"text": 5, "solution": WORKED, "answer": []}, ""),
        ("math", {"problem": "p", "answer": "7"}, "solution = missing, expected a worked solution."),
        ("math", {"problem": "p", "solution": "7", "answer": "7"}, "the bare answer '7', expected a worked solution."),
        ("math", {"problem": "p", "solution": "6 + 1 = 7\nDone."}, "answer = missing, expected an answer"),
        ("math", {"problem": "p", "positive_pool": [{}]}, "positive_pool[0].reasoning = {}, expected text"),
        ("math", {"problem": "p \ud83d", "solution": WORKED}, "lone surrogate"),
        ("code", {"problem": "p"}, "solution = missing, expected a reference program or a plan."),
        ("code", {"problem": "p", "code": "def f(:"}, "solution = text that is none, expected a Python 3 program."),
    ],
)
def test_a_row_that_holds_no_seed_is_told_with_its_place(task, row, message):
    seeds, refused = read(row, task=task)
    if message:
        assert not seeds
        assert message in str(refused.first[0])
    else:
        assert (seeds[0].problem, refused.total) == ("5", 0)


def test_an_id_is_taken_once():
    row = {"problem_id": "a", "problem": "p", "solution": WORKED}
    seeds, refused = read(row, row)
    assert len(seeds) == 1
    assert str(refused.first[0]).startswith("some/file.jsonl:2: problem_id = 'a' again, expected an id of its own.")


def test_what_is_refused_is_counted_and_the_first_are_kept():
    _, refused = read(*[{"problem": "p"}] * 70, "text")
    assert refused.counts == {"solution: a worked solution": 70, "a JSON object, one problem": 1}
    assert (refused.total, len(refused.first)) == (71, 50)


def test_files_of_any_form_are_read_on_past_a_bad_line(write):
    path = write({"question": "p", "answer": WORKED}, "nonsense", {"question": "q", "answer": WORKED})
    refused = Refused()
    seeds = list(read_seeds(file_rows([path, path.with_name("none")], refused), "math", refused))
    assert [seed.line for seed in seeds] == [1, 3]
    assert [problem.line for problem in refused.first] == [2, 0]


def test_parquet_and_a_saved_dataset_give_the_seeds_of_the_lines(write, tmp_path):
    rows = [{"question": "p", "answer": WORKED, "level": None}, {"question": "q", "answer": WORKED, "level": 3}]
    saved = Dataset.from_list(rows)
    saved.to_parquet(tmp_path / "rows.parquet")
    saved.save_to_disk(tmp_path / "saved", num_shards=2)
    by_lines = seeds_of(write(*rows))
    assert len(by_lines) == 2
    assert [replace(seed, file="") for seed in seeds_of(tmp_path / "rows.parquet")] == [
        replace(seed, file="") for seed in by_lines
    ]
    assert [(seed.problem, seed.solution, seed.answer) for seed in seeds_of(tmp_path / "saved")] == [
        (seed.problem, seed.solution, seed.answer) for seed in by_lines
    ]


def test_lists_of_tests_in_a_table(tmp_path):
    row = {"text": "Add.", "code": PROGRAM, "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]}
    Dataset.from_list([row]).to_parquet(tmp_path / "mbpp.parquet")
    [seed] = read_seeds(file_rows([tmp_path / "mbpp.parquet"], pytest.fail), "code", pytest.fail)
    assert (seed.tests, seed.entry_point) == ("\n".join(row["test_list"]), "add")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answer": "gold"}, "gold = missing, expected an answer: of its own, after ####, or in"),
        ({"solution": "steps"}, "steps = missing, expected a worked solution."),
        ({"problem": "task"}, "task = missing, expected text that is not blank."),
        ({"tests": "checks"}, "checks = missing, expected the tests of the problem."),
    ],
)
def test_a_column_that_is_not_there_is_named_and_so_are_those_that_are(fields, message, tmp_path):
    Dataset.from_list([{"question": "p", "worked": "6 + 1 = 7"}]).to_parquet(tmp_path / "x.parquet")
    refused = Refused()
    known = {"problem": "question", "solution": "worked", **fields}
    assert not list(read_seeds(file_rows([tmp_path / "x.parquet"], refused), "math", refused, fields=known))
    [told] = map(str, refused.first)
    assert told.startswith(f"{tmp_path / 'x.parquet'}:1: {message}")
    assert told.endswith("The row has: question, worked.")


def test_a_path_inside_a_repository_of_the_hub(reachable_hub):
    row = {"question": "p", "answer": WORKED}
    reachable_hub.files["datasets/org/seeds"] = {
        "README.md": b"# Seeds",
        "math/train.jsonl": json.dumps(row).encode() + b"\nnonsense\n",
    }
    refused = Refused()
    [seed] = read_seeds(file_rows(["org/seeds:math"], refused), "math", refused)
    assert (seed.problem_id, seed.problem, seed.file, seed.line) == ("train:1", "p", "org/seeds:math/train.jsonl", 1)
    assert str(refused.first[0]).startswith("org/seeds:math/train.jsonl:2: no JSON")
    assert [file.name for file in seed_files(["org/seeds:math"])] == ["org/seeds:math/train.jsonl"]
    with pytest.raises(DataError, match=r"org/seeds:code: no such path.*expected files of problems"):
        seed_files(["org/seeds:code"])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file, expected a file of problems\.$"):
        seed_files([tmp_path / "none.jsonl"])


def seeds_of(path):
    return list(read_seeds(file_rows([path], pytest.fail), "math", pytest.fail))
