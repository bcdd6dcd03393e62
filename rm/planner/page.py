"""`samples.html`: one page that stands alone, with a run's curves, and traces with their rewards part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rm.evaluate import svg
from rm.evaluate.format import MISSING, decimal
from rm.evaluate.report import render_template
from rm.planner.config import PlannerConfig
from rm.planner.samples import PREFIX, completion_of
from rm.planner.signs import signs

SHOWN = 24
"""Groups on the page."""
DIMENSION = "dimensions/"
WHAT: Mapping[str, str] = {
    "reward": "of the measured completions",
    "end_to_end": "of the executor's own run with the trace",
    "rm": "score of the reward model",
    "uplift": "of the executor's success by the trace",
    "coefficient": "that the reward model's score is multiplied by",
    "unmeasured": "share of completions without a reward",
    "failures": "share of completions with a part that could not be measured",
    "groups/dead": "share of groups whose rewards are all equal",
    "completions/mean_length": "tokens of a completion",
    "completions/clipped_ratio": "share of completions cut off at the limit",
    "completions/untagged": "share of completions without tags",
    "completions/empty": "share of completions without any reasoning",
    "entropy": "of the planner's next token",
    "kl": "from the base, by token",
}
"""Quantities that are drawn, in this order, where the log has them; parts of the reward by their adapter's names."""


@dataclass(frozen=True)
class Curve:
    """One drawing."""

    name: str
    what: str
    drawing: Markup
    last: str


@dataclass(frozen=True)
class Member:
    """One completion, as it is shown."""

    reward: str
    parts: str
    dimensions: str
    completion: str
    failures: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The completions of one problem at one step."""

    step: int
    problem_id: str
    problem: str
    rewards: str
    members: tuple[Member, ...]


def render_page(
    log: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    config: PlannerConfig,
    formula: Mapping[str, Any],
) -> str:
    """The page.

    Args:
        log: the lines of `log.jsonl` that belong to a step, in order.
        samples: the lines of `samples.jsonl`.
        config: of the run.
        formula: `name`, and `text` where it is known.
    """
    base = Path(config.planner.base)
    return render_template(
        (resources.files("rm.planner") / "templates" / "samples.html.j2").read_text(encoding="utf-8"),
        base=base.name if base.is_dir() else config.planner.base,
        reward=config.reward.name,
        formula={"text": "", **formula},
        signs=signs(log, config.grpo.max_completion_length),
        curves=curves(log),
        groups=spread(samples, SHOWN),
    )


def curves(log: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """A drawing of each quantity that the log has."""
    present = dict.fromkeys(name for row in log for name in row)
    levels = {name.removeprefix(f"{PREFIX}/"): "mean level" for name in present if f"{PREFIX}/{DIMENSION}" in name}
    found = []
    for name, what in {**WHAT, **levels}.items():
        key = next((key for key in (f"{PREFIX}/{name}", name) if key in present), None)
        if key is None:
            continue
        values = [row.get(key) for row in log]
        known = [value for value in values if value is not None]
        title = f"{name.removeprefix(DIMENSION)} over {len(log)} steps"
        drawing = svg.curve([row["step"] for row in log], values, title)
        found.append(Curve(name.removeprefix(DIMENSION), what, drawing, f"{known[-1]:.3g}" if known else MISSING))
    return found


def spread(samples: Sequence[Mapping[str, Any]], count: int) -> list[Group]:
    """The first group of so many steps, evenly spread and with the first and the last, the latest first."""
    steps = [list(rows) for _, rows in groupby(samples, key=lambda row: row["step"])]
    firsts = [[row for row in rows if row["group"] == 0] for rows in steps]
    if len(firsts) > count:
        firsts = [firsts[round(place * (len(firsts) - 1) / (count - 1))] for place in range(count)]
    return [_group(rows) for rows in reversed(firsts)]


def _group(rows: Sequence[Mapping[str, Any]]) -> Group:
    def height(row: Mapping[str, Any]) -> float:
        return float("-inf") if row["result"]["reward"] is None else row["result"]["reward"]

    ordered = sorted(rows, key=height, reverse=True)
    item = rows[0]["item"]
    return Group(
        step=rows[0]["step"],
        problem_id=str(item.get("problem_id", "")),
        problem=str(item["problem"]),
        rewards=", ".join(decimal(row["result"]["reward"]) for row in ordered),
        members=tuple(_member(row) for row in ordered),
    )


def _member(row: Mapping[str, Any]) -> Member:
    result = row["result"]
    parts = result["parts"]
    told = [f"{name} {decimal(parts[name])}" for name in ("end_to_end", "rm") if parts[name] is not None]
    uplift = parts["uplift"]
    if uplift is not None:
        value = MISSING if uplift["value"] is None else f"{uplift['value']:+.3f}"
        runs = f"{uplift['successes']:g} of {uplift['runs']} runs with the trace"
        told.append(f"uplift {value} ({runs}, {uplift['baseline_successes']:g} of {uplift['baseline_runs']} without)")
    levels = [f"{name} {level:.2f}" for name, level in (parts["dimensions"] or {}).items()]
    return Member(
        reward=decimal(result["reward"]),
        parts=", ".join(told),
        dimensions=", ".join(levels),
        completion=completion_of(row) or "(nothing)",
        failures=tuple(result["failures"]),
        notes=tuple(result["notes"]),
    )
