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
from rm.uplift.results import POSITIVE, REFERENCE, CalibrationResult, TraceResult, longest_baselines

JUDGES: Mapping[str, Callable[[TraceResult], float | None]] = {
    "rm_score": lambda result: result.rm_score,
    "total": lambda result: result.total,
}
"""What uplift is compared with."""
JUDGE_NAMES = {"rm_score": "RM score", "total": "rubric total"}
STOPPED_EARLY = (
    "Runs stopped where the results were clear, so each value leans away from 0, and so do means: where a trace does "
    "nothing and the executor seldom succeeds, by about +.03. Means without that: --plan.kind sampled."
)
"""What is told of an adaptive plan; the figure is that of success rates of .05 and .1 and the default looks."""


Quantity = Callable[[TraceResult], float | None]
NATS: Mapping[str, Quantity] = {
    "value_nats": lambda result: result.likelihood.value_nats if result.likelihood else None,
    "masked_nats": lambda result: result.likelihood.masked_nats if result.likelihood else None,
}
"""What likelihoods say of a trace."""


def summarize_uplift(
    results: Sequence[TraceResult], totals: Totals, seed: int = 0, calibration: CalibrationResult | None = None
) -> dict[str, Any]:
    """Everything a reader wants first; safe for JSON, None where a figure is undefined.

    Args:
        results: of one measurement.
        totals: what it cost.
        seed: of the bootstrap.
        calibration: how values were predicted, where they were.
    """
    traces = [result for result in results if result.trace is not None]
    summary = {
        "problems": len({result.problem_id for result in results}),
        "traces": len(traces),
        "unmeasured": sum(not result.measured for result in traces),
        "settled": sum(_settled(result) for result in traces),
        "stopped_early": sum(result.method == "adaptive" for result in traces),
        "baseline": _baseline(results, seed),
        **_figures(traces, _value, seed),
        "cost": asdict(totals) | {"samples_per_second": totals.samples_per_second},
    }
    scored = [result for result in traces if result.likelihood is not None]
    if scored:
        summary["likelihood"] = {
            "traces": len(scored),
            "unmeasured": sum(NATS["value_nats"](result) is None for result in scored),
            "state_the_answer": sum(bool(result.likelihood and result.likelihood.leaks) for result in scored),
            **{name: _figures(scored, quantity, seed) for name, quantity in NATS.items()},
        }
    if calibration is not None:
        summary["calibration"] = _finite(asdict(calibration))
    return summary


def _value(result: TraceResult) -> float | None:
    return result.value


def _figures(traces: Sequence[TraceResult], quantity: Quantity, seed: int) -> dict[str, Any]:
    """Means by what the data calls the traces, and how the quantity orders them."""
    positives = [result for result in traces if result.kind == POSITIVE]
    negatives = [result for result in traces if not result.positive and result.kind]
    by_kind = {kind: [each for each in traces if each.kind == kind] for kind in kinds(traces)}
    return {
        "positives": _means(positives, quantity, seed),
        "negatives": _means(negatives, quantity, seed),
        "difference": _difference(positives, negatives, quantity, seed),
        "by_kind": {kind: _means(each, quantity, seed) for kind, each in by_kind.items()},
        "order": {name: _order(traces, quantity, judge) for name, judge in JUDGES.items()},
    }


def _finite(value: Any) -> Any:
    """None for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return _number(value) if isinstance(value, float) else value


def kinds(results: Iterable[TraceResult]) -> list[str]:
    """Kinds of traces: positives, the reference, then the others by name."""
    found = {result.kind for result in results}
    return [kind for kind in (POSITIVE, REFERENCE) if kind in found] + sorted(found - {POSITIVE, REFERENCE})


def _settled(result: TraceResult) -> bool:
    """Whether the interval leaves no doubt of the sign."""
    return result.low is not None and result.high is not None and (result.low > 0 or result.high < 0)


def _by_problem(results: Iterable[TraceResult], quantity: Quantity) -> dict[str, float]:
    """Mean of a problem's traces, where any has the quantity."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        if (value := quantity(result)) is not None:
            values[result.problem_id].append(value)
    return {problem_id: float(np.mean(each)) for problem_id, each in values.items()}


