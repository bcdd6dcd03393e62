"""Options and steps that every verb with a reward model shares."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rm.errors import ConfigError

if TYPE_CHECKING:
    from rm.evaluate.score import Scorer
    from rm.evaluate.scored import ScoredGroup
    from rm.groups import Group


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of how a model is loaded and run."""
    parser.add_argument("--rubric", metavar="NAME|FILE", help="for official adapters, which name none")
    parser.add_argument("--base", metavar="PATH", help="where an adapter's base lies, if not where it says")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--device", metavar="NAME", help="default: the first GPU, else the CPU")
    parser.add_argument("--max-length", metavar="N", type=_positive, help="tokens a text may have")
    parser.add_argument("--tokens-per-batch", metavar="N", type=_positive, default=16384, help="memory bound (16384)")


def make_scorer(args: argparse.Namespace, path: str) -> Scorer:
    """Load a model as the options say, telling its notes."""
    import torch

    from rm.evaluate.score import Scorer
    from rm.model import load_reward_model
    from rm.rubric import Rubric

    if args.device is not None:
        try:
            torch.device(args.device)
        except RuntimeError as error:
            raise ConfigError(f"--device {args.device}: {error}") from None
    loaded = load_reward_model(
        path,
        rubric=Rubric.load(args.rubric) if args.rubric else None,
        base=args.base,
        dtype=args.dtype,
        device=args.device,
    )
    for note in loaded.notes:
        print(note, file=sys.stderr)
    return Scorer(loaded, max_length=args.max_length, tokens_per_batch=args.tokens_per_batch)


def score_groups(scorer: Scorer, groups: Sequence[Group], label: str = "score") -> list[ScoredGroup]:
    """Every candidate, with a progress bar."""
    from tqdm import tqdm

    count = sum(len(group.candidates) for group in groups)
    with tqdm(total=count, desc=label, unit="trace", file=sys.stderr, disable=None) as bar:
        return scorer.groups(groups, bar.update)


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a positive number, found {text}")
    return value
