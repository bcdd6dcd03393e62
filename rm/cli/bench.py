"""`tracelift-rm bench`: what sharing prefixes is worth on this machine, with your model and your groups."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from rm.cli.overrides import read_overrides
from rm.cli.scoring import non_negative, positive

if TYPE_CHECKING:
    from rm.train.bench import BenchReport, Measured

HEAD = ("way", "quicker", "FLOP limit", "groups/s", "tokens/s", "computed", "padding", "memory", "TFLOP/s")

LEGEND = (
    "quicker: wall time of the plain way over this one's. FLOP limit: the same of floating point operations.",
    "groups/s, tokens/s: of the data, before sharing. computed: tokens that the network computed.",
    "memory: peak above what the model takes by itself.",
)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `bench`."""
    parser = subparsers.add_parser(
        "bench",
        help="measure training and scoring on this machine",
        description=__doc__,
        epilog="Takes the configuration of a training run and its options: --config FILE --data.train F "
        "--model.backbone NAME --train.tokens_per_microbatch N. Nothing is written.",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file; see configs/")
    parser.add_argument("--groups", metavar="N", type=positive, default=32, help="groups to work on (32)")
    parser.add_argument("--repeats", metavar="N", type=positive, default=3, help="after a warm-up (3)")
    parser.add_argument("--seed", metavar="N", type=non_negative, default=0, help="of the draw of groups (0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_bench, takes_overrides=True)


def _bench(args: argparse.Namespace) -> int:
    from rm.config import TrainConfig, load_config
    from rm.train.bench import bench

    config = load_config(TrainConfig, args.config, read_overrides(TrainConfig, args.rest))
    report = bench(config, groups=args.groups, repeats=args.repeats, seed=args.seed)
    print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else _page(report))
    return 0


def _page(report: BenchReport) -> str:
    from rm.evaluate.format import table

    lines = [
        *report.notes,
        f"{report.device}; {report.parameters:,} parameters, {report.trainable:,} of them train",
        f"{report.groups} groups, {report.candidates} candidates, {report.tokens:,} tokens; median of {report.repeats}",
    ]
    for title, rows in (("Training (forward, losses, backward)", report.train), ("Scoring", report.score)):
        lines += ["", title, table(HEAD, [_cells(row) for row in rows])]
    lines += ["", *LEGEND]
    if report.refused:
        lines += ["", *(f"{way} does not work here: {reason}." for way, reason in report.refused.items())]
    best = max(report.train, key=lambda row: row.ratio).way
    lines += ["", f"Quickest in training here: model.prefix_sharing: {best}"]
    return "\n".join(lines)


def _cells(row: Measured) -> tuple[str, ...]:
    share = f" ({row.share_of_peak:.0%} of peak)" if row.share_of_peak is not None else ""
    return (
        row.way,
        f"{row.ratio:.2f} x",
        f"{row.flop_ratio:.2f} x",
        f"{row.groups_per_second:.2f}",
        f"{row.tokens_per_second:,.0f}",
        f"{row.computed_tokens:,}",
        f"{row.padding_share:.1%}",
        f"{row.peak_bytes / 2**20:,.0f} MiB" if row.peak_bytes is not None else "-",
        f"{row.tflops_per_second:.3g}{share}",
    )