def _means(results: Sequence[TraceResult], quantity: Quantity, seed: int) -> dict[str, Any]:
    means = _by_problem(results, quantity)
    figures = {"traces": len(results), "problems": len(means)}
    return figures | _mean(list(means.values()), seed)


def _difference(
    positives: Sequence[TraceResult], negatives: Sequence[TraceResult], quantity: Quantity, seed: int
) -> dict[str, Any]:
    """Positives minus negatives of the same problem."""
    high, low = _by_problem(positives, quantity), _by_problem(negatives, quantity)
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


def _order(results: Sequence[TraceResult], quantity: Quantity, judge: Quantity) -> dict[str, Any]:
    """How the quantity orders the pairs of a problem's traces that the judge tells apart.

    `opposite` holds all pairs ordered the other way, which noise alone makes too; `clearly_opposite` those whose
    intervals do not overlap either, which only uplift has.
    """
    found = Counter({"same": 0, "opposite": 0, "tied": 0, "clearly_opposite": 0})
    problems: defaultdict[str, list[TraceResult]] = defaultdict(list)
    for result in results:
        if quantity(result) is not None and judge(result) is not None:
            problems[result.problem_id].append(result)
    for traces in problems.values():
        for one, other in combinations(traces, 2):
            better, worse = (one, other) if (judge(one) or 0.0) > (judge(other) or 0.0) else (other, one)
            if judge(better) != judge(worse):
                found.update(_ordered(better, worse, quantity))
    pairs = found["same"] + found["opposite"] + found["tied"]
    decided = found["same"] + found["opposite"]
    return {"pairs": pairs, **found, "disagreement": found["opposite"] / decided if decided else None}


def _ordered(better: TraceResult, worse: TraceResult, quantity: Quantity) -> list[str]:
    """How the quantity orders a pair of which the judge prefers the first."""
    high, low = quantity(better), quantity(worse)
    if high is None or low is None or high == low:
        return ["tied"]
    if high > low:
        return ["same"]
    apart = better.high is not None and worse.low is not None and better.high < worse.low
    return ["opposite", "clearly_opposite"] if apart and quantity is _value else ["opposite"]


def format_summary(summary: Mapping[str, Any]) -> str:
    """The summary as plain text for a terminal."""
    parts = (
        _uplift_lines(summary),
        _likelihood_lines(summary),
        _order_lines(summary),
        calibration_lines(summary),
        _cost_lines(summary),
    )
    return "\n\n".join("\n".join(part) for part in parts if part)


def likelihoods_only(summary: Mapping[str, Any]) -> bool:
    """Whether nothing was sampled, so that all figures are in nats."""
    return "likelihood" in summary and "calibration" not in summary


def _uplift_lines(summary: Mapping[str, Any]) -> list[str]:
    if likelihoods_only(summary):
        return [
            f"{summary['traces']:,} traces of {summary['problems']:,} problems; {summary['unmeasured']:,} could not be "
            "measured. Nothing was sampled: figures are nats of the known answer, not success rates."
        ]
    lines = [
        f"{summary['traces']:,} traces of {summary['problems']:,} problems; the interval leaves out 0 for "
        f"{summary['settled']:,}, {summary['unmeasured']:,} could not be measured.",
        f"Success without a trace: {_share(summary['baseline'])}",
    ]
    lines += _table_lines("uplift", summary) if summary["traces"] else []
    return [*lines, "", STOPPED_EARLY] if summary["stopped_early"] else lines


def _likelihood_lines(summary: Mapping[str, Any]) -> list[str]:
    found = summary.get("likelihood")
    if not found:
        return []
    return [
        "How much more probable the known answer gets with a trace, in nats:",
        *_table_lines("nats", found["value_nats"]),
        *_table_lines("nats, answer masked", found["masked_nats"]),
        "",
        f"{found['state_the_answer']:,} of {found['traces']:,} traces state the answer; "
        f"{found['unmeasured']:,} have no likelihood.",
    ]


