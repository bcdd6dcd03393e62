"""The chat template renders messages to the text that `rm.text.render` gives, and to no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from rm.model.chat_text import chat_template
from rm.text import Row, render

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def messages(problem: object, *completions: object) -> list[dict[str, object]]:
    return [
        {"role": "user", "content": problem},
        *({"role": "assistant", "content": completion} for completion in completions),
    ]


def rendered(template: str, conversation: list[dict[str, object]], **variables: str) -> str:
    [text], _ = render_jinja_template([conversation], chat_template=template, **variables)
    return text


@given(problem=TEXT, reasoning=TEXT, name=TEXT, kind=TEXT)
def test_any_problem_and_reasoning_become_the_official_text(problem, reasoning, name, kind):
    expected = render(Row(problem, reasoning, name, kind))
    assert rendered(chat_template(name, kind), messages(problem, reasoning)) == expected


AWKWARD = "{{ 7 * 7 }} {% raw %} \\n \"quoted\" 'it' {# no #}\n\n  <reasoning\u2028> é 数"


def test_what_looks_like_a_template_is_text():
    row = Row(AWKWARD, AWKWARD[::-1], AWKWARD, AWKWARD)
    template = chat_template(row.task_name, row.task_type)
    assert rendered(template, messages(row.problem, row.reasoning)) == render(row)


@pytest.mark.parametrize(
    "completion",
    ["<reasoning>\n3 and 4 make 7.\n</reasoning>\n7", "3 and 4 make 7.</reasoning>", "<reasoning>3 and 4 make 7."],
)
def test_tags_of_a_completion_are_taken_off(completion):
    expected = render(Row("3 + 4?", "3 and 4 make 7.", "math", "sum"))
    assert rendered(chat_template("math", "sum"), messages("3 + 4?", completion)) == expected


def test_the_last_messages_count_and_a_system_prompt_does_not():
    conversation = [{"role": "system", "content": "Plan."}, *messages("a", "b"), *messages("3 + 4?", "7")]
    assert rendered(chat_template("math", "sum"), conversation) == render(Row("3 + 4?", "7", "math", "sum"))


def test_the_task_type_may_be_given():
    assert "<type>algebra</type>" in rendered(chat_template("math", "sum"), messages("a", "b"), task_type="algebra")


def test_special_tokens_stand_around_the_text():
    text = rendered(chat_template("math", "sum", "<s>", "</s>"), messages("a", "b"))
    assert text == f"<s>{render(Row('a', 'b', 'math', 'sum'))}</s>"


@pytest.mark.parametrize(
    "conversation",
    [messages("a"), messages("a", ["b"]), [{"role": "assistant", "content": "b"}]],
    ids=["no completion", "content in parts", "no problem"],
)
def test_messages_that_are_no_problem_with_a_completion_are_an_error(conversation):
    with pytest.raises(TemplateError, match="expected"):
        rendered(chat_template("math", "sum"), conversation)


def test_a_tokenizer_applies_it(byte_tokenizer):
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = chat_template("math", "sum")
    ids = tokenizer.apply_chat_template(messages("a", "b"))["input_ids"]
    assert tokenizer.decode(ids) == render(Row("a", "b", "math", "sum"))
