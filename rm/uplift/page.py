"""`uplift.html`: one page that stands alone, with what a judge says of each trace against what the trace did.

Style and drawing are inline, nothing is fetched, and text from the data is escaped. What is drawn also stands there as
numbers: in the table, and in the tooltip of each dot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from typing import Any

from rm.uplift.results import POSITIVE, REFERENCE, TraceResult
from rm.uplift.summary import JUDGE_NAMES, JUDGES, NATS, Quantity, format_summary, kinds, likelihoods_only, signed


@dataclass(frozen=True)
class Scale:
    """What is drawn of each trace, and on which line.

    Args:
        name: of the quantity.
        low, high: ends of the line.
        value: of a trace; None leaves it out.
        ends: of its interval, where it has one.
    """

    name: str
    low: float
    high: float
    value: Quantity
    ends: Callable[[TraceResult], tuple[float, float] | None] = lambda result: None

    def share(self, value: float) -> float:
        """Where a value stands between the ends, in [0, 1]."""
        return (min(self.high, max(self.low, value)) - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Five, from end to end; the middle one is 0."""
        return tuple(self.low + step / 4 * (self.high - self.low) for step in range(5))


UPLIFT = Scale(
    "uplift",
    -1.0,
    1.0,
    lambda result: result.value,
    lambda result: None if result.low is None or result.high is None else (result.low, result.high),
)
MOST_DOTS = 3000
"""Of more traces than this, every second, third, .. is drawn, and the caption says so."""

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 760, 460, 64, 16, 56, 16
_STRIP_WIDTH, _STRIP_HEIGHT = 260, 20
_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b2430; --soft: #56616f; --rule: #d8dee6; --panel: #f4f6f9;
  --positive: #1a66a8; --reference: #17713f; --negative: #b9500f; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e5eaf0; --soft: #a0acba; --rule: #313a46;
  --panel: #1a2029; --positive: #62b0ee; --reference: #5ec98b; --negative: #f0945a; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 2rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
.soft, figcaption { color: var(--soft); } figure { margin: 0; } figcaption { font-size: .875rem; max-width: 75ch; }
svg { display: block; max-width: 100%; height: auto; } figure svg { width: 100%; }
.axis { stroke: var(--rule); } .zero { stroke: var(--soft); stroke-dasharray: 4 3; }
text { fill: var(--soft); font-size: 13px; }
.positive { --hue: var(--positive); } .reference { --hue: var(--reference); } .negative { --hue: var(--negative); }
circle { fill: var(--hue); } .bar { stroke: var(--hue); stroke-width: 1.5; opacity: .3; }
.strip .bar { stroke-width: 3; opacity: .55; stroke-linecap: round; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--rule); font-weight: 400; }
thead th { color: var(--soft); font-size: .8125rem; } .n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: var(--panel); border-radius: 8px; padding: 1rem; white-space: pre-wrap; font-size: .8125rem; }
"""


def render_page(results: Sequence[TraceResult], summary: Mapping[str, Any]) -> str:
    """The page.

    Args:
        results: of one measurement; those without a value are left out of the picture.
        summary: what `summarize_uplift` gave for them.
    """
    nats = likelihoods_only(summary)
    scale = _nats(results) if nats else UPLIFT
    by_kind = summary["likelihood"]["masked_nats"]["by_kind"] if nats else summary["by_kind"]
    drawn = [each for each in results if scale.value(each) is not None]
    judge = next((name for name in JUDGES if any(JUDGES[name](each) is not None for each in drawn)), None)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Uplift</title><style>{_CSS}</style></head>
<body><main>
<h1>{"Likelihood" if nats else "Uplift"}</h1>
<p class="soft">{_lead(summary)}</p>
<h2>By kind of trace</h2>
{_table(by_kind, scale)}
<h2>{"Every trace" if judge is None else f"{escape(JUDGE_NAMES[judge])} against {escape(scale.name)}"}</h2>
{_figure(drawn, judge, scale)}
<h2>All figures</h2>
<pre>{escape(format_summary(summary))}</pre>
</main></body></html>
"""


def _lead(summary: Mapping[str, Any]) -> str:
    """What the page shows, in a sentence or two."""
    count = f"{summary['traces']:,} traces of {summary['problems']:,} problems"
    if likelihoods_only(summary):
        return (
            "How much more probable a frozen executor finds the known answer with a trace than without, in nats: "
            f"{count}. Where a trace states the answer, it is masked: what is left is what the trace does beyond "
            "stating it, 0 for nothing. An executor that does little but copy the last result of a trace, as a tiny "
            "one does, is below 0 then with good traces, too; the figures with the answer as stated stand at the end. "
            "These are no success rates."
        )
    return (
        f"How much more often a frozen executor succeeds with a trace than without: {count}; the interval leaves out 0 "
        f"for {summary['settled']:,}."
    )


def _nats(results: Sequence[TraceResult]) -> Scale:
    """As wide as the values need, 0 in the middle."""
    quantity = NATS["masked_nats"]
    widest = max((abs(value) for each in results if (value := quantity(each)) is not None), default=1.0)
    end = float(max(1, ceil(widest)))
    return Scale("nats, answer masked", -end, end, quantity)


