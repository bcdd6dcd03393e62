"""From runs of the executor to accuracy and pass@k of each system: with a planner's traces, and alone. Pure.

The problem is the unit: intervals of accuracy, pass@k and differences are bootstrap intervals over problems. Where all
problems have the same rate the bootstrap knows nothing; there the interval of the accuracy is Wilson's, of all runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rm.evaluate.format import percent, probability, table
from rm.evaluate.summary import json_safe
from rm.metrics import paired_difference, pass_at_k, summarize
from rm.planner.samples import ODD_FORMS
from rm.planner.traces import ALONE, Planner, Written
from rm.reward.reasoning import extract_reasoning
from rm.uplift.estimate import Counts, find_leak, wilson
from rm.uplift.problems import Problem
from rm.uplift.results import TraceResult, longest_baselines


@dataclass(frozen=True)
class Outcome:
    """Runs of one system on one problem.

    Args:
        successes, runs: of the executor; lost runs are in neither.
    """

    successes: int
    runs: int

    @property
    def rate(self) -> float:
        """NaN without runs."""
        return self.successes / self.runs if self.runs else float("nan")


Outcomes = Mapping[str, Sequence[Outcome]]
"""System -> one outcome a problem, in the same order for all."""


def outcomes_of(problems: Sequence[Problem], planners: Sequence[Planner], results: Sequence[TraceResult]) -> Outcomes:
    """Runs by system and problem; the executor alone comes first.

    Args:
        problems: in their order.
        planners: whose labels are the kinds of the traces.
        results: of all traces, or of baselines.
    """
    baselines = longest_baselines(results)
    counts: dict[tuple[str, str], list[int]] = {}
    for result in results:
        if result.trace is not None:
            total = counts.setdefault((result.kind, result.problem_id), [0, 0])
            total[0] += round(result.successes)
            total[1] += result.runs
    found = {
        ALONE: [
            Outcome(round(baselines[each.problem_id].baseline_successes), baselines[each.problem_id].baseline_runs)
            for each in problems
        ]
    }
    for planner in planners:
        found[planner.label] = [Outcome(*counts.get((planner.label, each.problem_id), (0, 0))) for each in problems]
    return found


def summarize_systems(outcomes: Outcomes, ks: Sequence[int], seed: int) -> dict[str, Any]:
    """Figures of each system; safe for JSON, None where one is undefined.

    Args:
        outcomes: of all systems.
        ks: of pass@k.
        seed: of the bootstrap.
    """
    alone = [each.rate for each in outcomes[ALONE]]
    figures = {}
    for system, found in outcomes.items():
        rates = [each.rate for each in found]
        pooled = Counts(float(sum(each.successes for each in found)), sum(each.runs for each in found))
        figures[system] = {
            "accuracy": _accuracy(rates, pooled, seed),
            "successes": int(pooled.successes),
            "runs": pooled.runs,
            "pass_at_k": {
                str(k): _figure([pass_at_k(each.runs, each.successes, k) for each in found], seed) for k in ks
            },
            "gain": None if system == ALONE else asdict(paired_difference(rates, alone, seed=seed)),
        }
    return json_safe(figures)


def compare_planners(outcomes: Outcomes, seed: int) -> list[dict[str, Any]]:
    """Every planner after the first against the first, on the same problems; safe for JSON.

    Args:
        outcomes: of all systems.
        seed: of the bootstrap and of the randomisation test.

    Returns:
        `planner`, `reference` and the paired difference of their accuracies, a planner each.
    """
    rates = {system: [each.rate for each in found] for system, found in outcomes.items() if system != ALONE}
    names = list(rates)
    return [
        json_safe(
            {
                "planner": other,
                "reference": names[0],
                **asdict(paired_difference(rates[other], rates[names[0]], seed=seed)),
            }
        )
        for other in names[1:]
    ]


def _accuracy(rates: Sequence[float], pooled: Counts, seed: int) -> dict[str, Any]:
    figure: dict[str, Any] = {**_figure(rates, seed), "interval": "bootstrap"}
    if not figure["low"] < figure["high"]:  # fewer than two problems, or all of them alike
        figure["low"], figure["high"] = wilson(pooled)
        figure["interval"] = "wilson"
    return figure


def _figure(values: Sequence[float], seed: int) -> dict[str, float]:
    found = summarize(values, seed=seed)
    return {"value": found.mean, "low": found.low, "high": found.high, "problems": found.n}


def summarize_traces(planner: Planner, problems: Sequence[Problem], written: Written) -> dict[str, Any]:
    """What a planner's traces look like: length, form, and how many state the answer."""
    forms: Counter[str] = Counter()
    lengths: list[int] = []
    characters: list[int] = []
    cut = leaks = checkable = 0
    for problem in problems:
        for completion in written[planner.label, problem.problem_id]:
            reasoning = extract_reasoning(completion.text)
            forms[reasoning.form] += 1
            cut += not completion.finished
            characters.append(len(reasoning.text))
            lengths += [] if completion.tokens is None else [completion.tokens]
            if problem.task == "math":
                checkable += 1
                leaks += bool(find_leak(reasoning.text, problem.answer))
    count = len(characters)
    return json_safe(
        {
            "traces": count,
            "mean_tokens": float(np.mean(lengths)) if lengths else None,
            "mean_characters": float(np.mean(characters)) if count else None,
            "cut_off": cut / count if count else None,
            **{form: forms[form] / count if count else None for form in ODD_FORMS},
            "state_the_answer": leaks / checkable if checkable else None,
        }
    )


