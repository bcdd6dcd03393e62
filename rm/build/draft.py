"""One seed to its traces: all that the rules can make of it, and what is left of that behind the gates.

`draft` makes variants by rule; a language model is another maker of the same `Draft`. `sift` is what both share: it
asks the gates, drops repetitions, and grades by the rubric, giving an `Outcome`.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from rm.build.choose import drawn_by_weight
from rm.build.config import BuildConfig
from rm.build.gates import Case, fits_rubric, refused, seed_refused
from rm.build.kinds import Kind, Unusable, Variant
from rm.build.llm.kinds import llm_kinds
from rm.build.seed import Seed
from rm.errors import ConfigError
from rm.groups.schema import POSITIVE_KIND
from rm.rubric import Rubric

_MARK = re.compile(r"<<[^<>\n]*>>")
_FINAL = re.compile(r"^[ \t]*####.*$", re.MULTILINE)


@dataclass(frozen=True)
class Rules:
    """The rules of a task.

    Args:
        prepare: parses a seed, or raises `Unusable`.
        kinds: make traces from the result.
        trace: the sound trace in a parsed seed.
    """

    prepare: Callable[[Seed], Any]
    kinds: Mapping[str, Kind]
    trace: Callable[[Any], str]

    @classmethod
    def of(cls, task: str) -> Rules:
        """Those of "math" or "code"."""
        if task == "code":
            from rm.build import code

            return cls(code.prepare, code.KINDS, attrgetter("plan"))
        from rm.build.math import table

        return cls(table.prepare, table.KINDS, attrgetter("trace"))


@dataclass(frozen=True)
class Setup:
    """All that decides what becomes of a seed; made once a process.

    Args:
        config: the configuration.
        rubric: whose labels the traces get.
        official: the shipped rubric by which rules grade.
        rules: of the task.
    """

    config: BuildConfig
    rubric: Rubric
    official: Rubric
    rules: Rules

    @classmethod
    def of(cls, config: BuildConfig) -> Setup:
        """Raises: ConfigError for a rubric that cannot be read, or kinds that do not exist."""
        rules, official = Rules.of(config.task), Rubric.load(config.task)
        if config.llm.perturber is not None:
            rules = replace(rules, kinds={**rules.kinds, **llm_kinds(config.llm.perturber, rules.kinds)})
        unknown = [name for name in config.kinds if name not in rules.kinds]
        if unknown:
            choices = ", ".join(rules.kinds)
            raise ConfigError([f"kinds: there is no kind {name!r}. Choose among: {choices}." for name in unknown])
        return cls(config, Rubric.load(config.rubric) if config.rubric else official, official, rules)

    @property
    def rules_grade(self) -> bool:
        """Whether what rules give, levels of the official dimensions, are labels of the run's rubric, too."""
        known = set(self.official.dimension_names)
        return self.rubric.num_levels == self.official.num_levels and known.issuperset(self.rubric.dimension_names)

    def generator(self, problem_id: str) -> random.Random:
        """Of everything random about a problem, whatever was made before it."""
        return random.Random(f"{self.config.seed}\n{problem_id}")


