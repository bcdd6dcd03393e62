"""What was measured of one trace, and of all: plain values that go into a results file and come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rm.uplift.estimate import AdjustedMean, CalibrationReport, Counts, Priors, fit_prior
from rm.uplift.meter import Totals

POSITIVE = "positive"
REFERENCE = "reference"
LIKELIHOOD = "likelihood"
"""The method that gives nats and no `value`."""
BASELINE_ONLY = "baseline"
"""The kind in the row of a problem without traces."""


@dataclass(frozen=True)
class LikelihoodResult:
    """How much more probable a trace makes the known answer. All in nats: no difference of success rates.

    Args:
        value_nats: log p(answer | problem, trace) - log p(answer | problem); None where one was not measured.
        masked_nats: the same of the trace with the answer masked, which a trace that just states it cannot raise;
            equal to `value_nats` where the trace does not state it.
        baseline_nats: log p(answer | problem), at most 0.
        leaks, leaks_last_line: how often the trace states the answer, in all and in its last line.
        length: of the trace, in characters.
    """

    value_nats: float | None
    masked_nats: float | None
    baseline_nats: float | None
    leaks: int
    leaks_last_line: int
    length: int


@dataclass(frozen=True)
class TraceResult:
    """The uplift of one trace, or the baseline of a problem that has none.

    Args:
        problem_id: its problem.
        trace: 0-based place among the problem's traces; None for a problem without traces.
        kind: of the trace; `baseline` for a problem without traces.
        value: uplift in [-1, 1], a difference of success rates; None where an arm has no runs.
        low, high: ends of its interval.
        method: of estimate and interval: `sampled`, `adaptive`, `calibrated` (predicted without a run of its own), or
            `likelihood`, which has no `value`.
        successes, runs: with the trace. Successes are the sum of partial scores where those are what is measured.
        baseline_successes, baseline_runs: without it. Runs that came to nothing are in neither number.
        score_mean, baseline_score_mean: mean partial score in [0, 1] of the runs of each arm.
        likelihood: what was found without sampling; None where that was not asked for.
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
    likelihood: LikelihoodResult | None = None
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

    @property
    def measured(self) -> bool:
        """Whether it has what its method finds."""
        if self.method == LIKELIHOOD:
            return self.likelihood is not None and self.likelihood.value_nats is not None
        return self.value is not None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> TraceResult:
        """What `as_row` gave. Raises: KeyError where a field is missing."""
        values = {each.name: row[each.name] for each in fields(cls)}
        found = values["likelihood"]
        return cls(
            **values
            | {"notes": tuple(values["notes"]), "likelihood": None if found is None else LikelihoodResult(**found)}
        )


@dataclass(frozen=True)
class CalibrationResult:
    """How uplift was predicted from likelihoods, and what holds for all traces.

    Args:
        report: cross-validated, by problem; None where no calibration could be fitted.
        why_not: the reason then.
        sampled_problems, sampled_traces: with runs of their own.
        predicted_traces: with a value without runs.
        means: population -> mean uplift over its problems, each the mean of its traces; None where too few problems
            of it were sampled.
    """

    report: CalibrationReport | None
    why_not: str
    sampled_problems: int
    sampled_traces: int
    predicted_traces: int
    means: Mapping[str, AdjustedMean | None]


@dataclass(frozen=True)
class Measurement:
    """All results in the order of problems and traces, what they cost, and how they were predicted where they were."""

    results: tuple[TraceResult, ...]
    totals: Totals
    calibration: CalibrationResult | None = None


def counted(*reasons: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """How often each reason came, in the order of the alphabet: rows do not depend on which came first.

    Args:
        reasons: reasons as they came, or counts of them; all are added up.
    """
    total: Counter[str] = Counter()
    for each in reasons:
        total.update(each)
    return dict(sorted(total.items()))


def longest_baselines(results: Iterable[TraceResult]) -> dict[str, TraceResult]:
    """For each problem the result with the most runs of its baseline: traces are compared with first parts of it."""
    longest: dict[str, TraceResult] = {}
    for result in results:
        if result.problem_id not in longest or result.baseline_runs > longest[result.problem_id].baseline_runs:
            longest[result.problem_id] = result
    return longest


def with_shrunken_values(results: Sequence[TraceResult]) -> list[TraceResult]:
    """The results of runs with their `shrunken` values, under priors fitted to all of them; see `estimate.shrink`."""
    if not any(result.runs for result in results):
        return list(results)
    priors = Priors(
        with_trace=fit_prior(_sorted(map(_with_trace, results))),
        baseline=fit_prior(_sorted(map(_baseline, longest_baselines(results).values()))),
    )
    return [
        result if result.value is None or not result.runs else replace(result, shrunken=_shrunken(result, priors))
        for result in results
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
