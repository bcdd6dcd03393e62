"""The data card of built groups: what is in the file, what was left out and why, and what their surface gives away.

Two files beside the output: `OUT.card.json` for programs, `OUT.card.md` for readers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rm.files import write_text_whole

_SHOWN = 30
TESTED = "tests_passed"
"""Key of a flawed plan's metadata: what share of the seed's tests the program passed that it describes."""


_LIMITS = (
    "Flawed traces were made from sound ones; whether models make such mistakes, and how often, they do not tell. "
    "Nothing was compared with any evaluation set: `tracelift-rm groups check FILE --against SET` does.",
    "",
)


@dataclass
class Tally:
    """Counts over groups, one after another.

    Attributes:
        groups: how many.
        positives, negatives: number of such traces in a group -> number of groups.
        kinds: traces of each kind of flaw; `retold` by the kind of a sound trace in other words.
        answer_kept: of each kind, traces that lead to the right answer all the same, as far as that is known: of plans
            for programs, those of a kind that is right by its rule, and no others where their program was not run.
        tested: of each kind, traces whose program was run on the seed's tests (`gates.run_tests`).
        first_wrong_step: of flawed traces, 0-based -> how many.
        labels: dimension -> level -> traces; `totals` in tenths.
        sources: groups of each.
    """

    groups: int = 0
    positives: Counter[int] = field(default_factory=Counter)
    negatives: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    retold: Counter[str] = field(default_factory=Counter)
    answer_kept: Counter[str] = field(default_factory=Counter)
    tested: Counter[str] = field(default_factory=Counter)
    first_wrong_step: Counter[int] = field(default_factory=Counter)
    labels: dict[str, Counter[int]] = field(default_factory=dict)
    totals: Counter[float] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """One group."""
        self.groups += 1
        self.sources[row["source"]] += 1
        self.positives[len(row["positive_pool"])] += 1
        self.negatives[len(row["negative_bank"])] += 1
        for entry in row["positive_pool"]:
            self.retold[entry["metadata"].get("kind", "as it came")] += 1
            self._labels(entry)
        for entry in row["negative_bank"]:
            self.kinds[entry["negative_kind"]] += 1
            self.answer_kept[entry["negative_kind"]] += bool(entry["metadata"].get("answer_kept"))
            self.tested[entry["negative_kind"]] += TESTED in entry["metadata"]
            if (step := entry["metadata"].get("first_wrong_step")) is not None:
                self.first_wrong_step[step] += 1
            self._labels(entry)

    def _labels(self, entry: Mapping[str, Any]) -> None:
        for name, level in (entry.get("rubric") or {}).items():
            if name == "total":
                self.totals[round(level, 1)] += 1
            else:
                self.labels.setdefault(name, Counter())[level] += 1


@dataclass(frozen=True)
class Card:
    """Everything about one build.

    Args:
        file: name of the groups' file, with its SHA-256.
        seeds: {read, refused {why: n}, repeated, held_out, unusable {why: n}}.
        tally: of the groups.
        dropped: `KIND: why` -> traces that a gate or their maker left out.
        audit: of `rm.build.audit`; None where it was left out.
        before: that of the plain choice, where the set was rebalanced; else None.
        labels: whose labels the traces have, and who gave them, in words.
        config: the whole configuration.
        data: names and hashes of the seed files; `licence` of the seeds.
        versions: of what computed it.
        places: why -> file and line of the first seeds that give no group; for the terminal, since folders mean nothing
            elsewhere.
        kinds: kind -> what a reader finds in such a trace.
        llm: what language models were asked, what it cost, and how far judges agree; None where none was asked.
    """

    file: Mapping[str, str]
    seeds: Mapping[str, Any]
    tally: Tally
    dropped: Mapping[str, int]
    audit: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    labels: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    versions: Mapping[str, str]
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    llm: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, counts in descending order, numbers in ascending."""
        card = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "places"}
        tally = {name: _ordered(value) for name, value in vars(self.tally).items()}
        return {**card, "tally": tally, "dropped": _ordered(self.dropped), "seeds": _ordered_below(self.seeds)}


