"""The report's small drawings as inline SVG: colours come from the page's style, numbers stand beside them.

Every function returns markup with a `<title>` that says in words what is drawn. CSS classes: `model`,
`rival`, `chance`, `bar`, `interval`, `path`, `axis`, `label`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

_STRIP_WIDTH, _STRIP_HEIGHT, _STRIP_MARGIN = 240, 22, 8
_HISTOGRAM_WIDTH, _HISTOGRAM_HEIGHT = 320, 40
_PLOT, _PLOT_LEFT, _PLOT_TOP, _PLOT_BOTTOM = 280, 46, 10, 44
_LINES_WIDTH, _LINES_HEIGHT = 400, 190
_CURVE_WIDTH, _CURVE_HEIGHT = 300, 110


def strip(model: float, interval: Sequence[float | None], rival: float | None, chance: float, title: str) -> Markup:
    """One row of a dot plot on [0, 1]: model (dot) with its interval (line), rival (ring), chance (tick)."""

    def x(value: float) -> float:
        return round(_STRIP_MARGIN + value * (_STRIP_WIDTH - 2 * _STRIP_MARGIN), 1)

    middle = _STRIP_HEIGHT / 2
    parts = [
        _line(x(0), middle, x(1), middle, "axis"),
        _line(x(chance), 3, x(chance), _STRIP_HEIGHT - 3, "chance"),
    ]
    low, high = interval
    if low is not None and high is not None:
        parts.append(_line(x(low), middle, x(high), middle, "model interval"))
    if rival is not None:
        parts.append(f'<circle class="rival" cx="{x(rival)}" cy="{middle}" r="4.5"/>')
    parts.append(f'<circle class="model" cx="{x(model)}" cy="{middle}" r="5"/>')
    return _svg(_STRIP_WIDTH, _STRIP_HEIGHT, title, parts)


def histogram(values: np.ndarray, title: str, positive: bool, bins: int = 40) -> Markup:
    """Shares of `values` in [0, 1] over equal bins; the highest bar fills the height."""
    counts, _ = np.histogram(np.clip(values, 0.0, 1.0), bins=bins, range=(0.0, 1.0))
    top = max(int(counts.max(initial=0)), 1)
    width = _HISTOGRAM_WIDTH / bins
    css_class = "bar positive" if positive else "bar"
    parts = [
        f'<rect class="{css_class}" x="{i * width + 0.5:.1f}" y="{_HISTOGRAM_HEIGHT - 1 - height:.1f}" '
        f'width="{width - 1:.1f}" height="{height:.1f}"/>'
        for i, count in enumerate(counts)
        if (height := (_HISTOGRAM_HEIGHT - 3) * int(count) / top) > 0
    ]
    base = _HISTOGRAM_HEIGHT - 0.5
    parts.append(_line(0, base, _HISTOGRAM_WIDTH, base, "axis"))
    return _svg(_HISTOGRAM_WIDTH, _HISTOGRAM_HEIGHT, title, parts)


def reliability(mean_scores: Sequence[float], mean_outcomes: Sequence[float], outcome: str, title: str) -> Markup:
    """The reliability diagram: mean outcome (named on its axis) over mean score, a dot a bin."""

    def x(value: float) -> float:
        return round(_PLOT_LEFT + value * _PLOT, 1)

    def y(value: float) -> float:
        return round(_PLOT_TOP + (1 - value) * _PLOT, 1)

    parts = [_line(x(0), y(0), x(1), y(1), "chance")]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(x(0), y(tick), x(1), y(tick), "axis faint"))
        parts.append(_text(x(0) - 8, y(tick) + 4, f"{tick:g}", "end"))
        parts.append(_text(x(tick), y(0) + 18, f"{tick:g}", "middle"))
    parts.append(_text(x(0.5), y(0) + 36, "mean score", "middle"))
    parts.append(_text(12, y(0.5), outcome, "middle", turned=True))
    dots = [(x(score), y(mean)) for score, mean in zip(mean_scores, mean_outcomes, strict=True)]
    points = " ".join(f"{cx},{cy}" for cx, cy in dots)
    parts.append(f'<polyline class="model path" points="{points}"/>')
    parts += [f'<circle class="model" cx="{cx}" cy="{cy}" r="5"/>' for cx, cy in dots]
    return _svg(_PLOT_LEFT + _PLOT + 16, _PLOT_TOP + _PLOT + _PLOT_BOTTOM, title, parts)


def curve(steps: Sequence[float], values: Sequence[float | None], title: str) -> Markup:
    """A quantity over the steps of a run, its least and largest value on the axis; a None leaves a gap.

    Args:
        steps: ascending, one a value.
        values: finite where they are there.
        title: in words.
    """
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    first, last = (steps[0], steps[-1]) if steps else (0.0, 0.0)

    def x(step: float) -> float:
        return round(_PLOT_LEFT + (step - first) / ((last - first) or 1.0) * _CURVE_WIDTH, 1)

    def y(value: float) -> float:
        return round(_PLOT_TOP + (1 - (value - low) / ((high - low) or 1.0)) * _CURVE_HEIGHT, 1)

    parts = [_line(x(first), y(value), x(last), y(value), "axis") for value in dict.fromkeys((low, high))]
    parts += [_text(_PLOT_LEFT - 8, y(value) + 4, label, "end") for value, label in _ends(low, high).items()]
    base = _PLOT_TOP + _CURVE_HEIGHT + 18
    parts += [_text(x(step), base, f"{step:g}", anchor) for step, anchor in ((first, "start"), (last, "end"))]
    for run in _runs(steps, values):
        points = [(x(step), y(value)) for step, value in run]
        if len(points) == 1:
            parts.append(f'<circle class="model" cx="{points[0][0]}" cy="{points[0][1]}" r="2"/>')
        path = " ".join(f"{cx},{cy}" for cx, cy in points)
        parts.append(f'<polyline class="model path" points="{path}"/>')
    return _svg(_PLOT_LEFT + _CURVE_WIDTH + 16, base + 8, title, parts)


def lines(series: Mapping[str, Sequence[float]], styles: Mapping[str, str], title: str) -> Markup:
    """Several runs of values, one a step, in one drawing, each with its name at its end.

    Args:
        series: name -> finite values, at least one.
        styles: name -> CSS class of its line and its name.
        title: in words.
    """
    everything = [value for values in series.values() for value in values]
    low, high = min(everything), max(everything)
    longest = max(len(values) for values in series.values())

    def x(step: int) -> float:
        return round(_PLOT_LEFT + step / max(1, longest - 1) * _LINES_WIDTH, 1)

    def y(value: float) -> float:
        return round(_PLOT_TOP + (1 - (value - low) / ((high - low) or 1.0)) * _LINES_HEIGHT, 1)

    parts = [_line(x(0), y(value), x(longest - 1), y(value), "axis") for value in (low, high)]
    parts += [_text(_PLOT_LEFT - 8, y(value) + 4, label, "end") for value, label in _ends(low, high).items()]
    base = _PLOT_TOP + _LINES_HEIGHT + 18
    parts += [_text(x(0), base, "1", "start"), _text(x(longest - 1), base, str(longest), "end")]
    # Names that would overlap move down.
    place = -math.inf
    for name, values in sorted(series.items(), key=lambda item: -item[1][-1]):
        place = max(y(values[-1]) + 4, place + 13)
        points = " ".join(f"{x(step)},{y(value)}" for step, value in enumerate(values))
        parts.append(f'<polyline class="{styles[name]}" points="{points}"/>')
        parts.append(f'<text class="{styles[name]}" x="{x(longest - 1) + 6:g}" y="{place:g}">{escape(name)}</text>')
    height = max(base + 8, place + 6)
    return _svg(_PLOT_LEFT + _LINES_WIDTH + 130, height, title, parts)


def _ends(low: float, high: float) -> dict[float, str]:
    """Both ends of an axis, or the only one, with as many digits as tell them apart: two at least."""
    labels: dict[float, str] = {}
    for digits in range(2, 8):
        labels = {value: f"{value:.{digits}g}" for value in (low, high)}
        if len(set(labels.values())) == len(labels):
            break
    return labels


def _runs(steps: Sequence[float], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if value is not None:
            runs[-1].append((step, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> Markup:
    head = f'<svg role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">'
    return Markup(f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>")


def _line(x1: float, y1: float, x2: float, y2: float, css_class: str) -> str:
    return f'<line class="{css_class}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _text(x: float, y: float, text: str, anchor: str, turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    return f'<text class="label" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'