def _table_lines(name: str, figures: Mapping[str, Any]) -> list[str]:
    rows = [("positives", figures["positives"]), ("negatives", figures["negatives"])]
    rows = [(name, row) for name, row in rows if row["traces"]]
    rows += [(f"  {kind or 'unknown'}", row) for kind, row in figures["by_kind"].items() if kind != POSITIVE]
    width = max(24, *(len(name) for name, _ in rows)) if rows else 24
    lines = ["", f"{name:<{width}}{'traces':>9}{'problems':>10}{'mean':>9}  95% interval"]
    for label, row in rows:
        lines.append(f"{label:<{width}}{row['traces']:>9,}{row['problems']:>10,}{signed(row['mean']):>9}  {_ends(row)}")
    difference = figures["difference"]
    if difference["mean"] is not None:
        lines.append(
            f"{'positives - negatives':<{width}}{'':>9}{difference['problems']:>10,}{signed(difference['mean']):>9}  "
            f"{_ends(difference)}"
        )
    return lines


def _order_lines(summary: Mapping[str, Any]) -> list[str]:
    orders = [("", summary["order"])]
    if found := summary.get("likelihood"):
        orders.append((", masked nats", found["masked_nats"]["order"]))
    rows = [
        (f"{JUDGE_NAMES[name]}{unit}", row) for unit, order in orders for name, row in order.items() if row["pairs"]
    ]
    if not rows:
        return []
    head = f"{'order within a problem':<26}{'pairs':>9}{'same':>10}{'opposite':>10}{'clearly':>9}{'tied':>8}"
    return [head] + [
        f"{name:<26}{row['pairs']:>9,}{row['same']:>10,}{row['opposite']:>10,}"
        f"{'-' if 'nats' in name else format(row['clearly_opposite'], ','):>9}{row['tied']:>8,}"
        for name, row in rows
    ]


def calibration_lines(summary: Mapping[str, Any]) -> list[str]:
    """How values were predicted, and the means of all problems; nothing where none were."""
    found = summary.get("calibration")
    if not found:
        return []
    lines = [
        f"{found['sampled_traces']:,} traces of {found['sampled_problems']:,} problems were sampled, "
        f"{found['predicted_traces']:,} predicted from likelihoods."
    ]
    report = found["report"]
    if report is None:
        lines.append(f"Nothing was predicted: {found['why_not']}.")
    else:
        lines.append(
            f"Cross-validated by problem: mean absolute error {report['mean_absolute_error']:.3f}, rank correlation "
            f"{signed(report['rank_correlation'])}, R2 {signed(report['r2'])}; intervals of predictions are "
            f"+-{report['half_width']:.3f}."
        )
        without = summary["traces"] - found["sampled_traces"] - found["predicted_traces"]
        if without:
            lines.append(
                f"{without:,} got no value, most for lying outside what the fit has seen; their notes say why."
            )
    for name, mean in found["means"].items():
        if mean is not None:
            lines.append(
                f"Mean uplift, {name}: {signed(mean['mean'])} ({_ends(mean)}) over {mean['population']:,} problems; "
                f"standard error {mean['standard_error']:.3f}, {mean['plain_error']:.3f} by the {mean['sampled']:,} "
                "sampled ones alone."
            )
    return lines


def _cost_lines(summary: Mapping[str, Any]) -> list[str]:
    cost = summary["cost"]
    if likelihoods_only(summary):
        lines = [f"{cost['likelihoods']:,} log-likelihoods, a forward pass each, in {cost['seconds']:.1f} s."]
    else:
        lines = [
            f"{cost['samples']:,} completions in {cost['calls'] - cost['likelihoods']:,} calls, "
            f"{cost['seconds']:.1f} s, {cost['samples_per_second']:.1f} a second; "
            f"{cost['samples_with_trace']:,} with a trace, {cost['samples_baseline']:,} without, "
            f"{cost['cache_hits']:,} taken from the cache.",
            f"The executor was at work for {cost['executor_busy_seconds']:.1f} s, the verifier for "
            f"{cost['verifier_busy_seconds']:.1f} s.",
        ]
        lines += [f"{cost['likelihoods']:,} log-likelihoods, a forward pass each."] if cost["likelihoods"] else []
    for name, reasons in (("Failed runs", "failed"), ("Lost calls", "lost"), ("Not judged", "unjudged")):
        if cost[reasons]:
            lines.append(f"{name}: {_reasons(cost[reasons])}.")
    if cost["resumed_runs"]:
        lines.append(
            f"These costs are of this session alone; it took over {cost['resumed_runs']:,} runs of an earlier one."
        )
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
