"""`tracelift-rm groups check|split|import`: look into files of groups, split them, make them of others' files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rm.cli import import_groups
from rm.errors import PRINTED, Problem

if TYPE_CHECKING:
    from rm.groups.checks import CheckReport
    from rm.groups.parse import Warned
    from rm.groups.split import Split
    from rm.groups.summary import Lengths, Summary

_EXAMPLES = 3
_PRINTED_PAIRS = 5
_PATH_HELP = "JSON Lines or JSON, plain or .gz; Parquet; a folder; or ORG/NAME:path/inside on the hub"


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `groups`."""
    parser = subparsers.add_parser("groups", help="check, split or import files of groups", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_check(verbs)
    _add_split(verbs)
    import_groups.add(verbs)


def _add_check(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from rm.cli.scoring import positive

    check = verbs.add_parser("check", help="find every error and doubtful place; print statistics")
    check.add_argument("paths", metavar="PATH", nargs="+", help=_PATH_HELP)
    check.add_argument("--rubric", metavar="NAME|FILE", help="check labels against this rubric")
    check.add_argument(
        "--max-length",
        metavar="N",
        type=positive,
        help="tokens a text may have, for the warning on lengths (3072)",
    )
    check.add_argument("--json", action="store_true", help="print one JSON object, with every error and warning")
    check.set_defaults(run=_check)


def _add_split(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    split = verbs.add_parser("split", help="training and development sets, near-duplicate problems on one side")
    split.add_argument("paths", metavar="PATH", nargs="+", help=_PATH_HELP)
    split.add_argument("--dev-fraction", metavar="F", type=float, default=0.1, help="share of dev groups (0.1)")
    split.add_argument("--seed", metavar="N", type=int, help="another seed, another split (18)")
    split.add_argument("--out", metavar="DIR", required=True, help="gets train.jsonl, dev.jsonl, split.json")
    split.add_argument(
        "--threshold", metavar="J", type=float, help="similarity that makes near-duplicates, 0.4 to 1 (0.5)"
    )
    split.add_argument("--force", action="store_true", help="replace DIR, an earlier split, and all that it holds")
    split.add_argument("--json", action="store_true", help="print the report as one JSON object")
    split.set_defaults(run=_split)


def _check(args: argparse.Namespace) -> int:
    from rm.groups.checks import DEFAULT_MAX_LENGTH, check_groups
    from rm.rubric import Rubric

    rubric = Rubric.load(args.rubric) if args.rubric else None
    max_length = DEFAULT_MAX_LENGTH if args.max_length is None else args.max_length
    report = check_groups(args.paths, rubric, max_length)
    _print_errors(report.errors)
    if args.json:
        print(json.dumps(report.to_dict(), indent=2))
        return 0 if report.ok else 1
    _print_warnings(report)
    if not report.ok or report.summary is None:
        return 1
    print(summary_table(report.summary))
    return 0


def _split(args: argparse.Namespace) -> int:
    from rm.files import check_directory
    from rm.groups.read import load_groups
    from rm.groups.similarity import DEFAULT_THRESHOLD
    from rm.groups.split import DEFAULT_SEED, REPORT_FILE, split_groups, write_split

    check_directory(args.out, args.force, args.paths, made_with=[{REPORT_FILE}])
    split = split_groups(
        load_groups(args.paths),
        args.dev_fraction,
        DEFAULT_SEED if args.seed is None else args.seed,
        DEFAULT_THRESHOLD if args.threshold is None else args.threshold,
        progress=sys.stderr.isatty(),
    )
    write_split(split, args.out, force=args.force)
    if args.json:
        print(json.dumps(split.report(), indent=2))
    else:
        print(_split_page(split, args.out))
    return 0


def _print_errors(errors: tuple[Problem, ...]) -> None:
    for error in errors[:PRINTED]:
        print(error, file=sys.stderr)
    if len(errors) > PRINTED:
        print(f"... and {len(errors) - PRINTED} more; --json gives all.", file=sys.stderr)
    if errors:
        print(f"{_count(len(errors), 'error')}.", file=sys.stderr)


def _print_warnings(report: CheckReport) -> None:
    by_kind: dict[str, list[Warned]] = {}
    for warned in report.warnings:
        by_kind.setdefault(warned.kind, []).append(warned)
    for kind, warnings in by_kind.items():
        print(f"warning: {kind} ({len(warnings)})", file=sys.stderr)
        for warned in warnings[:_EXAMPLES]:
            print(f"  {warned.problem}", file=sys.stderr)
        if len(warnings) > _EXAMPLES:
            print(f"  ... and {len(warnings) - _EXAMPLES} more; --json gives all.", file=sys.stderr)


def summary_table(summary: Summary) -> str:
    """What groups consist of, a line each."""
    rows = [
        ("groups", f"{summary.groups:,}"),
        ("candidates", f"{summary.candidates:,}"),
        ("positives a group", _histogram(summary.positives_per_group)),
        ("negatives a group", _histogram(summary.negatives_per_group)),
        ("with rubric labels", _share(summary.labelled, summary.candidates)),
        ("with a total", _share(summary.with_total, summary.candidates)),
        ("with a reference", _share(summary.with_reference, summary.groups)),
        ("with tests", _share(summary.with_tests, summary.groups)),
        ("kinds", _histogram(summary.kinds)),
        ("sources", _histogram(summary.sources)),
        ("task types", _histogram(summary.task_types)),
        *((f"labels {name}", _histogram(levels)) for name, levels in summary.labels.items()),
        ("problem, characters", _lengths(summary.problem_characters)),
        ("reasoning, characters", _lengths(summary.reasoning_characters)),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _histogram(counts: Mapping[str, int] | Mapping[int, int], limit: int = 12) -> str:
    shown = [f"{value}: {count:,}" for value, count in counts.items()]
    more = [f"and {len(shown) - limit} more"] if len(shown) > limit else []
    return ", ".join([*shown[:limit], *more])


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})"


def _lengths(lengths: Lengths) -> str:
    return f"median {lengths.median:,}, 90% {lengths.p90:,}, 99% {lengths.p99:,}, longest {lengths.longest:,}"


def _split_page(split: Split, out: str) -> str:
    found = split.contamination
    exact = _count(found.exact_duplicates, "exact duplicate")
    near = _count(found.near_duplicates, "near-duplicate")
    lines = [
        f"train {len(split.train):,} groups, dev {len(split.dev):,} groups, in {out}",
        f"clusters of near-duplicates (similarity {found.threshold:g} and up): {split.clusters:,}, "
        f"the largest of {_count(split.largest_cluster, 'problem')}",
        f"contamination: highest similarity of a dev problem to a training problem {found.highest:.3f}; "
        f"{exact}, {near}",
        "closest pairs that remain:",
    ]
    for pair in found.closest[:_PRINTED_PAIRS]:
        lines.append(f"  {pair.similarity:.3f}  dev   {pair.dev_id}: {_short(pair.dev_problem)}")
        lines.append(f"         train {pair.train_id}: {_short(pair.train_problem)}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _short(text: str, width: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."
