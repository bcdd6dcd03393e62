"""Options and steps that every verb with a reward model shares."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rm.errors import ConfigError

if TYPE_CHECKING:
    from rm.evaluate.score import Scorer
    from rm.evaluate.scored import ScoredGroup
    from rm.groups import Group
    from rm.model import LoadedModel
    from rm.rubric import Rubric
    from rm.text import Row


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of how a model is loaded and run."""
    parser.add_argument("--rubric", metavar="NAME|FILE", help="for official adapters, which name none")
    parser.add_argument("--base", metavar="PATH", help="where an adapter's base lies, if not where it says")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--device", metavar="NAME", help="default: the first GPU, else the CPU")
    parser.add_argument("--max-length", metavar="N", type=positive, help="tokens a text may have")
    parser.add_argument(
        "--prefix-sharing",
        choices=("auto", "plain", "segments", "tree_mask", "flex"),
        default="auto",
        help="whether texts that begin alike share that computation (auto)",
    )
    parser.add_argument("--tokens-per-batch", metavar="N", type=positive, default=16384, help="memory bound (16384)")


def add_seed_option(parser: argparse.ArgumentParser) -> None:
    """The seed of the bootstrap."""
    parser.add_argument("--seed", metavar="N", type=non_negative, default=0, help="of the bootstrap (0)")


def inputs_of(args: argparse.Namespace, model: str, *data: str) -> list[str | Path]:
    """Every place that a verb with these options reads; no output may replace one."""
    from rm.model.checkpoint import model_directory

    rubric = [args.rubric] if args.rubric and Path(args.rubric).is_file() else []  # else the name of a shipped one
    return [model, model_directory(model), *data, *rubric, *([args.base] if args.base else [])]


def load_model(args: argparse.Namespace, path: str) -> LoadedModel:
    """Load a model as the options say."""
    import torch

    from rm.model import load_reward_model
    from rm.rubric import Rubric

    if args.device is not None:
        try:
            torch.zeros(1, device=args.device).item()  # `meta` holds no values, a GPU may not be there
        except (RuntimeError, AssertionError, ImportError) as error:
            why = str(error).split("\n", 1)[0]
            raise ConfigError(f"--device {args.device} cannot be used here: {why}") from None
    return load_reward_model(
        path,
        rubric=Rubric.load(args.rubric) if args.rubric else None,
        base=args.base,
        dtype=args.dtype,
        device=args.device,
    )


def make_scorer(args: argparse.Namespace, path: str) -> Scorer:
    """Load a model as the options say, telling its notes."""
    from rm.evaluate.score import Scorer

    loaded = load_model(args, path)
    scorer = Scorer(
        loaded,
        max_length=args.max_length,
        tokens_per_batch=args.tokens_per_batch,
        prefix_sharing=args.prefix_sharing,
    )
    for note in (*loaded.notes, *scorer.notes):
        print(note, file=sys.stderr)
    return scorer


def score_groups(scorer: Scorer, groups: Sequence[Group], label: str = "score") -> list[ScoredGroup]:
    """Every candidate, with a progress bar."""
    from tqdm import tqdm

    count = sum(len(group.candidates) for group in groups)
    with tqdm(total=count, desc=label, unit="trace", file=sys.stderr, disable=None) as bar:
        return scorer.groups(groups, bar.update)


def probe_rows(files: Sequence[str] | None, most: int) -> Callable[[Rubric], list[list[Row]]]:
    """What an export is compared on: the first groups of files, else of the shipped ones, as a rubric reads them.

    Raises:
        DataError: at once, for files that hold no sound groups.
    """
    from rm.evaluate.score import rows_of
    from rm.groups import load_groups
    from rm.lab import SAMPLE_DEV

    groups = load_groups(files or [SAMPLE_DEV])[:most]
    return lambda rubric: [rows_of(group, rubric) for group in groups]


def positive(text: str) -> int:
    """An option's whole number from 1 on."""
    return _whole_number(text, 1, "a positive number")


def non_negative(text: str) -> int:
    """An option's whole number from 0 on."""
    return _whole_number(text, 0, "a whole number from 0 on")


def _whole_number(text: str, lowest: int, expected: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if value < lowest:
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")
    return value
