"""`groups build`: rows of seeds to a file of groups, with its data card.

    rows -> seeds -> those not seen before -> outcomes (parallel; by rule or by a language model) -> work file
    work file -> choice of traces -> groups, card

Everything about a seed depends on it and on the configuration alone, so that the number of processes changes nothing;
outcomes are kept in the order of the seeds in a work file beside the output (`rm.work_file`), and a run that was
stopped goes on with the same command and ends with the same bytes. Nothing of a seed is held once its outcome is on
disk, but the sketches by which repetitions are known (`rm.build.distinct`).

Another maker than the rules is a function from seeds to lines: `make(seeds)` yields `Outcome.line()` for every seed,
in their order (`build_groups(make=...)`); `rm.build.draft.sift` gives it the gates.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rm.build.audit import Sample, audit
from rm.build.card import Card, Tally, write_card
from rm.build.choose import choose
from rm.build.config import BuildConfig
from rm.build.distinct import Distinct
from rm.build.draft import Setup, outcome_lines
from rm.build.gates import check_gates
from rm.build.llm.ledger import Account, Bill
from rm.build.llm.tally import JudgeTally
from rm.build.read_seeds import RawRow, Refused, check_fields, read_seeds
from rm.build.seed import Seed
from rm.config import config_to_dict
from rm.errors import ConfigError, RunError
from rm.files import check_file, replace_file
from rm.groups.schema import problem_key
from rm.provenance import data_facts, file_hash, versions
from rm.work_file import WorkFile

FORMAT = 1
_CHUNK = 16
_AHEAD = 4
"""Chunks a process that may wait to be worked on or to be taken."""

Make = Callable[[Iterator[Seed]], Iterator[bytes]]
"""Seeds to the lines of their outcomes, in the same order."""
Progress = Callable[[int], None]
"""Told how many more seeds are done."""


@dataclass(frozen=True)
class Report:
    """What a build did.

    Args:
        card: the data card.
        refused: rows that became no seeds.
    """

    card: Card
    refused: Refused


def build_groups(
    config: BuildConfig,
    rows: Callable[[Refused], Iterable[RawRow]],
    out: str | Path,
    *,
    files: Sequence[str | Path] = (),
    identity: Mapping[str, Any] | None = None,
    make: Make | None = None,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Build groups of all seeds in `rows`, or go on where an earlier call was stopped.

    Args:
        config: what to build.
        rows: called once, with what is told of rows that cannot be read; yields them in an order that is always the
            same, e.g. `lambda refused: file_rows(files, refused)`.
        out: file to be, JSON Lines; its data card goes beside it.
        files: that the rows come from; hashed.
        identity: what else decides the outcome, as JSON values: a language model's name, the revision of a hub
            repository.
        make: the maker of outcomes; that of the configuration where there is none.
        force: replace `out`.
        on_progress: told of seeds done, those of an earlier call included.

    Raises:
        ConfigError: something in the configuration that does not exist, an output that exists, or an unfinished run of
            something else.
        RunError: not one group came out, or a file cannot be written.
    """
    check_build(config)
    check_output(out)
    path = check_file(out, force, files)
    data = {"files": data_facts(files), "licence": config.seeds.licence}
    whole = {"config": _deciding(config), "data": data, "version": versions().get("tracelift-rm"), **(identity or {})}
    refused, repeated = Refused(), Counter[str]()
    with WorkFile(path, whole, FORMAT, "build") as work:
        seeds = distinct_seeds(read_seeds_of(config, rows(refused), refused), config.gates.near_duplicate, repeated)
        done = sum(1 for _ in work.rows())
        for _ in islice(seeds, done):
            _tell(on_progress, 1)
        for line in (make or maker(config))(seeds):
            work.append_line(line)
            _tell(on_progress, 1)
        work.sync()
        card = _finish(work, config, path, force, data, refused, repeated, identity or {})
        work.remove()
    return Report(card, refused)


