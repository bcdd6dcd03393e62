"""Names for what decides an executor's texts; baselines are cached under them. They hold no address and no key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rm.sources import SHIPPED, TINY, TINY_EXECUTOR


def fingerprint_of(kind: str, facts: Mapping[str, Any]) -> str:
    """`KIND-HASH`, the same for the same facts (JSON values) in every process."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def name_weights(path: str, revision: str) -> dict[str, str]:
    """What names the weights: the content of a directory or the shipped executor, or a hub name and its revision."""
    directory = Path(str(SHIPPED / TINY_EXECUTOR)) if path == TINY else Path(path).expanduser()
    if not directory.is_dir():
        return {"model": path, "revision": revision}
    files = sorted(file for file in directory.iterdir() if file.is_file() and not file.name.startswith("."))
    stamps = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return {"content": _content_hash(directory.resolve(), stamps)}


@lru_cache(maxsize=16)
def _content_hash(directory: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 over names and contents; the stamps make a changed file a new key of the cache."""
    whole = hashlib.sha256()
    for name, _, _ in stamps:
        with (directory / name).open("rb") as file:
            whole.update(f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
