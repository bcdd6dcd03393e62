"""`tracelift-rm export`: a checkpoint for others, proven to score as its source does."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from rm.cli.scoring import probe_rows
from rm.errors import ConfigError

PROBE_GROUPS = 40
HELD_OUT = 0.2
_MADE_WITH = ({"adapter_config.json"}, {"config.json", "README.md"})


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `export`."""
    parser = subparsers.add_parser("export", help="write a checkpoint that others can load", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a reward model's directory, or a run's output")
    parser.add_argument("out", metavar="OUT", help="a new directory")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--merge", action="store_true", help="fold the adapter into its base")
    form.add_argument("--adapter", action="store_true", help="keep the adapter apart")
    form.add_argument(
        "--seq-cls",
        action="store_true",
        help="a stock one-label AutoModelForSequenceClassification, its head fitted to the full score",
    )
    parser.add_argument("--fit-on", metavar="F", nargs="+", help="groups to fit that head on")
    parser.add_argument(
        "--least-agreement",
        metavar="T",
        type=_share,
        default=0.9,
        help="least Kendall's tau of that head with the full score on held-out groups (0.9)",
    )
    parser.add_argument("--task-type", metavar="T", help="in that head's texts (default: the groups' most frequent)")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="of merged weights; auto: as the base is stored",
    )
    parser.add_argument("--base", metavar="PATH", help="where the adapter's base lies, if not where it says")
    parser.add_argument(
        "--probes",
        metavar="F",
        nargs="+",
        help="groups to compare on (default: shipped ones; for --seq-cls a fifth of --fit-on)",
    )
    parser.add_argument(
        "--tolerance",
        metavar="P",
        type=_share,
        default=0.99,
        help="least agreement of pair order after rounding (0.99)",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    if args.adapter and args.dtype != "auto":
        raise ConfigError(f"--dtype {args.dtype} is of merged weights; an adapter is kept as it is. Leave it out.")
    if args.seq_cls != bool(args.fit_on):
        raise ConfigError("--seq-cls and --fit-on FILE go together: the head is fitted on groups.")
    from rm.files import check_directory
    from rm.model.checkpoint import model_directory
    from rm.model.export import export_model

    inputs = [
        args.model,
        model_directory(args.model),
        *(args.probes or ()),
        *(args.fit_on or ()),
        *([args.base] if args.base else ()),
    ]
    check_directory(args.out, args.force, inputs, made_with=_MADE_WITH)
    if args.seq_cls:
        return _export_seq_cls(args)
    report = export_model(
        args.model,
        args.out,
        probe_rows(args.probes, PROBE_GROUPS),
        merge=True if args.merge else False if args.adapter else None,
        dtype=args.dtype,
        base=args.base,
        tolerance=args.tolerance,
        force=args.force,
    )
    for note in report.notes:
        print(note, file=sys.stderr)
    if args.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
        return 0
    print(f"Exported to {report.out} ({report.form}, {report.dtype}).")
    print(
        f"Loaded again and scored on {report.probes} texts: largest difference {report.largest_difference:.1e}", end=""
    )
    print(f", pair order agrees on {report.order_agreement:.4f}." if report.order_agreement is not None else ".")
    return 0


def _export_seq_cls(args: argparse.Namespace) -> int:
    from rm.evaluate.score import rows_of
    from rm.groups import Group, load_groups
    from rm.groups.split import split_groups
    from rm.model.seq_cls import export_seq_cls

    fit_on: Sequence[Group] = load_groups(args.fit_on)
    if args.probes:
        held_out: Sequence[Group] = load_groups(args.probes)
        known = {group.problem_key for group in fit_on}
        shared = sum(group.problem_key in known for group in held_out)
        if shared:
            raise ConfigError(f"--probes: {shared} of its problems stand in --fit-on, too. Give groups of others.")
    else:
        split = split_groups(fit_on, HELD_OUT, seed=0)
        fit_on, held_out = split.train, split.dev
    report = export_seq_cls(
        args.model,
        args.out,
        lambda rubric: ([rows_of(group, rubric) for group in fit_on], [rows_of(group, rubric) for group in held_out]),
        least_agreement=args.least_agreement,
        task_type=args.task_type,
        dtype=args.dtype,
        base=args.base,
        force=args.force,
    )
    if report.left_out:
        print(f"{report.left_out} texts are too long and were left out.", file=sys.stderr)
    if args.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
        return 0
    print(f"Exported to {report.out} ({report.architecture}, one label, {report.dtype}).")
    print(
        f"Head fitted on {report.fitted_texts} texts of {report.fitted_groups} groups, loaded again, and compared with"
    )
    print(
        f"the full score on {report.held_out_groups} other groups: Kendall's tau {report.kendall:.3f}, "
        f"Spearman's rho {report.spearman:.3f}, the same best trace in {report.top_agreement:.1%}."
    )
    return 0


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # true for NaN
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text}")
    return value
