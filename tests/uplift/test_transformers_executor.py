"""A random model in this process: against a plain loop, prompt by prompt and token by token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from rm.errors import ConfigError, RunError
from rm.lab import TINY_BASE
from rm.uplift.executors import generation
from rm.uplift.executors.base import Completion, Lost, Prompt, Sampling
from rm.uplift.executors.config import TransformersConfig
from rm.uplift.executors.generation import draw
from rm.uplift.executors.transformers import TransformersExecutor

GREEDY = Sampling(temperature=0.0, max_tokens=12)
HOT = Sampling(temperature=1.0, max_tokens=12)
PROMPTS = [
    Prompt("", "Tom has 3 apples and buys 4 more. How many apples does he have?"),
    Prompt("", "Tom has 3 apples and buys 4 more. How many apples does he have?\n3 + 4 = 7"),
    Prompt("", "Ann reads 12 pages a day."),
    Prompt("Add.", "2 + 2"),
]


@pytest.fixture(scope="module")
def plain() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(TINY_BASE, dtype=torch.float32).eval()


def run(config: TransformersConfig, work: Callable[[TransformersExecutor], Awaitable[Any]]) -> Any:
    async def inside() -> Any:
        executor = TransformersExecutor(config)
        try:
            return await work(executor)
        finally:
            await executor.close()

    return asyncio.run(inside())


def config(**changes: Any) -> TransformersConfig:
    return TransformersConfig(path=str(TINY_BASE), dtype="float32", device="cpu", **changes)


async def ask(executor: TransformersExecutor, sampling: Sampling, n: int = 1, seed: int = 5) -> list[list[Completion]]:
    return await asyncio.gather(*(executor.sample(prompt, n, sampling, seed) for prompt in PROMPTS))


def greedy_text(model: PreTrainedModel, prompt: Prompt, length: int) -> str:
    """The oracle: no cache, no batch."""
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    ids = tokenizer(prompt.text, return_tensors="pt")["input_ids"]
    start = ids.shape[1]
    with torch.no_grad():
        for _ in range(length):
            token = model(input_ids=ids).logits[:, -1].argmax(dim=-1, keepdim=True)
            if token.item() == tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, token], dim=1)
    return tokenizer.decode(ids[0, start:], skip_special_tokens=True)


@pytest.mark.parametrize("sharing", ["auto", "plain"])
def test_greedy_completions_are_those_of_a_plain_loop(plain: PreTrainedModel, sharing: str) -> None:
    found = run(config(prefix_sharing=sharing), lambda executor: ask(executor, GREEDY))
    assert [each[0].text for each in found] == [greedy_text(plain, prompt, 12) for prompt in PROMPTS]


@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
def test_a_sample_depends_on_its_seed_alone(batch_tokens: int) -> None:
    together = run(config(batch_tokens=batch_tokens), lambda executor: ask(executor, HOT, n=3))

    async def one_by_one(executor: TransformersExecutor) -> list[list[Completion]]:
        return [
            [(await executor.sample(prompt, 1, HOT, 5 + k))[0] for k in range(3)]  # type: ignore[misc]
            for prompt in PROMPTS
        ]

    assert together == run(config(prefix_sharing="plain"), one_by_one)
    assert len({each.text for completions in together for each in completions}) > 6


def test_log_likelihoods_are_those_of_a_plain_forward_pass(plain: PreTrainedModel) -> None:
    answers = [" 7", " 7", " 144 pages", "4"]

    async def work(executor: TransformersExecutor) -> list[float]:
        return await asyncio.gather(*map(executor.log_likelihood, PROMPTS, answers))

    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    expected = []
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        start = tokenizer(prompt.text)["input_ids"]
        own = tokenizer(answer, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = plain(input_ids=torch.tensor([start + own])).logits[0].log_softmax(dim=-1)
        expected.append(sum(logits[len(start) - 1 + place, token].item() for place, token in enumerate(own)))
    for sharing in ("auto", "plain"):
        assert run(config(prefix_sharing=sharing), work) == pytest.approx(expected, abs=1e-4)


def test_an_empty_answer_is_certain() -> None:
    assert run(config(), lambda executor: executor.log_likelihood(PROMPTS[0], "")) == 0.0


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    uniforms = (torch.arange(20_000) + 0.5) / 20_000
    shares = torch.bincount(draw(logits.expand(20_000, 4), Sampling(temperature=0.5), uniforms), minlength=4) / 20_000
    torch.testing.assert_close(shares, (logits[0] / 0.5).softmax(dim=0), atol=2e-4, rtol=0)


def test_the_nucleus_leaves_out_the_rest() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(1000, 4)
    uniforms = (torch.arange(1000) + 0.5) / 1000
    counts = torch.bincount(draw(logits, Sampling(temperature=1.0, top_p=0.7), uniforms), minlength=4)
    assert counts.tolist() == [625, 375, 0, 0]  # .5 and .3 of .8
    assert draw(logits, Sampling(temperature=1.0, top_p=1e-6), uniforms).unique().tolist() == [0]


def test_a_stop_text_ends_a_completion_and_is_cut(plain: PreTrainedModel) -> None:
    whole = greedy_text(plain, PROMPTS[0], 40)
    word = whole[4:6]
    stopped = Sampling(temperature=0.0, max_tokens=40, stop=(word,))
    found = run(config(), lambda executor: executor.sample(PROMPTS[0], 1, stopped, 0))[0]
    assert found.text == whole[: whole.index(word)]
    assert found.finished


def test_a_completion_that_max_tokens_cuts_off_says_so() -> None:
    found = run(config(), lambda executor: executor.sample(PROMPTS[2], 1, Sampling(0.0, max_tokens=1), 0))[0]
    assert (found.finished, found.tokens) == (False, 1)


def test_a_prompt_without_room_is_lost_not_failed() -> None:
    endless = Prompt("", "1 + 1 = 2. " * 2000)

    async def work(executor: TransformersExecutor) -> tuple[Any, Any]:
        return await executor.sample(endless, 2, HOT, 0), await executor.log_likelihood(endless, " 2")

    samples, likelihood = run(config(), work)
    assert [each.reason for each in samples] == ["prompt too long"] * 2
    assert isinstance(likelihood, Lost)


def test_usage_counts_what_was_done() -> None:
    async def work(executor: TransformersExecutor) -> Any:
        await ask(executor, GREEDY, n=2)
        return executor.usage

    usage = run(config(), work)
    assert (usage.calls, usage.samples, usage.retries) == (4, 8, 0)
    assert usage.prompt_tokens > 0


def test_memory_that_runs_out_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(config(), lambda executor: ask(executor, HOT, n=3))
    honest = generation.Generator._sample
    sizes = []

    def cramped(self: Any, units: Any, sampling: Sampling) -> Any:
        sizes.append(sum(len(job.seeds) for _, job in units))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("no room")
        return honest(self, units, sampling)

    monkeypatch.setattr(generation.Generator, "_sample", cramped)
    assert run(config(), lambda executor: ask(executor, HOT, n=3)) == expected
    assert max(sizes) > 2
    monkeypatch.setattr(
        generation.Generator, "_sample", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none at all"))
    )
    with pytest.raises(RunError, match="max_tokens"):
        run(config(), lambda executor: ask(executor, HOT))


def test_the_fingerprint_is_of_the_weights_not_of_the_place(tmp_path: Path) -> None:
    async def name(executor: TransformersExecutor) -> str:
        return executor.fingerprint

    for file in TINY_BASE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    there = run(TransformersConfig(path=str(tmp_path), dtype="float32", device="cpu"), name)
    assert there == run(config(), name)
    assert there != run(TransformersConfig(path=str(TINY_BASE), dtype="bfloat16", device="cpu"), name)


@pytest.mark.parametrize("path", ["/nowhere/at/all", "empty"])
def test_a_model_that_is_not_there_is_a_clear_error(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"executor\.path|empty"):
        TransformersExecutor(TransformersConfig(path=str(tmp_path / path) if path == "empty" else path))


def test_a_chat_template_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="chat template"):
        TransformersExecutor(config(template="chat"))