def card_files(out: str | Path) -> tuple[Path, Path]:
    """`OUT.card.json` and `OUT.card.md`, OUT without its ending."""
    path = Path(out)
    stem = path.with_suffix("") if path.suffix == ".gz" else path
    return stem.with_suffix(".card.json"), stem.with_suffix(".card.md")


def write_card(card: Card, out: str | Path) -> None:
    """Both files, replacing those of an earlier build. Raises: RunError where they cannot be written."""
    as_json, as_markdown = card_files(out)
    write_text_whole(as_json, json.dumps(card.to_dict(), indent=2, ensure_ascii=False) + "\n", force=True)
    write_text_whole(as_markdown, markdown(card), force=True)


def markdown(card: Card) -> str:
    """The card for readers."""
    data, tally, seeds = card.data, card.tally, card.seeds
    unusable = sum(seeds["unusable"].values())
    lines = [
        f"# {card.file['name']}",
        "",
        f"{tally.groups:,} groups, {sum(tally.kinds.values()):,} flawed and {sum(tally.retold.values()):,} sound "
        f"traces, built by `tracelift-rm groups build` from {seeds['read']:,} seeds "
        f"({sum(seeds['refused'].values()):,} rows refused, {seeds['repeated']:,} repeated problems, "
        f"{seeds['held_out']:,} held out, {unusable:,} unusable).",
        "",
        f"- task: {card.config['task']}",
        f"- labels: {card.labels}",
        *([f"- tests: {tests_told(card)}"] if card.config["task"] == "code" else []),
        f"- seeds: {', '.join(each['file'] for each in data['files']) or 'given by a program'}; "
        f"licence: {data['licence'] or 'not stated'}",
        f"- SHA-256: `{card.file['sha256']}`",
        "",
        *_LIMITS,
        *_table("Kinds of flaw", ("kind", "traces", "right answer all the same", "what is wrong"), _kind_rows(card)),
        *_table("Sound traces", ("made by", "traces"), _rows(tally.retold)),
        *_table("Sources", ("source", "groups"), _rows(tally.sources)),
        *_table("Flawed traces a group", ("traces", "groups"), _rows(tally.negatives)),
        *_table("First wrong step", ("step, from 0", "traces"), _rows(tally.first_wrong_step)),
        *_label_table(tally),
        *_table("Rows refused", ("what was expected", "rows"), _rows(seeds["refused"])),
        *_table("Seeds that give no group", ("why", "seeds"), _rows(seeds["unusable"])),
        *_table("Traces left out", ("kind and why", "traces"), _rows(card.dropped)),
        *_llm_lines(card),
        *_audit_lines(card),
        "## Made with",
        "",
        "```json",
        json.dumps({"config": card.config, "data": card.data, "versions": card.versions}, indent=2, ensure_ascii=False),
        "```",
    ]
    return "\n".join(lines) + "\n"


def tests_told(card: Card) -> str:
    """Whether flawed plans were tested, in words."""
    if not card.config["gates"]["run_tests"]:
        return "not run; that a flawed plan gives a wrong program rests on the rule of its kind alone"
    tested, flawed = card.tally.tested.total(), sum(card.tally.kinds.values())
    how = "without a sandbox" if card.config["gates"]["unsafe_subprocess"] else "in the sandbox"
    return (
        f"run {how}; the programs of {tested:,} of {flawed:,} flawed plans came out as their kind says; the other "
        "plans have no program, or no test that could judge it"
    )


def _kind_rows(card: Card) -> list[tuple[str, ...]]:
    counts = card.tally.kinds.most_common()
    return [(kind, f"{count:,}", _right_told(card, kind), card.kinds.get(kind, "")) for kind, count in counts]


def _right_told(card: Card, kind: str) -> str:
    """How many flawed traces of a kind lead to the right answer all the same. What a plan for a program leads to is
    known only by running it, unless the rule of its kind tells."""
    kept, tested, count = card.tally.answer_kept[kind], card.tally.tested[kind], card.tally.kinds[kind]
    if kept or card.config["task"] != "code" or tested == count:
        return f"{kept:,}"
    return f"0 of {tested:,} run" if tested else "not run"


