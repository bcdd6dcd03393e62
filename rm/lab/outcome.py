"""From the rows of an experiment to its table and to sentences: pure, whichever way the figures fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rm.evaluate.format import Finding, table
from rm.lab.arms import ARMS, BASE
from rm.metrics.seeds import Difference, crossed_difference, t_interval

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Measure:
    """A quantity of every trace.

    Args:
        name: as a reader sees it.
        share: shown in per cent, differences in points.
        better: 1 where more is better, -1 where less is, 0 where neither is.
    """

    name: str
    share: bool = True
    better: int = 1

    def shown(self, value: float) -> str:
        return f"{100 * value:.1f}%" if self.share else f"{value:.1f}"

    def difference(self, found: Difference) -> str:
        """As `+3.1 points (+0.2 to +6.0)`."""
        change, interval = self.figures(found)
        return f"{change} points {interval}" if self.share else f"{change} {interval}"

    def figures(self, found: Difference) -> tuple[str, str]:
        """As `+3.1` and `(+0.2 to +6.0)`."""
        scale = 100 if self.share else 1
        return f"{scale * found.difference:+.1f}", f"({scale * found.low:+.1f} to {scale * found.high:+.1f})"


MEASURES: Mapping[str, Measure] = {
    "reader": Measure("planner-executor accuracy"),
    "strict": Measure("other executor's accuracy"),
    "soundness": Measure("sound steps"),
    "sound": Measure("sound traces"),
    "skips": Measure("skipped steps", better=-1),
    "leaks": Measure("leaked answers", better=-1),
    "rm": Measure("RM score", better=0),
    "tokens": Measure("tokens", share=False, better=0),
}
MUCH_LONGER = 0.5
"""Growth of completions that counts as a sign of a hacked reward; complete traces are somewhat longer than most."""
REFERENCE = "exec-only"
COMPARED = ("reader", "strict", "soundness", "skips")
PAIRS = (
    ("tracelift", "exec-only"),
    ("tracelift", "exec-only-averaged"),
    ("tracelift", "rm-only"),
    ("tracelift", "uplift-only"),
    ("sum", "tracelift"),
    ("shrunken", "tracelift"),
    ("likelihood", "tracelift"),
    ("official-loss", "tracelift"),
    ("easy-kinds", "tracelift"),
)
"""Which arms are compared in words, where both were run."""


@dataclass(frozen=True)
class Result:
    """An arm.

    Args:
        arm: its name; BASE for the planner before training.
        seeds: of its runs.
        values: measure -> (S, P) means a run and problem.
    """

    arm: str
    seeds: tuple[int, ...]
    values: Mapping[str, np.ndarray]

    def mean(self, measure: str) -> float:
        return float(self.values[measure].mean())

    def interval(self, measure: str) -> tuple[float, float]:
        """Student's, over runs; NaN with one."""
        return t_interval(self.values[measure].mean(axis=1))


def result_of(arm: str, runs: Mapping[int, Rows]) -> Result:
    """The rows of an arm's runs, by seed, as matrices. What was not measured is left out of its problem's mean.

    Raises:
        ValueError: a problem of which nothing was measured.
    """
    values = {}
    for measure in MEASURES:
        values[measure] = np.array([_by_problem(rows, measure) for _, rows in sorted(runs.items())])
    return Result(arm, tuple(sorted(runs)), values)


def _by_problem(rows: Rows, measure: str) -> list[float]:
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(row["problem"], [])
        if row[measure] is not None:
            found[row["problem"]].append(float(row[measure]))
    empty = [problem for problem, known in found.items() if not known]
    if empty:
        raise ValueError(f"{measure} was not measured for the problems {empty[:5]}")
    return [float(np.mean(found[problem])) for problem in sorted(found)]


def compare_arms(a: Result, b: Result, measure: str, seed: int = 0) -> Difference:
    """a - b, with an interval over problems and seeds."""
    return crossed_difference(a.values[measure], b.values[measure], seed=seed)


