"""The section `llm` of a build's configuration: who writes flaws, who judges, and how much that may cost.

llm:
  perturber:
    server: {endpoints: ["http://127.0.0.1:8000/v1"], model: NAME}
  judges:
    - server: {endpoints: ["http://127.0.0.1:8000/v1"], model: NAME}
  max_tokens_total: 2000000
"""

from __future__ import annotations

from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from rm.build.llm.ledger import Prices
from rm.build.seed import Seed
from rm.config import CLOSED, Bool, NonNegativeFloat, NonNegativeInt, PositiveInt
from rm.errors import ConfigError
from rm.files import cache_folder
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
        rules: whether there are flaws by rule beside the perturber's; it matters only where there is one. Which are
            drawn for a group is up to `kinds`: those of the perturber are called `llm_...` there.
        reference: what of the seed's solution judges are shown.
        cache: SQLite file of replies, so that a rerun asks nothing twice; empty for `tracelift-rm/replies.sqlite` in
            the user's cache folder.
        max_tokens_total: prompt and completion tokens of all models together, after which a run stops; overshot by
            what is under way. Replies from the cache are free. 0 for no limit.
    """

    perturber: PerturberConfig | None = None
    judges: list[JudgeConfig] = field(default_factory=list)
    least_judgements: NonNegativeInt = 0
    rules: Bool = True
    reference: Literal["solution", "answer", "none"] = "solution"
    cache: str = ""
    max_tokens_total: NonNegativeInt = 0

    def __post_init__(self) -> None:
        wanted = sum(judge.samples for judge in self.judges)
        if self.least_judgements > wanted:
            raise ConfigError(
                f"llm.least_judgements = {self.least_judgements}, but the judges give {wanted} for each trace. "
                "Add judges or samples, or lower it."
            )

    @property
    def used(self) -> bool:
        """Whether any model is asked."""
        return self.perturber is not None or bool(self.judges)

    @property
    def perturber_name(self) -> str:
        """Of its account; "" without one."""
        return f"perturber {self.perturber.server.model}" if self.perturber else ""

    @property
    def judge_names(self) -> tuple[str, ...]:
        """Of the judges' accounts; those of one model are numbered."""
        models = [judge.server.model for judge in self.judges]
        return tuple(
            f"judge {model} {models[: index + 1].count(model)}" if models.count(model) > 1 else f"judge {model}"
            for index, model in enumerate(models)
        )

    @property
    def raters(self) -> tuple[str, ...]:
        """One name for each judge and sample, in order."""
        return tuple(
            f"{name}#{sample + 1}" if judge.samples > 1 else name
            for name, judge in zip(self.judge_names, self.judges, strict=True)
            for sample in range(judge.samples)
        )

    @property
    def prices(self) -> dict[str, Prices]:
        """Of every account."""
        named = dict(zip(self.judge_names, self.judges, strict=True))
        models: dict[str, ModelConfig] = {self.perturber_name: self.perturber} if self.perturber else {}
        return {name: Prices(each.prompt_price, each.completion_price) for name, each in {**models, **named}.items()}

    def seeds_at_once(self) -> int:
        """Enough to keep every server busy."""
        models = [*([self.perturber] if self.perturber else []), *self.judges]
        return 4 + max((each.server.concurrency * len(each.server.endpoints) for each in models), default=0)

    def reference_of(self, seed: Seed) -> str:
        """What judges are shown of a seed's solution."""
        if self.reference == "none":
            return ""
        return seed.answer if self.reference == "answer" else seed.solution or seed.plan

    def deciding(self) -> dict[str, Any] | None:
        """What decides the result, as JSON values: no addresses, limits or prices; None where no model is asked."""
        if not self.used:
            return None
        judges = [_deciding(judge) for judge in self.judges]
        plain = {"least_judgements": self.least_judgements, "rules": self.rules, "reference": self.reference}
        return {"perturber": _deciding(self.perturber) if self.perturber else None, "judges": judges, **plain}

    def cache_path(self) -> Path:
        """Where replies are kept."""
        return Path(self.cache).expanduser() if self.cache else cache_folder() / "replies.sqlite"


def _deciding(config: ModelConfig) -> dict[str, Any]:
    kept = {name: value for name, value in asdict(config).items() if not name.endswith("_price")}
    server = config.server
    return {
        **kept,
        "server": {
            "model": server.model,
            "revision": server.revision,
            "api": server.api,
            "extra_body": server.extra_body,
        },
    }
