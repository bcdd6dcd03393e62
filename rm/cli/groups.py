"""`tracelift-rm groups check|split|import`: look into files of groups, split them, make them of others' files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rm.cli import build, build_oracles, import_groups
from rm.cli.caches import Kept, add_verbs
from rm.errors import PRINTED, ConfigError

if TYPE_CHECKING:
    from rm.build.llm.cache import RepliesInfo, ReplyCache
    from rm.groups.checks import CheckReport
    from rm.groups.contamination import Contamination
    from rm.groups.similarity import Overlap
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
    build.add(verbs)
    build_oracles.add(verbs)
    import_groups.add(verbs)
    add_verbs(verbs.add_parser("cache", help="the stored replies of language models"), _REPLIES)


def _add_check(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from rm.cli.scoring import non_negative, positive

    check = verbs.add_parser("check", help="find every error and doubtful place; print statistics")
    check.add_argument("paths", metavar="PATH", nargs="+", help=_PATH_HELP)
    check.add_argument("--rubric", metavar="NAME|FILE", help="check labels against this rubric")
    check.add_argument(
        "--max-length",
        metavar="N",
        type=positive,
        help="tokens a text may have, for the warning on lengths (3072)",
    )
    check.add_argument(
        "--against", metavar="FILE", nargs="+", help="report how much of one set's problems stands in the other's"
    )
    check.add_argument(
        "--max-overlap",
        metavar="N",
        type=non_negative,
        help="with --against: exit code 1 where more than N problems are shared, or nearly (default: report only)",
    )
    check.add_argument("--json", action="store_true", help="print one JSON object, with the errors and warnings")
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
    from rm.groups.contamination import contamination
    from rm.rubric import Rubric

    if args.max_overlap is not None and not args.against:
        raise ConfigError("--max-overlap says how much may be shared with another set. Name it: --against FILE.")
    rubric = Rubric.load(args.rubric) if args.rubric else None
    max_length = DEFAULT_MAX_LENGTH if args.max_length is None else args.max_length
    report = check_groups(args.paths, rubric, max_length, progress=sys.stderr.isatty())
    shared = (
        contamination(args.paths, args.against, progress=sys.stderr.isatty()) if args.against and report.ok else None
    )
    _print_errors(report)
    if args.json:
        told = {**report.to_dict(), **({"against": shared.to_dict()} if shared else {})}
        print(json.dumps(told, indent=2))
    else:
        _print_warnings(report)
        if report.ok and report.summary is not None:
            print(summary_table(report.summary))
        if shared is not None:
            print(_against_page(shared))
    most = args.max_overlap
    if shared is not None and most is not None and shared.overlap.near_duplicates > most:
        print(f"{_count(shared.overlap.near_duplicates, 'shared problem')}, more than {most:,}.", file=sys.stderr)
        return 1
    return 0 if report.ok and (args.json or report.summary is not None) else 1


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


def _print_errors(report: CheckReport) -> None:
    for error in report.errors[:PRINTED]:
        print(error, file=sys.stderr)
    if report.error_count > PRINTED:
        print(f"... and {report.error_count - PRINTED:,} more; --json gives more.", file=sys.stderr)
    if report.errors:
        print(f"{_count(report.error_count, 'error')}.", file=sys.stderr)


def _print_warnings(report: CheckReport) -> None:
    for kind, count in report.warning_counts.items():
        print(f"warning: {kind} ({count:,})", file=sys.stderr)
        for warned in [warned for warned in report.warnings if warned.kind == kind][:_EXAMPLES]:
            print(f"  {warned.problem}", file=sys.stderr)
        if count > _EXAMPLES:
            print(f"  ... and {count - _EXAMPLES:,} more; --json gives more.", file=sys.stderr)


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
    lines = [
        f"train {len(split.train):,} groups, dev {len(split.dev):,} groups, in {out}",
        f"clusters of near-duplicates (similarity {found.threshold:g} and up): {split.clusters:,}, "
        f"the largest of {_count(split.largest_cluster, 'problem')}",
        f"contamination: highest similarity of a dev problem to a training problem {found.highest:.3f}; "
        f"{_duplicates(found)}",
        "closest pairs that remain:",
    ]
    return "\n".join([*lines, *_pairs(found, "dev", "train")])


def _against_page(shared: Contamination) -> str:
    found = shared.overlap
    lines = [
        f"overlap: of {_count(shared.problems, 'problem')} in {', '.join(shared.smaller)}, against "
        f"{', '.join(shared.larger)}: {_duplicates(found)} (similarity {found.threshold:g} and up); "
        f"highest similarity {found.highest:.3f}",
        "closest pairs:",
    ]
    return "\n".join([*lines, *_pairs(found, _named(shared.smaller), _named(shared.larger))])


def _named(files: Sequence[str]) -> str:
    """A set of files by the name of its first one."""
    return Path(files[0]).name + ("..." if len(files) > 1 else "")


def _duplicates(found: Overlap) -> str:
    exact = _count(found.exact_duplicates, "exact duplicate")
    return f"{exact}, {_count(found.near_duplicates, 'near-duplicate')}"


def _pairs(found: Overlap, one: str, other: str) -> list[str]:
    width = max(len(one), len(other))
    lines = []
    for pair in found.closest[:_PRINTED_PAIRS]:
        lines.append(f"  {pair.similarity:.3f}  {one:<{width}} {pair.dev_id}: {_short(pair.dev_problem)}")
        lines.append(f"         {other:<{width}} {pair.train_id}: {_short(pair.train_problem)}")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _short(text: str, width: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def _replies_page(info: RepliesInfo) -> list[str]:
    shares = (f"  {each.model}: {each.replies} replies, {each.tokens} tokens" for each in info.models)
    return [f"{info.file}: {info.replies} replies, {info.size_bytes / 2**20:.1f} MiB", *shares]


def _default_replies() -> Path:
    from rm.build.llm.config import LlmConfig

    return LlmConfig().cache_path()


def _open_replies(path: Path) -> ReplyCache:
    from rm.build.llm.cache import ReplyCache

    return ReplyCache(path)


_REPLIES = Kept("groups", "stored replies", "replies", "model", _default_replies, _open_replies, _replies_page)
