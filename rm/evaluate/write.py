"""The evaluation on disk: `metrics.json`, `scores.parquet` and `report.html`, all of them or none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rm.evaluate.report import render_report, writable
from rm.evaluate.scored import ScoredGroup
from rm.evaluate.summary import json_safe
from rm.files import replace_directory
from rm.rubric import Rubric

if TYPE_CHECKING:
    import pyarrow

METRICS_FILE = "metrics.json"
SCORES_FILE = "scores.parquet"
REPORT_FILE = "report.html"


def write_evaluation(
    out: str | Path,
    scored: Sequence[ScoredGroup],
    metrics: Mapping[str, Any],
    rubric: Rubric,
    provenance: Mapping[str, object],
    force: bool = False,
) -> None:
    """Writes the three files into a new directory `out`.

    Args:
        out: replaced as a whole where it exists and `force` is set.
        scored: all groups, those that could not be scored included.
        metrics: what `summarize` gave for them.
        rubric: the model's.
        provenance: what the figures come from (model, data, versions), in the order to be printed; it also
            stands in `metrics.json`.

    Raises:
        ConfigError: `out` exists and `force` is not set.
        RunError: the disk is full, or the place cannot be written.
    """
    with replace_directory(out, force) as staging:
        document = json_safe({**metrics, "provenance": provenance})
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        (staging / METRICS_FILE).write_text(f"{writable(text)}\n", encoding="utf-8")
        _write_parquet(score_table(scored, rubric), staging / SCORES_FILE)
        report = render_report(scored, metrics, rubric, provenance)
        (staging / REPORT_FILE).write_text(report, encoding="utf-8")


def score_table(scored: Sequence[ScoredGroup], rubric: Rubric) -> pyarrow.Table:
    """One row a candidate, in the order of groups and candidates; null where it could not be scored.

    Columns: `problem_id`, `candidate` (0-based place in its group), `positive`, `kind`, `score`, `logit`,
    `expected_DIMENSION` and `label_DIMENSION` for each dimension, `total` (the label), `truncated`, `source`,
    `reasoning_length` (characters).
    """
    import pyarrow as pa

    fields = [
        pa.field("problem_id", pa.string()),
        pa.field("candidate", pa.int32()),
        pa.field("positive", pa.bool_()),
        pa.field("kind", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("logit", pa.float64()),
        *(pa.field(f"expected_{name}", pa.float64()) for name in rubric.dimension_names),
        *(pa.field(f"label_{name}", pa.int32()) for name in rubric.dimension_names),
        pa.field("total", pa.float64()),
        pa.field("truncated", pa.bool_()),
        pa.field("source", pa.string()),
        pa.field("reasoning_length", pa.int64()),
    ]
    rows = [row for each in scored for row in _rows(each, rubric)]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _rows(each: ScoredGroup, rubric: Rubric) -> list[dict[str, Any]]:
    rows = []
    for k, candidate in enumerate(each.group.candidates):
        labels = candidate.rubric or {}
        levels = dict(zip(rubric.dimension_names, each.expected_levels[k], strict=True))
        row = {
            "problem_id": writable(each.group.problem_id),
            "candidate": k,
            "positive": candidate.positive,
            "kind": writable(candidate.kind),
            "score": each.scores[k],
            "logit": each.logits[k],
            "total": candidate.total,
            "truncated": bool(each.truncated[k]),
            "source": writable(each.group.source),
            "reasoning_length": len(candidate.reasoning),
        }
        row |= {f"expected_{name}": level for name, level in levels.items()}
        row |= {f"label_{name}": labels.get(name) for name in rubric.dimension_names}
        rows.append(json_safe(row))
    return rows


def _write_parquet(table: pyarrow.Table, path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path)
