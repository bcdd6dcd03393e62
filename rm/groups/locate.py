"""Which files a name stands for: a file, a folder, or a path inside a dataset repository of the hub.

`ORG/NAME:path/inside` (and `ORG/NAME@REVISION:path/inside`) is a file or a folder of such a repository; only what is
read of it is downloaded, each file by itself, so that a repository may hold files of many kinds. A folder, here or
there, stands for all data files below it of the first kind there is: JSON Lines, else a dataset saved by `datasets`
(its `.arrow` files, in order), else Parquet, else JSON. One that holds both training and evaluation files is refused:
which of them is meant is for the user to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rm.errors import Problem

SAVED_DATASET = "state.json"
KINDS = ((".jsonl", ".jsonl.gz"), (".arrow",), (".parquet",), (".json", ".json.gz"))
"""Suffixes of data files, a kind each; those of a folder's first kind are read."""
_DATA = tuple(suffix for kind in KINDS for suffix in kind)
_NO_DATA = frozenset({SAVED_DATASET, "dataset_info.json", "dataset_dict.json", "dataset_infos.json"})
_TRAINING = re.compile(r"(^|[/_.-])train(ing)?([/_.-]|$)", re.IGNORECASE)
_EVALUATION = re.compile(r"(^|[/_.-])(dev|test|val|valid|validation|eval|evaluation)([/_.-]|$)", re.IGNORECASE)
_LISTED = 12

Report = Callable[[Problem], None]


class DataFile(NamedTuple):
    """A file that can be opened, and what messages call it."""

    name: str
    path: Path


def locate(name: str | Path, report: Report, what: str = "group") -> list[DataFile]:
    """The files that a name stands for, downloaded where need be. A name that can be no hub name is taken for a file,
    whether it is there or not.

    Args:
        report: called where a folder or a repository has no such files; the list is empty then.
        what: what a row is meant to be, for the messages.

    Raises:
        ConfigError, RunError: as `rm.sources.dataset_repository`.
    """
    text, path = str(name), Path(name)
    if not text.strip():
        report(Problem("''", 0, "", f"the name of a file of {what}s", "an empty name"))
        return []
    if path.is_dir():
        below = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
        chosen = _choose(below, "", lambda inside: path / inside, text, report, what)
        return [DataFile(str(path / inside), path / inside) for inside in chosen]
    if path.exists() or (":" not in text and (path.parent.exists() or path.name.endswith(_DATA))):
        return [DataFile(text, path)]
    from rm.sources import dataset_repository, parse_dataset_name  # which loads the hub's client

    found = parse_dataset_name(text)
    if found is None:
        return [DataFile(text, path)]
    repository = dataset_repository(found.repository, found.revision)

    def fetch(inside: str) -> Path:
        return repository.fetch([inside]) / inside

    chosen = _choose(sorted(repository.files), found.inside.strip("/"), fetch, text, report, what)
    folder = repository.fetch(chosen) if chosen else Path()
    return [DataFile(f"{found.place}:{inside}", folder / inside) for inside in chosen]


def _choose(
    files: Sequence[str], inside: str, fetch: Callable[[str], Path], name: str, report: Report, what: str
) -> list[str]:
    """The data files at or below `inside`; none, and a report, where that is not settled."""
    if inside in files:
        return [inside]
    below = [file for file in files if file.startswith(f"{inside}/" if inside else "")]
    data = [file for file in below if file.endswith(_DATA) and PurePosixPath(file).name not in _NO_DATA]
    data = [file for file in data if not any(part.startswith(".") for part in PurePosixPath(file).parts)]
    kind = next((kind for kind in KINDS if any(file.endswith(kind) for file in data)), ())
    chosen = [file for file in data if file.endswith(kind)] if kind else []
    if kind == (".arrow",):
        chosen = _saved(below, fetch) or chosen
    if not chosen:
        there = _listed(below or [file for file in files if file.endswith(_DATA)])
        found = "a folder without any" if below else f"no such path; there are {there}" if there else "no data at all"
        report(Problem(name, 0, "", f"files of {what}s ({', '.join(_DATA)})", found, "Name a file or a folder."))
    elif (train := _first(chosen, _TRAINING)) and (other := _first(chosen, _EVALUATION)):
        found = f"both training and evaluation files ({train}, {other})"
        report(Problem(name, 0, "", f"one set of {what}s", found, "Name the file or the folder that is meant."))
        return []
    return chosen


def _saved(below: Sequence[str], fetch: Callable[[str], Path]) -> list[str]:
    """The files of datasets that were saved by `datasets`, each in its order; caches beside them are left out."""
    files = []
    for state in (file for file in below if PurePosixPath(file).name == SAVED_DATASET):
        with suppress(ValueError, KeyError, TypeError):  # a file of this name that is something else
            listed = json.loads(fetch(state).read_text(encoding="utf-8"))["_data_files"]
            files += [str(PurePosixPath(state).parent / each["filename"]) for each in listed]
    return [file for file in files if file in below]


def _first(files: Sequence[str], words: re.Pattern[str]) -> str:
    return next((file for file in files if words.search(file)), "")


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(files[:_LISTED]) + more
