"""What was measured of one trace, and of all: plain values that go into a results file and come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rm.uplift.estimate import Counts, Priors, fit_prior
from rm.uplift.meter import Totals

POSITIVE = "positive"
REFERENCE = "reference"
BASELINE_ONLY = "baseline"
"""The kind in the row of a problem without traces."""


@dataclass(frozen=True)
class TraceResult:
    """The uplift of one trace, or the baseline of a problem that has none.

    Args:
        problem_id: its problem.
        trace: 0-based place among the problem's traces; None for a problem without traces.
        kind: of the trace; `baseline` for a problem without traces.
        value: uplift in [-1, 1], a difference of success rates; None where an arm has no runs.
        low, high: ends of its interval.
        method: of estimate and interval.
        successes, runs: with the trace. Successes are the sum of partial scores where those are what is measured.
        baseline_successes, baseline_runs: without it. Runs that came to nothing are in neither number.
        score_mean, baseline_score_mean: mean partial score in [0, 1] of the runs of each arm.
        shrunken: the value drawn towards what is usual over all problems measured together; None where not fitted.
        notes: what a reader should know of this estimate.
        failed_runs, baseline_failed_runs: reason -> runs without success.
        failures, baseline_failures: reason -> attempts that came to nothing (`lost: ..`, `unjudged: ..`).
        samples: completions asked for with the trace, lost ones included; the baseline's cost is in the totals.
        rm_score, total: the reward model's score and the rubric total of the trace, where the data has them.
    """

    problem_id: str
    trace: int | None
    kind: str
    value: float | None
    low: float | None
    high: float | None
    method: str
    successes: float
    runs: int
    baseline_successes: float
    baseline_runs: int
    score_mean: float | None = None
    baseline_score_mean: float | None = None
    shrunken: float | None = None
    notes: tuple[str, ...] = ()
    failed_runs: Mapping[str, int] = field(default_factory=dict)
    baseline_failed_runs: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    baseline_failures: Mapping[str, int] = field(default_factory=dict)
    samples: int = 0
    rm_score: float | None = None
    total: float | None = None

    def as_row(self) -> dict[str, Any]:
        """A JSON object with the fields' names."""
        return asdict(self)

    @property
    def positive(self) -> bool:
        """Whether the data calls it a good trace: a positive, or the reference."""
        return self.kind in (POSITIVE, REFERENCE)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> TraceResult:
        """What `as_row` gave. Raises: KeyError where a field is missing."""
        values = {each.name: row[each.name] for each in fields(cls)}
        return cls(**values | {"notes": tuple(values["notes"])})


@dataclass(frozen=True)
class Measurement:
    """All results in the order of problems and traces, and what they cost."""

    results: tuple[TraceResult, ...]
    totals: Totals


def longest_baselines(results: Iterable[TraceResult]) -> dict[str, TraceResult]:
    """For each problem the result with the most runs of its baseline: traces are compared with first parts of it."""
    longest: dict[str, TraceResult] = {}
    for result in results:
        if result.problem_id not in longest or result.baseline_runs > longest[result.problem_id].baseline_runs:
            longest[result.problem_id] = result
    return longest


def with_shrunken_values(results: Sequence[TraceResult]) -> list[TraceResult]:
    """The results with their `shrunken` values, under priors fitted to all of them; see `estimate.shrink`."""
    if all(result.value is None for result in results):
        return list(results)
    priors = Priors(
        with_trace=fit_prior(_sorted(map(_with_trace, results))),
        baseline=fit_prior(_sorted(map(_baseline, longest_baselines(results).values()))),
    )
    return [
        result if result.value is None else replace(result, shrunken=_shrunken(result, priors)) for result in results
    ]


def _shrunken(result: TraceResult, priors: Priors) -> float:
    with_trace = priors.with_trace.posterior(_with_trace(result))
    return with_trace.mean - priors.baseline.posterior(_baseline(result)).mean


def _sorted(counts: Iterable[Counts]) -> list[Counts]:
    """In an order of their own, so that the order of the data does not show in the last digit of a fit."""
    return sorted(counts, key=lambda each: (each.runs, each.successes))


def _with_trace(result: TraceResult) -> Counts:
    return Counts(result.successes, result.runs)


def _baseline(result: TraceResult) -> Counts:
    return Counts(result.baseline_successes, result.baseline_runs)
