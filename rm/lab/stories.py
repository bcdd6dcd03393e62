"""Arithmetic word problems of 2-6 steps with their solutions, drawn from `rm.lab.plots`, the same for a seed anywhere.

All quantities of a story differ: no result equals a given number or another result, so that which step needs
which is never in doubt. Results are positive, and whole except in stories about coins.

Not covered: irrelevant quantities, equations, and more language than a few templates a plot.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from rm.build.math.traces import Line, dependencies, evaluate, format_number, numbers_in, parse_trace, trace_text
from rm.lab import plots
from rm.lab.plots import Plot, StepPlan, Tail

_NAME = re.compile(r"[a-z]+")
_TRIES = 400
# Results that would be hard to tell from a factor or a unit.
_PLAIN = frozenset(Fraction(n) for n in (0, 1, 2, 100))


@dataclass(frozen=True)
class Step:
    """One step of a solution as text shows it.

    Attributes:
        text: the whole line.
        expression: what is computed, e.g. `6*28`.
        operands: the numbers in it.
        result: its value.
        depends_on: 0-based indices of the earlier steps whose results it uses.
    """

    text: str
    expression: str
    operands: tuple[Fraction, ...]
    result: Fraction
    depends_on: frozenset[int]


@dataclass(frozen=True)
class Story:
    """A problem and its solution."""

    kind: str
    problem: str
    lines: tuple[Line, ...]

    @property
    def given(self) -> frozenset[Fraction]:
        """Quantities that the problem names."""
        return numbers_in(self.problem)

    @property
    def answer(self) -> str:
        last = self.lines[-1]
        return last.numbers[last.calculations[-1].result]

    @property
    def solution(self) -> str:
        return trace_text(self.lines)

    @property
    def steps(self) -> tuple[Step, ...]:
        needs = dependencies(self.lines, self.given)
        return tuple(
            Step(str(line), line.calculations[0].expression, line.calculations[0].operands, line.results[0], needs[i])
            for i, line in enumerate(self.lines)
        )


@dataclass(frozen=True)
class _Scene:
    """A plot with everything drawn that problem and solution must agree on."""

    plot: Plot
    plans: tuple[StepPlan, ...]
    sentences: tuple[str, ...]
    questions: tuple[str, ...]
    values: Mapping[str, Fraction]
    words: Mapping[str, str]


def story(rng: random.Random) -> Story:
    """One story."""
    return stories(rng, 1)[0]


def stories(rng: random.Random, tellings: int) -> tuple[Story, ...]:
    """The same problem with `tellings` independently worded solutions (two of them may agree by chance)."""
    scene = _draw_scene(rng)
    text = " ".join((rng.choice(scene.plot.openings), *scene.sentences, rng.choice(scene.questions)))
    problem = _fill(text, scene)
    return tuple(Story(scene.plot.kind, problem, parse_trace(_tell(scene, rng))) for _ in range(tellings))


def _draw_scene(rng: random.Random) -> _Scene:
    while True:
        plot = rng.choice(plots.PLOTS)
        tails = _draw_tails(plot, rng)
        words = _draw_words(rng)
        for _ in range(_TRIES):
            scene = _try_scene(plot, tails, words, rng)
            if scene is not None:
                return scene


def _draw_tails(plot: Plot, rng: random.Random) -> tuple[Tail, ...]:
    fitting = [tail for tail in plots.TAILS if tail.ends_in == plot.ends_in]
    count = rng.choice((0, 0, 1, 1, 2)) if len(fitting) > 2 else rng.choice((0, 1))
    chosen = rng.sample(fitting, min(count, len(fitting)))
    # Only the last may turn the quantity into another one (a share, a price, a rate).
    keeps = [tail for tail in chosen if tail.step.expression in ("last-t", "last+t")]
    return tuple(tail for i, tail in enumerate(chosen) if tail in keeps or i == len(chosen) - 1)


def _draw_words(rng: random.Random) -> dict[str, str]:
    name, other, third = rng.sample(plots.NAMES, 3)
    thing, another = rng.sample(plots.THINGS, 2)
    box, boxes = rng.choice(plots.BOXES).split("/")
    return {
        "Name": name,
        "Other": other,
        "Third": third,
        "thing": thing,
        "things": _plural(thing),
        "other": another,
        "others": _plural(another),
        "box": box,
        "boxes": boxes,
        "place": rng.choice(plots.PLACES),
        "vehicle": rng.choice(plots.VEHICLES),
        "day": rng.choice(plots.DAYS),
    }


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(("s", "sh", "ch", "x")) else "s")


def _try_scene(plot: Plot, tails: tuple[Tail, ...], words: Mapping[str, str], rng: random.Random) -> _Scene | None:
    """Draws quantities and computes the steps; None where some result is unfit or equals another number."""
    values = _draw_quantities(plot.quantities, {}, rng)
    plans, sentences, questions = list(plot.steps), [], plot.questions
    for number, tail in enumerate(tails, start=1):
        fresh = {name: f"{name}{'i' * number}" for name in (*tail.quantities, "z")}
        values |= _draw_quantities({fresh[name]: rule for name, rule in tail.quantities.items()}, values, rng)
        fresh["last"] = plans[-1].name
        plans.append(_renamed(tail.step, fresh))
        sentences.append(_rename_fields(rng.choice(tail.sentences), fresh))
        questions = tuple(_rename_fields(question, fresh) for question in tail.questions)
    if any(value.denominator != 1 for value in values.values()):
        return None
    told = " ".join((*plot.openings, *sentences, *questions, *(text for plan in plans for text in plan.tellings)))
    seen = {value for name, value in values.items() if f"{{{name}}}" in told} | numbers_in(told) | _PLAIN
    if len({values[name] for name in values if f"{{{name}}}" in told}) < sum(f"{{{name}}}" in told for name in values):
        return None
    for plan in plans:
        value = evaluate(_numeric(plan.expression, values))
        whole = value.denominator == 1 or (plot.ends_in == "change" and round(value, 2) == value)
        if value <= 0 or not whole or value in seen or value > 99999:
            return None
        values[plan.name] = value
        seen.add(value)
    return _Scene(plot, tuple(plans), tuple(sentences), questions, values, words)


def _draw_quantities(
    rules: Mapping[str, plots.Range | str], known: Mapping[str, Fraction], rng: random.Random
) -> dict[str, Fraction]:
    values = dict(known)
    for name, rule in rules.items():
        values[name] = evaluate(_numeric(rule, values)) if isinstance(rule, str) else Fraction(_draw_number(*rule, rng))
    return values


def _draw_number(low: int, high: int, rng: random.Random) -> int:
    """Uniform in [low, high]; in wide ranges every second one is round, as in schoolbooks."""
    value = rng.randint(low, high)
    return max(low, value - value % 5) if high > 50 and rng.random() < 0.4 else value


def _renamed(plan: StepPlan, names: Mapping[str, str]) -> StepPlan:
    expression = _NAME.sub(lambda match: names.get(match[0], match[0]), plan.expression)
    return StepPlan(names["z"], expression, tuple(_rename_fields(text, names) for text in plan.tellings))


def _rename_fields(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\{([a-z]+)\}", lambda match: f"{{{names.get(match[1], match[1])}}}", text)


def _numeric(expression: str, values: Mapping[str, Fraction]) -> str:
    return _NAME.sub(lambda match: f"({values[match[0]]})", expression)


def _fill(text: str, scene: _Scene) -> str:
    shown = {name: format_number(value) for name, value in scene.values.items()}
    return text.format_map(shown | dict(scene.words))


def _tell(scene: _Scene, rng: random.Random) -> str:
    """The marked solution, in one style of writing expressions throughout."""
    gap = rng.choice(("", " "))
    before_result = rng.choice(("", " ")) if gap == "" else " "
    times = "x" if gap and rng.random() < 0.4 else "*"
    dollars = rng.random() < 0.3
    stop = rng.choice(("", "."))
    lines = []
    for plan in scene.plans:
        plain = _NAME.sub(lambda match: format_number(scene.values[match[0]]), plan.expression)
        shown = _NAME.sub(lambda match: _operand(match[0], scene, dollars), plan.expression)
        shown = re.sub(r"[-+*/]", lambda match: f"{gap}{times if match[0] == '*' else match[0]}{gap}", shown)
        mark = f"<<{plain}=>>{format_number(scene.values[plan.name])}"
        telling = rng.choice(plan.tellings).replace("{=}", "\0").replace("{$}", "\1")
        sentence = _fill(telling, scene)
        sentence = sentence.replace("\0", f"{shown}{gap}={before_result}{mark}")
        lines.append(sentence.replace("\1", f"{shown}{gap}={before_result}${mark}") + stop)
    return "\n".join(lines)


def _operand(name: str, scene: _Scene, dollars: bool) -> str:
    sign = "$" if dollars and name in scene.plot.prices else ""
    return sign + format_number(scene.values[name])
