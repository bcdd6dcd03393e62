"""One reward, part by part, as plain text: why a trace earned what it earned."""

from __future__ import annotations

from rm.reward.combine import Recipe
from rm.reward.parts import RewardResult, UpliftPart


def explain(result: RewardResult, recipe: Recipe) -> str:
    """Lines for a terminal: the sum, each part of it, and what could not be measured.

    Args:
        result: of this recipe.
        recipe: formula, weights, options.
    """
    parts = result.parts
    lines = [f"reward {_number(result.reward)} = {_sum(result)}   ({result.formula})"]
    for name, value in result.terms.items():
        factors = [f"{recipe.weights[name]:g}", *(_factor(result, factor) for factor in recipe.formula.terms[name])]
        lines.append(f"  {name} = {' * '.join(factors)} = {_number(value)}")
    if parts.end_to_end is not None:
        how = "a run with the trace" if recipe.formula.separate_run else "success rate with the trace"
        lines.append(f"  end_to_end  {_number(parts.end_to_end)}   {how}")
    if parts.rm is not None:
        levels = ", ".join(f"{name} {level:.2f}" for name, level in (parts.dimensions or {}).items())
        lines.append(f"  rm          {_number(parts.rm)}   {levels}")
    if parts.uplift is not None:
        lines.append(f"  uplift      {_number(parts.uplift.value)}   {_runs(parts.uplift)}")
    if parts.coefficient is not None and parts.uplift is not None and parts.coefficient != parts.uplift.value:
        lines.append(f"  coefficient {_number(parts.coefficient)}   what the formula makes of these runs")
    lines += [f"  not measured: {failure}" for failure in result.failures]
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join(lines)


def _sum(result: RewardResult) -> str:
    return " + ".join(f"{name} {_number(value)}" for name, value in result.terms.items()) or "nothing"


def _factor(result: RewardResult, factor: str) -> str:
    return f"{factor} {_number(getattr(result.parts, factor))}"


def _runs(part: UpliftPart) -> str:
    with_trace = f"{part.successes:g} of {part.runs} runs with the trace"
    without = f"{part.baseline_successes:g} of {part.baseline_runs} without"
    ends = "" if part.low is None or part.high is None else f" (95% interval {part.low:+.3f} to {part.high:+.3f})"
    return f"{with_trace}, {without}{ends}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
