"""From the results of all traces to a few figures: which traces help, whether judges see it, what it cost.

The problem is the unit: its traces share a baseline and are not independent. Means are over problems, each the mean of
its own traces; intervals are 95% bootstrap intervals over problems. Traces without a value leave the means and are
counted.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from rm.metrics import paired_difference, summarize
from rm.uplift.meter import Totals
from rm.uplift.results import POSITIVE, REFERENCE, TraceResult, longest_baselines

JUDGES: Mapping[str, Callable[[TraceResult], float | None]] = {
    "rm_score": lambda result: result.rm_score,
    "total": lambda result: result.total,
}
"""What uplift is compared with."""
JUDGE_NAMES = {"rm_score": "RM score", "total": "rubric total"}


def summarize_uplift(results: Sequence[TraceResult], totals: Totals, seed: int = 0) -> dict[str, Any]:
    """Everything a reader wants first; safe for JSON, None where a figure is undefined.

    Args:
        results: of one measurement.
        totals: what it cost.
        seed: of the bootstrap.
    """
    traces = [result for result in results if result.trace is not None]
    positives = [result for result in traces if result.kind == POSITIVE]
    negatives = [result for result in traces if not result.positive and result.kind]
    return {
        "problems": len({result.problem_id for result in results}),
        "traces": len(traces),
        "unmeasured": sum(result.value is None for result in traces),
        "settled": sum(_settled(result) for result in traces),
        "baseline": _baseline(results, seed),
        "positives": _uplift(positives, seed),
        "negatives": _uplift(negatives, seed),
        "difference": _difference(positives, negatives, seed),
        "by_kind": {kind: _uplift([each for each in traces if each.kind == kind], seed) for kind in kinds(traces)},
        "order": {name: _order(traces, judge) for name, judge in JUDGES.items()},
        "cost": asdict(totals) | {"samples_per_second": totals.samples_per_second},
    }


def kinds(results: Iterable[TraceResult]) -> list[str]:
    """Kinds of traces: positives, the reference, then the others by name."""
    found = {result.kind for result in results}
    return [kind for kind in (POSITIVE, REFERENCE) if kind in found] + sorted(found - {POSITIVE, REFERENCE})


def _settled(result: TraceResult) -> bool:
    """Whether the interval leaves no doubt of the sign."""
    return result.low is not None and result.high is not None and (result.low > 0 or result.high < 0)


def _by_problem(results: Iterable[TraceResult]) -> dict[str, float]:
    """Mean uplift of a problem's traces, where any has one."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        if result.value is not None:
            values[result.problem_id].append(result.value)
    return {problem_id: float(np.mean(each)) for problem_id, each in values.items()}


def _uplift(results: Sequence[TraceResult], seed: int) -> dict[str, Any]:
    means = _by_problem(results)
    figures = {"traces": len(results), "problems": len(means)}
    return figures | _mean(list(means.values()), seed)


def _difference(positives: Sequence[TraceResult], negatives: Sequence[TraceResult], seed: int) -> dict[str, Any]:
    """Positives minus negatives of the same problem."""
    high, low = _by_problem(positives), _by_problem(negatives)
    both = [problem_id for problem_id in high if problem_id in low]
    found = paired_difference([high[each] for each in both], [low[each] for each in both], seed=seed)
    return {
        "problems": found.n,
        "mean": _number(found.difference),
        "low": _number(found.low),
        "high": _number(found.high),
    }


def _baseline(results: Sequence[TraceResult], seed: int) -> dict[str, Any]:
    """Success without a trace."""
    rates = [
        each.baseline_successes / each.baseline_runs
        for each in longest_baselines(results).values()
        if each.baseline_runs
    ]
    return {"problems": len(rates)} | _mean(rates, seed)