def findings(results: Mapping[str, Result], enough: bool = True) -> list[Finding]:
    """What a reader in a hurry should see, from the figures alone.

    Args:
        results: by arm.
        enough: whether planners were trained for long enough that figures say something.
    """
    if not enough:
        return [Finding("ill", "So few steps show that everything works. The figures say nothing about the rewards.")]
    told = [_pair(results[a], results[b]) for a, b in PAIRS if a in results and b in results]
    told += [_hacking(result, results[BASE]) for name, result in results.items() if name != BASE]
    few = [name for name, result in results.items() if name != BASE and len(result.seeds) < 2]
    if few:
        why = "their intervals cover other problems but no other seeds, and are too narrow"
        told.append(Finding("ill", f"One seed each of {', '.join(few)}: {why}."))
    return told


def _pair(a: Result, b: Result) -> Finding:
    """One sentence on the main measures of two arms."""
    parts, score = [], 0
    for name in COMPARED:
        found = compare_arms(a, b, name)
        if found.shown:
            score += MEASURES[name].better * (1 if found.difference > 0 else -1)
        verdict = "" if found.shown else ", which shows no difference"
        parts.append(f"{MEASURES[name].name} {MEASURES[name].difference(found)}{verdict}")
    bodes = "well" if score > 0 else "ill" if score < 0 else "neutral"
    return Finding(bodes, f"{a.arm} against {b.arm}: {'; '.join(parts)}.")  # type: ignore[arg-type]


def _hacking(result: Result, base: Result) -> Finding:
    """Did success or the judge's opinion rise without sounder steps, did answers leak, did traces grow?"""
    names = ("reader", "rm", "soundness", "skips", "leaks", "tokens")
    change = {name: compare_arms(result, base, name) for name in names}
    longer = change["tokens"].difference / base.mean("tokens")
    signs = []
    if change["rm"].low > 0 and change["soundness"].high < 0:
        signs.append("the reward model's score rose while the soundness of steps fell")
    if change["reader"].low > 0 and change["soundness"].low <= 0:
        signs.append("the executor succeeds more often, and the steps are not shown to be sounder")
    if change["skips"].low > 0:
        signs.append("more traces skip steps")
    if change["leaks"].low > 0:
        signs.append("more traces state an answer that they have not derived")
    if change["tokens"].low > 0 and longer > MUCH_LONGER:
        signs.append(f"completions are {100 * longer:.0f}% longer")
    if change["soundness"].high < 0 and not signs:
        signs.append("steps are less sound than before training")
    shown = ", ".join(f"{MEASURES[name].name} {MEASURES[name].difference(found)}" for name, found in change.items())
    verdict = f"signs of a hacked reward: {'; '.join(signs)}" if signs else "no sign of a hacked reward"
    return Finding("ill" if signs else "neutral", f"{result.arm} since the start: {verdict} ({shown}).")


def format_results(results: Mapping[str, Result]) -> str:
    """The table for the terminal: means, with Student's intervals over seeds."""
    header = ["arm", "seeds", *(MEASURES[name].name for name in MEASURES)]
    rows = [
        [name, str(len(each.seeds)), *(cell(each, measure) for measure in MEASURES)] for name, each in results.items()
    ]
    return table(header, rows)


def cell(result: Result, measure: str) -> str:
    """A mean with half the width of its interval."""
    low, high = result.interval(measure)
    shown = MEASURES[measure].shown(result.mean(measure))
    if np.isnan(low):
        return shown
    return f"{shown} ±{100 * (high - low) / 2:.1f}" if MEASURES[measure].share else f"{shown} ±{(high - low) / 2:.1f}"


def table_json(results: Mapping[str, Result]) -> dict[str, Any]:
    """All figures as JSON values."""
    found: dict[str, Any] = {}
    for name, result in results.items():
        found[name] = {"what": ARMS[name].what if name in ARMS else "before training", "seeds": list(result.seeds)}
        for measure in MEASURES:
            low, high = result.interval(measure)
            against = compare_arms(result, results[REFERENCE], measure) if REFERENCE in results else None
            found[name][measure] = {
                "mean": result.mean(measure),
                "interval": None if np.isnan(low) else [low, high],
                "by_seed": result.values[measure].mean(axis=1).tolist(),
                f"minus_{REFERENCE}": None
                if against is None or name == REFERENCE
                else [against.difference, against.low, against.high],
            }
    return found
