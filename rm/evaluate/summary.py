"""From scored groups to `metrics.json`: every figure, its interval, and the baselines beside it.

Groups with a candidate that could not be scored leave all figures but the counts. Means are over groups,
intervals are 95% bootstrap intervals over groups (Wilson's where the accuracy is the same 0 or 1 in all), and undefined
is None. Candidates are ranked by logit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rm.evaluate.rankings import (
    RANKING_METRICS,
    Columns,
    chance_rankings,
    kind_accuracy,
    kind_pairs,
    kinds,
    lengths,
    longest_rankings,
    model_rankings,
    rankings,
)
from rm.evaluate.scored import BatchDrift, ScoredGroup
from rm.evaluate.surface import SurfaceResult
from rm.metrics import (
    Summary,
    confusion,
    dimension_agreement,
    length_correlation,
    longest_scores,
    paired_difference,
    reliability,
)
from rm.metrics import summarize as summarize_values
from rm.rubric import Rubric

BASELINE_METRICS = tuple(name for name in RANKING_METRICS if name != "tie_rate")
SUBSET_METRICS = ("pair_accuracy", "group_accuracy")
NO_INTERVAL = (None, None)
NOT_RUN = SurfaceResult(None, "not asked for")


@dataclass(frozen=True)
class _Bootstrap:
    """How values by group become a mean with its interval."""

    seed: int
    resamples: int

    def of(self, values: np.ndarray, share: bool) -> Summary:
        return summarize_values(values, seed=self.seed, n_resamples=self.resamples, share=share)

    def figures(self, columns: Columns, names: Sequence[str]) -> dict[str, Any]:
        """{metric: mean, .., "intervals": {metric: [low, high]}}."""
        summaries = {name: self.of(columns[name], name in SUBSET_METRICS) for name in names}
        means: dict[str, Any] = {name: summary.mean for name, summary in summaries.items()}
        return means | {"intervals": {name: [s.low, s.high] for name, s in summaries.items()}}


def summarize(
    scored: Sequence[ScoredGroup],
    rubric: Rubric,
    surface: SurfaceResult | None = None,
    drift: BatchDrift | None = None,
    seed: int = 0,
    bootstrap: int = 2000,
) -> dict[str, Any]:
    """Everything that `metrics.json` holds; safe for JSON, None where a figure is undefined.

    Args:
        scored: all groups, those that could not be scored included. Their labels are in the rubric's range.
        rubric: the model's, D dimensions of L levels.
        surface: what the bag of words gave for the same groups in the same order; None where it was not run.
        drift: how scores move with the batch; None where it was not measured.
        seed: of the bootstrap.
        bootstrap: number of resamples.

    Raises:
        ValueError: `surface` is of another number of groups.
    """
    surface = surface or NOT_RUN
    kept = [i for i, each in enumerate(scored) if each.scorable]
    groups = [scored[i] for i in kept]
    surface_scores = None
    if surface.scores is not None:
        if len(surface.scores) != len(scored):
            raise ValueError(f"expected surface scores of {len(scored)} groups, got {len(surface.scores)}")
        surface_scores = [surface.scores[i] for i in kept]

    draw = _Bootstrap(seed, bootstrap)
    model = model_rankings(groups)
    baselines = {
        "surface": None if surface_scores is None else rankings(groups, surface_scores),
        "longest": longest_rankings(groups),
        "chance": chance_rankings(groups),
    }
    metrics = (
        _counts(scored, len(kept))
        | _headline(groups, model, draw)
        | {name: _baseline(columns, draw) for name, columns in baselines.items()}
        | {
            "by_kind": _by_kind(groups, surface_scores, draw),
            "by_source": _by_source(groups, model, baselines, draw),
            "by_length": _by_length(groups, model, baselines, draw),
            "dimensions": _dimensions(groups, rubric),
            "calibration": _calibration(groups),
            "drift": None if drift is None else asdict(drift),
        }
    )
    metrics["surface"] |= {
        "protocol": surface.protocol,
        "gain": _gain(model, baselines["surface"], draw),
    }
    return json_safe(metrics)


def json_safe(value: Any) -> Any:
    """The same in plain Python types, with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, list | tuple):
        return [json_safe(entry) for entry in value]
    if isinstance(value, np.generic):
        return json_safe(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _counts(scored: Sequence[ScoredGroup], n_kept: int) -> dict[str, Any]:
    """What was read: groups and candidates in all, and how much of that could not be scored."""
    finite = [np.isfinite(each.scores) for each in scored]
    n_candidates = sum(len(mask) for mask in finite)
    n_truncated = sum(int(each.truncated.sum()) for each in scored)
    return {
        "n_groups": len(scored),
        "n_groups_left_out": len(scored) - n_kept,
        "n_candidates": n_candidates,
        "n_unscorable": sum(int((~mask).sum()) for mask in finite),
        "truncation_rate": n_truncated / n_candidates if n_candidates else math.nan,
    }


def _headline(groups: Sequence[ScoredGroup], model: Columns, draw: _Bootstrap) -> dict[str, Any]:
    correlations = [length_correlation(each.logits, lengths(each.group)) for each in groups]
    columns = model | {"length_correlation": np.array(correlations, dtype=np.float64)}
    return draw.figures(columns, tuple(columns))


def _baseline(columns: Columns | None, draw: _Bootstrap) -> dict[str, Any]:
    if columns is None:
        return dict.fromkeys(BASELINE_METRICS) | {"intervals": dict.fromkeys(BASELINE_METRICS, NO_INTERVAL)}
    return draw.figures(columns, BASELINE_METRICS)


def _gain(model: Columns, rival: Columns | None, draw: _Bootstrap) -> dict[str, Any]:
    """Model minus bag of words on the same groups, paired."""
    if rival is None:
        return {}
    return {
        name: asdict(paired_difference(model[name], rival[name], seed=draw.seed, n_resamples=draw.resamples))
        for name in BASELINE_METRICS
    }


def _by_kind(
    groups: Sequence[ScoredGroup], surface_scores: Sequence[np.ndarray] | None, draw: _Bootstrap
) -> dict[str, Any]:
    """How pairs of a positive and a negative of one kind are ordered, for each kind."""
    logits = [each.logits for each in groups]
    by_length = [longest_scores(lengths(each.group)) for each in groups]
    rows = {}
    for kind in kinds(groups):
        own = draw.of(kind_accuracy(groups, logits, kind), share=True)
        rival = None if surface_scores is None else draw.of(kind_accuracy(groups, surface_scores, kind), share=True)
        rows[kind] = {
            "n_pairs": kind_pairs(groups, kind),
            "n_groups": own.n,
            "pair_accuracy": own.mean,
            "interval": [own.low, own.high],
            "surface": None if rival is None else rival.mean,
            "surface_interval": NO_INTERVAL if rival is None else [rival.low, rival.high],
            "longest": draw.of(kind_accuracy(groups, by_length, kind), share=True).mean,
            "chance": 0.5,
        }
    return rows


def _by_source(
    groups: Sequence[ScoredGroup],
    model: Columns,
    baselines: Mapping[str, Columns | None],
    draw: _Bootstrap,
) -> dict[str, Any]:
    sources = np.array([each.group.source for each in groups], dtype=object)
    return {
        source: _subset(np.flatnonzero(sources == source), model, baselines, draw) for source in sorted(set(sources))
    }


def _by_length(
    groups: Sequence[ScoredGroup],
    model: Columns,
    baselines: Mapping[str, Columns | None],
    draw: _Bootstrap,
) -> dict[str, Any]:
    """Quarters of the groups by mean length of their traces in characters; fewer where lengths are equal."""
    if not groups:
        return {}
    means = np.array([lengths(each.group).mean() for each in groups])
    whole = np.rint(means)  # else two quarters could have the same name
    inner_edges = np.unique(np.quantile(whole, [0.25, 0.5, 0.75]))
    quarter_of = np.searchsorted(inner_edges, whole)  # a group on an edge belongs to the quarter below it
    rows = {}
    for quarter in np.unique(quarter_of):
        members = np.flatnonzero(quarter_of == quarter)
        low, high = float(means[members].min()), float(means[members].max())
        figures = _subset(members, model, baselines, draw)
        rows[f"{low:,.0f} to {high:,.0f}"] = {"lowest": low, "highest": high} | figures
    return rows


def _subset(
    members: np.ndarray, model: Columns, baselines: Mapping[str, Columns | None], draw: _Bootstrap
) -> dict[str, Any]:
    def chosen(columns: Columns) -> Columns:
        return {name: columns[name][members] for name in SUBSET_METRICS}

    return (
        {"n_groups": len(members)}
        | draw.figures(chosen(model), SUBSET_METRICS)
        | {
            name: None if columns is None else draw.figures(chosen(columns), SUBSET_METRICS)
            for name, columns in baselines.items()
        }
    )


def _dimensions(groups: Sequence[ScoredGroup], rubric: Rubric) -> dict[str, Any]:
    """Agreement of levels with the labels there are; `majority` is the accuracy of the commonest label."""
    candidates = [candidate for each in groups for candidate in each.group.candidates]
    rows = {}
    for d, name in enumerate(rubric.dimension_names):
        labels = np.array([_label(candidate.rubric, name) for candidate in candidates], dtype=np.int64)
        predicted = _joined([each.predicted_levels[:, d] for each in groups], np.int64)
        expected = _joined([each.expected_levels[:, d] for each in groups], np.float64)
        agreement = dimension_agreement(predicted, expected, labels, rubric.num_levels)
        counts = confusion(predicted, labels, rubric.num_levels)
        majority = counts.sum(axis=1).max() / agreement.n if agreement.n else math.nan
        rows[name] = asdict(agreement) | {"majority": majority, "confusion": counts}
    return rows


def _label(rubric: Mapping[str, int] | None, name: str) -> int:
    """The label of a dimension, -1 where there is none."""
    return -1 if rubric is None else rubric.get(name, -1)


def _calibration(groups: Sequence[ScoredGroup]) -> dict[str, Any]:
    """The score against the share of positives, and against the labelled total."""
    scores = _joined([each.scores for each in groups], np.float64)
    positive = _joined([each.positive for each in groups], np.float64)
    totals = [math.nan if c.total is None else c.total for each in groups for c in each.group.candidates]
    return {
        "positive": asdict(reliability(scores, positive)),
        "total": asdict(reliability(scores, np.array(totals, dtype=np.float64))),
    }


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts).astype(dtype) if parts else np.empty(0, dtype=dtype)