def _label_table(tally: Tally) -> list[str]:
    if not tally.labels:
        return ["No trace has labels: positives stand over flawed ones, that is all that is known.", ""]
    levels = sorted({level for counts in tally.labels.values() for level in counts})
    rows = [(name, *(f"{counts[level]:,}" for level in levels)) for name, counts in tally.labels.items()]
    return _table("Labels", ("dimension", *(f"level {level}" for level in levels)), rows)


def _llm_lines(card: Card) -> list[str]:
    if card.llm is None:
        return []
    models = card.llm["models"]
    counts = ("replies", "prompt_tokens", "completion_tokens", "again", "cost")
    asked = [(name, *(f"{each[count]:,}" for count in counts)) for name, each in models.items()]
    lost = [(f"{name}: {why}", f"{count:,}") for name, each in models.items() for why, count in each["dropped"].items()]
    head = ("model", "replies", "prompt tokens", "completion tokens", "asked again", "cost")
    lines = [
        *_table("Language models", head, asked),
        *_table("Questions that came to nothing", ("why", "questions"), lost),
    ]
    return lines if card.llm["judges"] is None else [*lines, *_judge_lines(card.llm["judges"])]


def _judge_lines(judges: Mapping[str, Any]) -> list[str]:
    unseen = judges["flawed_judged_no_worse_than_the_best_sound"]
    lines = [
        f"{judges['traces']:,} traces judged; {unseen['traces']:,} of {unseen['of']:,} flawed ones no worse than "
        "the best sound one of their group.",
        "",
    ]
    for title, key, figures in (
        ("Agreement of the judges", "agreement", ("n", "exact", "kappa", "icc")),
        ("Agreement of the judges with the rules", "with_rules", ("n", "exact", "mae", "kappa")),
    ):
        rows = [
            (name, *("-" if each[figure] is None else f"{each[figure]:,}" for figure in figures))
            for name, each in judges.get(key, {}).items()
        ]
        lines += _table(title, ("", *figures), rows)
    return lines


def _audit_lines(card: Card) -> list[str]:
    audit = card.audit
    if audit is None:
        return []
    lines = [
        "## What the surface gives away",
        "",
        f"Pair accuracy of classifiers that never see the problem, on {audit['groups']:,} groups "
        f"({audit['protocol']}); .5 is chance. Macro mean over the kinds: words {audit['macro']['words']:.3f}, length "
        f"{audit['macro']['length']:.3f}.",
        "",
    ]
    rows = [
        (
            kind,
            f"{each['pairs']:,}",
            f"{each['words']:.3f}",
            f"{each['length']:.3f}",
            "**yes**" if each["flagged"] else "",
        )
        for kind, each in audit["kinds"].items()
    ]
    lines += _table("", ("kind", "pairs", "words", "length", f"above {audit['flag']:g}"), rows)
    if card.before is not None:
        before = card.before["macro"]
        lines += [f"Rebalanced; before: words {before['words']:.3f}, length {before['length']:.3f}.", ""]
    return lines


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    if not rows:
        return []
    shown = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows[:_SHOWN]]
    more = [f"| and {len(rows) - _SHOWN} more |{' |' * (len(head) - 1)}"] if len(rows) > _SHOWN else []
    heading = [f"## {title}", ""] if title else []
    return [*heading, f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *shown, *more, ""]


def _rows(counts: Mapping[Any, int]) -> list[tuple[str, str]]:
    return [(str(name), f"{count:,}") for name, count in _ordered(counts).items()]


def _ordered(value: Any) -> Any:
    """Counts by size, numbered ones by number."""
    if not isinstance(value, Mapping):
        return value
    if all(isinstance(each, Mapping) for each in value.values()):
        return {name: _ordered(each) for name, each in value.items()}
    if all(isinstance(name, int | float) for name in value):
        return dict(sorted(value.items()))
    return dict(sorted(value.items(), key=lambda item: (-item[1], str(item[0]))))


def _ordered_below(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _ordered(each) for name, each in value.items()}
