"""Uplift from numbers of runs fixed in advance."""

from __future__ import annotations

from dataclasses import dataclass

from rm.uplift.estimate.counts import Counts, Estimate, estimate_of
from rm.uplift.estimate.intervals import newcombe_interval


def newcombe(with_trace: Counts, baseline: Counts, level: float = 0.95) -> Estimate:
    """Difference of success rates with its Newcombe interval.

    Args:
        with_trace, baseline: runs of the two arms, their numbers not decided by what they showed.
        level: coverage aimed at, in (0, 1).

    Returns:
        Unbiased value in [-1, 1]; none where an arm has no runs. Estimates that share a baseline share its error.
    """
    return estimate_of(newcombe_interval(with_trace, baseline, level), "sampled", with_trace, baseline)


@dataclass(frozen=True)
class Sampled:
    """A plan of fixed numbers of runs.

    Args:
        runs: judged runs with each trace, >= 1.
        baseline_runs: judged runs of each problem alone, >= 1; shared by its traces.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: an arm without runs.
    """

    runs: int = 8
    baseline_runs: int = 16
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.runs < 1 or self.baseline_runs < 1:
            raise ValueError(f"expected at least one run in each arm, got {self.runs} and {self.baseline_runs}")

    def next(self, with_trace: Counts, baseline: Counts) -> tuple[int, int] | None:
        """How many more judged runs of each arm are wanted; None where it has all."""
        missing = max(0, self.runs - with_trace.runs), max(0, self.baseline_runs - baseline.runs)
        return missing if any(missing) else None

    def estimate(self, with_trace: Counts, baseline: Counts) -> Estimate:
        """`newcombe` of the runs there are."""
        return newcombe(with_trace, baseline, self.level)


OFFICIAL = Sampled(runs=3, baseline_runs=3)
"""The numbers of arXiv 2605.03862, where moreover each trace has a baseline of its own. A trace without effect then
shows an uplift other than 0 in 69% of cases where half the runs succeed."""
