from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm.uplift.problems import IOTest, Problem
from rm.uplift.prompts import PROMPT_VERSION, TEMPLATES, executor_prompt, read_prompt, written_answer

SUM = Problem("p1", "  What is 2 + 3?\n", "math", answer="5")
STDIN = Problem("p2", "Double a number.", "code", io_tests=(IOTest("secret-in", "secret-out"),))
CALL = Problem("p3", "def twice(x):\n    '''Double.'''", "code", asserts="assert secret", entry_point="twice ")
ALL = pytest.mark.parametrize("problem", [SUM, STDIN, CALL], ids=lambda problem: problem.problem_id)

HASHES = {
    "tracelift-executor-1": "cb53f0b5a1ce512c92b2d3c74295ff0838c532d8e5ffa4524c6778e7382b0c57",
}
"""Version -> SHA-256 of all texts. A changed text needs a new version: cached baselines were drawn with the old one."""


def test_a_changed_text_has_a_new_version():
    shown = [executor_prompt(each, trace).text for each in (SUM, STDIN, CALL) for trace in (None, "Double it.")]
    stops = [stop for template in TEMPLATES.values() for stop in template.stop]
    assert hashlib.sha256("\0".join([*shown, *stops]).encode()).hexdigest() == HASHES[PROMPT_VERSION]


@ALL
def test_the_arms_differ_in_the_reasoning_block_only(problem):
    baseline, with_trace = executor_prompt(problem), executor_prompt(problem, "\nDouble it.\n")
    assert baseline.system == with_trace.system
    start, end = with_trace.user.index("\n\nReasoning"), with_trace.user.index("</reasoning>") + len("</reasoning>")
    assert with_trace.user[start:end].endswith("\n<reasoning>\nDouble it.\n</reasoning>")
    assert with_trace.user[:start] + with_trace.user[end:] == baseline.user


@ALL
def test_the_problem_comes_first_so_that_prompts_share_it(problem):
    for reasoning in (None, "a", "b"):
        assert executor_prompt(problem, reasoning).user.startswith(f"Problem:\n{problem.problem.strip()}\n\n")


@ALL
def test_an_empty_trace_is_not_the_baseline(problem):
    assert "<reasoning>\n\n</reasoning>" in executor_prompt(problem, " ").user
    assert "reasoning" not in executor_prompt(problem).text.lower()


@ALL
def test_no_answer_and_no_test_is_shown(problem):
    text = executor_prompt(problem, "Double it.").text
    assert "secret" not in text
    assert "5" not in text.replace("2 + 3", "")


def test_each_task_says_what_to_write():
    assert "final answer alone" in executor_prompt(SUM).user
    assert executor_prompt(SUM).text.endswith("\n\nAnswer:")
    assert "complete Python 3 program" in executor_prompt(STDIN).user
    assert "standard input" in executor_prompt(STDIN).user
    assert "Define `twice` " in executor_prompt(CALL).user
    assert "standard input" not in executor_prompt(CALL).user
    assert executor_prompt(CALL).text.endswith("\n\nProgram:")


def test_braces_and_backslashes_pass_through():
    problem = Problem("p", r"Is {x} \frac{1}{2}? %s $y", "math")
    prompt = executor_prompt(problem, r"\1 {problem} {0}")
    assert r"Is {x} \frac{1}{2}? %s $y" in prompt.user
    assert "\n\\1 {problem} {0}\n" in prompt.user


texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=60)


@given(texts, st.none() | texts, st.sampled_from(["math", "code"]))
def test_what_is_put_in_can_be_read_out(statement, reasoning, task):
    prompt = executor_prompt(Problem("p", statement, task), reasoning)
    assert read_prompt(prompt) == (statement.strip(), None if reasoning is None else reasoning.strip())


def test_a_written_answer_continues_the_prompt():
    assert executor_prompt(SUM).text + written_answer("math", "5\n") == executor_prompt(SUM).text + " 5"
    assert written_answer("code", "print(1)\n") == "\n```python\nprint(1)\n```"
