"""Rows of many forms to seeds; what is wrong with the others."""

from __future__ import annotations

import pytest

from rm.build.read_seeds import Refused, file_rows, read_seeds
from rm.errors import ConfigError

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
