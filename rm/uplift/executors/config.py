"""Which executor, and everything that decides what it writes: frozen, checked by pydantic, without any I/O.

    executor = make_executor(OpenAIConfig(endpoints=["http://127.0.0.1:8000/v1"], model="my-model"))

A configuration file picks one by `kind`; `ExecutorConfig` is the union to put into a larger configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from rm.config import PositiveShare, Share
from rm.errors import ConfigError
from rm.uplift.executors.base import NO_LIKELIHOODS
from rm.uplift.executors.fingerprint import fingerprint_of, name_weights

if TYPE_CHECKING:
    from rm.uplift.executors.base import Executor

_CLOSED = ConfigDict(extra="forbid")
_Flag = Annotated[bool, Field(strict=True)]
_Positive = Annotated[int, Field(strict=True, gt=0)]
_Count = Annotated[int, Field(strict=True, ge=0)]
_Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1)]
_Dtype = Literal["auto", "float32", "bfloat16", "float16"]
_Template = Literal["auto", "chat", "plain"]
_ADDRESS = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+)(:\d{1,5})?(/\S*)?")

EXTRA_PARAMETERS = frozenset(
    {
        "chat_template_kwargs",
        "frequency_penalty",
        "generation_config",
        "ignore_eos",
        "min_p",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "top_k",
    }
)
"""What `OpenAIConfig.extra_body` may hold: it decides what is written and is nothing that the executor sets itself."""


@dataclass(frozen=True, config=_CLOSED)
class OpenAIConfig:
    """A model behind one or more OpenAI-compatible servers.

    Args:
        endpoints: base addresses, e.g. `http://127.0.0.1:8000/v1` (`/v1` is added to an address without a path). All
            serve the same model; calls go where the fewest are under way.
        model: its name there.
        revision: whatever else decides its weights (a commit, a quantization). Servers do not tell, so that cached
            baselines know only what stands here.
        api: `completions` sends one text, `chat` two messages through the server's chat template.
        api_key_env: environment variable that holds the key; empty sends none.
        concurrency: requests under way at once, an endpoint.
        timeout_s: of one request, from sending to the last byte. Ample for the longest completion: what times out is
            lost, and if only long completions were, the estimate would be biased.
        retries: how often a failed request is sent again before the call is lost.
        backoff_s: upper end of the first random wait; it doubles with each retry.
        backoff_max_s: where it stops doubling; a longer `Retry-After` is cut to four times this.
        breaker_failures: failures in a row after which an endpoint is left alone.
        breaker_pause_s: for how long, before one request tries it again.
        budget_calls: requests, retries included, after which the run stops; 0 for no limit.
        budget_tokens: prompt and completion tokens together; overshot by what is under way. 0 for no limit.
        max_tokens_field: what the server calls the limit on a completion.
        extra_body: further parameters of a request, by the names in `EXTRA_PARAMETERS`.
        probe: learn at the start, by a few short requests, which parameters each endpoint honours.
    """

    endpoints: Annotated[list[str], Field(min_length=1)]
    model: _Name
    kind: Literal["openai"] = "openai"
    revision: str = ""
    api: Literal["completions", "chat"] = "completions"
    api_key_env: str = ""
    concurrency: _Positive = 16
    timeout_s: _Seconds = 120.0
    retries: _Count = 5
    backoff_s: _Seconds = 0.5
    backoff_max_s: _Seconds = 30.0
    breaker_failures: _Positive = 5
    breaker_pause_s: _Seconds = 10.0
    budget_calls: _Count = 0
    budget_tokens: _Count = 0
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = field(default_factory=dict)
    probe: _Flag = True

    def __post_init__(self) -> None:
        problems = [problem for address in self.endpoints if (problem := _address_problem(address))]
        for name in sorted(set(self.extra_body) - EXTRA_PARAMETERS):
            problems.append(f"extra_body: unknown parameter {name}. Known: {', '.join(sorted(EXTRA_PARAMETERS))}.")
        if problems:  # not a ValueError: pydantic would print the value, which may hold a key
            raise ConfigError(problems)

    def fingerprint(self) -> str:
        """Stable name of what decides the text: model, revision, API, extra parameters."""
        return fingerprint_of(
            self.kind, {"model": self.model, "revision": self.revision, "api": self.api, "extra": self.extra_body}
        )


@dataclass(frozen=True, config=_CLOSED)
class ArithmeticConfig:
    """The executor without a model, for demos and tests.

    Args:
        error_rate: share of answers, in [0, 1], that a slip makes wrong.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    error_rate: Share = 0.0

    def fingerprint(self) -> str:
        return fingerprint_of(self.kind, {"version": 1, "error_rate": self.error_rate})


