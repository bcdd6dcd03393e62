"""`tracelift-rm train`: train a reward model on groups."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from rm.cli.training import add_run_options, interruption_told, run_overrides

if TYPE_CHECKING:
    from rm.train import CheckReport, TrainResult

SEED = "train.seed"


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `train`."""
    parser = subparsers.add_parser(
        "train",
        help="train a reward model on groups",
        description=__doc__,
        epilog="Any key of the configuration is an option: --train.learning_rate 1e-4 --data.train a.jsonl b.jsonl "
        "--lora.rank 16 --loss.ranking lambda_rank --output runs/mine. See rm/config.py for all of them.",
    )
    add_run_options(parser, configs="configs/", check="check all that needs no GPU, then stop", seed=SEED)
    parser.set_defaults(run=_train, takes_overrides=True)


def _train(args: argparse.Namespace) -> int:
    from rm.config import TrainConfig, load_config

    config = load_config(TrainConfig, args.config, run_overrides(TrainConfig, args, SEED))
    from rm.train import check_training, train
    from rm.train.directory import process_rank

    if args.check:
        report = check_training(config, resume=args.resume, force=args.force)
        print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else _check_page(report))
        return 0
    with interruption_told(config.output):
        result = train(config, resume=args.resume, force=args.force)
    if process_rank() == 0:  # one of the processes that `torchrun` started speaks for all
        print(json.dumps(_plain(result), indent=2) if args.json else _result_page(result))
    return 0


def _plain(result: TrainResult) -> dict[str, object]:
    return {
        "model": str(result.model),
        "steps": result.steps,
        "start": result.start,
        "best": result.best,
        "notes": list(result.notes),
    }


def _result_page(result: TrainResult) -> str:
    lines = [f"Trained {result.steps} steps. The model is in {result.model}"]
    if result.best:
        lines.append(
            f"Kept: step {result.best['step']}, dev pairs {result.best['eval_pair_accuracy']:.3f}, "
            f"groups {result.best['eval_group_accuracy']:.3f}."
        )
    if result.start:
        lines.append(
            f"Before: dev pairs {result.start['eval_pair_accuracy']:.3f}, "
            f"groups {result.start['eval_group_accuracy']:.3f}."
        )
    lines.append(f"Next: tracelift-rm evaluate {result.model} GROUPS.jsonl --out {result.model.parent / 'evaluation'}")
    return "\n".join(lines)


def _check_page(report: CheckReport) -> str:
    for note in report.notes:
        print(note, file=sys.stderr)
    lines = [f"groups           {report.groups} to train on, {report.dev_groups} held out"]
    if report.steps is not None:
        lines += [
            f"steps            {report.steps}, {report.steps_per_epoch} an epoch",
            f"longest text     {report.longest} tokens",
            f"cut, not fitting {report.truncated}, {report.unscorable}",
        ]
    if report.parameters is not None:
        lines.append(f"parameters       {report.parameters:,}, of which {report.trainable:,} train")
    lines += [f"not checked      {reason}" for reason in report.skipped]
    return "\n".join([*lines, "The configuration is sound."])
