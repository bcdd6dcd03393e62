"""`cache info` and `cache prune`, below the verbs that keep something: what is stored, and how to remove it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rm.errors import ConfigError

DAY = 86400.0


class Cache(Protocol):
    """A file of what was paid for once."""

    def info(self) -> Any:
        """A dataclass of what is in the file."""

    def prune(self, older_than: float | None = None, maker: str | None = None, /) -> int:
        """Removes what is older (seconds) and of that maker; says how much."""

    def close(self) -> None:
        """Closes the file."""


@dataclass(frozen=True)
class Kept:
    """What the two verbs have to know of a cache.

    Args:
        verb: that keeps it, e.g. `uplift`.
        what: it is, e.g. `stored baselines`.
        unit: what is counted, e.g. `runs`.
        maker: option that names who made it; a fingerprint.
        default: the file where none is named.
        opened: the file's cache.
        page: what the terminal shows of `Cache.info`, line by line.
    """

    verb: str
    what: str
    unit: str
    maker: str
    default: Callable[[], Path]
    opened: Callable[[Path], Cache]
    page: Callable[[Any], Sequence[str]]


def add_verbs(parser: argparse.ArgumentParser, kept: Kept) -> None:
    """Add `info` and `prune` below a parser."""
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, what, run in (("info", "what is stored", _info), ("prune", f"remove stored {kept.unit}", _prune)):
        verb = verbs.add_parser(name, help=what)
        verb.add_argument("--cache", metavar="FILE", help="default: in the user's cache folder")
        verb.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "prune":
            verb.add_argument("--older-than", metavar="DAYS", type=float, help=f"only {kept.unit} of at least this age")
            verb.add_argument(f"--{kept.maker}", metavar="NAME", help="only of this fingerprint (see info)")
            verb.add_argument("--all", action="store_true", help="everything")
        verb.set_defaults(run=run, kept=kept)


def _info(args: argparse.Namespace) -> int:
    cache = _open(args)
    info = cache.info()
    cache.close()
    print(json.dumps(dataclasses.asdict(info), indent=2) if args.json else "\n".join(args.kept.page(info)))
    return 0


def _prune(args: argparse.Namespace) -> int:
    kept: Kept = args.kept
    maker = getattr(args, kept.maker)
    if not (args.all or args.older_than is not None or maker):
        choices = f"--older-than DAYS, --{kept.maker} NAME, or --all"
        raise ConfigError(f"{kept.verb} cache prune: say what: {choices}.")
    cache = _open(args)
    removed = cache.prune(None if args.older_than is None else args.older_than * DAY, maker)
    cache.close()
    print(json.dumps({"removed": removed}) if args.json else f"{removed} {kept.unit} removed.")
    return 0


def _open(args: argparse.Namespace) -> Cache:
    kept: Kept = args.kept
    path = Path(args.cache).expanduser() if args.cache else kept.default()
    if not path.is_file():
        raise ConfigError(f"{path}: there are no {kept.what}.")
    return kept.opened(path)
