"""Prompts: the official content in our words, or a user's own; training and evaluation read the same tokens."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from rm.errors import ConfigError
from rm.planner.config import PromptConfig
from rm.planner.data import make_prompts
from rm.planner.prompts import PROMPT_VERSION, SYSTEMS, USERS, planner_prompt, trainer_prompt
from rm.uplift.executors.chat import shown_text
from rm.uplift.problems import Problem

MATH = Problem("a", " What is {x} + 1? ", "math", answer="2")
CODE = Problem("b", "Print 1.", "code", asserts="assert True")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_math_asks_for_tags_and_code_for_none():
    math, code = planner_prompt(MATH, PromptConfig()), planner_prompt(CODE, PromptConfig())
    assert "<reasoning>" in math.system
    assert "<reasoning>" not in code.system + code.user
    for prompt in (math, code):
        assert "concise reasoning" in prompt.system
        assert "no code" in prompt.system
        assert "final answer" in prompt.system
    assert "What is {x} + 1?" in math.user


def test_the_version_holds_for_these_texts():
    """A changed text needs a new version, and then this hash."""
    texts = "".join([*SYSTEMS.values(), *USERS.values()])
    assert (PROMPT_VERSION, hashlib.sha256(texts.encode()).hexdigest()[:12]) == ("tracelift-planner-1", "6456974ce9cd")


def test_a_users_own_words():
    prompt = planner_prompt(MATH, PromptConfig(system="", user="<q>{problem}</q>"))
    assert prompt.system == ""
    assert trainer_prompt(prompt, chat=False) == "<q>What is {x} + 1?</q>"
    assert trainer_prompt(prompt, chat=True) == [{"role": "user", "content": "<q>What is {x} + 1?</q>"}]
    with pytest.raises(ConfigError, match=r"prompt.user: no \{problem\}"):
        planner_prompt(MATH, PromptConfig(user="no place"))


@pytest.mark.parametrize("chat", [False, True])
def test_training_reads_the_tokens_that_evaluation_does(tiny_tokenizer, chat):
    """TRL tokenizes text with special tokens, and messages through the chat template."""
    tokenizer: Any = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = CHATML if chat else None
    prompts = make_prompts([MATH, CODE], PromptConfig(), tokenizer, room=None)
    assert prompts.chat == chat
    lengths = []
    for problem, row in zip([MATH, CODE], prompts.rows, strict=True):
        if chat:
            ours = tokenizer.apply_chat_template(
                conversation=[row["prompt"]], add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"][0]
        else:
            ours = tokenizer(text=[row["prompt"]])["input_ids"][0]
        text = shown_text(planner_prompt(problem, PromptConfig()), tokenizer, chat)
        assert ours == tokenizer(text, add_special_tokens=not chat)["input_ids"]
        lengths.append(len(ours))
    assert prompts.longest == max(lengths)


def test_prompts_without_room_are_refused(tiny_tokenizer):
    long = Problem("c", "word " * 500, "math", answer="2", file="f.jsonl", line=7)
    with pytest.raises(ConfigError, match=r"1 of 2 prompts leave no room.*f\.jsonl:7"):
        make_prompts([CODE, long], PromptConfig(), tiny_tokenizer, room=300)
