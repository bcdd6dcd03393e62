"""A result in words and in plain-text tables: what the terminal shows, and how the report opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

MISSING = "-"
SCORERS = {"model": "this model", "surface": "bag of words", "longest": "longest first", "chance": "chance"}
MEASURES = {
    "pair_accuracy": "pair accuracy",
    "group_accuracy": "group accuracy",
    "mrr": "MRR",
    "ndcg": "NDCG",
    "kendall_tau": "Kendall tau",
}
PERCENTAGES = ("pair_accuracy", "group_accuracy")
LENGTH_WARNING = 0.3  # |Spearman| of score and length from which the report speaks of it


@dataclass(frozen=True)
class Finding:
    """One sentence that a reader in a hurry should see, and how it bodes."""

    bodes: Literal["well", "ill", "neutral"]
    text: str


def percent(value: float | None) -> str:
    """A share as `83.1%`."""
    return MISSING if value is None else f"{100 * value:.1f}%"


def decimal(value: float | None) -> str:
    """A number with three decimals."""
    return MISSING if value is None else f"{value:.3f}"


def probability(value: float | None) -> str:
    """A p-value with four decimals: one of a randomisation test is 0.0005 at least."""
    return MISSING if value is None else f"{value:.4f}"


def measured(name: str, value: float | None) -> str:
    """A value of the measure `name` in its usual form."""
    return percent(value) if name in PERCENTAGES else decimal(value)


def interval(name: str, ends: Sequence[float | None]) -> str:
    """An interval as `81.9 to 84.2` (per cent) or `0.819 to 0.842`; empty where there is none."""
    low, high = ends
    if low is None or high is None:
        return ""
    if name in PERCENTAGES:
        return f"{100 * low:.1f} to {100 * high:.1f}"
    return f"{low:.3f} to {high:.3f}"


def scorer(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The figures of one of SCORERS; those of the model stand at the top level."""
    return metrics if name == "model" else metrics[name]


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """The tables that `evaluate` prints: the findings, all scorers side by side, and each kind of flaw."""
    blocks = [
        "\n".join(f"* {finding.text}" for finding in findings(metrics)),
        _scorer_table(metrics),
        _kind_table(metrics["by_kind"]),
        _dimension_table(metrics["dimensions"]),
    ]
    return "\n\n".join(block for block in blocks if block)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest entry, the first to the left and all others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(_aligned(line, widths)).rstrip() for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(cells, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def _scorer_table(metrics: Mapping[str, Any]) -> str:
    header = ["ranked by"]
    for measure, title in MEASURES.items():
        header += [title, "95% interval"] if measure in PERCENTAGES else [title]
    rows = []
    for name, title in SCORERS.items():
        figures = scorer(metrics, name)
        row = [title]
        for measure in MEASURES:
            row.append(measured(measure, figures[measure]))
            if measure in PERCENTAGES:
                row.append(interval(measure, figures["intervals"][measure]))
        rows.append(row)
    return table(header, rows)


def _kind_table(by_kind: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["pairs right, by kind of negative", "pairs", "this model", "95% interval", "bag of words"]
    rows = [
        [
            kind,
            f"{row['n_pairs']:,}",
            percent(row["pair_accuracy"]),
            interval("pair_accuracy", row["interval"]),
            percent(row["surface"]),
        ]
        for kind, row in by_kind.items()
    ]
    return table(header, rows) if rows else ""


def _dimension_table(dimensions: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["rubric dimension", "labels", "level right", "mean error", "kappa"]
    rows = [
        [name, f"{row['n']:,}", percent(row["accuracy"]), decimal(row["mae"]), decimal(row["kappa"])]
        for name, row in dimensions.items()
    ]
    return table(header, rows) if any(row["n"] for row in dimensions.values()) else ""


def findings(metrics: Mapping[str, Any]) -> list[Finding]:
    """What a reader in a hurry should know, most important first."""
    if metrics["pair_accuracy"] is None:
        return [
            Finding("ill", "No group could be scored, so there is nothing to report."),
            *_left_out(metrics),
        ]
    return [
        _verdict(metrics),
        _first_places(metrics),
        *_kinds(metrics["by_kind"]),
        *_left_out(metrics),
        *_doubts(metrics),
    ]


def _verdict(metrics: Mapping[str, Any]) -> Finding:
    own, surface = metrics["pair_accuracy"], metrics["surface"]
    start = f"The model ranks {percent(own)} of pairs right"
    gain = surface["gain"].get("pair_accuracy")
    if gain is None:
        reason = surface["protocol"]
        return Finding("neutral", f"{start}. There is no bag of words to hold it against: {reason}.")
    rival = f"a bag of words that never sees the problem, {percent(surface['pair_accuracy'])}"
    points = f"{100 * gain['difference']:+.1f} points"
    if gain["low"] is None or gain["low"] <= 0 <= gain["high"]:
        return Finding("ill", f"{start}; {rival}. The difference ({points}) may be chance.")
    ends = f"{100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"
    bodes: Literal["well", "ill"] = "well" if gain["low"] > 0 else "ill"
    return Finding(bodes, f"{start}; {rival}: {points} (95% interval {ends}).")


def _first_places(metrics: Mapping[str, Any]) -> Finding:
    own, surface, chance = (scorer(metrics, name)["group_accuracy"] for name in ("model", "surface", "chance"))
    rivals = [f"chance {percent(chance)}"]
    if surface is not None:
        rivals.insert(0, f"bag of words {percent(surface)}")
    text = f"A right trace comes first in {percent(own)} of groups ({', '.join(rivals)})."
    if own <= max(chance, surface or 0.0):
        return Finding("ill", text)
    gain = metrics["surface"]["gain"].get("group_accuracy")
    if gain is not None and (gain["low"] is None or gain["low"] <= 0):
        return Finding("neutral", f"{text} The difference to the bag of words may be chance.")
    return Finding("well", text)


def _kinds(by_kind: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    found = []
    if len(by_kind) > 1:
        weakest = min(by_kind, key=lambda kind: by_kind[kind]["pair_accuracy"])
        row = by_kind[weakest]
        rival = "" if row["surface"] is None else f" (bag of words {percent(row['surface'])})"
        text = f"Weakest against {weakest}: {percent(row['pair_accuracy'])} of pairs right{rival}."
        found.append(Finding("neutral", text))
    beaten = [
        f"{kind} ({percent(row['pair_accuracy'])} against {percent(row['surface'])})"
        for kind, row in by_kind.items()
        if row["surface"] is not None and row["pair_accuracy"] <= row["surface"] and row["pair_accuracy"] < 1
    ]
    if beaten:
        found.append(Finding("ill", f"Not above the bag of words against {', '.join(beaten)}."))
    return found


def _left_out(metrics: Mapping[str, Any]) -> list[Finding]:
    if not metrics["n_groups_left_out"]:
        return []
    groups = f"{metrics['n_groups_left_out']:,} of {metrics['n_groups']:,} groups"
    candidates = f"{metrics['n_unscorable']:,} of their candidates"
    return [Finding("ill", f"{groups} are left out: {candidates} do not fit the model's length.")]


def _doubts(metrics: Mapping[str, Any]) -> list[Finding]:
    found = []
    if metrics["truncation_rate"]:
        share = percent(metrics["truncation_rate"])
        found.append(Finding("neutral", f"For {share} of candidates the middle of the problem was cut to fit."))
    correlation = metrics["length_correlation"]
    if correlation is not None and abs(correlation) >= LENGTH_WARNING:
        direction = "longer" if correlation > 0 else "shorter"
        text = f"Scores lean to {direction} traces: correlation with length {correlation:+.2f} within groups."
        found.append(Finding("ill", text))
    if metrics["tie_rate"]:
        found.append(Finding("ill", f"{percent(metrics['tie_rate'])} of pairs are tied (each counts half)."))
    drift = metrics["drift"]
    if drift is not None and drift["order_changes"]:
        text = f"{drift['order_changes']:,} pairs change their order with the batch they are scored in."
        found.append(Finding("ill", text))
    return found