def check_build(config: BuildConfig) -> None:
    """Everything that can be known to be wrong before any seed is read. Raises: ConfigError."""
    check_gates(config.gates)
    check_fields(config.seeds.fields)
    if config.group.negatives_least > config.group.negatives_most:
        least, most = config.group.negatives_least, config.group.negatives_most
        raise ConfigError(f"group.negatives_least = {least} is more than group.negatives_most = {most}. Change one.")
    Setup.of(config)


def check_output(out: str | Path) -> None:
    """Raises: ConfigError for a file that would be named what it is not."""
    if Path(out).suffix == ".gz":
        raise ConfigError(
            f"{out}: groups are written as plain JSON Lines. Name the file .jsonl, and pack it afterwards."
        )


def read_seeds_of(config: BuildConfig, rows: Iterable[RawRow], refused: Refused) -> Iterator[Seed]:
    """The seeds in rows, as the configuration reads them."""
    found = read_seeds(rows, config.task, refused, fields=config.seeds.fields, source=config.seeds.source)
    return islice(found, config.seeds.limit or None)


def distinct_seeds(seeds: Iterable[Seed], threshold: float, repeated: Counter[str]) -> Iterator[Seed]:
    """Seeds whose problem was not there before; the others are counted.

    Args:
        seeds: in order.
        threshold: `gates.near_duplicate`.
        repeated: gets the number of repetitions under "problems".
    """
    known = Distinct(threshold) if threshold else None
    for seed in seeds:
        if known is not None and known.first_like(problem_key(seed.problem)) is not None:
            repeated["problems"] += 1
        else:
            yield seed


def maker(config: BuildConfig, on_told: Callable[[str], None] | None = None) -> Make:
    """That of a configuration: by rule, or with language models (`rm.build.llm.make`).

    Args:
        config: the configuration.
        on_told: told in a few words what language models were asked so far.
    """
    if not config.llm.used:
        return by_rule(config)
    from rm.build.llm.make import by_llm

    return by_llm(config, on_told)


def by_rule(config: BuildConfig) -> Make:
    """The maker that uses rules alone, in as many processes as the configuration says."""
    count = config.workers or len(os.sched_getaffinity(0))

    def make(seeds: Iterator[Seed]) -> Iterator[bytes]:
        if count == 1:
            setup = Setup.of(config)
            for seed in seeds:
                yield from outcome_lines([seed], setup)
            return
        yield from _in_processes(seeds, config, count)

    return make


