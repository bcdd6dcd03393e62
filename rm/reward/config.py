"""Which reward: formula, weights, options, and how uplift is measured. Frozen, checked without any I/O."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from rm.config import CLOSED, NonNegativeInt, PositiveFloat, PositiveInt, Share
from rm.errors import ConfigError
from rm.reward.combine import BetaRuns, Options, Prior, Recipe, formula_of
from rm.uplift.config import UpliftConfig


@dataclass(frozen=True, config=CLOSED)
class PriorConfig:
    """What is usual, for shrunken uplift: the two parameters of a Beta distribution each, see `rm.reward.combine`.

    Args:
        with_trace: of success rates with a trace.
        baseline: of success rates without one.
    """

    with_trace: list[PositiveFloat]
    baseline: list[PositiveFloat]

    def make(self) -> Prior:
        """Raises: ConfigError where a distribution has not two parameters."""
        for name, values in (("with_trace", self.with_trace), ("baseline", self.baseline)):
            if len(values) != 2:
                raise ConfigError(f"prior.{name}: expected two numbers [a, b] of a Beta distribution, found {values}.")
        return Prior(BetaRuns(*self.with_trace), BetaRuns(*self.baseline))


@dataclass(frozen=True, config=CLOSED)
class JudgeConfig:
    """How the reward model is run.

    Args:
        dtype: of its backbone: `float32` gives the same scores on other machines, `bfloat16` is quicker on a GPU.
        max_length: tokens of a text; null for that of the model's training.
        tokens_per_batch: memory bound.
        prefix_sharing: `auto`, or `plain` for none.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    max_length: PositiveInt | None = None
    tokens_per_batch: PositiveInt = 16384
    prefix_sharing: Literal["auto", "plain", "segments", "tree_mask", "flex"] = "auto"


@dataclass(frozen=True, config=CLOSED)
class LimitsConfig:
    """When scoring stops because too little can be measured, and how much is under way at once.

    Args:
        failure_rate: share of unmeasured rewards above which `score` raises; 1 never does.
        window: the rate is taken over this many latest rewards.
        least: no stop before this many.
        timeout_s: of the measurements of one trace; what is not there by then is not measured.
        traces_at_once: measured at the same time.
    """

    failure_rate: Share = 0.5
    window: PositiveInt = 200
    least: NonNegativeInt = 50
    timeout_s: PositiveFloat = 600.0
    traces_at_once: PositiveInt = 256


@dataclass(frozen=True, config=CLOSED)
class RewardConfig:
    """A TraceLift reward.

    Args:
        formula: its name, see `rm.reward.combine.FORMULAS`.
        weights: of its terms; those left out keep their defaults.
        rubric_floor: gate, see `rm.reward.combine`; 0 for none.
        prior: shrinks the uplift; null for the raw difference.
        on_unmeasured: `none`: the reward is None; `skip`: the terms that are there are summed.
        overlong: a trace too long for the reward model gets the `lowest` score, since it is the planner's own doing
            and must not pay; or `none`, which makes it unmeasured.
        execution_style: of programs, see `rm.uplift.verifiers.styles`.
        tasks: `math`, `code`: whose verifiers are tried at the start; others are made when their problems come.
        uplift: executor, plan, sampling, verifiers, cache.
        rm: how the reward model is run.
        limits: when it stops.
    """

    formula: str = "tracelift-math-v1"
    weights: dict[str, Any] = field(default_factory=dict)
    rubric_floor: Share = 0.0
    prior: PriorConfig | None = None
    on_unmeasured: Literal["none", "skip"] = "none"
    overlong: Literal["lowest", "none"] = "lowest"
    execution_style: Literal["binary", "pass_rate", "coderl", "hybrid"] = "hybrid"
    tasks: list[Literal["math", "code"]] = field(default_factory=list)
    uplift: UpliftConfig = field(default_factory=UpliftConfig)
    rm: JudgeConfig = field(default_factory=JudgeConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def recipe(self) -> Recipe:
        """The formula with its weights and options.

        Raises:
            ConfigError: everything that does not go together.
        """
        formula = formula_of(self.formula)
        prior = self.prior.make() if self.prior is not None else None
        recipe = Recipe(formula, self.weights, Options(self.rubric_floor, prior, self.on_unmeasured))
        self.uplift.plan.make()
        if formula.whole_passes and self.uplift.partial:
            raise ConfigError(f"uplift.partial: {formula.name} counts runs that pass every test. Set it to false.")
        return recipe
