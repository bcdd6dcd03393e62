"""vLLM's offline engine in this process: `vllm.LLM.generate`, run in a thread of its own.

Requests that come while the engine works are put together into its next batch, and its automatic prefix caching
computes what prompts begin with once.

Tested only against a stand-in that mimics the signatures of vLLM 0.10 (`LLM`, `SamplingParams`, `RequestOutput`,
`TokensPrompt`), never against vLLM itself. Where there is a choice, an own process (`vllm serve` and the openai
executor) is the better tried way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rm.errors import MissingExtra, RunError
from rm.prefix.forest import shared_length
from rm.uplift.executors.base import PROMPT_TOO_LONG, Completion, LikelihoodExecutor, Lost, Prompt, Sampling, Usage
from rm.uplift.executors.chat import shown_text
from rm.uplift.executors.config import VllmConfig

try:
    import vllm
except ModuleNotFoundError:
    raise MissingExtra("vllm", "vllm", "The in-process vLLM executor") from None


@dataclass(frozen=True)
class _Job:
    """A prompt on its way through the engine; `output` becomes vLLM's `RequestOutput`."""

    tokens: Sequence[int]
    parameters: Any
    output: asyncio.Future[Any]


class VllmExecutor(LikelihoodExecutor):
    """See the module. Lives in one event loop.

    Args:
        config: which model, on how much of which GPUs.

    Raises:
        MissingExtra: vllm is not installed.
    """

    def __init__(self, config: VllmConfig) -> None:
        self._config = config
        self._engine = vllm.LLM(**_engine_arguments(config))
        self._tokenizer = self._engine.get_tokenizer()
        self._longest: int = self._engine.llm_engine.model_config.max_model_len
        self._chat = config.template == "chat" or (
            config.template == "auto" and bool(getattr(self._tokenizer, "chat_template", None))
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vllm")
        self._jobs: list[_Job] = []
        self._runner: asyncio.Task[None] | None = None
        self._usage = Usage()

    @property
    def fingerprint(self) -> str:
        return self._config.fingerprint()

    @property
    def usage(self) -> Usage:
        return self._usage

    async def sample(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> list[Completion | Lost]:
        """See `Executor.sample`. At temperature 0 one completion is drawn and given n times.

        Raises:
            RunError: the engine failed.
        """
        if n < 1:
            return []
        drawn = 1 if sampling.temperature == 0 else n
        tokens = self._encode(shown_text(prompt, self._tokenizer, self._chat))
        if len(tokens) + 1 > self._longest:
            return [Lost(PROMPT_TOO_LONG, f"{len(tokens)} tokens, the model takes {self._longest}")] * n
        parameters = vllm.SamplingParams(
            n=drawn,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop) or None,
            seed=seed,
        )
        output = await self._submit(tokens, parameters)
        completions = [_completion(choice) for choice in output.outputs]
        self._usage = replace(
            self._usage,
            samples=self._usage.samples + len(completions),
            completion_tokens=self._usage.completion_tokens + sum(len(each.token_ids) for each in output.outputs),
        )
        return completions * n if drawn == 1 else completions

    async def log_likelihood(self, prompt: Prompt, answer: str) -> float | Lost:
        """See `LikelihoodExecutor.log_likelihood`. A token that joins prompt and answer counts as the answer's.

        Raises:
            RunError: the engine failed.
        """
        text = shown_text(prompt, self._tokenizer, self._chat)
        tokens = self._encode(text + answer)
        shared = shared_length(tokens, self._encode(text))
        if len(tokens) + 1 > self._longest:
            return Lost(PROMPT_TOO_LONG, f"{len(tokens)} tokens, the model takes {self._longest}")
        parameters = vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1)
        output = await self._submit(tokens, parameters)
        entries: Sequence[Mapping[int, Any] | None] = output.prompt_logprobs or ()
        scored = [
            entry[token].logprob
            for token, entry in zip(tokens[shared:], entries[shared:], strict=False)
            if entry is not None and token in entry
        ]
        if not scored or len(scored) < len(tokens) - shared:
            return Lost("no logprobs", f"{len(scored)} of {len(tokens) - shared} tokens of the answer were scored")
        return min(0.0, float(sum(scored)))

    async def close(self) -> None:
        """Wait for the engine's last batch and let go of it."""
        if self._runner is not None:
            await asyncio.wait([self._runner])
        self._thread.shutdown()
        del self._engine

    def _encode(self, text: str) -> list[int]:
        """A chat template writes its special tokens itself."""
        return list(self._tokenizer.encode(text, add_special_tokens=not self._chat))

    async def _submit(self, tokens: Sequence[int], parameters: Any) -> Any:
        """The engine's `RequestOutput` for a prompt. Raises: RunError."""
        loop = asyncio.get_running_loop()
        job = _Job(tokens, parameters, loop.create_future())
        self._jobs.append(job)
        self._usage = replace(
            self._usage, calls=self._usage.calls + 1, prompt_tokens=self._usage.prompt_tokens + len(tokens)
        )
        if self._runner is None or self._runner.done():
            self._runner = loop.create_task(self._run())
        return await job.output

    async def _run(self) -> None:
        """Batch after batch until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._jobs:
            jobs, self._jobs = self._jobs, []
            batch = loop.run_in_executor(self._thread, self._generate, jobs)
            await asyncio.wait([batch])
            error = batch.exception()
            outputs = [] if error else batch.result()
            for index, job in enumerate(jobs):
                if job.output.done():  # cancelled
                    continue
                if error is not None:
                    failure = RunError(f"The vLLM engine failed: {type(error).__name__}: {error}")
                    failure.__cause__ = error
                    job.output.set_exception(failure)
                else:
                    job.output.set_result(outputs[index])

    def _generate(self, jobs: Sequence[_Job]) -> list[Any]:
        prompts = [{"prompt_token_ids": list(job.tokens)} for job in jobs]
        return self._engine.generate(prompts, [job.parameters for job in jobs], use_tqdm=False)


def _engine_arguments(config: VllmConfig) -> dict[str, Any]:
    return {
        "model": config.path,
        "revision": config.revision or None,
        "dtype": config.dtype,
        "tensor_parallel_size": config.tensor_parallel_size,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "max_model_len": config.max_model_len or None,
        "seed": config.seed,
        "enable_prefix_caching": True,
        **config.options,
    }


def _completion(choice: Any) -> Completion | Lost:
    if choice.finish_reason == "abort":
        return Lost("aborted", "the engine gave the request up")
    return Completion(choice.text, choice.finish_reason != "length", len(choice.token_ids))
