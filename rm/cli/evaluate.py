"""`tracelift-rm evaluate`: ranking accuracy on held-out groups, beside chance, the longest and a bag of words."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `evaluate`."""
    from rm.cli.scoring import add_model_options, add_seed_option

    parser = subparsers.add_parser("evaluate", help="ranking accuracy on held-out groups", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a reward model's directory, or a run's output")
    parser.add_argument("data", metavar="DATA", nargs="+", help="files of groups")
    parser.add_argument("--out", metavar="DIR", required=True, help="gets metrics.json, scores.parquet, report.html")
    parser.add_argument("--surface-train", metavar="F", nargs="+", help="groups for the bag of words to learn from")
    add_seed_option(parser)
    parser.add_argument("--force", action="store_true", help="replace DIR")
    parser.add_argument("--json", action="store_true", help="print metrics.json")
    add_model_options(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from rm.cli.scoring import inputs_of, make_scorer, score_groups
    from rm.evaluate.format import format_metrics
    from rm.evaluate.summary import summarize
    from rm.evaluate.surface import surface_baseline
    from rm.evaluate.write import METRICS_FILE, REPORT_FILE, write_evaluation
    from rm.files import check_directory
    from rm.groups import load_groups
    from rm.groups.read import data_files
    from rm.provenance import data_facts, versions

    inputs = inputs_of(args, args.model, *args.data, *(args.surface_train or ()))
    check_directory(args.out, args.force, inputs, made_with=[{METRICS_FILE}])
    scorer = make_scorer(args, args.model)
    groups = load_groups(args.data, scorer.rubric)
    surface_train = load_groups(args.surface_train) if args.surface_train else None
    scored = score_groups(scorer, groups)
    surface = surface_baseline(groups, surface_train)
    metrics = summarize(scored, scorer.rubric, surface, scorer.drift(groups), seed=args.seed)
    provenance = {
        "model": args.model,
        "data": ", ".join(f"{item['file']} ({item['sha256'][:12]})" for item in data_facts(data_files(args.data))),
        "rubric": f"{scorer.rubric.name} ({scorer.rubric.fingerprint})",
        "longest text": f"{scorer.encoder.max_length} tokens",
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    write_evaluation(args.out, scored, metrics, scorer.rubric, provenance, args.force)
    out = Path(args.out)
    if args.json:
        print((out / METRICS_FILE).read_text(encoding="utf-8"), end="")
    else:
        print(format_metrics(metrics))
        print(f"\nReport: {out / REPORT_FILE}", file=sys.stderr)
    return 0 if metrics["pair_accuracy"] is not None else _nothing_scored()


def _nothing_scored() -> int:
    print("No group could be scored whole; see the report for what was left out.", file=sys.stderr)
    return 1
