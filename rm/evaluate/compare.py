"""Two models on the same groups: paired differences, so that what is hard for both cancels out.

Only groups that both could score count. Differences are A - B throughout, with 95% bootstrap intervals over
groups and the p-value of the paired randomisation test; nothing is corrected for the number of comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rm.evaluate.format import MEASURES, interval, measured, percent, probability, table
from rm.evaluate.rankings import (
    chance_rankings,
    kind_accuracy,
    kind_pairs,
    kinds,
    longest_rankings,
    model_rankings,
    rankings,
)
from rm.evaluate.scored import ScoredGroup
from rm.evaluate.summary import json_safe
from rm.evaluate.surface import SurfaceResult
from rm.metrics import paired_difference

COMPARED = tuple(MEASURES)


def compare(
    a: Sequence[ScoredGroup],
    b: Sequence[ScoredGroup],
    surface: SurfaceResult | None = None,
    seed: int = 0,
    bootstrap: int = 2000,
) -> dict[str, Any]:
    """How far model A ranks better than model B; safe for JSON, None where a figure is undefined.

    Args:
        a, b: the two models' scores of the same groups in the same order.
        surface: what the bag of words gave for these groups, in the same order.
        seed: of bootstrap and test.
        bootstrap: number of resamples and of random sign changes.

    Returns:
        `n_groups`, `n_groups_left_out`; `metrics` {name: {a, b, difference, low, high, p, n, surface,
        longest, chance}}; `by_kind` {kind: {n_pairs, a, b, difference, low, high, p, n}}; `pair_agreement`,
        the share of all pairs of candidates that both order alike; `right` {both, neither, only_a, only_b},
        the last two as problem ids.

    Raises:
        ValueError: not the same groups, or `surface` is of other groups.
    """
    _check_same_groups(a, b)
    kept = [i for i, (one, other) in enumerate(zip(a, b, strict=True)) if one.scorable and other.scorable]
    own, other = [a[i] for i in kept], [b[i] for i in kept]
    surface_scores = None
    if surface is not None and surface.scores is not None:
        if len(surface.scores) != len(a):
            raise ValueError(f"expected surface scores of {len(a)} groups, got {len(surface.scores)}")
        surface_scores = [surface.scores[i] for i in kept]

    of_a, of_b = model_rankings(own), model_rankings(other)
    beside = {
        "surface": None if surface_scores is None else rankings(own, surface_scores),
        "longest": longest_rankings(own),
        "chance": chance_rankings(own),
    }
    metrics = {
        name: _paired(of_a[name], of_b[name], seed, bootstrap)
        | {rival: None if columns is None else _mean(columns[name]) for rival, columns in beside.items()}
        for name in COMPARED
    }
    result = {
        "n_groups": len(kept),
        "n_groups_left_out": len(a) - len(kept),
        "metrics": metrics,
        "by_kind": _by_kind(own, other, seed, bootstrap),
        "pair_agreement": _pair_agreement(own, other),
        "right": _right(own, of_a["group_accuracy"], of_b["group_accuracy"]),
    }
    return json_safe(result)


def format_comparison(result: Mapping[str, Any], name_a: str = "A", name_b: str = "B") -> str:
    """The comparison as plain-text tables."""
    right = result["right"]
    lines = [
        f"A: {name_a}",
        f"B: {name_b}",
        f"{result['n_groups']:,} groups scored by both, {result['n_groups_left_out']:,} left out.",
        f"A and B order {percent(result['pair_agreement'])} of all pairs of candidates alike.",
        f"Right trace first: both {right['both']:,}, neither {right['neither']:,}, "
        f"only A {len(right['only_a']):,}, only B {len(right['only_b']):,}.",
    ]
    blocks = ["\n".join(lines), _metric_table(result["metrics"])]
    if result["by_kind"]:
        blocks.append(_kind_table(result["by_kind"]))
    return "\n\n".join(blocks)


def _check_same_groups(a: Sequence[ScoredGroup], b: Sequence[ScoredGroup]) -> None:
    if len(a) != len(b):
        raise ValueError(f"expected the same groups, got {len(a)} and {len(b)}")
    for one, other in zip(a, b, strict=True):
        if one.group.problem_id != other.group.problem_id or one.group.candidates != other.group.candidates:
            ids = f"{one.group.problem_id} and {other.group.problem_id}"
            raise ValueError(f"expected the same groups in the same order, got {ids}")


def _paired(a: np.ndarray, b: np.ndarray, seed: int, bootstrap: int) -> dict[str, Any]:
    """Both means and their difference, over the groups where both are defined."""
    both = ~np.isnan(a) & ~np.isnan(b)
    paired = paired_difference(a, b, seed=seed, n_resamples=bootstrap)
    return {
        "a": _mean(a[both]),
        "b": _mean(b[both]),
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "p": paired.p,
        "n": paired.n,
    }


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def _by_kind(own: Sequence[ScoredGroup], other: Sequence[ScoredGroup], seed: int, bootstrap: int) -> dict[str, Any]:
    of_a, of_b = [each.logits for each in own], [each.logits for each in other]
    return {
        kind: {"n_pairs": kind_pairs(own, kind)}
        | _paired(kind_accuracy(own, of_a, kind), kind_accuracy(own, of_b, kind), seed, bootstrap)
        for kind in kinds(own)
    }


def _pair_agreement(own: Sequence[ScoredGroup], other: Sequence[ScoredGroup]) -> float:
    """Share of the pairs of candidates within groups that both order alike; a tie agrees with a tie only."""
    alike = total = 0
    for one, another in zip(own, other, strict=True):
        first, second = np.triu_indices(len(one.logits), k=1)
        order_a = np.sign(one.logits[first] - one.logits[second])
        order_b = np.sign(another.logits[first] - another.logits[second])
        alike += int(np.sum(order_a == order_b))
        total += len(first)
    return alike / total if total else np.nan


def _right(own: Sequence[ScoredGroup], a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Groups with a positive alone on top (or tied with positives only), by who gets them right."""
    right_a, right_b = a == 1.0, b == 1.0
    ids = np.array([each.group.problem_id for each in own], dtype=object)
    return {
        "both": int(np.sum(right_a & right_b)),
        "neither": int(np.sum(~right_a & ~right_b)),
        "only_a": list(ids[right_a & ~right_b]),
        "only_b": list(ids[~right_a & right_b]),
    }


def _metric_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["", "A", "B", "A - B", "95% interval", "p", "bag of words", "longest", "chance"]
    rows = []
    for name, row in metrics.items():
        rivals = [measured(name, row[rival]) for rival in ("surface", "longest", "chance")]
        rows.append([MEASURES[name], *_cells(name, row), *rivals])
    return table(header, rows)


def _kind_table(by_kind: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["pairs right, by kind of negative", "pairs", "A", "B", "A - B", "95% interval", "p"]
    rows = [[kind, f"{row['n_pairs']:,}", *_cells("pair_accuracy", row)] for kind, row in by_kind.items()]
    return table(header, rows)


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    ends = interval(name, [row["low"], row["high"]])
    return [*(measured(name, row[key]) for key in ("a", "b", "difference")), ends, probability(row["p"])]
