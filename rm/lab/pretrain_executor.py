"""Makes the tiny executor: `python -m rm.lab.pretrain_executor --out DIR`, minutes on two cores.

A Qwen2-shaped causal language model (about 0.6M parameters) that reads the prompts of `rm.uplift.prompts` and writes a
number. With a trace it writes the number that the trace arrives at, right or wrong; without one it guesses. That is
all: the uplift of a trace is then 1 - baseline where its last result is right, and about -baseline where it is wrong,
which makes it an executor whose answers a test can foretell.

What it has seen: generated stories (`rm.lab.stories`), half of the traces with one flaw (`rm.build.math.flaws`), a
fifth of the prompts without a trace. It learns to predict the whole text, the answer above all.

Not covered: problems of other kinds, where it still copies the last result; and code.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2ForCausalLM

from rm.build.math.traces import Line, trace_text
from rm.lab.corpus import END, Solved, draw_flaw
from rm.lab.pretrain import (
    Recipe,
    add_recipe,
    build_model,
    build_optimizer,
    exit_code,
    install,
    learning_rate,
    versions,
)
from rm.lab.stories import story
from rm.lab.tokens import IGNORED, Encoded, TokenBatch, bucketed, collate, train_tokenizer
from rm.precision import default_device
from rm.uplift.problems import Problem
from rm.uplift.prompts import PROMPT_VERSION, executor_prompt, written_answer

RECIPE = {
    "steps": 700,
    "seed": 18,
    "vocabulary": 1024,
    "hidden": 128,
    "layers": 3,
    "heads": 4,
    "key_value_heads": 2,
    "intermediate": 256,
    "tokens_per_step": 2560,
    "learning_rate": 3e-3,
    "chunk": 256,
    "log_every": 25,
}
"""The fields of `rm.lab.pretrain.Recipe` that decide the result."""
ALONE = 0.2
FLAWED = 0.5
TEXT_WEIGHT = 0.2
"""Of the loss on the prompt's tokens, beside 1 for the answer's."""
TOKENIZER_DOCUMENTS = 2000
HELD_OUT = 400
WHAT = (
    "Causal language model trained from scratch to answer the executor prompts of this package: it copies the last "
    "result of a trace, and guesses without one. For tests and first looks."
)
# A chat in which system and user text stand as in the plain prompt (`rm.uplift.executors.base.Prompt.text`).
CHAT_TEMPLATE = "{{ messages | map(attribute='content') | join('\\n\\n') }}"


@dataclass(frozen=True)
class Question:
    """A prompt and what is to be written after it.

    Attributes:
        prompt: the whole text, to the cue.
        answer: a number: the trace's last result, or without a trace the right one.
        arm: "alone", "sound", or the kind of flaw.
    """

    prompt: str
    answer: str
    arm: str

    @property
    def written(self) -> str:
        return written_answer("math", self.answer) + END


def question(rng: random.Random, alone: float = ALONE, flawed: float = FLAWED) -> Question:
    """One question about a fresh story.

    Args:
        alone: chance of no trace, in [0, 1].
        flawed: chance that a trace carries a flaw, in [0, 1].
    """
    told = story(rng)
    problem = Problem(problem_id="", problem=told.problem, task="math")
    if rng.random() < alone:
        return Question(executor_prompt(problem).text, told.answer, "alone")
    flaw = draw_flaw(Solved(told.problem, told.lines, "story"), rng) if rng.random() < flawed else None
    lines = told.lines if flaw is None else flaw.lines
    prompt = executor_prompt(problem, trace_text(lines)).text
    return Question(prompt, last_result(lines), "sound" if flaw is None else flaw.kind)


Asks = Callable[[random.Random], Question]


def last_result(lines: Sequence[Line]) -> str:
    """What a trace arrives at: its last line's last calculated number, or last number where nothing is calculated."""
    last = lines[-1]
    return last.numbers[last.calculations[-1].result if last.calculations else -1]


def make_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE as the tiny base's, learnt from prompts, with a chat template that changes nothing."""
    rng = random.Random(f"{recipe.seed}/tokenizer")
    tokenizer = train_tokenizer((question(rng).prompt for _ in range(TOKENIZER_DOCUMENTS)), recipe.vocabulary)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def encode_questions(questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast) -> list[Encoded]:
    """As tokens; `learn` marks what is written after the prompt."""
    found = []
    for each in questions:
        prompt, written = tokenizer([each.prompt, each.written], add_special_tokens=False)["input_ids"]
        none = [IGNORED] * (len(prompt) + len(written))
        learn = [False] * len(prompt) + [True] * len(written)
        found.append(Encoded(prompt + written, learn, none, none, none, each.arm))
    return found


