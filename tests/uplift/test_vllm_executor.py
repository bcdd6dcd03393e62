"""The vLLM executor against a stand-in: its classes have the signatures of vLLM 0.10, as far as they are used."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rm.errors import RunError
from rm.uplift.executors.base import Completion, Executor, LikelihoodExecutor, Lost, Prompt, Sampling
from rm.uplift.executors.config import VllmConfig, make_executor

ASK = Prompt("Add.", "1 + 1\n\nAnswer:")
WARM = Sampling(temperature=0.7, top_p=0.9, max_tokens=8, stop=("\n",))


@dataclass
class SamplingParams:
    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.n > 1:
            raise ValueError("n must be 1 when using greedy sampling")


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    cumulative_logprob: float | None = None
    logprobs: Any = None
    finish_reason: str | None = "stop"


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool = True


class Tokenizer:
    """A token a character; `<` stands for a begin-of-text token."""

    chat_template: str | None = None

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) for letter in ("<" if add_special_tokens else "") + text]

    def apply_chat_template(self, conversation: Any, tokenize: bool = True, add_generation_prompt: bool = False) -> str:
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"[{m['role']}]{m['content']}" for m in conversation) + "[assistant]"


@dataclass
class LLM:
    model: str
    tokenizer: str | None = None
    tensor_parallel_size: int = 1
    dtype: str = "auto"
    revision: str | None = None
    seed: int | None = None
    gpu_memory_utilization: float = 0.9
    max_model_len: int | None = None
    enable_prefix_caching: bool | None = None
    quantization: str | None = None
    batches: list[list[tuple[str, SamplingParams]]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    finish: str = "stop"
    broken: str = ""

    def __post_init__(self) -> None:
        limit = self.max_model_len or 4096
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=limit))
        self._tokenizer = Tokenizer()

    def get_tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        assert not use_tqdm
        assert isinstance(sampling_params, list)
        if self.broken:
            raise RuntimeError(self.broken)
        self.threads.add(threading.get_ident())
        time.sleep(0.01)
        texts = ["".join(map(chr, prompt["prompt_token_ids"])) for prompt in prompts]
        self.batches.append(list(zip(texts, sampling_params, strict=True)))
        return [self._answer(prompt, params) for prompt, params in zip(prompts, sampling_params, strict=True)]

    def _answer(self, prompt: dict[str, list[int]], params: SamplingParams) -> RequestOutput:
        ids = prompt["prompt_token_ids"]
        scores = None
        if params.prompt_logprobs is not None:  # the token at i has -i/8; the likeliest token is another one
            entries = [{0: Logprob(-0.01, 1), token: Logprob(-i / 8, 5)} for i, token in enumerate(ids)]
            scores = [None, *entries[1:]]
        seed = params.seed or 0
        outputs = [
            CompletionOutput(i, f"{len(ids)}:{seed + i}", (1, 2, 3), finish_reason=self.finish) for i in range(params.n)
        ]
        return RequestOutput("0", None, ids, scores, outputs)


@pytest.fixture
def vllm(monkeypatch):
    """A module with what is used of vLLM."""
    module = ModuleType("vllm")
    module.LLM = LLM  # type: ignore[attr-defined]
    module.SamplingParams = SamplingParams  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.delitem(sys.modules, "rm.uplift.executors.vllm", raising=False)
    yield module
    sys.modules.pop("rm.uplift.executors.vllm", None)
    importlib.invalidate_caches()


def run(use: Any, **settings: Any) -> tuple[Any, LLM]:
    executor: Any = make_executor(VllmConfig("some/model", **settings))
    engine = executor._engine

    async def main() -> Any:
        try:
            return await use(executor)
        finally:
            await executor.close()

    return asyncio.run(main()), engine


@pytest.mark.usefixtures("vllm")
class TestVllm:
    def test_the_engine_is_set_up(self):
        _, engine = run(
            lambda executor: executor.sample(ASK, 1, WARM, 0), revision="v2", options={"quantization": "awq"}
        )
        assert (engine.model, engine.revision, engine.quantization) == ("some/model", "v2", "awq")
        assert engine.enable_prefix_caching
        assert engine.max_model_len is None

    def test_samples(self):
        got, engine = run(lambda executor: executor.sample(ASK, 3, WARM, 7))
        assert got == [Completion(f"21:{seed}", True, 3) for seed in (7, 8, 9)]
        ((text, params),) = engine.batches[0]
        assert text == "<Add.\n\n1 + 1\n\nAnswer:"
        assert (params.n, params.temperature, params.top_p, params.max_tokens) == (3, 0.7, 0.9, 8)
        assert (params.stop, params.seed) == (["\n"], 7)

    def test_a_chat_template_is_used_where_there_is_one(self, monkeypatch):
        monkeypatch.setattr(Tokenizer, "chat_template", "{{ messages }}")
        _, engine = run(lambda executor: executor.sample(ASK, 1, WARM, 0))
        assert engine.batches[0][0][0] == "[system]Add.[user]1 + 1\n\nAnswer:[assistant]"
        _, engine = run(lambda executor: executor.sample(ASK, 1, WARM, 0), template="plain")
        assert engine.batches[0][0][0] == "<Add.\n\n1 + 1\n\nAnswer:"

    def test_greedy_samples_are_one(self):
        got, engine = run(lambda executor: executor.sample(ASK, 4, Sampling(temperature=0.0), 0))
        assert got == [Completion("21:0", True, 3)] * 4
        assert engine.batches[0][0][1].n == 1

    def test_concurrent_calls_share_batches_in_one_other_thread(self):
        async def use(executor: Any) -> Any:
            return await asyncio.gather(*(executor.sample(Prompt("", "x" * i), 2, WARM, i) for i in range(20)))

        got, engine = run(use)
        assert [[each.text for each in pair] for pair in got] == [
            [f"{i + 1}:{i}", f"{i + 1}:{i + 1}"] for i in range(20)
        ]
        assert len(engine.batches) <= 2
        assert len(engine.threads) == 1
        assert threading.get_ident() not in engine.threads

    @pytest.mark.parametrize(
        ("reason", "expected"), [("length", Completion("21:0", False, 3)), ("stop", Completion("21:0", True, 3))]
    )
    def test_cut_off(self, reason, expected):
        async def use(executor: Any) -> Any:
            executor._engine.finish = reason
            return await executor.sample(ASK, 1, WARM, 0)

        assert run(use)[0] == [expected]

    def test_aborted_and_too_long_are_lost(self):
        async def use(executor: Any) -> Any:
            executor._engine.finish = "abort"
            aborted = await executor.sample(ASK, 1, WARM, 0)
            too_long = await executor.sample(Prompt("", "x" * 40), 2, WARM, 0)
            return [*aborted, *too_long, await executor.log_likelihood(Prompt("", "x" * 40), "y")]

        got, engine = run(use, max_model_len=30)
        assert [lost.reason for lost in got] == ["aborted", *["prompt too long"] * 3]
        assert all(isinstance(lost, Lost) for lost in got)
        assert len(engine.batches) == 1

    def test_likelihood(self):
        # "<1+1=" are tokens 0 to 4, so "23" are 5 and 6
        value, engine = run(lambda executor: executor.log_likelihood(Prompt("", "1+1="), "23"))
        assert value == pytest.approx(-(5 + 6) / 8)
        assert engine.batches[0][0][0] == "<1+1=23"

    def test_a_broken_engine_fails_every_call_with_its_words(self):
        async def use(executor: Any) -> Any:
            executor._engine.broken = "CUDA error"
            calls = (executor.sample(ASK, 1, WARM, seed) for seed in range(3))
            return await asyncio.gather(*calls, return_exceptions=True)

        got, _ = run(use)
        assert [type(error) for error in got] == [RunError] * 3
        assert "CUDA error" in str(got[0])

    def test_a_cancelled_call_disturbs_no_other(self):
        async def use(executor: Any) -> Any:
            calls = [asyncio.create_task(executor.sample(ASK, 1, WARM, seed)) for seed in range(3)]
            await asyncio.sleep(0)
            calls[1].cancel()
            return await asyncio.gather(*calls, return_exceptions=True)

        got, _ = run(use)
        assert got[0] == [Completion("21:0", True, 3)]
        assert isinstance(got[1], asyncio.CancelledError)
        assert got[2] == [Completion("21:2", True, 3)]

    def test_it_is_an_executor_and_counts(self):
        async def use(executor: Any) -> Any:
            await executor.sample(ASK, 3, WARM, 0)
            return executor

        executor, _ = run(use)
        assert isinstance(executor, Executor)
        assert isinstance(executor, LikelihoodExecutor)
        assert (executor.usage.calls, executor.usage.samples) == (1, 3)
        assert (executor.usage.prompt_tokens, executor.usage.completion_tokens) == (21, 9)
