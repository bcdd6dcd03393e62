"""`tracelift-rm groups import`: others' files as groups."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rm.build.importers.base import Importer


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `groups import`."""
    from rm.cli.scoring import positive

    parser = verbs.add_parser(
        "import",
        help="groups from step labels, samples of models, the official raw files",
        description="Convert others' files to groups. Forms: official (raw files of the official scripts), step-labels "
        "(PRM800K, ProcessBench, Math-Shepherd), samples ({question, answers[], correct[]}; without `correct` the "
        "answers are verified by the reference answer). What cannot be used is counted, with the reason.",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="as for `groups check`; all of one form")
    parser.add_argument("--from", dest="form", metavar="FORM", default="", help="the form; default: told by the fields")
    parser.add_argument("--out", metavar="FILE", required=True, help="gets the groups, as JSON Lines")
    parser.add_argument("--limit", metavar="N", type=positive, help="write only the first N groups")
    parser.add_argument("--force", action="store_true", help="replace FILE")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")
    parser.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from rm.build.importers.run import import_groups
    from rm.build.importers.table import find_importer
    from rm.cli.groups import summary_table
    from rm.files import check_file

    def announce(importer: Importer) -> None:
        if not args.form:
            print(f"Found {importer.description} (--from {importer.name}).", file=sys.stderr)

    if args.form:
        find_importer(args.form)
    check_file(args.out, args.force, args.paths)
    done = import_groups(
        args.paths, args.out, args.form, limit=args.limit, force=args.force, progress=True, announce=announce
    )
    if args.json:
        print(json.dumps(done.to_dict(), indent=2, ensure_ascii=False))
        return 0
    for reason, count in done.dropped.items():
        places = "".join(f"\n  {place}" for place in done.examples[reason])
        print(f"left out: {count:,} {reason}{places}", file=sys.stderr)
    print(f"{done.rows:,} rows, {done.traces:,} traces, {done.groups:,} groups: {args.out}")
    print(summary_table(done.summary))
    return 0
