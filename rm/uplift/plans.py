"""How the uplift of a trace is found: by runs, as many as a plan asks for; by likelihoods; or by both.

`rm.uplift.estimate` has the plans that sample: `Sampled` with the preset `OFFICIAL`, and `Adaptive`. They decide from
the counts so far, so that they need no executor and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

import numpy as np

from rm.errors import ConfigError
from rm.uplift.estimate import Counts, Estimate, Sampled
from rm.uplift.estimate.calibrate import LEAST_PROBLEMS
from rm.uplift.problems import Problem
from rm.uplift.prompts import known_answer


class Plan(Protocol):
    """A plan that samples: asked again and again what a trace needs next, and at the end what it has got.

    Equal plans have an equal `repr`, which stands in the header of a work file. A plan sees counts and nothing else,
    so that a measurement that is taken up again decides as it did.
    """

    def next(self, with_trace: Counts, baseline: Counts) -> tuple[int, int] | None:
        """How many more judged runs of each arm; None where it is settled. First asked with empty counts."""

    def estimate(self, with_trace: Counts, baseline: Counts) -> Estimate:
        """Value and interval from the final counts."""


@dataclass(frozen=True)
class Likelihood:
    """No runs: how much more probable each trace makes the known answer, for one forward pass a trace."""


@dataclass(frozen=True)
class Calibrated:
    """Likelihoods of all traces, runs for those of some problems, and from both the uplift of the others.

    Args:
        share: of the problems, drawn at random, whose traces are sampled; in (0, 1). At least LEAST_PROBLEMS are.
        sampled: how.
    """

    share: float = 0.2
    sampled: Sampled = field(default_factory=Sampled)

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"the share of sampled problems must lie between 0 and 1, got {self.share}")

    def chosen(self, problems: Sequence[Problem], seed: int) -> list[Problem]:
        """The problems to sample: a random draw from those that have traces and a known answer, in their order.

        Raises:
            ConfigError: they are too few for a calibration.
        """
        fit = self._fit(problems)
        if len(fit) < LEAST_PROBLEMS:
            raise ConfigError(
                f"plan.kind = calibrated needs {LEAST_PROBLEMS} problems with traces and a known answer, the data has "
                f"{len(fit)}. Take plan.kind adaptive."
            )
        count = max(LEAST_PROBLEMS, self._asked(fit))
        drawn = np.random.default_rng(seed).choice(len(fit), count, replace=False)
        return [fit[index] for index in sorted(drawn.tolist())]

    def note(self, problems: Sequence[Problem]) -> str:
        """That more problems are sampled than the share asks for, where they are; else empty."""
        fit = self._fit(problems)
        asked = self._asked(fit)
        if asked >= LEAST_PROBLEMS:
            return ""
        return (
            f"plan.calibration_share = {self.share:g} of {len(fit)} problems is {asked}; {LEAST_PROBLEMS} are sampled, "
            "the least that a calibration needs."
        )

    def _fit(self, problems: Sequence[Problem]) -> list[Problem]:
        return [each for each in problems if each.traces and known_answer(each)]

    def _asked(self, fit: Sequence[Problem]) -> int:
        return ceil(self.share * len(fit))


AnyPlan = Plan | Likelihood | Calibrated
