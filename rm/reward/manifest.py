"""`bundle.json`: what a bundle is, with the hash of every file, so that none is missing, altered or foreign.

The file itself is checked, too: it stands in one form only, and holds its own hash. This guards against accidents and
mix-ups; who can write all of a bundle can write a consistent other one, so take bundles from where you trust.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rm.errors import ConfigError
from rm.provenance import file_hash, versions

BUNDLE = "bundle.json"
KIND = "tracelift-reward"
SCHEMA_VERSION = 1
LEFT_ALONE = frozenset({".git", ".gitattributes", ".cache", ".huggingface"})
"""What the hub's tools put beside a repository's files; nothing here reads it."""

Content = dict[str, Any]
UPGRADES: Mapping[int, Callable[[Content], Content]] = {}
"""Older schema version -> what makes the content of the next one of it. There is none yet."""
NAMED = 10


def write_manifest(directory: Path, content: Mapping[str, Any]) -> None:
    """Write `bundle.json` over all other files of a directory.

    Args:
        directory: of the bundle, complete but for this file.
        content: JSON values: what is to be said of it.
    """
    files = {name: file_hash(directory / name) for name in files_of(directory) if name != BUNDLE}
    whole = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "made_by": f"tracelift-rm {versions().get('tracelift-rm', 'of no known version')}",
        **content,
        "files": files,
    }
    (directory / BUNDLE).write_bytes(_form({**whole, "sha256": _own_hash(whole)}))


def read_manifest(directory: Path, upgrades: Mapping[int, Callable[[Content], Content]] = UPGRADES) -> Content:
    """The content of `bundle.json` in the form of `SCHEMA_VERSION`; every file of the directory is checked.

    Args:
        directory: of the bundle.
        upgrades: as `UPGRADES`.

    Raises:
        ConfigError: no bundle, a schema that cannot be read, or files that are missing, altered or foreign, by name.
    """
    content = _read(directory)
    version = content["schema_version"]
    made_by = content.get("made_by", "an unknown version")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{directory}: its schema version {version} is newer than {SCHEMA_VERSION}, which this version reads. It "
            f"was made by {made_by}: install that or a later one."
        )
    _check_files(directory, content)
    while version < SCHEMA_VERSION:
        if version not in upgrades:
            raise ConfigError(
                f"{directory}: its schema version {version} is older than what this version reads ({SCHEMA_VERSION}). "
                f"Export it again (tracelift-rm reward export), or load it with {made_by}."
            )
        content = upgrades[version](content)
        version += 1
    return content


def files_of(directory: Path) -> list[str]:
    """Every file below a directory, by its relative path with `/`, sorted; a link to a directory counts as one."""
    found = []
    for root, folders, names in os.walk(directory):
        here = Path(root)
        folders[:] = sorted(name for name in folders if here != directory or name not in LEFT_ALONE)
        links = [name for name in folders if (here / name).is_symlink()]
        found += [(here / name).relative_to(directory).as_posix() for name in (*names, *links)]
    return sorted(name for name in found if name not in LEFT_ALONE)


def _read(directory: Path) -> Content:
    file = directory / BUNDLE
    if not file.is_file():
        raise ConfigError(
            f"{directory}: no reward bundle here: {BUNDLE} is missing. Make one: tracelift-rm reward export."
        )
    raw = file.read_bytes()
    try:
        content = json.loads(raw)
    except ValueError as error:  # of JSON and of UTF-8
        raise ConfigError(f"{file}: not valid JSON ({error}). Copy the bundle again.") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ConfigError(f"{file}: not the description of a reward bundle.")
    version = content.get("schema_version")
    if type(version) is not int or version < 1:
        raise ConfigError(f"{file}: schema_version = {version!r}, expected a whole number from 1 on.")
    own = content.get("sha256")
    if own != _own_hash({key: value for key, value in content.items() if key != "sha256"}) or raw != _form(content):
        raise ConfigError(f"{file}: altered since it was written (it holds its own hash). Copy the bundle again.")
    return content


def _check_files(directory: Path, content: Content) -> None:
    stated = content.get("files")
    if not isinstance(stated, dict):
        raise ConfigError(f"{directory / BUNDLE}: it names no files.")
    there = set(files_of(directory)) - {BUNDLE}
    altered = [name for name in sorted(there & stated.keys()) if not _is_file(directory / name, str(stated[name]))]
    problems = [
        f"{directory}: {what}: {_named(names)}. {fix}"
        for what, names, fix in (
            ("missing", sorted(stated.keys() - there), "Copy the bundle again."),
            ("altered since the export", altered, "Copy the bundle again, or export it anew."),
            ("not part of the bundle", sorted(there - stated.keys()), "Move them elsewhere."),
        )
        if names
    ]
    if problems:
        raise ConfigError(problems)


def _is_file(file: Path, sha256: str) -> bool:
    try:
        return file_hash(file) == sha256
    except OSError:
        return False


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _form(content: Mapping[str, Any]) -> bytes:
    """The one form in which the content is written."""
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _own_hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_form(content)).hexdigest()
