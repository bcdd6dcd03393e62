"""`groups build`: rows of seeds to a file of groups, with its data card.

    rows -> seeds -> those not seen before -> outcomes (parallel; by rule or by a language model) -> work file
    work file -> choice of traces -> groups, card

Everything about a seed depends on it and on the configuration alone, so that the number of processes changes nothing;
outcomes are kept in the order of the seeds in a work file beside the output (`rm.workfile`), and a run that was
stopped goes on with the same command and ends with the same bytes. Nothing of a seed is held once its outcome is on
disk, but the sketches by which repetitions are known (`rm.build.distinct`).

Another maker than the rules (`by_rule`) is a `Maker`: a function from seeds to lines. `rm.build.draft.sift` gives it
the gates; it should close over a `Setup` of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rm.build.card import Card
from rm.build.config import BuildConfig
from rm.build.distinct import Distinct
from rm.build.draft import Setup, outcome_lines
from rm.build.gates import check_gates
from rm.build.read_seeds import RawRow, Refused, check_fields, read_seeds, seed_files
from rm.build.seed import Seed
from rm.build.write import NoGroup, Source, deciding, write_groups
from rm.errors import ConfigError, DataError, Problem, RunError
from rm.files import check_file
from rm.groups.contamination import stated_problems
from rm.groups.parse import FirstOf
from rm.groups.read import data_files
from rm.groups.schema import problem_key
from rm.provenance import data_facts, versions
from rm.workfile import WorkFile

FORMAT = 2
_CHUNK = 16
_AHEAD = 4
"""Chunks a process that may wait to be worked on or to be taken."""

Progress = Callable[[int], None]
"""Told how many more seeds are done."""


@dataclass(frozen=True)
class Maker:
    """What makes traces from seeds: rules, or a language model.

    Args:
        make: seeds to the lines of their outcomes (`Outcome.line()`), one a seed, in the same order.
        identity: what decides the outcomes besides seeds and configuration, as JSON values: kinds of rules, a model's
            name, the revision of a hub repository. A run is gone on with only if it is the same.
        labels: whose labels the traces get, in words for the data card.
    """

    make: Callable[[Iterator[Seed]], Iterator[bytes]]
    identity: Mapping[str, Any]
    labels: str


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
    maker: Maker | None = None,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Report:
    """Build groups of all seeds in `rows`, or go on where an earlier call was stopped.

    With more than one process they are spawned: a script that calls this has its code under `if __name__ ==
    "__main__"`.

    Args:
        config: what to build.
        rows: called once, with what is told of rows that cannot be read; yields them in an order that is always the
            same, e.g. `lambda refused: file_rows(files, refused)`.
        out: file to be, JSON Lines; its data card goes beside it.
        files: that the rows come from, as `rm.build.read_seeds.file_rows` takes them; hashed.
        maker: of outcomes; that of the configuration where there is none.
        force: replace `out`.
        on_progress: told of seeds done, those of an earlier call included.

    Raises:
        ConfigError: something in the configuration that does not exist, an output that exists, or an unfinished run of
            something else.
        DataError: as `seed_files`; a file of `gates.held_out` cannot be read.
        NoGroup, RunError: as `write_groups`.
    """
    check_build(config)
    check_output(out)
    sources = seed_files(files)
    held_out = held_out_problems(config)
    path = check_file(out, force, (file.path for file in sources))
    maker = maker or maker_of(config)
    data = {
        "files": data_facts(sources),
        "licence": config.seeds.licence,
        "maker": dict(maker.identity),
    }
    if config.gates.held_out:
        data["held_out"] = data_facts(data_files(config.gates.held_out))
    identity = {"config": deciding(config), "data": data, "version": versions().get("tracelift-rm")}
    refused, repeated = Refused(), Counter[str]()
    with WorkFile(path, identity, version=FORMAT) as work:
        seeds = distinct_seeds(
            read_seeds_of(config, rows(refused), refused), config.gates.near_duplicate, repeated, held_out
        )
        done = sum(1 for _ in work.rows())
        for _ in islice(seeds, done):
            _tell(on_progress, 1)
        for line in maker.make(seeds):
            work.append_line(line)
            _tell(on_progress, 1)
        work.sync()
        source = Source(data, refused, repeated, maker.labels)
        try:
            card = write_groups(work, config, path, source, force=force)
        except NoGroup:
            work.remove()  # nothing in it is worth going on with
            raise
        work.remove()
    return Report(card, refused)


def check_build(config: BuildConfig) -> None:
    """Everything that can be known to be wrong before any seed is read. Raises: ConfigError."""
    check_gates(config.gates)
    check_fields(config.seeds.fields)
    if config.group.negatives_least > config.group.negatives_most:
        least, most = config.group.negatives_least, config.group.negatives_most
        raise ConfigError(f"group.negatives_least = {least} is more than group.negatives_most = {most}. Change one.")
    if config.gates.run_tests and config.task != "code":
        raise ConfigError(f"gates.run_tests: problems of the task {config.task} have no tests. Leave it out.")
    Setup.of(config)


def check_output(out: str | Path) -> None:
    """Raises: ConfigError for a file that would be named what it is not."""
    if Path(out).suffix in (".gz", ".parquet", ".arrow"):
        raise ConfigError(
            f"{out}: groups are written as plain JSON Lines. Name the file .jsonl, and pack or convert it afterwards."
        )


def read_seeds_of(config: BuildConfig, rows: Iterable[RawRow], refused: Refused) -> Iterator[Seed]:
    """The seeds in rows, as the configuration reads them."""
    found = read_seeds(rows, config.task, refused, fields=config.seeds.fields, source=config.seeds.source)
    return islice(found, config.seeds.limit or None)


def held_out_problems(config: BuildConfig) -> list[str]:
    """Keys of the problems in `gates.held_out`. Raises: DataError, with every row that states none."""
    problems: FirstOf[Problem] = FirstOf()
    keys = [each.problem_key for each in stated_problems(config.gates.held_out, problems)]
    if problems:
        raise DataError(problems, problems.total)
    return keys


def distinct_seeds(
    seeds: Iterable[Seed], threshold: float, repeated: Counter[str], held_out: Sequence[str] = ()
) -> Iterator[Seed]:
    """Seeds whose problem is not held out and was not there before; the others are counted.

    Args:
        seeds: in order.
        threshold: `gates.near_duplicate`.
        repeated: gets the number of repetitions under "problems", and of problems held out under "held_out".
        held_out: keys of problems.
    """
    known = Distinct(threshold or 1)
    apart = sum(known.first_like(key) is None for key in held_out)
    for seed in seeds:
        like = known.first_like(problem_key(seed.problem)) if threshold or apart else None
        if like is not None and like < apart:
            repeated["held_out"] += 1
        elif like is not None and threshold:
            repeated["problems"] += 1
        else:
            yield seed


def maker_of(config: BuildConfig, on_told: Callable[[str], None] | None = None) -> Maker:
    """That of a configuration: rules alone, rules and tests (`rm.build.code.checks`), or language models
    (`rm.build.llm.make`).

    Args:
        config: the configuration.
        on_told: told in a few words what language models were asked so far.

    Raises:
        ConfigError: as `Setup.of`.
        MissingExtra: a language model is to be asked, and httpx is not installed.
    """
    if config.llm.used:
        from rm.build.llm.make import by_llm

        return by_llm(config, on_told)
    if config.gates.run_tests:
        from rm.build.code.checks import by_tested_rule

        return by_tested_rule(config)
    return by_rule(config)


def by_rule(config: BuildConfig) -> Maker:
    """The maker that uses rules alone, in as many processes as the configuration says."""
    setup = Setup.of(config)
    count = config.workers or len(os.sched_getaffinity(0))

    def here(seeds: Iterator[Seed]) -> Iterator[bytes]:
        for seed in seeds:
            yield from outcome_lines([seed], setup)

    def make(seeds: Iterator[Seed]) -> Iterator[bytes]:
        return here(seeds) if count == 1 else _in_processes(seeds, config, count)

    return Maker(make, {"kinds": list(setup.rules.kinds)}, rule_labels(setup))


def rule_labels(setup: Setup) -> str:
    """Whose labels the traces have where no judge is asked."""
    name, official = setup.rubric.name, setup.official.name
    if setup.rules_grade:
        return f"of the rubric {name}, by the written rule of each kind; no judge's opinion"
    return f"none: rules grade by {official} alone, and {name} is not part of it; a judge could label the traces"


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
        except BrokenProcessPool:
            why = "A process of the build was killed: out of memory?"
            raise RunError(f"{why} What is done is kept: the same command, with fewer --workers, goes on.") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker_setup: list[Setup] = []


def _start_worker(config: BuildConfig) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    if parent is not None:  # a parent that is killed takes its processes along
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _worker_setup.append(Setup.of(config))


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _work(seeds: Sequence[Seed]) -> list[bytes]:
    return outcome_lines(seeds, _worker_setup[0])


def _tell(on_progress: Progress | None, count: int) -> None:
    if on_progress is not None:
        on_progress(count)
