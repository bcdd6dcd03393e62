"""How many runs a trace gets: decided from the counts so far, so that a plan needs no executor and no clock.

`rm.uplift.estimate` has the plans: `Sampled` with the preset `OFFICIAL`, and `Adaptive`.
"""

from __future__ import annotations

from typing import Protocol

from rm.uplift.estimate import Counts, Estimate


class Plan(Protocol):
    """Asked again and again what a trace needs next, and at the end what it has got.

    Equal plans have an equal `repr`, which stands in the header of a work file. A plan sees counts and nothing else,
    so that a measurement that is taken up again decides as it did.
    """

    def next(self, with_trace: Counts, baseline: Counts) -> tuple[int, int] | None:
        """How many more judged runs of each arm; None where it is settled. First asked with empty counts."""

    def estimate(self, with_trace: Counts, baseline: Counts) -> Estimate:
        """Value and interval from the final counts."""