def _mean(values: Sequence[float], seed: int) -> dict[str, float | None]:
    summary = summarize(values, seed=seed)
    return {"mean": _number(summary.mean), "low": _number(summary.low), "high": _number(summary.high)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _order(results: Sequence[TraceResult], judge: Callable[[TraceResult], float | None]) -> dict[str, Any]:
    """How uplift orders the pairs of a problem's traces that the judge tells apart.

    `opposite` holds all pairs ordered the other way, which noise alone makes too; `clearly_opposite` those whose
    intervals do not overlap either.
    """
    found = Counter({"same": 0, "opposite": 0, "tied": 0, "clearly_opposite": 0})
    problems: defaultdict[str, list[TraceResult]] = defaultdict(list)
    for result in results:
        if result.value is not None and judge(result) is not None:
            problems[result.problem_id].append(result)
    for traces in problems.values():
        for one, other in combinations(traces, 2):
            better, worse = (one, other) if (judge(one) or 0.0) > (judge(other) or 0.0) else (other, one)
            if judge(better) != judge(worse):
                found.update(_ordered(better, worse))
    pairs = found["same"] + found["opposite"] + found["tied"]
    decided = found["same"] + found["opposite"]
    return {"pairs": pairs, **found, "disagreement": found["opposite"] / decided if decided else None}


def _ordered(better: TraceResult, worse: TraceResult) -> list[str]:
    """How uplift orders a pair of which the judge prefers the first."""
    if better.value is None or worse.value is None or better.value == worse.value:
        return ["tied"]
    if better.value > worse.value:
        return ["same"]
    apart = better.high is not None and worse.low is not None and better.high < worse.low
    return ["opposite", "clearly_opposite"] if apart else ["opposite"]


def format_summary(summary: Mapping[str, Any]) -> str:
    """The summary as plain text for a terminal."""
    parts = (_uplift_lines(summary), _order_lines(summary), _cost_lines(summary))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _uplift_lines(summary: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{summary['traces']:,} traces of {summary['problems']:,} problems; the sign is settled for "
        f"{summary['settled']:,}, {summary['unmeasured']:,} could not be measured.",
        f"Success without a trace: {_share(summary['baseline'])}",
    ]
    if not summary["traces"]:
        return lines
    rows = [("positives", summary["positives"]), ("negatives", summary["negatives"])]
    rows = [(name, row) for name, row in rows if row["traces"]]
    rows += [(f"  {kind or 'unknown'}", row) for kind, row in summary["by_kind"].items() if kind != POSITIVE]
    width = max(24, *(len(name) for name, _ in rows)) if rows else 24
    lines += ["", f"{'uplift':<{width}}{'traces':>9}{'problems':>10}{'mean':>9}  95% interval"]
    for name, row in rows:
        lines.append(f"{name:<{width}}{row['traces']:>9,}{row['problems']:>10,}{signed(row['mean']):>9}  {_ends(row)}")
    difference = summary["difference"]
    if difference["mean"] is not None:
        lines.append(
            f"{'positives - negatives':<{width}}{'':>9}{difference['problems']:>10,}{signed(difference['mean']):>9}  "
            f"{_ends(difference)}"
        )
    return lines


def _order_lines(summary: Mapping[str, Any]) -> list[str]:
    rows = [(JUDGE_NAMES[name], row) for name, row in summary["order"].items() if row["pairs"]]
    if not rows:
        return []
    head = f"{'order within a problem':<24}{'pairs':>9}{'same':>10}{'opposite':>10}{'clearly':>9}{'tied':>8}"
    return [head] + [
        f"{name:<24}{row['pairs']:>9,}{row['same']:>10,}{row['opposite']:>10,}{row['clearly_opposite']:>9,}"
        f"{row['tied']:>8,}"
        for name, row in rows
    ]


def _cost_lines(summary: Mapping[str, Any]) -> list[str]:
    cost = summary["cost"]
    seconds = cost["seconds"]
    lines = [
        f"{cost['samples']:,} completions in {cost['calls']:,} calls, {seconds:.1f} s, "
        f"{cost['samples_per_second']:.1f} a second; {cost['samples_with_trace']:,} with a trace, "
        f"{cost['samples_baseline']:,} without, {cost['cache_hits']:,} taken from the cache.",
        f"The executor was at work for {cost['executor_busy_seconds']:.1f} s, the verifier for "
        f"{cost['verifier_busy_seconds']:.1f} s.",
    ]
    for name, reasons in (("Failed runs", "failed"), ("Lost calls", "lost"), ("Not judged", "unjudged")):
        if cost[reasons]:
            lines.append(f"{name}: {_reasons(cost[reasons])}.")
    return lines


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in Counter(counts).most_common(8))


def signed(value: float | None) -> str:
    """An uplift as `+0.125`."""
    return "-" if value is None else f"{value:+.3f}"


def _ends(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"


def _share(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return "not measured."
    ends = "" if row["low"] is None else f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    return f"{100 * row['mean']:.1f}%{ends}, mean of {row['problems']:,} problems."
