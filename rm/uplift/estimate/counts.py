"""What was observed in one arm, and what is concluded from two.

A lost call or an answer that could not be judged is in no count; an empty or cut-off completion is a run without
success.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

SLACK = 1e-9
"""By how much, a run, a sum of floats may miss its exact bound."""
PRIOR_VARIANCE = 0.5
"""Sum of squared deviations given in advance to partial scores: that of two runs at the largest variance, 1/4."""


@dataclass(frozen=True)
class Counts:
    """The judged runs of one arm. A run's score lies in [0, 1]: 0 or 1, or the share of tests passed.

    Args:
        successes: sum of the scores, in [0, runs].
        runs: judged runs, >= 0.
        squares: sum of the squared scores. Without it partial scores are taken to vary as much as scores of 0 and 1
            of the same mean, the most they can: intervals are then wider than they need be, never narrower.

    Raises:
        ValueError: sums that no scores in [0, 1] have.
    """

    successes: float
    runs: int
    squares: float | None = None

    def __post_init__(self) -> None:
        slack = SLACK * max(1, self.runs)
        if self.runs < 0 or not -slack <= self.successes <= self.runs + slack:
            raise ValueError(f"expected 0 <= successes <= runs, got {self.successes} of {self.runs}")
        if self.squares is not None:
            least = self.successes**2 / self.runs if self.runs else 0.0
            if not least - slack <= self.squares <= self.successes + slack:
                raise ValueError(f"no scores in [0, 1] have sum {self.successes} and sum of squares {self.squares}")

    @staticmethod
    def of(scores: Iterable[float]) -> Counts:
        """Of the scores of single runs."""
        scores = tuple(scores)
        return Counts(math.fsum(scores), len(scores), math.fsum(score * score for score in scores))

    def __add__(self, other: Counts) -> Counts:
        """Both taken together."""
        squares = None
        if self.squares is not None or other.squares is not None:
            squares = _or(self.squares, self.successes) + _or(other.squares, other.successes)
        return Counts(self.successes + other.successes, self.runs + other.runs, squares)

    @property
    def rate(self) -> float | None:
        """Mean score in [0, 1]; None without runs."""
        return min(1.0, max(0.0, self.successes / self.runs)) if self.runs else None

    @property
    def effective_runs(self) -> float:
        """How many pass-or-fail runs would show the rate as exactly as these; >= runs, and equal for scores of 0 and 1.

        runs / phi, where phi in (0, 1] is the scores' variance over rate * (1 - rate), with a little of the largest
        variance mixed in so that a few equal scores do not pass for certainty.

        Source: quasi-likelihood dispersion, McCullagh & Nelder 1989, "Generalized Linear Models", chapter 9.
        """
        rate = self.rate
        if rate is None or self.squares is None or self.runs < 2:
            return float(self.runs)
        largest = self.runs * rate * (1 - rate)
        seen = max(0.0, self.squares - self.runs * rate**2) * self.runs / (self.runs - 1)
        return self.runs / min(1.0, (seen + PRIOR_VARIANCE) / (largest + PRIOR_VARIANCE))


@dataclass(frozen=True)
class Estimate:
    """How much a trace raises the executor's success.

    Args:
        value: uplift in [-1, 1], rate with the trace - rate without; None where it could not be measured.
        low, high: ends of the interval in [-1, 1], low <= value <= high; None with `value`.
        method: `sampled`, `adaptive` or `calibrated`.
        with_trace, baseline: the runs of the two arms.
        shrunken: posterior mean under priors fitted over problems (`shrink`), where they were given.
        notes: what a reader should know of this figure.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    with_trace: Counts
    baseline: Counts
    shrunken: float | None = None
    notes: tuple[str, ...] = ()


def estimate_of(
    interval: tuple[float, float], method: str, with_trace: Counts, baseline: Counts, notes: tuple[str, ...] = ()
) -> Estimate:
    """The difference of two rates with an interval for it; no value where an arm has no runs."""
    rate, without = with_trace.rate, baseline.rate
    if rate is None or without is None:
        missing = "no judged runs with the trace" if rate is None else "no judged runs of the baseline"
        return Estimate(None, None, None, method, with_trace, baseline, notes=(*notes, missing))
    value = rate - without
    low, high = interval
    return Estimate(value, min(low, value), max(high, value), method, with_trace, baseline, notes=notes)


def _or(squares: float | None, successes: float) -> float:
    return successes if squares is None else squares
