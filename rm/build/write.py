"""From the work file of a build to its groups and their data card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rm.build.audit import Sample, audit
from rm.build.card import Card, Tally, write_card
from rm.build.choose import Pools, choose
from rm.build.config import BuildConfig
from rm.build.draft import Setup
from rm.build.llm.tally import Asked
from rm.build.read_seeds import Refused
from rm.build.rebalance import LEARNT_ON, Balancer, learn_judges
from rm.config import config_to_dict
from rm.errors import RunError
from rm.files import replace_file
from rm.provenance import file_hash, versions
from rm.workfile import WorkFile

PLACES = 3
"""Of seeds that give no group so many are named, for each reason."""
GIVEN_AWAY = "too few flaws that their surface does not give away"


_REPEATED = {"problems": "a problem that was there before", "held_out": "a problem of gates.held_out"}


class NoGroup(RunError):
    """A build that is done and came to nothing; says why."""


@dataclass(frozen=True)
class Source:
    """Where the outcomes in a work file come from.

    Args:
        data: `files` with hashes, `licence`, and whatever else decides the result.
        refused: rows that became no seeds.
        repeated: how many problems were there before ("problems"), or are held out ("held_out").
        labels: whose labels the traces have, in words.
    """

    data: Mapping[str, Any]
    refused: Refused
    repeated: Mapping[str, int]
    labels: str


@dataclass
class _Counts:
    """What a work file holds."""

    seeds: int = 0
    groups: int = 0
    unusable: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def write_groups(work: WorkFile, config: BuildConfig, path: Path, source: Source, *, force: bool = False) -> Card:
    """Chooses the traces of every group, writes the file and the card; nothing is there unless all is.

    Args:
        work: holds the outcome of every seed.
        config: the configuration of the build.
        path: the file to be.
        source: of the outcomes.
        force: replace `path`.

    Raises:
        NoGroup: not one group comes out.
        RunError: the work file is damaged, or the place cannot be written.
    """
    asked = Asked(config)
    counts, sample = _counted(work, max(config.audit.groups, LEARNT_ON if config.rebalance.enabled else 0), asked)
    if not counts.groups:
        raise NoGroup(_no_group(source, counts))
    before = None
    rows: Iterator[dict[str, Any]] = (choose(pools, config) for pools in _pools(work))
    if config.rebalance.enabled:
        before = _audited((choose(pools, config) for pools in sample.rows), config)
        judges = learn_judges(list(islice(sample.rows, LEARNT_ON)), config)
        rows = _left(Balancer(judges, config).rows(_pools(work)), counts)
    tally, chosen = Tally(), Sample(config.audit.groups)
    with replace_file(path, force) as staging:
        with staging.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                tally.add(row)
                chosen.add(row)
                asked.group(row)
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        if not tally.groups:
            raise NoGroup(_no_group(source, counts))
        card = Card(
            file={"name": path.name, "sha256": file_hash(staging)},
            seeds={
                "read": counts.seeds + sum(source.repeated.values()),
                "refused": source.refused.counts,
                "repeated": source.repeated.get("problems", 0),
                "held_out": source.repeated.get("held_out", 0),
                "unusable": counts.unusable,
            },
            places=counts.places,
            kinds={name: kind.description for name, kind in Setup.of(config).rules.kinds.items()},
            tally=tally,
            dropped=counts.dropped,
            audit=_audited(chosen.rows, config),
            before=before,
            labels=source.labels,
            config=deciding(config),
            data=source.data,
            versions=versions(),
            llm=asked.to_dict(),
        )
        write_card(card, path)  # last comes the renaming of the groups
    return card


def deciding(config: BuildConfig) -> dict[str, Any]:
    """The configuration without what does not change the result."""
    kept = {name: value for name, value in config_to_dict(config).items() if name not in ("workers", "llm")}
    llm = config.llm.deciding()
    return kept if llm is None else {**kept, "llm": llm}


def _counted(work: WorkFile, sampled: int, asked: Asked) -> tuple[_Counts, Sample]:
    counts, sample = _Counts(), Sample(sampled)
    for row in _lines(work):
        counts.seeds += 1
        counts.dropped.update(row.get("dropped", {}))
        asked.line(row)
        if "unusable" in row:
            counts.unusable[row["unusable"]] += 1
            places = counts.places.setdefault(row["unusable"], [])
            if len(places) < PLACES:
                places.append(row["place"])
        else:
            counts.groups += 1
            sample.add(row)
    return counts, sample


def _pools(work: WorkFile) -> Iterator[Pools]:
    """The outcomes that give a group."""
    return (row for row in _lines(work) if "unusable" not in row)


def _lines(work: WorkFile) -> Iterator[dict[str, Any]]:
    for number, line in work.rows():
        try:
            row = json.loads(line)
            if not {"unusable", "group"} & row.keys():
                raise ValueError("neither pools nor why there are none")
        except (ValueError, AttributeError) as error:
            raise work.damaged(number, error) from error
        yield row


def _left(rows: Iterator[dict[str, Any] | None], counts: _Counts) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row is None:
            counts.unusable[GIVEN_AWAY] += 1
        else:
            yield row


def _audited(rows: Iterable[Mapping[str, Any]], config: BuildConfig) -> dict[str, Any] | None:
    return audit(rows, config.audit) if config.audit.groups else None


def _no_group(source: Source, counts: _Counts) -> str:
    refused = source.refused
    reasons = [f"  {count:,} rows refused, expected {why}" for why, count in refused.counts.most_common(5)]
    reasons += [f"  {count:,} seeds: {_REPEATED[name]}" for name, count in source.repeated.items()]
    unusable = counts.unusable.most_common(5)
    reasons += [f"  {count:,} seeds: {why} ({', '.join(counts.places.get(why, []))})" for why, count in unusable]
    reasons += [f"  {count:,} traces: {why}" for why, count in counts.dropped.most_common(5)]
    first = [str(problem) for problem in refused.first[:PLACES]]
    return "\n".join(["Not one group came out.", *(reasons or ["  There was not one row."]), *first])
