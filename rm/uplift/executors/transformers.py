"""A causal language model in this process, on a CPU or GPU: the uplift estimator of a single machine.

Calls of one event loop are gathered into batches, over problems and samples, and run in a thread of their own. See
`rm.uplift.executors.generation` for what is computed once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from rm.errors import ConfigError
from rm.precision import default_device, resolve_dtype
from rm.prefix import prepare
from rm.sources import TINY_EXECUTOR, find_source
from rm.text.tokenizer import load_tokenizer
from rm.uplift.executors.base import Completion, LikelihoodExecutor, Lost, Prompt, Sampling, Usage
from rm.uplift.executors.chat import shown_text
from rm.uplift.executors.config import TransformersConfig
from rm.uplift.executors.generation import Generator, LikelihoodJob, SampleJob

GATHER_SECONDS = 0.005
"""How long the first call waits for others to join its batch."""


class TransformersExecutor(LikelihoodExecutor):
    """See the module; the protocol is `rm.uplift.executors.base.LikelihoodExecutor`.

    Attributes:
        notes: what a user should know, a sentence each.

    Raises:
        ConfigError: the model is not there, has no safetensors, or is no causal language model.
    """

    def __init__(self, config: TransformersConfig) -> None:
        source = find_source(config.path, "executor.path", config.revision, tiny=TINY_EXECUTOR)
        device = default_device() if config.device == "auto" else torch.device(config.device)
        self._tokenizer = load_tokenizer(source)
        self._chat = _uses_chat(config.template, self._tokenizer)
        extra = {"attn_implementation": config.attn_implementation} if config.attn_implementation else {}
        try:
            model = AutoModelForCausalLM.from_pretrained(
                source.path,
                dtype=resolve_dtype(config.dtype, device),
                use_safetensors=True,
                trust_remote_code=False,
                **source.hub_kwargs,
                **extra,
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"executor.path: {config.path} cannot be loaded: {error}") from None
        model = cast(PreTrainedModel, model.to(device)).eval().requires_grad_(False)  # type: ignore[arg-type]
        self._fingerprint = config.fingerprint(str(model.dtype).removeprefix("torch."))
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        sharing = prepare(cast(PreTrainedModel, model.base_model), config.prefix_sharing, longest=context or 2**31)
        self.notes = (f"Prompts do not share what they begin with: {sharing.reason}.",) if sharing.reason else ()
        self._generator = Generator(
            model, self._tokenizer, path=sharing.path, batch_tokens=config.batch_tokens, context=context
        )
        self._usage = Usage()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="executor")
        self._waiting: list[tuple[Any, Any, asyncio.Future[Any]]] = []
        self._worker: asyncio.Task[None] | None = None

    @property
    def fingerprint(self) -> str:
        """The weights' content, their type, and the template."""
        return self._fingerprint

    @property
    def usage(self) -> Usage:
        """So far; a call is one prompt with all of its samples."""
        return self._usage

    async def sample(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> list[Completion | Lost]:
        """Sample k has the seed `seed + k`: it is the same whatever is asked beside it, but for rounding."""
        tokens = self._tokens(prompt)
        found: list[Completion | Lost] = await self._join(sampling, SampleJob(tokens, tuple(range(seed, seed + n))))
        self._count(len(tokens), found)
        return found

    async def log_likelihood(self, prompt: Prompt, answer: str) -> float | Lost:
        """The answer's own tokens after the prompt's: nothing is merged across the border."""
        continued = tuple(self._tokenizer(answer, add_special_tokens=False)["input_ids"])
        tokens = self._tokens(prompt)
        self._count(len(tokens), [])
        return await self._join(None, LikelihoodJob(tokens, continued))

    async def close(self) -> None:
        """Stop the thread; what waits is cancelled."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._thread.shutdown(wait=True)

    # ---- batches ----------------------------------------------------------------------------------------------

    async def _join(self, kind: Sampling | None, job: Any) -> Any:
        """Add a job to the next batch of its kind."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((kind, job, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        """Run what waits, kind after kind, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            taken, self._waiting = self._waiting, []
            kinds = dict.fromkeys(kind for kind, _, _ in taken)
            for kind in kinds:
                part = [(job, future) for each, job, future in taken if each == kind and not future.done()]
                run: Callable[[Sequence[Any]], Sequence[Any]] = (
                    self._generator.log_likelihoods
                    if kind is None
                    else lambda jobs, kind=kind: self._generator.sample(jobs, kind)  # type: ignore[misc]
                )
                try:
                    results = await loop.run_in_executor(self._thread, run, [job for job, _ in part])
                except BaseException as error:
                    _fail([future for _, _, future in taken], error)
                    raise
                for (_, future), result in zip(part, results, strict=True):
                    if not future.done():
                        future.set_result(result)

    # ---- texts ------------------------------------------------------------------------------------------------

    def _tokens(self, prompt: Prompt) -> tuple[int, ...]:
        text = shown_text(prompt, self._tokenizer, self._chat)
        # A chat template writes its special tokens itself.
        return tuple(self._tokenizer(text, add_special_tokens=not self._chat)["input_ids"])

    def _count(self, prompt_tokens: int, found: Sequence[Completion | Lost]) -> None:
        written = [each for each in found if isinstance(each, Completion)]
        self._usage = replace(
            self._usage,
            calls=self._usage.calls + 1,
            samples=self._usage.samples + len(written),
            prompt_tokens=self._usage.prompt_tokens + prompt_tokens,
            completion_tokens=self._usage.completion_tokens + sum(each.tokens or 0 for each in written),
        )


def _fail(futures: Sequence[asyncio.Future[Any]], error: BaseException) -> None:
    for future in futures:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)


def _uses_chat(template: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    if template == "chat" and not tokenizer.chat_template:
        raise ConfigError("executor.template: chat, but the tokenizer has no chat template. Use plain.")
    return template == "chat" or (template == "auto" and bool(tokenizer.chat_template))
