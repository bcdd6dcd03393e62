"""What the verbs that train have in common: their options, a seed by its short name, how an interrupted run ends."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rm.cli.overrides import read_overrides
from rm.errors import ConfigError


def add_run_options(parser: argparse.ArgumentParser, *, configs: str, check: str, seed: str) -> None:
    """Add the options of a run.

    Args:
        parser: of the verb.
        configs: where the shipped configurations are.
        check: what --check does.
        seed: dotted key that --seed is short for.
    """
    parser.add_argument("--config", metavar="FILE", help=f"YAML file; see {configs}")
    parser.add_argument("--check", action="store_true", help=check)
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in the output, if there is one"
    )
    parser.add_argument("--force", action="store_true", help="replace what is in the output")
    parser.add_argument("--seed", metavar="N", help=f"short for --{seed}")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run_overrides(cls: type, args: argparse.Namespace, seed: str) -> dict[str, list[str]]:
    """`read_overrides`, with --seed under its key. Raises: ConfigError as there, and where both are given."""
    overrides = read_overrides(cls, args.rest)
    if args.seed is not None:
        if seed in overrides:
            raise ConfigError(f"--seed is short for --{seed}: give one of them.")
        overrides[seed] = [args.seed]
    return overrides


@contextmanager
def interruption_told(output: str) -> Iterator[None]:
    """An interrupted run says whether it can go on. Raises: KeyboardInterrupt with that."""
    from rm.train.checkpoints import complete_checkpoints

    try:
        yield
    except KeyboardInterrupt:
        kept = bool(complete_checkpoints(Path(output).expanduser()))
        told = "The run goes on from its last checkpoint with --resume." if kept else "There is no checkpoint yet."
        raise KeyboardInterrupt(told) from None
