"""`tracelift-rm compare A B DATA`: do two reward models differ, group by group?"""

from __future__ import annotations

import argparse
import gc
import json
import sys


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `compare`."""
    from rm.cli.scoring import add_model_options, add_seed_option

    parser = subparsers.add_parser("compare", help="paired differences of two models", description=__doc__)
    parser.add_argument("a", metavar="A", help="a reward model")
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument("data", metavar="DATA", nargs="+", help="files of groups")
    parser.add_argument("--surface-train", metavar="F", nargs="+", help="groups for the bag of words to learn from")
    add_seed_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_model_options(parser)
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    from rm.cli.scoring import make_scorer, score_groups
    from rm.evaluate.compare import compare, format_comparison
    from rm.evaluate.surface import surface_baseline
    from rm.groups import load_groups

    groups = load_groups(args.data)
    scored = []
    for path in (args.a, args.b):
        scorer = make_scorer(args, path)
        scored.append(score_groups(scorer, groups, path))
        del scorer  # one model in memory at a time
        gc.collect()
    surface = surface_baseline(groups, load_groups(args.surface_train) if args.surface_train else None)
    result = compare(scored[0], scored[1], surface, seed=args.seed)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print(format_comparison(result, args.a, args.b))
    if not result["n_groups"]:
        print("No group could be scored whole by both models.", file=sys.stderr)
        return 1
    return 0