@dataclass(frozen=True, config=_CLOSED)
class TransformersConfig:
    """A causal language model in this process.

    Args:
        path: a directory, `tiny` for the shipped one, or a hub name.
        revision: hub revision.
        dtype: of the weights; `auto` is bfloat16 where the device has it in hardware, else float32.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        batch_tokens: prompt and completion tokens that one batch may hold; memory only, the result does not change.
        template: `chat` uses the tokenizer's chat template, `plain` sends one text; `auto` is `chat` where there is
            a template.
        prefix_sharing: `auto` computes what prompts of a batch begin with once, where the model can; `plain` never.
        attn_implementation: passed to transformers; empty lets it choose.
    """

    path: _Name
    kind: Literal["transformers"] = "transformers"
    revision: str = ""
    dtype: _Dtype = "auto"
    device: str = "auto"
    batch_tokens: _Positive = 32768
    template: _Template = "auto"
    prefix_sharing: Literal["auto", "plain"] = "auto"
    attn_implementation: str = ""

    def fingerprint(self, dtype: str = "") -> str:
        """As all; a directory counts by its files' content, not by where it lies.

        Args:
            dtype: what `auto` has become, where that is known.
        """
        return fingerprint_of(
            self.kind,
            {**name_weights(self.path, self.revision), "dtype": dtype or self.dtype, "template": self.template},
        )


@dataclass(frozen=True, config=_CLOSED)
class VllmConfig:
    """A vLLM engine in this process.

    Args:
        path: a directory or hub name.
        revision: hub revision.
        dtype: of the weights; `auto` is what the checkpoint says.
        template: as in `TransformersConfig`.
        tensor_parallel_size: GPUs that share the model.
        gpu_memory_utilization: share of a GPU's memory, in (0, 1].
        max_model_len: longest sequence in tokens; 0 for the model's own.
        seed: of the engine; samples have seeds of their own.
        options: further arguments of `vllm.LLM`, e.g. `{quantization: awq}`.
    """

    path: _Name
    kind: Literal["vllm"] = "vllm"
    revision: str = ""
    dtype: _Dtype = "auto"
    template: _Template = "auto"
    tensor_parallel_size: _Positive = 1
    gpu_memory_utilization: PositiveShare = 0.9
    max_model_len: _Count = 0
    seed: _Count = 0
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "trust_remote_code" in self.options:
            raise ConfigError("options.trust_remote_code: models here never bring code of their own. Remove it.")

    def fingerprint(self) -> str:
        return fingerprint_of(
            self.kind,
            {
                **name_weights(self.path, self.revision),
                "dtype": self.dtype,
                "template": self.template,
                "options": self.options,
            },
        )


ExecutorConfig = Annotated[
    OpenAIConfig | ArithmeticConfig | TransformersConfig | VllmConfig, Field(discriminator="kind")
]
"""Any of them, told apart by `kind`."""


def likelihoods_refused(config: OpenAIConfig | ArithmeticConfig | TransformersConfig | VllmConfig) -> str:
    """Why this executor cannot tell how probable a given answer is; empty where it can, as far as is known unasked."""
    if isinstance(config, ArithmeticConfig):
        return NO_LIKELIHOODS.format(what="executor.kind = arithmetic: it runs no model and")
    if isinstance(config, OpenAIConfig) and config.api == "chat":
        return NO_LIKELIHOODS.format(what="executor.api = chat: the chat API")
    return ""


def make_executor(config: OpenAIConfig | ArithmeticConfig | TransformersConfig | VllmConfig) -> Executor:
    """The executor of a configuration; its engine is imported here.

    Raises:
        MissingExtra: the package that it needs is not installed.
        ConfigError: what it names is not there.
    """
    return _MAKERS[config.kind](config)


def _make_openai(config: OpenAIConfig) -> Executor:
    from rm.uplift.executors.openai import OpenAIExecutor

    return OpenAIExecutor(config)


def _make_arithmetic(config: ArithmeticConfig) -> Executor:
    from rm.uplift.executors.arithmetic import ArithmeticExecutor

    return ArithmeticExecutor(config)


def _make_transformers(config: TransformersConfig) -> Executor:
    from rm.uplift.executors.transformers import TransformersExecutor

    return TransformersExecutor(config)


def _make_vllm(config: VllmConfig) -> Executor:
    from rm.uplift.executors.vllm import VllmExecutor

    return VllmExecutor(config)


_MAKERS: Mapping[str, Callable[[Any], Executor]] = MappingProxyType(
    {
        "openai": _make_openai,
        "arithmetic": _make_arithmetic,
        "transformers": _make_transformers,
        "vllm": _make_vllm,
    }
)


def _address_problem(address: str) -> str:
    """What is wrong with a base address, without repeating what may be a key in it; empty where nothing is."""
    if re.search(r"[@?#]", address):
        return (
            "endpoints: an address holds a user, a query or a fragment. Put a key into an environment variable and "
            "name it in api_key_env."
        )
    if not _ADDRESS.fullmatch(address):
        return "endpoints: an address is not of the form http://HOST:PORT/v1 (or https). Mend it."
    return ""
