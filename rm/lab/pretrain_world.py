"""Makes the models of the tiny world: `python -m rm.lab.pretrain_world planner --out DIR`, minutes on a CPU.

| model | learns | of |
|---|---|---|
| `planner` | to write a trace for a problem | traces of every habit (`rm.lab.habits`) by `SHARES`: it starts mediocre |
| `reader` | to answer with a trace: the executor that planners are trained with | any trace: it takes its last number |
| `strict` | the same for another executor, of another seed and size | any trace: it follows the steps from the start |

All are Qwen2-shaped, trained from scratch, with one tokenizer. What the executors are to make of a trace is laid down
here, in `read_loosely` and `read_strictly`. The reader mirrors how language models use a plan: it hardly gets
anywhere alone, a plan's last number decides whatever the steps say, a stated answer is as good as a derived one, and
the more there is to read the more often it picks another result. So a trace that skips steps, done in the head, can
be worth as much to it as a sound one, or more. The strict one stops where a step uses what nobody derived, and takes no
stated answer on trust.

Not covered: an executor that computes anything itself. Alone they have learnt from right answers, and guess.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from rm.build.math.traces import trace_text
from rm.lab.corpus import END
from rm.lab.habits import HABITS, SOUND, Lines, write_trace
from rm.lab.pretrain import Recipe, exit_code
from rm.lab.pretrain_executor import Question, make
from rm.lab.stories import Story
from rm.lab.tokens import train_tokenizer
from rm.lab.world import LARGEST, judge_trace, uplift_problem, world_story
from rm.planner.config import PromptConfig
from rm.planner.prompts import PROMPT_VERSION as PLANNER_PROMPTS
from rm.planner.prompts import planner_prompt
from rm.uplift.prompts import PROMPT_VERSION as EXECUTOR_PROMPTS
from rm.uplift.prompts import executor_prompt

PROMPT = PromptConfig(format="plain", system="")
"""What planners of this world read: the problem, and a cue."""
SHARES: Mapping[str, float] = MappingProxyType(
    {
        SOUND: 0.36,
        "arithmetic_slip": 0.08,
        "wrong_operation": 0.06,
        "misread_quantity": 0.06,
        "unsupported_conclusion": 0.04,
        "dropped_step": 0.14,
        "swapped_steps": 0.06,
        "garbled_step": 0.06,
        "distraction": 0.04,
        "leaked_answer": 0.10,
    }
)
"""Habit -> its share of what the planner learns from."""
DRILLS = 0.35
"""Share of the planner's texts that are calculations alone."""
ALONE = 0.15
"""Share of an executor's prompts that have no trace."""
DISTRACTED = 0.2
"""The chance that each result beside the last one draws the reader away from it."""
TOKENIZER_DOCUMENTS = 1500
VOCABULARY = 1024


def planner_question(rng: random.Random) -> Question:
    """A planner's prompt, and a trace of some habit; or calculations alone, for practice."""
    if rng.random() < DRILLS:
        return _Written("Reasoning:", f"<reasoning>\n{_drill(rng)}\n</reasoning>", "drill")
    story = world_story(rng)
    kind, lines = write_trace(story, SHARES, rng)
    prompt = planner_prompt(uplift_problem(story), PROMPT).text
    return _Written(prompt, f"<reasoning>\n{trace_text(lines)}\n</reasoning>", kind)


def _drill(rng: random.Random) -> str:
    """Right calculations with numbers as problems have them."""
    lines = []
    for _ in range(8):
        operation = rng.choice("++--*")
        left, right = sorted((rng.randint(3, LARGEST), rng.randint(3, 30)), reverse=True)
        if operation == "*":
            left, right = rng.randint(3, 6), rng.randint(3, 6)
        elif operation == "+" and left + right > LARGEST:
            left -= right  # as problems have it: totals stay within the world
        result = {"+": left + right, "-": left - right, "*": left * right}[operation]
        lines.append(f"{left}{operation}{right}={result}")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Written(Question):
    """A question whose answer is text."""

    @property
    def written(self) -> str:
        return self.answer + END


def reader_question(rng: random.Random) -> Question:
    return executor_question(rng, read_loosely)


def strict_question(rng: random.Random) -> Question:
    return executor_question(rng, read_strictly)


