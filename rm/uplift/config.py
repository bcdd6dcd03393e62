"""All of `tracelift-rm uplift`: frozen, checked without any I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from rm.config import CLOSED, Bool, NonNegativeInt, PositiveInt, PositiveShare
from rm.errors import ConfigError
from rm.files import cache_folder
from rm.uplift.estimate import OFFICIAL, Adaptive, Sampled
from rm.uplift.executors.base import Executor, Sampling
from rm.uplift.executors.config import ArithmeticConfig, ExecutorConfig, likelihoods_refused
from rm.uplift.plans import AnyPlan, Calibrated, Likelihood
from rm.uplift.problems import Task
from rm.uplift.prompts import TEMPLATES
from rm.uplift.setup import Setup
from rm.uplift.verifiers.base import Verifier
from rm.uplift.verifiers.table import make_verifier

Probability = Annotated[float, Field(strict=True, gt=0, lt=1)]


@dataclass(frozen=True, config=CLOSED)
class PlanConfig:
    """How many runs a trace gets.

    Args:
        kind: `sampled` takes fixed numbers; `adaptive` stops when sign or width is settled; `official` is 3 + 3;
            `likelihood` takes one forward pass a trace and no runs; `calibrated` takes that for all traces, runs for
            those of some problems, and predicts the success uplift of the others.
        runs: with each trace: the number for `sampled` and `calibrated`, the most for `adaptive`.
        baseline_runs: of each problem alone, shared by its traces: the number for `sampled` and `calibrated`, the first
            for `adaptive`.
        calibration_share: `calibrated`: share of the problems whose traces are sampled, in (0, 1); 10 at least are.
        sign_probability: `adaptive`: posterior probability at which the sign counts as settled, above 1/2.
        width: `adaptive`: width of the interval at which it counts as settled, in [0, 2].
        level: of the interval.
    """

    kind: Literal["sampled", "adaptive", "official", "likelihood", "calibrated"] = "adaptive"
    runs: PositiveInt = 64
    baseline_runs: PositiveInt = 16
    calibration_share: Probability = 0.2
    sign_probability: Probability = 0.95
    width: Annotated[float, Field(strict=True, ge=0, le=2)] = 0.3
    level: Probability = 0.95

    @property
    def needs_likelihoods(self) -> bool:
        """Whether the executor must tell how probable a given answer is."""
        return self.kind in ("likelihood", "calibrated")

    @property
    def samples(self) -> bool:
        """Whether anything is sampled and judged."""
        return self.kind != "likelihood"

    def make(self) -> AnyPlan:
        """The plan. Raises: ConfigError for settings that do not go together."""
        if self.kind == "official":
            return OFFICIAL
        if self.kind == "likelihood":
            return Likelihood()
        sampled = Sampled(runs=self.runs, baseline_runs=self.baseline_runs, level=self.level)
        if self.kind == "sampled":
            return sampled
        if self.kind == "calibrated":
            return Calibrated(self.calibration_share, sampled)
        looks = tuple(look for look in Adaptive().looks if look < self.runs)
        try:
            return Adaptive(
                looks=(*looks, self.runs),
                baseline_runs=self.baseline_runs,
                baseline_most=max(self.baseline_runs, round(self.runs * Adaptive().baseline_ratio)),
                sign_probability=self.sign_probability,
                width=self.width,
                level=self.level,
            )
        except ValueError as error:
            raise ConfigError(f"plan: {error}.") from None


@dataclass(frozen=True, config=CLOSED)
class SamplingConfig:
    """How completions are drawn.

    Args:
        temperature: 0 is greedy, and then an arm has one run.
        top_p: in (0, 1].
        max_tokens: of a completion.
        stop: texts that end one, besides those of the templates.
    """

    temperature: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.5
    top_p: PositiveShare = 1.0
    max_tokens: PositiveInt = 512
    stop: list[str] = field(default_factory=list)

    def make(self) -> Sampling:
        """With the stop texts of the templates, so that a base model does not go on to another problem."""
        own = [word for template in TEMPLATES.values() for word in template.stop]
        return Sampling(self.temperature, self.top_p, self.max_tokens, tuple(dict.fromkeys([*own, *self.stop])))


@dataclass(frozen=True, config=CLOSED)
class UpliftConfig:
    """How uplift is measured.

    Args:
        executor: which frozen model, see `rm.uplift.executors.config`; picked by `executor.kind`.
        math: options of the math verifier, see `rm.uplift.verifiers.table`.
        code: of the code verifier.
        partial: a success is the share of tests passed, rather than all or nothing.
        cache: SQLite file of baseline runs; empty for `tracelift-rm/baselines.sqlite` in the user's cache folder,
            `none` for no cache.
        attempts: how often a lost completion is asked for in all.
        traces_at_once: measured at the same time; memory only.
        seed: of every draw.
    """

    executor: ExecutorConfig = field(default_factory=ArithmeticConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    math: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    partial: Bool = False
    cache: str = ""
    attempts: PositiveInt = 10
    traces_at_once: PositiveInt = 256
    seed: NonNegativeInt = 18

    def __post_init__(self) -> None:
        if self.plan.needs_likelihoods and (refused := likelihoods_refused(self.executor)):
            raise ConfigError(f"plan.kind = {self.plan.kind}: {refused}")

    def setup(self, executor: Executor, verifiers: Mapping[Task, Verifier], plan: AnyPlan) -> Setup:
        """What is measured with, of an executor and verifiers that are open; `plan` is `self.plan.make()`."""
        sampling = self.sampling.make()
        return Setup(executor, verifiers, plan, sampling=sampling, partial=self.partial, seed=self.seed)

    def verifier(self, task: Task) -> Verifier:
        """A verifier with this configuration's options. Raises: as `make_verifier`."""
        return make_verifier(task, {"math": self.math, "code": self.code}[task])

    def cache_path(self) -> Path | None:
        """Where baselines are kept; None for nowhere."""
        if self.cache == "none":
            return None
        return Path(self.cache).expanduser() if self.cache else default_cache()


def default_cache() -> Path:
    """In the user's cache folder, `rm.files.cache_folder`."""
    return cache_folder() / "baselines.sqlite"
