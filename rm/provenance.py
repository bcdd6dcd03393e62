"""What a result comes from: hashes of the data, versions of what computed it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

PACKAGES = ("tracelift-rm", "torch", "transformers", "peft", "accelerate", "tokenizers")


def data_facts(files: Iterable[tuple[str, Path]]) -> list[dict[str, str]]:
    """Name and SHA-256 of each file, from its name and where it lies. Of a local one the directory is left out, since
    it means nothing elsewhere; the name of one on the hub is kept whole."""
    return [{"file": name if ":" in name else Path(name).name, "sha256": file_hash(path)} for name, path in files]


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(*further: str) -> dict[str, str]:
    """Versions of what decides a result, `further` packages included; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *further):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