def question_batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, ask: Asks = question) -> Iterator[TokenBatch]:
    """Endless, the same for a seed."""
    rng = random.Random(recipe.seed)
    while True:
        encoded = encode_questions([ask(rng) for _ in range(recipe.chunk)], tokenizer)
        buckets = bucketed(encoded, recipe.tokens_per_step, longest=recipe.tokens_per_step)
        rng.shuffle(buckets)
        yield from (collate(bucket, tokenizer.pad_token_id) for bucket in buckets)


def losses(model: Qwen2ForCausalLM, batch: TokenBatch, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean negative log-likelihood, in nats a token, of what is written and of the prompt before it."""
    ids, learn = batch.ids.to(model.device), batch.learn[:, 1:].to(model.device)
    targets = ids[:, 1:]
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    nats = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    return nats[learn].mean(), nats[~learn & (targets != pad)].mean()


def train(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, device: torch.device, ask: Asks = question
) -> Qwen2ForCausalLM:
    """From the first weights to the last step; back on the CPU, in float32.

    Args:
        ask: draws what it learns to answer.
    """
    model = build_model(recipe, tokenizer).to(device)  # type: ignore[arg-type]
    optimizer = build_optimizer(recipe, model)
    stream = question_batches(recipe, tokenizer, ask)
    with tqdm(range(recipe.steps), unit="step") as steps:
        for step in steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step / recipe.steps)
            answer, text = losses(model, next(stream), tokenizer.pad_token_id)
            optimizer.zero_grad(set_to_none=True)
            (answer + TEXT_WEIGHT * text).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
            optimizer.step()
            if step % recipe.log_every == 0:
                steps.set_postfix(answer=f"{answer.item():.3f}", text=f"{text.item():.3f}")
    return model.cpu().eval()


@torch.inference_mode()
def accuracy(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: Sequence[Question]
) -> dict[str, float]:
    """An arm, the share of questions whose answer is the likeliest text, token by token."""
    hits: dict[str, list[bool]] = {}
    for bucket in bucketed(encode_questions(questions, tokenizer), 8192, longest=4096):
        batch = collate(bucket, tokenizer.pad_token_id)
        best = model(input_ids=batch.ids[:, :-1], use_cache=False).logits.argmax(dim=-1)
        right = ((best == batch.ids[:, 1:]) | ~batch.learn[:, 1:]).all(dim=1)
        for document, hit in zip(bucket, right.tolist(), strict=True):
            hits.setdefault(document.source, []).append(hit)
    return {arm: sum(found) / len(found) for arm, found in sorted(hits.items())}


def sampling_config(tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    """Plain sampling: servers take what a request does not say from here, and `do_sample` is nothing it can say."""
    return GenerationConfig(
        do_sample=True, top_k=0, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rm.lab.pretrain_executor", description="Train the tiny executor.")
    parser.add_argument("--out", type=Path, required=True, help="folder; replaced when the run is done")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", type=torch.device, default=default_device(), help="cpu, cuda, ...")
    add_recipe(parser, RECIPE)
    given = vars(parser.parse_args(arguments))
    torch.set_num_threads(given["threads"])

    def work() -> None:
        recipe = Recipe(**{name: given[name] for name in RECIPE})
        data = {"alone": ALONE, "flawed": FLAWED, "prompts": PROMPT_VERSION}
        make(recipe, make_tokenizer(recipe), given["device"], question, WHAT, data, given["out"])

    return exit_code(work)


def make(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    device: torch.device,
    ask: Callable[[random.Random], Question],
    what: str,
    data: Mapping[str, Any],
    out: Path,
) -> None:
    """Trains a model to answer, asks it held-out questions, and installs it with a `recipe.json` that says enough to
    judge it and to make it again.

    Args:
        recipe: sizes and steps.
        tokenizer: with the tokens of `rm.lab.corpus`.
        device: where it trains.
        ask: draws a question.
        what: the model in a sentence.
        data: what else is to be known of the questions.
        out: folder; replaced when the run is done.
    """
    started = time.monotonic()
    model = train(recipe, tokenizer, device, ask)
    seconds = round(time.monotonic() - started)
    rng = random.Random(f"{recipe.seed}/held-out")
    held_out = accuracy(model, tokenizer, [ask(rng) for _ in range(HELD_OUT)])
    summary = {
        "what": what,
        "recipe": {name: asdict(recipe)[name] for name in RECIPE},
        "data": {**data, "text_weight": TEXT_WEIGHT},
        "done": {"step": recipe.steps, "seconds": seconds, "device": device.type},
        "parameters": model.num_parameters(),
        "held_out": held_out,
        "versions": versions(),
    }
    model.generation_config = sampling_config(tokenizer)
    install(tokenizer, model, summary, out)


if __name__ == "__main__":
    sys.exit(main())