def _in_processes(seeds: Iterator[Seed], config: BuildConfig, count: int) -> Iterator[bytes]:
    """In the order of the seeds; no more than a few chunks a process are held."""
    waiting: deque[Future[list[bytes]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(config,)) as pool:
        try:
            while chunk := list(islice(seeds, _CHUNK)):
                waiting.append(pool.submit(_work, chunk))
                if len(waiting) >= _AHEAD * count:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker_setup: list[Setup] = []


def _start_worker(config: BuildConfig) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:  # a parent that is killed takes its processes along
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _worker_setup.append(Setup.of(config))


def _work(seeds: Sequence[Seed]) -> list[bytes]:
    return outcome_lines(seeds, _worker_setup[0])


def _finish(
    work: WorkFile,
    config: BuildConfig,
    path: Path,
    force: bool,
    data: Mapping[str, Any],
    refused: Refused,
    repeated: Counter[str],
    identity: Mapping[str, Any],
) -> Card:
    """Writes the groups and their card from the work file."""
    counts = _counts(work)
    if not counts["groups"]:
        raise RunError(_no_group(refused, repeated, counts["unusable"], counts["dropped"]))
    tally, sample = Tally(), Sample(config.audit.groups)
    judged = JudgeTally(Setup.of(config).rubric, config.llm.raters)
    with replace_file(path, force) as staging:
        with staging.open("w", encoding="utf-8", newline="\n") as file:
            for pools in _pools(work):
                row = choose(pools, config)
                tally.add(row)
                sample.add(row)
                judged.add(row)
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        digest = file_hash(staging)
    card = Card(
        file={"name": path.name, "sha256": digest},
        seeds={
            "read": counts["seeds"] + repeated["problems"],
            "refused": refused.counts,
            "repeated": repeated["problems"],
            "unusable": counts["unusable"],
        },
        tally=tally,
        dropped=counts["dropped"],
        audit=audit(sample.rows, config.audit) if config.audit.groups else None,
        rebalance=None,
        rubric=_graded_by(config, identity),
        config=_deciding(config),
        data={**data, **identity},
        versions=versions(),
        llm=_asked(config, counts["bill"], judged) if config.llm.used else None,
    )
    write_card(card, path)
    return card


def _pools(work: WorkFile) -> Iterator[dict[str, Any]]:
    """The lines that give a group."""
    for number, line in work.rows():
        try:
            row = json.loads(line)
            if "unusable" not in row:
                yield row
        except (ValueError, TypeError) as error:
            raise work.damaged(number, error) from error


def _counts(work: WorkFile) -> dict[str, Any]:
    counts: dict[str, Any] = {"seeds": 0, "groups": 0, "unusable": Counter(), "dropped": Counter(), "bill": {}}
    for number, line in work.rows():
        try:
            row = json.loads(line)
            counts["seeds"] += 1
            counts["dropped"].update(row.get("dropped", {}))
            for name, account in row.get("llm", {}).items():
                counts["bill"].setdefault(name, Account()).add(account)
            if "unusable" in row:
                counts["unusable"][row["unusable"]] += 1
            else:
                counts["groups"] += 1
        except (ValueError, TypeError) as error:
            raise work.damaged(number, error) from error
    return counts


def _asked(config: BuildConfig, bill: Bill, judged: JudgeTally) -> dict[str, Any]:
    """What language models were asked for this set, whenever that was, and what judges said."""
    models = {
        name: {**account.to_dict(), "cost": round(account.cost(config.llm.prices[name]), 6)}
        for name, account in sorted(bill.items())
    }
    return {
        "tokens": sum(account.tokens for account in bill.values()),
        "cost": round(sum(each["cost"] for each in models.values()), 6),
        "models": models,
        "judges": judged.to_dict() if config.llm.judges else None,
    }


def _no_group(refused: Refused, repeated: Counter[str], unusable: Counter[str], dropped: Counter[str]) -> str:
    reasons = [f"  {count:,} rows refused, expected {why}" for why, count in refused.counts.most_common(5)]
    reasons += [f"  {repeated['problems']:,} repeated problems"] if repeated else []
    reasons += [f"  {count:,} seeds: {why}" for why, count in unusable.most_common(5)]
    reasons += [f"  {count:,} traces: {why}" for why, count in dropped.most_common(10)]
    return "\n".join(["Not one group came out.", *(reasons or ["  There was not one row."])])


def _graded_by(config: BuildConfig, identity: Mapping[str, Any]) -> str:
    setup = Setup.of(config)
    name = setup.rubric.name
    if config.llm.judges:
        return f"of the rubric {name}, by {', '.join(config.llm.raters)} (the median of what they say)"
    if setup.rules_grade:
        return f"of the rubric {name}, by the written rule of each kind; no judge's opinion"
    return f"none: rules grade by {setup.official.name} alone, and {name} has other dimensions; a judge can label them"


def _deciding(config: BuildConfig) -> dict[str, Any]:
    """The configuration without what does not change the result."""
    kept = {name: value for name, value in config_to_dict(config).items() if name not in ("workers", "llm")}
    llm = config.llm.deciding()
    return kept if llm is None else {**kept, "llm": llm}


def _tell(on_progress: Progress | None, count: int) -> None:
    if on_progress is not None:
        on_progress(count)
