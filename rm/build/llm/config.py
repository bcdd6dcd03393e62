"""The section `llm` of a build's configuration: who writes flaws, who judges, and how much that may cost.

llm:
  perturber:
    server: {endpoints: ["http://127.0.0.1:8000/v1"], model: NAME}
  judges:
    - server: {endpoints: ["http://127.0.0.1:8000/v1"], model: NAME}
  max_tokens_total: 2000000
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from rm.config import CLOSED, Bool, NonNegativeFloat, NonNegativeInt, PositiveInt
from rm.errors import ConfigError
from rm.uplift.config import user_cache
from rm.uplift.executors.base import Sampling
from rm.uplift.executors.config import OpenAIConfig


@dataclass(frozen=True, config=CLOSED)
class ServerConfig(OpenAIConfig):
    """As `OpenAIConfig`, for instructed models: the chat API, and no probe, since no two requests are alike.

    Args:
        api: `completions` for a server without chat templates.
        timeout_s: of one request.
        probe: as in `OpenAIConfig`.
    """

    api: Literal["completions", "chat"] = "chat"
    timeout_s: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 300.0
    probe: Bool = False


@dataclass(frozen=True, config=CLOSED)
class ModelConfig:
    """A language model, and how it is asked.

    Args:
        server: where it is.
        temperature: 0 is greedy.
        top_p: in (0, 1].
        max_tokens: of one reply; one that needs more is cut off, and dropped.
        prompt_price, completion_price: for a million tokens, in any currency; 0 where it costs nothing.
    """

    server: ServerConfig
    temperature: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    max_tokens: PositiveInt = 2048
    prompt_price: NonNegativeFloat = 0.0
    completion_price: NonNegativeFloat = 0.0

    def sampling(self) -> Sampling:
        """How a reply is drawn."""
        return Sampling(self.temperature, self.top_p, self.max_tokens)


@dataclass(frozen=True, config=CLOSED)
class PerturberConfig(ModelConfig):
    """The model that writes flawed traces from sound ones.

    Args:
        temperature: 0 is greedy.
        kinds: names of the kinds of flaw that it may write; empty for all of the task.
        own_kinds: name -> one sentence that says what a reader finds, for kinds of one's own; the answer of such a
            trace has to be wrong where the seed has an answer.
        flaws: flawed traces asked of it for one seed, each of another kind.
        rewordings: sound traces in other words asked of it for one seed.
    """

    temperature: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.7
    kinds: list[str] = field(default_factory=list)
    own_kinds: dict[str, str] = field(default_factory=dict)
    flaws: NonNegativeInt = 4
    rewordings: NonNegativeInt = 0


@dataclass(frozen=True, config=CLOSED)
class JudgeConfig(ModelConfig):
    """A model that grades traces by the rubric.

    Args:
        samples: judgements of each trace, each with a seed of its own; several need a temperature above 0.
    """

    samples: PositiveInt = 1

    def __post_init__(self) -> None:
        if self.samples > 1 and self.temperature == 0:
            raise ConfigError(
                f"llm.judges: {self.samples} samples at temperature 0 are one judgement, copied. "
                "Set a temperature, or samples: 1."
            )


@dataclass(frozen=True, config=CLOSED)
class LlmConfig:
    """Language models in a build.

    Args:
        perturber: who writes flaws; null for rules alone.
        judges: who grades every trace, sound ones and those made by rules too; empty for the labels of the rules.
        least_judgements: a trace with fewer that could be read is dropped; 0 for all of them.
        cache: SQLite file of replies, so that a rerun asks nothing twice; empty for `tracelift-rm/replies.sqlite` in
            the user's cache folder.
        max_tokens_total: prompt and completion tokens of all models together, those of replies from the cache
            included, after which nothing more is asked; overshot by what is under way. 0 for no limit.
    """

    perturber: PerturberConfig | None = None
    judges: list[JudgeConfig] = field(default_factory=list)
    least_judgements: NonNegativeInt = 0
    cache: str = ""
    max_tokens_total: NonNegativeInt = 0

    def __post_init__(self) -> None:
        wanted = sum(judge.samples for judge in self.judges)
        if self.least_judgements > wanted:
            raise ConfigError(
                f"llm.least_judgements = {self.least_judgements}, but the judges give {wanted} for each trace. "
                "Add judges or samples, or lower it."
            )

    def cache_path(self) -> Path:
        """Where replies are kept."""
        return Path(self.cache).expanduser() if self.cache else user_cache("replies.sqlite")
