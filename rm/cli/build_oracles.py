"""`tracelift-rm groups oracles`: tests for code problems, each of which the reference program passes."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rm.cli.scoring import positive


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `oracles` below `groups`."""
    parser = verbs.add_parser(
        "oracles",
        help="tests of code problems that their reference programs pass",
        description=__doc__,
        epilog="Given tests and examples of the statement; what the reference fails is left out and counted. "
        "`tracelift-rm uplift PROBLEMS ORACLES` reads the rows with the problems.",
    )
    parser.add_argument(
        "--seeds", metavar="FILE", nargs="+", required=True, help="problems with reference programs, as for build"
    )
    parser.add_argument("--out", metavar="FILE", required=True, help="gets an oracle row a problem")
    parser.add_argument("--workers", metavar="N", type=positive, default=2, help="programs run at a time (2)")
    parser.add_argument("--seconds", metavar="S", type=float, default=2.0, help="processor time a run may take (2)")
    parser.add_argument(
        "--unsafe-subprocess", action="store_true", help="run programs without a sandbox: they can do what you can"
    )
    parser.add_argument("--force", action="store_true", help="replace the output")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")
    parser.set_defaults(run=_oracles)


def _oracles(args: argparse.Namespace) -> int:
    from rm.build.read_seeds import Refused, seed_files
    from rm.files import check_file, replace_file
    from rm.uplift.sandbox import Limits

    check_file(args.out, args.force, (file.path for file in seed_files(args.seeds)))
    limits = Limits(cpu_seconds=args.seconds, wall_seconds=2 * args.seconds)
    refused = Refused()
    with replace_file(args.out, args.force) as staging:
        counts = asyncio.run(_write(args, staging, limits, refused))
    for problem in refused.first:
        print(problem, file=sys.stderr)
    counts["refused"] = dict(refused.counts)
    print(json.dumps(counts, indent=2, ensure_ascii=False) if args.json else _page(counts, args.out))
    return 0 if counts["oracles"] else 1


async def _write(args: argparse.Namespace, staging: Path, limits: Any, refused: Any) -> dict[str, Any]:
    from tqdm import tqdm

    from rm.build.oracles import check_all
    from rm.build.read_seeds import file_rows, read_seeds
    from rm.uplift.sandbox import Sandbox

    seeds = read_seeds(file_rows(args.seeds, refused), "code", refused)
    problems = oracles = 0
    sources, dropped = Counter[str](), Counter[str]()
    sandbox = Sandbox(limits, workers=args.workers, unsafe_subprocess=args.unsafe_subprocess)
    bar = tqdm(desc="oracles", unit="problem", file=sys.stderr, disable=None)
    async with sandbox:
        with staging.open("w", encoding="utf-8") as file, bar:
            async for each in check_all(seeds, sandbox):
                problems += 1
                dropped.update(each.dropped)
                if each.oracle is not None:
                    oracles += 1
                    sources.update(test.source for test in each.oracle.tests)
                    file.write(json.dumps(each.row(), ensure_ascii=False) + "\n")
                bar.update()
    return {
        "problems": problems,
        "oracles": oracles,
        "tests": dict(sources),
        "dropped": {reason: count for reason, count in dropped.most_common() if count},
    }


def _page(counts: Mapping[str, Any], out: str) -> str:
    kept = ", ".join(f"{count:,} {source}" for source, count in counts["tests"].items()) or "none"
    lines = [f"{counts['oracles']:,} oracles of {counts['problems']:,} problems in {out}", f"tests kept: {kept}"]
    for what in ("dropped", "refused"):
        lines += [f"{what}: {count:,} ({reason})" for reason, count in counts[what].items()]
    return "\n".join(lines)
