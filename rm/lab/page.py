"""`report.html`, `table.json` and `curves/` of an experiment, from the rows that its runs have left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from rm.evaluate import svg
from rm.evaluate.format import Finding
from rm.evaluate.report import render_template
from rm.files import write_text_whole
from rm.lab.arms import ARMS, BASE, BASELINE_RUNS, RUNS
from rm.lab.experiment import ALONE, CURVE, ENOUGH_STEPS, EVALUATION, Size, is_done, read_rows
from rm.lab.outcome import MEASURES, REFERENCE, Result, cell, compare_arms, findings, result_of, table_json
from rm.lab.world import LEVELS

CURVES = {
    "end_to_end": "the executor's own run",
    "soundness": "sound steps",
    "rm": "score of the reward model",
    "skips": "skipped steps",
    "leaks": "leaked answers",
    "characters": "characters of a trace",
}
"""What is drawn, where an arm has measured it."""
COLOURS = ("#1a66a8", "#b9500f", "#17713f", "#7d3f98", "#b02a1f", "#7b8694", "#0e8a8a", "#a88b00", "#555555")
WINDOW = 15


@dataclass(frozen=True)
class _Cell:
    value: str
    against: tuple[str, ...]


@dataclass(frozen=True)
class _RowShown:
    arm: str
    what: str
    seeds: int
    cells: tuple[_Cell, ...]


@dataclass(frozen=True)
class _Curve:
    key: str
    name: str
    window: int
    drawing: Markup


def read_results(out: Path) -> dict[str, Result]:
    """The planner before training, and every arm with the runs that are done."""
    found = {BASE: result_of(BASE, {0: read_rows(out / BASE / EVALUATION)})}
    for name in ARMS:
        runs = {seed: read_rows(out / "runs" / name / str(seed) / EVALUATION) for seed in done_seeds(out, name)}
        if runs:
            found[name] = result_of(name, runs)
    return found


def done_seeds(out: Path, arm: str) -> list[int]:
    """Of an arm's runs that are done."""
    place = out / "runs" / arm
    seeds = sorted(int(folder.name) for folder in place.iterdir() if folder.name.isdigit()) if place.is_dir() else []
    return [seed for seed in seeds if is_done(out, arm, seed)]


def write_report(out: Path, size: Size) -> tuple[dict[str, Result], list[Finding]]:
    """Writes the files of what is done so far, and gives what they are made of: results by arm, and what they show."""
    results = read_results(out)
    shown = findings(results, size.steps >= ENOUGH_STEPS)
    curves = _curves(out, [name for name in results if name != BASE])
    write_text_whole(out / "table.json", json.dumps(table_json(results), indent=2) + "\n", force=True)
    alone = json.loads((out / BASE / ALONE).read_text(encoding="utf-8"))
    page = render_template(
        (resources.files("rm.lab") / "templates" / "experiment.html.j2").read_text(encoding="utf-8"),
        colours=COLOURS,
        levels=f"{LEVELS[0]} to {LEVELS[-1]}",
        runs=sum(len(result.seeds) for name, result in results.items() if name != BASE),
        findings=shown,
        measures=MEASURES,
        rows=[_row(result, results.get(REFERENCE)) for result in results.values()],
        reference=REFERENCE,
        test_problems=size.test_problems,
        samples=size.samples,
        executor_runs=size.runs,
        alone=" and ".join(f"{100 * share:.1f}% ({name})" for name, share in alone.items()),
        curves=curves,
        equal=what_was_equal(size),
    )
    write_text_whole(out / "report.html", page, force=True)
    (out / "curves").mkdir(exist_ok=True)
    for curve in curves:
        write_text_whole(out / "curves" / f"{curve.key}.svg", standalone(curve.drawing), force=True)
    return results, shown


def standalone(drawing: Markup) -> str:
    """A drawing of `svg.lines` as a file of its own, which reads on light and dark ground."""
    rules = [
        "text { font: 12px sans-serif; fill: #7b8694; }",
        ".axis { stroke: #7b8694; stroke-width: .5; }",
        *(f"polyline.s{i} {{ stroke: {c}; fill: none; stroke-width: 2; }}" for i, c in enumerate(COLOURS)),
        *(f"text.s{i} {{ fill: {c}; }}" for i, c in enumerate(COLOURS)),
    ]
    opening = '<svg xmlns="http://www.w3.org/2000/svg" '
    head, rest = str(drawing).replace("<svg ", opening, 1).split(">", 1)
    return f"{head}><style>{' '.join(rules)}</style>{rest}\n"


def what_was_equal(size: Size) -> list[str]:
    """Sentences on what the arms share, and on what they do not."""
    batch = size.problems_per_step * size.completions
    return [
        "Equal: the planner at the start; the problems and, for a seed, their order; "
        f"{size.steps} steps of {size.problems_per_step} problems with {size.completions} completions each; GRPO, "
        f"AdamW, learning rate {size.learning_rate:g} with linear decay, temperature 1, no KL term; all weights train.",
        f"Not equal: runs of the executor. Of the {batch} completions of a step each gets 1 run in exec-only, "
        f"{RUNS + 1} in exec-only-averaged and in TraceLift (1 + {RUNS}), {RUNS} in uplift-only, none in rm-only; "
        f"those with uplift take {BASELINE_RUNS} more for each problem, once. Nor is the time they take.",
        "The reward model was trained on labels that follow from the truth in this world, on other problems. Measured "
        "soundness is not its opinion: it comes from a parser.",
        "The world is made so that an outcome can be right for a bad trace: the executor takes a trace's last number, "
        "whatever the steps say, and every further result may draw it away, so that skipping steps can pay. What "
        "follows for other worlds is for other experiments to say.",
    ]


def _row(result: Result, reference: Result | None) -> _RowShown:
    cells = []
    for measure in MEASURES:
        against: tuple[str, ...] = ()
        if reference is not None and result.arm not in (REFERENCE, BASE):
            against = MEASURES[measure].figures(compare_arms(result, reference, measure))
        cells.append(_Cell(cell(result, measure), against))
    what = ARMS[result.arm].what if result.arm in ARMS else "before training"
    return _RowShown(result.arm, what, len(result.seeds), tuple(cells))


def _curves(out: Path, arms: Sequence[str]) -> list[_Curve]:
    runs = {arm: [read_rows(out / "runs" / arm / str(seed) / CURVE) for seed in done_seeds(out, arm)] for arm in arms}
    found = []
    for key, name in CURVES.items():
        series = {arm: line for arm in arms if (line := _mean_curve(runs[arm], key)) is not None}
        if series:
            steps = len(next(iter(series.values())))
            window = max(1, min(WINDOW, steps // 4))
            smooth = {arm: _smoothed(line, window).tolist() for arm, line in series.items()}
            styles = {arm: f"s{list(ARMS).index(arm) % len(COLOURS)}" for arm in series}
            drawing = svg.lines(smooth, styles, f"{name} over {steps} steps: {', '.join(series)}")
            found.append(_Curve(key, name, window, drawing))
    return found


def _mean_curve(runs: Sequence[Sequence[Mapping[str, Any]]], key: str) -> np.ndarray | None:
    """Mean over the runs, a step; None where it was not measured."""
    lines = [[row[key] for row in run] for run in runs]
    if not lines or any(value is None for line in lines for value in line):
        return None
    shortest = min(map(len, lines))
    return np.array([line[:shortest] for line in lines], dtype=float).mean(axis=0)


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Means of the last `window` values, of fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
