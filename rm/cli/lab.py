"""`tracelift-rm lab run`: does the reward help? Planners trained with different ones in a tiny world."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rm.cli.scoring import positive

if TYPE_CHECKING:
    from rm.lab.experiment import Size


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `lab`."""
    parser = subparsers.add_parser("lab", help="the whole method in a tiny world, measured", description=__doc__)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verb = verbs.add_parser(
        "run",
        help="train planners with different rewards and compare them",
        epilog="What is done is on disk: a run that was stopped goes on with --resume, and --report writes the page of "
        "what is there so far.",
    )
    verb.add_argument("--out", metavar="DIR", required=True, help="directory of the experiment")
    verb.add_argument("--short", action="store_true", help="a few steps, to see that it works: its figures say nothing")
    verb.add_argument("--arms", metavar="NAME", nargs="+", default=[], help="which (default: all but the extra ones)")
    verb.add_argument(
        "--seeds", metavar="N", type=positive, help="runs of each arm (default: 8 of two, 3 of the others)"
    )
    verb.add_argument("--steps", metavar="N", type=positive, help="of each planner, in place of the size's own")
    verb.add_argument("--workers", metavar="N", type=positive, default=os.cpu_count() or 1, help="runs at a time")
    once = verb.add_mutually_exclusive_group()
    once.add_argument("--resume", action="store_true", help="go on with the experiment in DIR")
    once.add_argument("--force", action="store_true", help="replace the experiment in DIR")
    verb.add_argument("--report", action="store_true", help="write the page of what is done, and stop")
    verb.add_argument("--json", action="store_true", help="print table.json, and nothing else, on stdout")
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from rm.lab.arms import ARMS, chosen_runs
    from rm.lab.experiment import open_experiment, prepare, run_all, stored_size
    from rm.lab.outcome import format_results
    from rm.lab.page import write_report

    out, size = Path(args.out), _size(args)
    seeds = 1 if args.short and args.seeds is None else args.seeds
    arms = args.arms or (["exec-only", "tracelift"] if args.short else [])
    runs = chosen_runs(arms, seeds)
    if args.report:
        size = stored_size(out)
    else:
        open_experiment(out, size, args.resume, args.force)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.0f} s] {text}", file=sys.stderr, flush=True)

    failed = []
    if not args.report:
        prepare(out, size, dict.fromkeys(["listwise", *(ARMS[name].judge for name, _ in runs)]), say)
        failed = run_all(out, runs, args.workers, say)
    results, findings = write_report(out, size)
    if args.json:
        print((out / "table.json").read_text(encoding="utf-8"), end="")
    else:
        print(format_results(results))
        print("\n" + "\n".join(f"* {finding.text}" for finding in findings))
        print(f"\nReport: {out / 'report.html'}", file=sys.stderr)
    if failed:
        names = ", ".join(f"{arm}/{seed}" for arm, seed in failed)
        print(f"{len(failed)} runs failed: {names}. Mend what their log.txt says, then --resume.", file=sys.stderr)
    return 1 if failed else 0


def _size(args: argparse.Namespace) -> Size:
    from dataclasses import replace

    from rm.lab.experiment import FULL, SHORT

    size = SHORT if args.short else FULL
    return size if args.steps is None else replace(size, steps=args.steps)