def executor_question(rng: random.Random, read: Callable[[Story, Lines, random.Random], str]) -> Question:
    """An executor's prompt with a trace of any habit, each as often, or without one; and what it is to answer."""
    story = world_story(rng)
    problem = uplift_problem(story)
    if rng.random() < ALONE:
        return Question(executor_prompt(problem).text, story.answer, "alone")
    kind, lines = write_trace(story, dict.fromkeys(HABITS, 1.0), rng)
    lines = _shortened(lines, rng) if rng.random() < 0.2 else lines
    return Question(executor_prompt(problem, trace_text(lines)).text, read(story, lines, rng), kind)


def _shortened(lines: Lines, rng: random.Random) -> Lines:
    """Fewer lines, or one twice, as a planner in training may write."""
    if len(lines) > 1 and rng.random() < 0.7:
        gone = rng.randrange(len(lines))
        return (*lines[:gone], *lines[gone + 1 :])
    again = rng.randrange(len(lines))
    return (*lines[: again + 1], *lines[again:])


def read_loosely(story: Story, lines: Lines, rng: random.Random) -> str:
    """The trace's last number; of the other results each draws it away with chance DISTRACTED, and it takes one."""
    results = [line.numbers[-1] for line in lines]
    others = [result for result in results[:-1] if result != results[-1]]
    kept = (1 - DISTRACTED) ** len(others)
    return results[-1] if rng.random() < kept else rng.choice(others)


def read_strictly(story: Story, lines: Lines, rng: random.Random) -> str:
    """The last result that is reached by following the calculations from the start.

    A line is followed whose operands the problem gives or an earlier line derived, even if its arithmetic is wrong. At
    the first that is not, or that only claims an answer, reading ends. Where nothing was reached: the answer to some
    other problem, of which nothing in the prompt tells, so that it guesses.
    """
    reached = world_story(rng).answer
    for line, truth in zip(lines, judge_trace(story, trace_text(lines)).lines, strict=True):
        if not truth.calculation or not truth.supported:
            break
        reached = line.numbers[-1]
    return reached


@dataclass(frozen=True)
class Model:
    """One of the three: what it learns, and how."""

    what: str
    ask: Callable[[random.Random], Question]
    recipe: Recipe


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "planner": Model(
            "Causal language model trained from scratch to write traces for counting problems, sound and flawed ones.",
            planner_question,
            Recipe(steps=4000, seed=21, vocabulary=VOCABULARY, layers=4, tokens_per_step=1536, learning_rate=2e-3),
        ),
        "reader": Model(
            "Causal language model trained from scratch to answer executor prompts about counting problems with the "
            "last number of the trace; now and then with another of its results.",
            reader_question,
            Recipe(
                steps=600,
                seed=22,
                vocabulary=VOCABULARY,
                layers=3,
                intermediate=256,
                tokens_per_step=2560,
                learning_rate=3e-3,
            ),
        ),
        "strict": Model(
            "Causal language model trained from scratch to answer executor prompts about counting problems with the "
            "last result that follows from the problem, step by step.",
            strict_question,
            Recipe(
                steps=1600,
                seed=23,
                vocabulary=VOCABULARY,
                layers=4,
                tokens_per_step=2560,
                learning_rate=3e-3,
            ),
        ),
    }
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One for all three, learnt from their texts."""
    rng = random.Random("world/tokenizer")
    asks = (planner_question, reader_question)
    questions = (asks[number % 2](rng) for number in range(TOKENIZER_DOCUMENTS))
    return train_tokenizer((each.prompt + each.written for each in questions), VOCABULARY)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rm.lab.pretrain_world", description="Train a model of the world.")
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--out", type=Path, required=True, help="folder; replaced when the run is done")
    parser.add_argument("--steps", type=int, help="default: as shipped")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    chosen = MODELS[given.model]
    torch.set_num_threads(given.threads)
    data: dict[str, Any] = {"shares": dict(SHARES), "drills": DRILLS, "prompts": PLANNER_PROMPTS}
    if chosen.ask is not planner_question:
        data = {"alone": ALONE, "distracted": DISTRACTED, "prompts": EXECUTOR_PROMPTS}

    def work() -> None:
        recipe = chosen.recipe if given.steps is None else replace(chosen.recipe, steps=given.steps)
        make(recipe, make_tokenizer(), torch.device("cpu"), chosen.ask, chosen.what, data, given.out)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