@dataclass(frozen=True)
class Draft:
    """What was made of a seed, before the gates.

    Args:
        seed: the seed.
        sound: its solution as a trace, without marks; "" where none could be made.
        variants: (sound trace that it was made from, variant); sound ones come with their own text.
        unusable: why nothing can be made of the seed, a short reason; "" otherwise.
        dropped: what the maker itself left out: reason -> number.
    """

    seed: Seed
    sound: str
    variants: tuple[tuple[str, Variant], ...] = ()
    unusable: str = ""
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What is left of a seed behind the gates: the pools that its group is chosen from.

    Args:
        seed: the seed.
        sound: sound traces, that of the seed first.
        flawed: flawed ones, no two alike.
        unusable: why the seed gives no group; "" where it does.
        dropped: `KIND: why` (or `why`) -> traces left out.
    """

    seed: Seed
    sound: tuple[Variant, ...] = ()
    flawed: tuple[Variant, ...] = ()
    unusable: str = ""
    dropped: Mapping[str, int] = field(default_factory=dict)

    def line(self) -> bytes:
        """JSON on one line, without its end, from which `rm.build.rows` makes a group."""
        row: dict[str, Any] = {"id": self.seed.problem_id}
        if self.dropped:
            row["dropped"] = dict(self.dropped)
        if self.unusable:
            row["unusable"] = self.unusable
            row["place"] = f"{self.seed.file}:{self.seed.line}"
        else:
            row["group"] = group_head(self.seed)
            row["sound"] = [_entry(variant) for variant in self.sound]
            row["flawed"] = [_entry(variant) for variant in self.flawed]
        return json.dumps(row, ensure_ascii=True, allow_nan=False).encode()


def sound_trace(seed: Seed) -> str:
    """The solution (math) or plan (code) that a seed came with, as a trace: no calculator marks, no `#### 24`."""
    if seed.task_type != "math":
        return seed.plan.strip()
    lines = _FINAL.sub("", _MARK.sub("", seed.solution)).splitlines()
    return "\n".join(line.strip() for line in lines if line.strip())


def draft(seed: Seed, setup: Setup) -> Draft:
    """All that the rules make of a seed: sound traces in other words, and flaws put into the seed's own and into those.

    Each kind of flaw is put into one of the tellings, drawn at random, until a group has enough and some to spare; with
    rebalancing every kind is put into every telling, for it chooses later. A rule that breaks on a seed makes that seed
    unusable.
    """
    try:
        return _drafted(seed, setup)
    except Exception as error:  # noqa: BLE001 - whatever text may do to a parser; the card counts it
        return Draft(seed, "", unusable=_broke(error))


def _drafted(seed: Seed, setup: Setup) -> Draft:
    try:
        prepared = setup.rules.prepare(seed)
    except Unusable as error:
        return Draft(seed, sound_trace(seed), unusable=str(error))
    sound = setup.rules.trace(prepared)
    config, rng = setup.config, setup.generator(seed.problem_id)
    kinds = [kind for kind in setup.rules.kinds.values() if config.kinds.get(kind.name, 1.0) > 0]
    retold = [variant for kind in kinds if kind.sound if (variant := kind.make(prepared, rng)) is not None]
    retold = [variant if variant.labels else _with_best(variant, setup) for variant in retold]
    tellings = [(sound, prepared)]
    for variant in rng.sample(retold, min(config.group.tellings, len(retold))):
        tellings += _telling(seed, variant.reasoning, setup)
    flaws = {kind.name: kind for kind in kinds if not kind.sound}
    variants = [(variant.reasoning, variant) for variant in retold]
    if config.rebalance.enabled:
        variants += _every(flaws.values(), tellings, config.rebalance.draws, rng)
    else:
        in_order = [flaws[name] for name in drawn_by_weight(list(flaws), config.kinds, rng)]
        variants += _one_each(in_order, tellings, config.group.negatives_most + _SPARE, rng)
    if not setup.rules_grade:
        variants = [(text, replace(variant, labels=None)) for text, variant in variants]
    return Draft(seed, sound, tuple(variants))


_SPARE = 2
"""Flawed traces that are made beyond what a group takes, since a gate may refuse some."""
Tellings = Sequence[tuple[str, Any]]
"""Sound traces and what `prepare` made of each."""
Made = list[tuple[str, Variant]]


def _telling(seed: Seed, text: str, setup: Setup) -> list[tuple[str, Any]]:
    told = replace(seed, solution=text) if seed.task_type == "math" else replace(seed, plan=text)
    try:
        prepared = setup.rules.prepare(told)
    except Unusable:
        return []  # words that the parser cannot follow: the telling stays a sound trace
    return [(setup.rules.trace(prepared), prepared)]


def _one_each(kinds: Sequence[Kind], tellings: Tellings, most: int, rng: random.Random) -> Made:
    made: Made = []
    for kind in kinds:
        if len(made) == most:
            break
        for text, prepared in rng.sample(tellings, len(tellings)):
            variant = kind.make(prepared, rng)
            if variant is not None:
                made.append((text, variant))
                break
    return made


def _every(kinds: Iterable[Kind], tellings: Tellings, draws: int, rng: random.Random) -> Made:
    made = ((text, kind.make(prepared, rng)) for text, prepared in tellings for kind in kinds for _ in range(draws))
    return [(text, variant) for text, variant in made if variant is not None]


def sift(draft: Draft, setup: Setup) -> Outcome:
    """What passes the gates, graded by the rubric; or why it is too little for a group."""
    seed, config = draft.seed, setup.config
    dropped = Counter(draft.dropped)
    if unusable := draft.unusable or seed_problem(draft):
        return Outcome(seed, unusable=unusable, dropped=dropped)
    own = _own(draft, setup)
    kept: dict[bool, list[Variant]] = {True: [], False: []}
    seen: set[str] = set()
    for sound, variant in [*own, *sorted(draft.variants, key=lambda each: not each[1].sound)]:
        case = Case.of(seed, variant, sound, setup.rules.kinds)
        key = " ".join(variant.reasoning.casefold().split())
        reason = refused(case, config.gates) or ("the same text twice" if key in seen else "")
        if reason:
            dropped[f"{variant.kind}: {reason}"] += 1
            continue
        seen.add(key)
        kept[variant.sound].append(graded(variant, setup.rubric))
    unusable = ""
    if not kept[True]:
        unusable = "no sound trace"
    elif len({variant.kind for variant in kept[False]}) < config.group.negatives_least:
        unusable = "too few kinds of flaw"
    return Outcome(seed, tuple(kept[True]), tuple(kept[False]), unusable, dropped)


def seed_problem(draft: Draft) -> str:
    """Why a seed is unusable by its own solution; "" where it is not, or comes without one."""
    return seed_refused(draft.seed, draft.sound) if draft.sound or draft.seed.task_type == "math" else ""


def _own(draft: Draft, setup: Setup) -> list[tuple[str, Variant]]:
    """The seed's own solution, on top."""
    if not draft.sound:
        return []
    variant = Variant(POSITIVE_KIND, draft.sound, True, True, answer=draft.seed.answer or None)
    return [(draft.sound, _with_best(variant, setup) if setup.rules_grade else variant)]


