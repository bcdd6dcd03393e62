"""Problems as a dataset for TRL, in an order of our own.

A row carries the whole problem row as JSON text beside the prompt: columns of Arrow would lose or refuse rows of mixed
form. The order is written out for the whole run, an own shuffle for each pass over the problems, so that a resumed run
sees what it would have seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from rm.errors import ConfigError
from rm.groups.parse import POOLS
from rm.planner.config import PromptConfig
from rm.planner.prompts import planner_prompt, trainer_prompt, uses_chat
from rm.train.data import hash_seed
from rm.uplift.executors.chat import shown_text
from rm.uplift.problems import Problem
from rm.uplift.read import parse_problem

ROW = "row"
"""Column with the problem row as JSON text."""
_NOT_CARRIED = frozenset({*POOLS, "traces", "oracle_source", "question"})


@dataclass(frozen=True)
class Prompts:
    """The prompts of problems as a model reads them.

    Args:
        rows: what TRL gets, a row a problem: `prompt` and `row`.
        longest: tokens of the longest prompt.
        chat: whether they go through the chat template.
    """

    rows: tuple[dict[str, Any], ...]
    longest: int
    chat: bool


def problem_row(problem: Problem) -> dict[str, Any]:
    """A problem as a problem row that says all of it: as it was read, without pools and traces.

    What came from elsewhere than its own row, tests of an oracle, is written into it.
    """
    row = {key: value for key, value in problem.raw.items() if key not in _NOT_CARRIED}
    row |= {"problem_id": problem.problem_id, "problem": problem.problem}
    read, _ = parse_problem(row, problem.problem_id)
    if read is None or (read.answer, read.io_tests, read.asserts) != (
        problem.answer,
        problem.io_tests,
        problem.asserts,
    ):
        row["tests"] = [{"input": test.input, "output": test.output} for test in problem.io_tests] or problem.asserts
        row.pop("tests_or_constraints", None)
    return row


def make_prompts(
    problems: Sequence[Problem], config: PromptConfig, tokenizer: PreTrainedTokenizerBase, room: int | None
) -> Prompts:
    """The prompts of problems.

    Args:
        problems: at least one.
        config: what a planner reads.
        tokenizer: of the planner.
        room: tokens that a prompt may have beside its completion; None for no limit.

    Raises:
        ConfigError: prompts without room, or no chat template where one is asked for.
    """
    chat = uses_chat(config, tokenizer)
    prompts = [planner_prompt(problem, config) for problem in problems]
    texts = [shown_text(prompt, tokenizer, chat) for prompt in prompts]
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=not chat)["input_ids"]]
    long = [problem for problem, length in zip(problems, lengths, strict=True) if room is not None and length > room]
    if long:
        place = f"{long[0].file}:{long[0].line}" if long[0].line else long[0].problem_id
        raise ConfigError(
            f"{len(long)} of {len(problems)} prompts leave no room for a completion: the planner has positions for "
            f"{room} tokens beside grpo.max_completion_length (the first: {place}). Leave them out, or lower it."
        )
    rows = tuple(
        {"prompt": trainer_prompt(prompt, chat), ROW: json.dumps(problem_row(problem), ensure_ascii=False)}
        for prompt, problem in zip(prompts, problems, strict=True)
    )
    return Prompts(rows, max(lengths), chat)


def training_order(problems: int, count: int, seed: int) -> list[int]:
    """`count` places among so many problems: shuffled passes, each whole but the last."""
    order: list[int] = []
    while len(order) < count:
        generator = torch.Generator().manual_seed(hash_seed(seed, len(order)))
        order += torch.randperm(problems, generator=generator).tolist()
    return order[:count]


def training_dataset(prompts: Prompts, count: int, seed: int) -> Dataset:
    """A row for every group of the whole run, in the order of training."""
    return Dataset.from_list(list(prompts.rows)).select(training_order(len(prompts.rows), count, seed))


def columns_of(rows: Sequence[str]) -> Mapping[str, list[Any]]:
    """JSON texts of problem rows as columns; None where a row lacks one."""
    parsed = [json.loads(row) for row in rows]
    names = dict.fromkeys(name for row in parsed for name in row)
    return {name: [row.get(name) for row in parsed] for name in names}