def _table(by_kind: Mapping[str, Mapping[str, Any]], scale: Scale) -> str:
    rows = "".join(
        f'<tr><td>{escape(kind) or "unknown"}</td><td class="n">{row["traces"]:,}</td>'
        f'<td class="n">{signed(row["mean"])}</td><td>{_strip(kind, row, scale)}</td></tr>'
        for kind, row in by_kind.items()
    )
    return (
        f'<table><thead><tr><th>kind</th><th class="n">traces</th><th class="n">mean {escape(scale.name)}</th>'
        f"<th>95% interval over problems, from {scale.low:+g} to {scale.high:+g}</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _strip(kind: str, row: Mapping[str, Any], scale: Scale) -> str:
    """Mean and interval on the scale's line, with a tick at 0."""
    if row["mean"] is None:
        return ""

    def x(value: float) -> float:
        return 8 + scale.share(value) * (_STRIP_WIDTH - 16)

    middle = _STRIP_HEIGHT / 2
    parts = [
        _line(x(scale.low), middle, x(scale.high), middle, "axis"),
        _line(x(0), 2, x(0), _STRIP_HEIGHT - 2, "zero"),
    ]
    if row["low"] is not None:
        parts.append(_line(x(row["low"]), middle, x(row["high"]), middle, "bar"))
    parts.append(f'<circle cx="{x(row["mean"]):.1f}" cy="{middle:g}" r="5"/>')
    return _svg(_STRIP_WIDTH, _STRIP_HEIGHT, f"{signed(row['mean'])}", parts, f"strip {_hue(kind)}")


def _figure(drawn: Sequence[TraceResult], judge: str | None, scale: Scale) -> str:
    """A dot a trace over the judge's score, or over the kinds where no trace has one."""
    if judge is not None:
        value = JUDGES[judge]
        placed = [(score, each) for each in drawn if (score := value(each)) is not None]
        ticks = [(tick / 4, f"{tick / 4:g}") for tick in range(5)]
    else:
        names = kinds(drawn)
        placed = [((names.index(each.kind) + _spread(i)) / len(names), each) for i, each in enumerate(drawn)]
        ticks = [((i + 0.5) / len(names), name or "unknown") for i, name in enumerate(names)]
    step = max(1, ceil(len(placed) / MOST_DOTS))
    parts = _axes(ticks, "" if judge is None else JUDGE_NAMES[judge], scale)
    parts += [_dot(at, each, scale) for at, each in placed[::step]]
    left_out = "" if step == 1 else f" Only every {step}th of {len(placed):,} traces is drawn."
    caption = (
        f"A dot a trace{', with its 95% interval' if scale is UPLIFT else ''}. Traces of one problem share a baseline, "
        f"and its error. Blue: positives; green: reference traces; orange: the others.{left_out}"
    )
    picture = _svg(_WIDTH, _HEIGHT, f"{scale.name} of every trace", parts, "")
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _axes(ticks: Sequence[tuple[float, str]], name: str, scale: Scale) -> list[str]:
    parts = []
    for value in scale.ticks:
        y = _y(scale.share(value))
        parts.append(_line(_x(0), y, _x(1), y, "axis" if value else "zero"))
        parts.append(_text(_x(0) - 10, y + 4, f"{value:+g}" if value else "0", "end"))
    parts += [_text(_x(at), _HEIGHT - _BOTTOM + 22, label, "middle") for at, label in ticks]
    parts.append(_text(_x(0.5), _HEIGHT - 10, name, "middle"))
    parts.append(_text(16, _y(0.5), scale.name, "middle", f' transform="rotate(-90 16 {_y(0.5):g})"'))
    return parts


def _dot(at: float, result: TraceResult, scale: Scale) -> str:
    value, ends = scale.value(result) or 0.0, scale.ends(result)
    y = _y(scale.share(value))
    bar = "" if ends is None else _line(_x(at), _y(scale.share(ends[0])), _x(at), _y(scale.share(ends[1])), "bar")
    return (
        f'<g class="{_hue(result.kind)}"><title>{escape(_told(result, scale))}</title>{bar}'
        f'<circle cx="{_x(at):.1f}" cy="{y:.1f}" r="4"/></g>'
    )


def _told(result: TraceResult, scale: Scale) -> str:
    """A trace in words."""
    name = f"{result.problem_id}, trace {result.trace}, {result.kind or 'unknown'}: "
    found = result.likelihood
    nats = (
        "" if found is None else f"{signed(found.value_nats)} nats, {signed(found.masked_nats)} with the answer masked"
    )
    if scale is not UPLIFT:
        return name + nats
    ends = scale.ends(result)
    between = "" if ends is None else f" ({signed(ends[0])} to {signed(ends[1])})"
    told = "predicted without runs"
    if result.runs:
        without = f"{result.baseline_successes:g} of {result.baseline_runs} without"
        told = f"{result.successes:g} of {result.runs} with it, {without}"
    return "; ".join(filter(None, [f"{name}{signed(result.value)}{between}", told, nats]))


def _hue(kind: str) -> str:
    return kind if kind in (POSITIVE, REFERENCE) else "negative"


def _spread(number: int) -> float:
    """Places dots of one kind side by side: fractions of the golden ratio fill (0.15, 0.85) evenly."""
    return 0.15 + 0.7 * (number * 0.6180339887 % 1)


def _x(value: float) -> float:
    return _LEFT + value * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _svg(width: int, height: int, title: str, parts: Sequence[str], css_class: str) -> str:
    head = f'<svg role="img" class="{css_class}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, css_class: str) -> str:
    return f'<line class="{css_class}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