def _with_best(variant: Variant, setup: Setup) -> Variant:
    """A sound trace is all right in every dimension, as it is officially."""
    return replace(
        variant, labels=dict.fromkeys(setup.official.dimension_names, setup.official.num_levels - 1), total=1.0
    )


def graded(variant: Variant, rubric: Rubric) -> Variant:
    """A variant with labels of the rubric alone: none, where it does not name all of its dimensions."""
    labels = variant.labels
    if labels is None or not fits_rubric(labels, rubric):
        return replace(variant, labels=None)
    return replace(variant, labels={name: labels[name] for name in rubric.dimension_names})


def group_head(seed: Seed) -> dict[str, Any]:
    """A group's row without its pools."""
    head: dict[str, Any] = {
        "problem_id": seed.problem_id,
        "source": seed.source,
        "task_type": seed.task_type,
        "problem": seed.problem,
        "reference_solution": seed.answer if seed.task_type == "math" else seed.solution,
    }
    if seed.tests:
        head["tests"] = seed.tests
    if seed.entry_point:
        head["entry_point"] = seed.entry_point
    return {**head, "metadata": {**seed.metadata, "seed_line": seed.line}}


def _entry(variant: Variant) -> dict[str, Any]:
    metadata: dict[str, Any] = {"kind": variant.kind} if variant.sound and variant.kind != POSITIVE_KIND else {}
    if not variant.sound:
        metadata = {"first_wrong_step": variant.first_wrong_step, "answer_kept": variant.answer_kept}
    metadata |= {"why": variant.why} if variant.why else {}
    metadata |= {"answer": variant.answer} if variant.answer is not None else {}
    entry: dict[str, Any] = {"reasoning": variant.reasoning}
    if not variant.sound:
        entry["negative_kind"] = variant.kind
    if variant.labels is not None:
        entry["rubric"] = {**variant.labels, **({} if variant.total is None else {"total": variant.total})}
    elif variant.total is not None:
        metadata["total"] = variant.total
    return {**entry, "metadata": {**metadata, **variant.metadata}}


def outcome_lines(seeds: Iterable[Seed], setup: Setup) -> list[bytes]:
    """The outcomes of some seeds by rule, as lines of the work file.

    A rule that breaks on a seed costs that seed, which is counted, and not the whole build.
    """
    return [_outcome(seed, setup).line() for seed in seeds]


def _outcome(seed: Seed, setup: Setup) -> Outcome:
    try:
        return sift(draft(seed, setup), setup)
    except Exception as error:  # noqa: BLE001 - as in `draft`
        return Outcome(seed, unusable=_broke(error))


def _broke(error: Exception) -> str:
    return f"a rule broke on it ({type(error).__name__})"
