"""`report.html`: one page that stands alone, from the metrics and the scored groups.

Style and drawings are inline and nothing is fetched, so the file can be mailed and opened anywhere. Every
text that comes from the data is escaped. What is drawn also stands in the page as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from rm.evaluate import svg
from rm.evaluate.format import MEASURES, SCORERS, decimal, findings, interval, measured, percent, scorer
from rm.evaluate.rankings import kinds
from rm.evaluate.scored import ScoredGroup
from rm.rubric import Rubric

WORST_GROUPS = 20


@dataclass(frozen=True)
class _Distribution:
    """Scores of the positives, or of the negatives of one kind, with their deciles 1, 5 and 9."""

    name: str
    positive: bool
    scores: np.ndarray
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class _LeftOut:
    """A group that is in no figure, and how many of its candidates could not be scored."""

    problem_id: str
    unscorable: int
    candidates: int


@dataclass(frozen=True)
class _Trace:
    """One candidate as the report shows it."""

    kind: str
    positive: bool
    score: float
    logit: float
    total: float | None
    truncated: bool
    reasoning: str


@dataclass(frozen=True)
class _RankedGroup:
    """A group with its traces in the model's order; `margin` is best positive - best negative, in logits."""

    problem_id: str
    source: str
    problem: str
    reference_solution: str
    margin: float
    candidates: tuple[_Trace, ...]


def render_report(
    scored: Sequence[ScoredGroup],
    metrics: Mapping[str, Any],
    rubric: Rubric,
    provenance: Mapping[str, object],
) -> str:
    """The report as HTML.

    Args:
        scored: all groups, those that could not be scored included.
        metrics: what `summarize` gave for them.
        rubric: the model's.
        provenance: name to value, printed in this order; under "model", if there, the name in the title.
    """
    kept = [each for each in scored if each.scorable]
    return render_template(
        _resource("report.html.j2"),
        svg=svg,
        rubric=rubric,
        model=provenance.get("model"),
        provenance=provenance,
        metrics=metrics,
        findings=findings(metrics),
        labelled=any(row["n"] for row in metrics["dimensions"].values()),
        distributions=_distributions(kept),
        left_out=[_left_out(each) for each in scored if not each.scorable],
        worst=worst_groups(kept),
        measures=MEASURES,
        scorers=SCORERS,
        scorer=scorer,
        measured=measured,
        percent=percent,
        decimal=decimal,
        interval=interval,
    )


def render_template(template: str, **values: Any) -> str:
    """A page in the report's style: a jinja2 template whose `style` is the report's style sheet, all else escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style = Markup(_resource("report.css"))
    return writable(environment.from_string(template).render(style=style, **values))


def writable(text: str) -> str:
    """The text with `?` for lone surrogates, which JSON may hold (`"\\ud800"`) and UTF-8 may not."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def worst_groups(scored: Sequence[ScoredGroup], count: int = WORST_GROUPS) -> list[_RankedGroup]:
    """The groups whose best negative stands furthest above their best positive, by logit; the worst first."""

    def margin(each: ScoredGroup) -> float:
        return float(each.logits[each.positive].max() - each.logits[~each.positive].max())

    return [_ranked(each, margin(each)) for each in sorted(scored, key=margin)[:count]]


def _ranked(each: ScoredGroup, margin: float) -> _RankedGroup:
    traces = []
    for k in np.argsort(-each.logits, kind="stable"):
        candidate = each.group.candidates[k]
        traces.append(
            _Trace(
                kind=candidate.kind,
                positive=candidate.positive,
                score=float(each.scores[k]),
                logit=float(each.logits[k]),
                total=candidate.total,
                truncated=bool(each.truncated[k]),
                reasoning=candidate.reasoning,
            )
        )
    group = each.group
    return _RankedGroup(
        problem_id=group.problem_id,
        source=group.source,
        problem=group.problem,
        reference_solution=group.reference_solution,
        margin=margin,
        candidates=tuple(traces),
    )


def _distributions(kept: Sequence[ScoredGroup]) -> list[_Distribution]:
    """The positives, then each kind of negative."""
    if not kept:
        return []
    scores = np.concatenate([each.scores for each in kept])
    candidates = [candidate for each in kept for candidate in each.group.candidates]
    positive = np.array([candidate.positive for candidate in candidates], dtype=bool)
    kind_of = np.array([candidate.kind for candidate in candidates], dtype=object)
    rows = [("positives", True, scores[positive])]
    rows += [(kind, False, scores[~positive & (kind_of == kind)]) for kind in kinds(kept)]
    return [_Distribution(name, is_positive, s, *_deciles(s)) for name, is_positive, s in rows]


def _deciles(scores: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.quantile(scores, [0.1, 0.5, 0.9])
    return float(low), float(median), float(high)


def _left_out(each: ScoredGroup) -> _LeftOut:
    missing = int((~np.isfinite(each.scores)).sum())
    return _LeftOut(each.group.problem_id, missing, len(each.scores))


def _resource(name: str) -> str:
    return (resources.files("rm.evaluate") / "templates" / name).read_text(encoding="utf-8")
