"""Uplift from no more runs than it takes: looks at growing numbers of runs, until sign or width is settled.

Most effects are large and show after few runs; a fixed number pays for the smallest at every trace. The plan says when
to stop, by the posterior of the sign; the interval is a confidence sequence (`sequence`), which holds under *any* rule
of stopping. So a plan, well or badly tuned, decides the cost and how often the sign is right, never the coverage. A
second stage of fresh runs would give a shorter interval for them, but would throw away the runs that led to it.

Stopping on what was seen makes the raw difference lean away from 0: `simulate.stopping_bias` says by how much; the
shrunken estimate (`shrink`) leans the other way, and its likelihood does not know of the stopping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm.uplift.estimate.counts import Counts, Estimate, estimate_of
from rm.uplift.estimate.posterior import difference_cdf
from rm.uplift.estimate.sequence import confidence_sequence, sequence_ends

Reason = Literal["sign", "width", "total"]


@dataclass(frozen=True)
class Adaptive:
    """A sequential plan: which numbers of runs are looked at, and what ends it.

    Decisions are taken at the looks only, and a look is complete only when its numbers of *judged* runs are there, so
    that lost calls change neither the looks nor the law of the result.

    Args:
        looks: increasing numbers of runs with the trace; the last bounds the total.
        baseline_runs: of the problem alone at the first look, >= 1.
        baseline_ratio: from then on, baseline runs for one run with the trace. With K traces on one baseline the
            variance is least for the cost at sqrt(K) (Dunnett 1955); traces that stop early lower it.
        baseline_most: bound of the baseline's runs, >= `baseline_runs`.
        sign_probability: the sign is settled where its posterior probability, both rates uniform a priori, is at
            least this; in (1/2, 1).
        width: settled where the interval is at most this wide, in [0, 2].
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: settings out of range.
    """

    looks: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64)
    baseline_runs: int = 16
    baseline_ratio: float = 1.5
    baseline_most: int = 96
    sign_probability: float = 0.95
    width: float = 0.3
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.looks or self.looks[0] < 1 or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks must be increasing numbers of runs, got {self.looks}")
        if not 1 <= self.baseline_runs <= self.baseline_most:
            raise ValueError(
                f"expected 1 <= baseline_runs <= baseline_most, got {self.baseline_runs}, {self.baseline_most}"
            )
        if self.baseline_ratio < 0:
            raise ValueError(f"baseline_ratio must not be negative, got {self.baseline_ratio}")
        if not 0.5 < self.sign_probability < 1:
            raise ValueError(f"sign_probability must lie between 1/2 and 1, got {self.sign_probability}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}")

    def next(self, with_trace: Counts, baseline: Counts) -> tuple[int, int] | None:
        """How many more judged runs of each arm up to the next decision; None where it is settled."""
        missing = self._missing(self._look_from(with_trace.runs), with_trace, baseline)
        if any(missing):
            return missing
        if self.settled(with_trace, baseline) is not None:
            return None
        return self._missing(self._look_from(with_trace.runs + 1), with_trace, baseline)

    def settled(self, with_trace: Counts, baseline: Counts) -> Reason | None:
        """What ends the measurement at a complete look: the sign, the width, or the total; None where it goes on."""
        sums = with_trace.successes, with_trace.runs, baseline.successes, baseline.runs
        sign, width = (bool(part) for part in self.decide(*sums))
        if sign:
            return "sign"
        if width:
            return "width"
        return "total" if with_trace.runs >= self.looks[-1] else None

    def decide(
        self, s1: ArrayLike, n1: ArrayLike, s0: ArrayLike, n0: ArrayLike
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(sign settled, width settled) for arrays of sums of scores s and judged runs n, with (1) and without (0)."""
        s1, n1, s0, n0 = (np.asarray(part, dtype=np.float64) for part in (s1, n1, s0, n0))
        below = difference_cdf(0.0, (1 + s1, 1 + n1 - s1), (1 + s0, 1 + n0 - s0))
        low, high = sequence_ends(s1, n1, s0, n0, self.level)
        return np.maximum(below, 1 - below) >= self.sign_probability, high - low <= self.width

    def baseline_at(self, look: int) -> int:
        """How many baseline runs a look needs."""
        return min(self.baseline_most, max(self.baseline_runs, ceil(self.baseline_ratio * look)))

    def estimate(self, with_trace: Counts, baseline: Counts) -> Estimate:
        """`adaptive` of the runs there are, with a note of what ended them."""
        found = adaptive(with_trace, baseline, self.level)
        if found.value is None:
            return found
        ended = self.settled(with_trace, baseline) or "before anything was settled"
        return replace(found, notes=(*found.notes, f"ended: {ended}"))

    def _look_from(self, runs: int) -> int:
        return next((look for look in self.looks if look >= runs), self.looks[-1])

    def _missing(self, look: int, with_trace: Counts, baseline: Counts) -> tuple[int, int]:
        return max(0, look - with_trace.runs), max(0, self.baseline_at(look) - baseline.runs)


def adaptive(with_trace: Counts, baseline: Counts, level: float = 0.95) -> Estimate:
    """Difference of success rates with its time-uniform interval.

    Args:
        with_trace, baseline: runs of the two arms, stopped by any rule.
        level: coverage guaranteed, in (0, 1).

    Returns:
        Raw difference in [-1, 1], which leans away from 0 where stopping depended on the results; none where an arm
        has no runs.
    """
    interval = confidence_sequence(with_trace, baseline, level)
    notes = ("raw difference after optional stopping; the interval is time-uniform",)
    return estimate_of(interval, "adaptive", with_trace, baseline, notes)
