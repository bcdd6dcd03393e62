"""An executor behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, `transformers serve`, hosted ones.

    executor = OpenAIExecutor(OpenAIConfig(endpoints=["http://127.0.0.1:8000/v1"], model="my-model"))
    completions = await executor.sample(prompt, n=4, sampling=Sampling(temperature=0.5), seed=18)
    executor.notes                      # what the servers were found to ignore

Completions are asked for all at once, and what a server leaves out is asked for again, one by one, with a seed of
its own. Before the first draw each endpoint is probed (`rm.uplift.executors.probe`): one that draws no fresh samples
is refused, since copies of one sample would look like many.

Not covered: streaming, and whether two endpoints really serve the same weights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rm.errors import ConfigError, RunError, TraceLiftError
from rm.uplift.executors import probe as probing
from rm.uplift.executors.base import Completion, LikelihoodExecutor, Lost, Prompt, Sampling, Usage
from rm.uplift.executors.client import Client, Failed
from rm.uplift.executors.config import OpenAIConfig
from rm.uplift.executors.endpoints import Endpoint
from rm.uplift.executors.replies import Reply, Scored, answer_log_probability, read_completions, read_scored

_SEEDS = 2**31
"""Some servers take 32-bit signed seeds only."""
_LIKELIHOOD_WAYS: tuple[Mapping[str, Any], ...] = ({"echo": True, "logprobs": 1}, {"prompt_logprobs": 0})
"""The completions API's parameters, and vLLM's own."""
_PROBE_RETRIES = 2


class OpenAIExecutor(LikelihoodExecutor):
    """See the module. Lives in one event loop; safe for any number of concurrent calls.

    Args:
        config: which servers, which model, which limits.

    Raises:
        ConfigError: the key's variable is not set.
        MissingExtra: httpx is not installed.
    """

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._client = Client(config)
        self._path = "/completions" if config.api == "completions" else "/chat/completions"
        self._honours_n = True
        self._likelihood_way: Mapping[str, Any] | None = None
        self._started = not config.probe
        self._start_error: TraceLiftError | None = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OpenAIExecutor(model={self._config.model!r}, endpoints={self._config.endpoints!r})"

    @property
    def fingerprint(self) -> str:
        return self._config.fingerprint()

    @property
    def usage(self) -> Usage:
        return self._client.usage

    async def start(self, *, samples: bool = True, likelihoods: bool = False) -> None:
        """Probe every endpoint, once, and for likelihoods ask for one; the first call of each kind does it too.

        Raises:
            ConfigError: a server refuses the key or the model, draws no fresh samples, or gives no likelihoods.
            RunError: no endpoint answers.
        """
        if likelihoods:
            await self._learn_likelihood_way()
        if samples:
            await self._probe()

    async def _probe(self) -> None:
        async with self._lock:
            if self._start_error is not None:
                raise self._start_error
            if not self._started:
                try:
                    await self._probe_all()
                except TraceLiftError as error:  # the next call shall not wait for the same
                    self._start_error = error
                    raise
                self._started = True

    async def sample(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> list[Completion | Lost]:
        """See `Executor.sample`. At temperature 0 one completion is asked for and given n times.

        Raises:
            ConfigError, RunError: as `start` and `Client.post`.
        """
        if n < 1:
            return []
        if sampling.temperature == 0:
            return (await self._singly(prompt, 1, sampling, seed)) * n
        await self._probe()
        if n == 1 or not self._honours_n:
            return await self._singly(prompt, n, sampling, seed)
        reply = await self.ask(prompt, n, sampling, seed)
        if isinstance(reply, Lost):
            return [reply] * n
        got = list(reply.completions[:n])
        if len(got) == 1:
            self._honours_n = False
        return [*got, *await self._singly(prompt, n - len(got), sampling, seed + len(got))]

    async def log_likelihood(self, prompt: Prompt, answer: str) -> float | Lost:
        """See `LikelihoodExecutor.log_likelihood`. `answer` follows the prompt's text as it is, blanks included.

        Raises:
            ConfigError: the server gives no log probabilities of a prompt, or the API is not `completions`.
        """
        await self._learn_likelihood_way()
        scored = await self._client.post(self._path, self._scoring_body(prompt.text + answer), read_scored)
        if isinstance(scored, Lost):
            return scored
        self._client.count_samples(0, scored.prompt_tokens, None)
        value = answer_log_probability(scored, prompt.text, answer)
        return Lost("no logprobs", "the answer is not among the tokens that came back") if value is None else value

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _singly(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> list[Completion | Lost]:
        replies = await asyncio.gather(*(self.ask(prompt, 1, sampling, seed + i) for i in range(n)))
        return [reply if isinstance(reply, Lost) else reply.completions[0] for reply in replies]

    async def ask(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> Reply | Lost:
        """One request: as many of n completions as the server gives, with its token counts. Nothing is probed.

        Raises:
            ConfigError, RunError: as `Client.post`.
        """
        reply = await self._client.post(self._path, self._body(prompt, n, sampling, seed), read_completions)
        if isinstance(reply, Reply):
            self._count(reply)
        return reply

    def _count(self, reply: Reply) -> None:
        self._client.count_samples(len(reply.completions), reply.prompt_tokens, reply.completion_tokens)

    def _body(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> dict[str, Any]:
        """A request with no parameter that is not needed: some servers refuse those they do not know."""
        config = self._config
        text: dict[str, Any] = {"prompt": prompt.text}
        if config.api == "chat":
            system = [{"role": "system", "content": prompt.system}] if prompt.system else []
            text = {"messages": [*system, {"role": "user", "content": prompt.user}]}
        return {
            **config.extra_body,
            **text,
            "model": config.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            config.max_tokens_field: sampling.max_tokens,
            "seed": seed % _SEEDS,
            **({"n": n} if n > 1 else {}),
            **({"stop": list(sampling.stop)} if sampling.stop else {}),
        }

    def _scoring_body(self, text: str) -> dict[str, Any]:
        """One token is generated and dropped, since not every server takes `max_tokens: 0`."""
        return {
            "model": self._config.model,
            "prompt": text,
            "temperature": 0,
            self._config.max_tokens_field: 1,
            **(self._likelihood_way or {}),
        }

    async def _probe_all(self) -> None:
        notes: list[str] = []
        found: list[probing.Honours] = []
        silent: list[str] = []
        endpoints = self._client.endpoints
        results = await asyncio.gather(*map(self._probe_one, endpoints), return_exceptions=True)
        for endpoint, honours in zip(endpoints, results, strict=True):
            if isinstance(honours, BaseException):
                raise honours
            if isinstance(honours, Failed):
                silent.append(f"{honours.reason}: {honours.detail}")
                self._client.shut(endpoint)
                continue
            self._refuse_copies(endpoint, honours)
            found.append(honours)
            notes += [f"{endpoint.address} {note}" for note in _notes(honours)]
        if not found:
            raise RunError(f"No endpoint answers: {'; '.join(silent)}. Start the server, or mend endpoints.")
        if self._config.budget_tokens and not all(honours.usage for honours in found):
            raise ConfigError("budget_tokens: the server does not tell how many tokens it used. Set budget_calls.")
        self._honours_n = all(honours.n for honours in found)
        self.notes = (*notes, *(f"An endpoint does not answer, the others go on without it. {why}." for why in silent))

    async def _probe_one(self, endpoint: Endpoint) -> probing.Honours | Failed:
        """What an endpoint honours, or how it failed: a few times, or once by a time-out.

        Raises:
            ConfigError: it refuses.
        """
        failure = Failed("connection")
        for _ in range(min(self._config.retries, _PROBE_RETRIES) + 1):
            try:
                return await probing.probe(lambda prompt, n, seed: self._ask_endpoint(endpoint, prompt, n, seed))
            except _NoReply as error:
                failure = error.failed
            if not failure.again:
                raise ConfigError(
                    f"{endpoint.address} refuses a plain request ({failure.reason}): {failure.detail}. "
                    "Check api, extra_body and max_tokens_field."
                )
            if failure.reason == "timeout":
                break
            await asyncio.sleep(max(self._config.backoff_s, failure.pause))
        return failure

    async def _ask_endpoint(self, endpoint: Endpoint, prompt: Prompt, n: int, seed: int) -> Reply:
        body = self._body(prompt, n, probing.SAMPLING, seed)
        reply = await self._client.post_once(endpoint, self._path, body, read_completions)
        if isinstance(reply, Failed):
            if n > 1 and not reply.again:  # it refuses n, and says so
                return Reply(())
            raise _NoReply(reply)
        self._count(reply)
        return reply

    def _refuse_copies(self, endpoint: Endpoint, honours: probing.Honours) -> None:
        if honours.fresh:
            return
        if not honours.written:
            raise ConfigError(
                f"{endpoint.address} answers with empty completions, to two prompts. Check api (chat for a chat model, "
                "completions for a base model), extra_body and max_tokens_field."
            )
        what = "ignores seed" if honours.varied else "ignores temperature"
        raise ConfigError(
            f"{endpoint.address} {what}: requests with different seeds at temperature {probing.SAMPLING.temperature:g} "
            "brought equal texts, for two prompts. Samples would be copies of one, and the estimate wrong. Let the "
            "server sample (transformers serve: do_sample in the model's generation_config.json, or in "
            "extra_body.generation_config), or set probe: false if the model is simply that sure of itself."
        )

    async def _learn_likelihood_way(self) -> None:
        if self._config.api != "completions":
            raise ConfigError("Likelihoods need api: completions; the chat API does not score a given answer.")
        async with self._lock:
            if self._likelihood_way is None:
                self._likelihood_way = await self._find_likelihood_way()

    async def _find_likelihood_way(self) -> Mapping[str, Any]:
        """The first parameters for which log probabilities of a prompt come back. Raises: ConfigError for none."""
        prompt, answer = "one two three", " four"
        for way in _LIKELIHOOD_WAYS:
            body = {**self._scoring_body(prompt + answer), **way}
            scored = await self._client.post(self._path, body, read_scored)
            if isinstance(scored, Scored) and answer_log_probability(scored, prompt, answer) is not None:
                return way
            if isinstance(scored, Lost) and not scored.reason.startswith("http 4"):
                raise RunError(f"The server does not answer: {scored.reason}. {scored.detail}.")
        raise ConfigError(
            "The server gives no log probabilities of a prompt (echo with logprobs, or prompt_logprobs). Serve the "
            "model with vLLM, use the transformers executor, or estimate by sampling."
        )


class _NoReply(Exception):
    """A probe's request that failed."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


def _notes(honours: probing.Honours) -> list[str]:
    """What a user should know of an endpoint, to be put after its address."""
    found = {
        "ignores n: samples are asked for one by one.": not honours.n,
        "ignores seed: samples are fresh, but a second run will not repeat them.": honours.seed is False,
        "does not tell token counts.": not honours.usage,
        "ignores the limit on tokens.": not honours.max_tokens,
    }
    return [note for note, holds in found.items() if holds]
