"""The official recipe beside listwise losses: equal base, steps, groups and seeds, judged on the same held-out groups.

    python tests/benchmarks/loss_table.py --train train.jsonl --dev dev.jsonl --out runs/loss-table

Each recipe is one call of `tracelift-rm train` and one of `tracelift-rm evaluate`; the table is Markdown. A recipe
that has been run before (its metrics.json is there) is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from rm.cli.main import main as tracelift
from rm.losses import LOSSES

OFFICIAL = "official"
"""pairwise_bounded 0.7 + cross-entropy 1.0 + Huber 0.5, one positive and 4 negatives a group (FACTS of the paper)."""


def recipe(name: str) -> list[str]:
    """The options that make a recipe; all else is equal."""
    if name == OFFICIAL:
        weights = ["--loss.weights.ranking", "0.7", "--loss.weights.dimensions", "1.0", "--loss.weights.total", "0.5"]
        return ["--loss.ranking", "pairwise_bounded", *weights, "--data.negatives_per_group", "4"]
    return ["--loss.ranking", name]


def run(name: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Train and evaluate one recipe; its metrics by name."""
    out = Path(args.out) / f"{name}-{seed}"
    metrics = out / "evaluation" / "metrics.json"
    if not metrics.is_file():
        common = ["--train.max_steps", str(args.steps), "--train.groups_per_step", str(args.groups)]
        common += ["--train.seed", str(seed), "--train.eval_every", str(args.steps), "--train.eval_groups", "20"]
        options = ["--data.train", args.train, "--data.dev", args.dev[0], "--output", str(out / "run"), *args.more]
        code = tracelift(["train", "--config", args.config, *common, *recipe(name), *options, "--force"])
        if code:
            raise SystemExit(code)
        code = tracelift(["evaluate", str(out / "run"), *args.dev, "--out", str(out / "evaluation"), "--force"])
        if code:
            raise SystemExit(code)
    return json.loads(metrics.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True, nargs="+")
    parser.add_argument("--out", required=True)
    parser.add_argument("--config", default="configs/train-tiny.yaml")
    parser.add_argument(
        "--recipes", nargs="+", default=[OFFICIAL, "list_net", "lambda_rank"], choices=[OFFICIAL, *LOSSES]
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--groups", type=int, default=4, help="groups a step")
    parser.add_argument("--seeds", type=int, nargs="+", default=[18])
    args, args.more = parser.parse_known_args()
    print("| recipe | seeds | pair accuracy | 95% interval (first seed) | group accuracy | MRR | NDCG |")
    print("|---|---|---|---|---|---|---|")
    for name in args.recipes:
        results = [run(name, seed, args) for seed in args.seeds]
        low, high = results[0]["intervals"]["pair_accuracy"]
        means = [
            statistics.fmean(result[key] for result in results)
            for key in ("pair_accuracy", "group_accuracy", "mrr", "ndcg")
        ]
        pair, group, mrr, ndcg = (f"{value:.3f}" for value in means)
        print(f"| {name} | {len(results)} | {pair} | {low:.3f} to {high:.3f} | {group} | {mrr} | {ndcg} |")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
