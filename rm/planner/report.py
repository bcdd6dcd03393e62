"""`report.html` of an evaluation: one page that stands alone, with every figure, and traces that helped or harmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rm.evaluate import svg
from rm.evaluate.format import percent, probability
from rm.evaluate.report import render_template
from rm.planner.summary import Outcomes, compared, ends
from rm.planner.traces import ALONE, Written, reasoning_of
from rm.uplift.problems import Problem
from rm.uplift.results import TraceResult

SHOWN = 12
"""Problems on the page at each end."""
TRACES_SHOWN = 4


@dataclass(frozen=True)
class Shown:
    """A trace on the page, and what came of it."""

    reasoning: str
    right: bool
    what: str


@dataclass(frozen=True)
class Example:
    """One planner's traces of one problem."""

    planner: str
    problem_id: str
    problem: str
    told: str
    traces: tuple[Shown, ...]


def render_evaluation(
    metrics: Mapping[str, Any],
    problems: Sequence[Problem],
    outcomes: Outcomes,
    written: Written,
    results: Sequence[TraceResult],
) -> str:
    """The page.

    Args:
        metrics: as they stand in `metrics.json`.
        problems, outcomes, written, results: what they were made of.
    """
    return render_template(
        (resources.files("rm.planner") / "templates" / "evaluation.html.j2").read_text(encoding="utf-8"),
        svg=svg,
        metrics=metrics,
        ks=list(metrics["systems"][ALONE]["pass_at_k"]),
        examples=examples(problems, outcomes, written, results),
        comparisons=[line for each in metrics["comparisons"] if (line := compared(each))],
        percent=percent,
        probability=probability,
        ends=ends,
    )


def examples(
    problems: Sequence[Problem], outcomes: Outcomes, written: Written, results: Sequence[TraceResult]
) -> list[Example]:
    """Those with the largest gain over the executor alone, then those with the smallest, over all planners."""
    judged: dict[tuple[str, str], list[TraceResult]] = {}
    for result in results:
        if result.trace is not None:
            judged.setdefault((result.kind, result.problem_id), []).append(result)
    gains = []
    for planner in outcomes:
        for place, problem in enumerate(problems):
            own, alone = outcomes[planner][place], outcomes[ALONE][place]
            if planner != ALONE and own.runs and alone.runs:
                gains.append((own.rate - alone.rate, planner, place, problem))
    gains.sort(key=lambda each: -each[0])
    chosen = gains if len(gains) <= 2 * SHOWN else [*gains[:SHOWN], *gains[-SHOWN:]]
    found = []
    for gain, planner, place, problem in chosen:
        own, alone = outcomes[planner][place], outcomes[ALONE][place]
        key = (planner, problem.problem_id)
        pairs = list(zip(written[key], judged[key], strict=True))[:TRACES_SHOWN]
        traces = tuple(
            Shown(reasoning_of(completion), bool(result.successes), "right" if result.successes else _why(result))
            for completion, result in pairs
        )
        told = f"{own.successes} of {own.runs} right, alone {alone.successes} of {alone.runs}: {gain:+.2f}"
        found.append(Example(planner, problem.problem_id, problem.problem, told, traces))
    return found


def _why(result: TraceResult) -> str:
    reasons = [*result.failed_runs, *result.failures]
    return f"wrong: {reasons[0]}" if reasons else "wrong"
