"""What a planner reads: versioned, in the words of its task, or in a user's own.

    planner_prompt(problem, PromptConfig())     # a `Prompt`: system and user text

The content is the official one (concise reasoning and nothing else: no final answer, no code; between tags for math,
without tags for code), the words are ours. Training, evaluation and rows for other trainers all go through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rm.errors import ConfigError
from rm.planner.config import PromptConfig
from rm.uplift.executors.base import Prompt
from rm.uplift.executors.chat import messages_of
from rm.uplift.problems import Problem, Task

PROMPT_VERSION = "tracelift-planner-1"
"""Any change of a text below is a new version."""
PLACE = "{problem}"

SYSTEMS: Mapping[Task, str] = MappingProxyType(
    {
        "math": (
            "You plan solutions of math problems for a solver that reads your reasoning beside the problem. Write "
            "concise reasoning, step by step, between <reasoning> and </reasoning>, and nothing else. Leave the final "
            "answer to the solver, and write no code."
        ),
        "code": (
            "You plan solutions of programming problems for a programmer that reads your reasoning beside the problem. "
            "Write concise reasoning, step by step, and nothing else: the approach, the order of operations, the cases "
            "that are easily missed. Leave the program to the programmer: write no code and no final answer."
        ),
    }
)
USERS: Mapping[Task, str] = MappingProxyType(
    {"math": f"Problem:\n{PLACE}\n\nReasoning:", "code": f"Problem:\n{PLACE}\n\nReasoning:"}
)


def planner_prompt(problem: Problem, config: PromptConfig) -> Prompt:
    """The prompt of a problem. Raises: ConfigError where the user's own text has no place for the problem."""
    check_prompt(config)
    system = SYSTEMS[problem.task] if config.system is None else config.system
    user = USERS[problem.task] if config.user is None else config.user
    return Prompt(system, user.replace(PLACE, problem.problem.strip()))


def check_prompt(config: PromptConfig) -> None:
    """Raises: ConfigError where the user's own text has no place for the problem."""
    if config.user is not None and PLACE not in config.user:
        raise ConfigError(f"prompt.user: no {PLACE} in it, so that a planner would not see the problem. Add it.")


def uses_chat(config: PromptConfig, tokenizer: Any) -> bool:
    """Whether the chat template is used. Raises: ConfigError where it is asked for and there is none."""
    if config.format == "chat" and not tokenizer.chat_template:
        raise ConfigError("prompt.format: chat, but the tokenizer has no chat template. Use plain.")
    return config.format == "chat" or (config.format == "auto" and bool(tokenizer.chat_template))


def trainer_prompt(prompt: Prompt, chat: bool) -> str | list[dict[str, str]]:
    """A prompt as TRL's and verl's datasets carry it: messages for the chat template, else the text."""
    return messages_of(prompt) if chat else prompt.text
