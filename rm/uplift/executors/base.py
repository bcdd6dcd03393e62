"""What an executor is: a frozen model that writes a final answer or a program from a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rm.errors import ConfigError

NO_LIKELIHOODS = (
    "{what} does not tell how probable a given answer is. Take executor.kind transformers or vllm, or openai with "
    "executor.api completions; or a plan that samples: plan.kind adaptive."
)
"""Why the plans `likelihood` and `calibrated` are refused."""
PROMPT_TOO_LONG = "prompt too long"
"""Reason of a `Lost` prompt that the model has no room for."""


@dataclass(frozen=True)
class Prompt:
    """What an executor reads. Chat models get two messages, others the texts joined by an empty line.

    Args:
        system: instructions.
        user: the problem, and the trace where there is one.
    """

    system: str
    user: str

    @property
    def text(self) -> str:
        """For models without a chat template."""
        return f"{self.system}\n\n{self.user}" if self.system else self.user


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Args:
        temperature: >= 0; 0 is greedy, and then all samples of a prompt are one.
        top_p: in (0, 1].
        max_tokens: of a completion.
        stop: texts that end it.
    """

    temperature: float = 0.5
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """What the executor wrote.

    Args:
        text: may be empty, which is a failed attempt, not a lost call.
        finished: False where it was cut off by `max_tokens`.
        tokens: how many were generated; None where the server does not tell.
    """

    text: str
    finished: bool = True
    tokens: int | None = None


@dataclass(frozen=True)
class Lost:
    """A call that gave nothing for a reason that does not depend on what would have been written.

    Args:
        reason: short and stable, so that reasons can be counted: `timeout`, `http 503`, `connection`, ...
        detail: for a reader.
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Usage:
    """What an executor has done so far.

    Args:
        calls: requests sent, retries included.
        retries: of those, repeated ones.
        samples: completions received.
        prompt_tokens, completion_tokens: as far as told.
    """

    calls: int = 0
    retries: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@runtime_checkable
class Executor(Protocol):
    """A frozen model. Implementations are safe for many concurrent calls in one event loop.

    A class that names this one as its base has `notes` and `start` where it has nothing of its own to say or do.

    Attributes:
        notes: what a user should know of this executor, a sentence each; complete once it has started.
    """

    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Stable over processes: everything that decides what is written (model, revision, endpoint kind, dtype); no
        address, no secret. Part of the key under which baselines are cached."""

    @property
    def usage(self) -> Usage:
        """So far."""

    async def start(self, *, samples: bool = True, likelihoods: bool = False) -> None:
        """Make sure, before a measurement, that what it will ask for can be had.

        Args:
            samples: that fresh samples are drawn.
            likelihoods: that log-likelihoods are given.

        Raises:
            ConfigError: it cannot be had.
            RunError: nothing answers.
        """
        if likelihoods and not isinstance(self, LikelihoodExecutor):
            raise ConfigError(NO_LIKELIHOODS.format(what="This executor"))

    async def sample(self, prompt: Prompt, n: int, sampling: Sampling, seed: int) -> list[Completion | Lost]:
        """Exactly n independent completions, each there or lost.

        Args:
            seed: of the first; the same seed gives the same completions where the engine can do that.
        """

    async def close(self) -> None:
        """Give back connections, memory, processes."""


@runtime_checkable
class LikelihoodExecutor(Executor, Protocol):
    """An executor that can also tell how probable an answer is."""

    async def log_likelihood(self, prompt: Prompt, answer: str) -> float | Lost:
        """Natural log of p(answer | prompt), summed over the answer's tokens; <= 0."""