def format_systems(metrics: Mapping[str, Any]) -> str:
    """The tables that `planner evaluate` prints."""
    systems = metrics["systems"]
    ks = list(next(iter(systems.values()))["pass_at_k"])
    header = ["traces by", "accuracy", "95% interval", *(f"pass@{k}" for k in ks), "gain", "95% interval", "p"]
    rows = []
    for name, found in systems.items():
        gain = found["gain"]
        told = ["", "", ""]
        if gain is not None and gain["difference"] is not None:
            told = [f"{100 * gain['difference']:+.1f}", ends(gain, signed=True), probability(gain["p"])]
        rates = [percent(found["pass_at_k"][k]["value"]) for k in ks]
        rows.append([name, percent(found["accuracy"]["value"]), ends(found["accuracy"]), *rates, *told])
    blocks = [table(header, rows)]
    if told := [line for each in metrics["comparisons"] if (line := compared(each))]:
        blocks.append("\n".join(told))
    if metrics["traces"]:
        blocks.append(_trace_table(metrics["traces"]))
    lost = metrics["lost_runs"]
    blocks += [f"{lost:,} runs of the executor were lost and are in no figure."] if lost else []
    return "\n\n".join(blocks)


def compared(found: Mapping[str, Any]) -> str:
    """A comparison as a sentence; empty where no problem has runs of both."""
    if found["difference"] is None:
        return ""
    points = f"{100 * found['difference']:+.1f} points ({ends(found, signed=True)}), p {probability(found['p'])}"
    return f"{found['planner']} against {found['reference']}, on the same problems: {points}"


def _trace_table(traces: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["traces of", "number", "tokens", "cut off", "no tags", "empty", "state the answer"]
    rows = [
        [
            name,
            f"{row['traces']:,}",
            "-" if row["mean_tokens"] is None else f"{row['mean_tokens']:.0f}",
            *(percent(row[key]) for key in ("cut_off", "untagged", "empty", "state_the_answer")),
        ]
        for name, row in traces.items()
    ]
    return table(header, rows)


def ends(figure: Mapping[str, Any], signed: bool = False) -> str:
    """An interval in per cent; empty where there is none."""
    if figure["low"] is None:
        return ""
    return " to ".join(f"{100 * figure[end]:{'+' if signed else ''}.1f}" for end in ("low", "high"))
