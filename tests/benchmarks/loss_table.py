"""The official recipe beside every listwise loss: equal base, steps, groups and seeds, judged on the same groups.

    python tests/benchmarks/loss_table.py --train gsm8k_groups_train.jsonl --dev gsm8k_groups_dev.jsonl \\
        --foreign prmbench_dev_groups.jsonl --out runs/loss-table --seeds 18 19 20

Each recipe and seed is one call of `tracelift-rm train` and one of `evaluate` a file; options that this script does not
know go to `train` (another base: --config configs/train-minilm.yaml --model.backbone PATH). `--recipes` takes the
variants of the default recipe, too: what might make a model carry over to foreign traces. The table is Markdown:
means over the seeds, the range of the seeds in brackets, and the first seed's 95% interval over groups. What has been
run before (its metrics.json is there) is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from rm.cli.main import main as tracelift
from rm.groups import load_groups
from rm.losses import LOSSES

OFFICIAL = "official"
"""pairwise_bounded 0.7 + cross-entropy 1.0 + Huber 0.5, one positive and 4 negatives a group."""
LISTWISE = ("list_net", "list_mle", "plackett_luce", "lambda_rank")


VARIANTS = {
    "list_net, length as shortcut": ["--loss.shortcut", "length"],
    "list_net, surface as shortcut": ["--loss.shortcut", "surface"],
    "list_net, T = 1": ["--loss.temperature", "1.0"],
    "list_net, two negatives": ["--data.negatives_per_group", "2"],
    "list_net, ranking alone": ["--loss.weights.dimensions", "0", "--loss.weights.total", "0"],
    "list_net, labels smoothed": ["--loss.label_smoothing", "0.1"],
    "list_net, LoRA rank 8": ["--lora.rank", "8", "--train.learning_rate", "1e-3"],
}
"""The default recipe with one thing changed."""


def recipe(name: str) -> list[str]:
    """The options that make a recipe; all else is equal."""
    if name in VARIANTS:
        return VARIANTS[name]
    if name == OFFICIAL:
        weights = ["--loss.weights.ranking", "0.7", "--loss.weights.dimensions", "1.0", "--loss.weights.total", "0.5"]
        return ["--loss.ranking", "pairwise_bounded", *weights, "--data.negatives_per_group", "4"]
    return ["--loss.ranking", name]


def call(*command: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # the table alone goes to the output
        code = tracelift([*command, "--force"])
    if code:
        raise SystemExit(code)


def run(name: str, seed: int, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Train one recipe where it has not been, and evaluate it: metrics by file."""
    out = Path(args.out) / f"{name}-{seed}".replace(", ", "-").replace(" ", "-")
    found = {}
    for use, file in (("dev", args.dev), ("foreign", args.foreign)):
        if not file:
            continue
        metrics = out / use / "metrics.json"
        if not metrics.is_file():
            if not (out / "run" / "model" / "training.json").is_file():
                settings = {"max_steps": args.steps, "groups_per_step": args.groups, "seed": seed}
                options = [part for key, value in settings.items() for part in (f"--train.{key}", str(value))]
                options += ["--data.train", args.train, "--output", str(out / "run"), *args.more]
                call("train", "--config", args.config, *recipe(name), *options)
            call("evaluate", str(out / "run"), file, "--out", str(out / use))
        found[use] = json.loads(metrics.read_text(encoding="utf-8"))
    return found


def cells(results: list[dict[str, Any]]) -> list[str]:
    """Pair accuracy with range and interval, group accuracy with range."""
    pairs, groups = ([result[key] for result in results] for key in ("pair_accuracy", "group_accuracy"))
    low, high = results[0]["intervals"]["pair_accuracy"]
    return [
        f"{statistics.fmean(pairs):.3f} ({min(pairs):.3f} to {max(pairs):.3f})",
        f"{low:.3f} to {high:.3f}",
        f"{statistics.fmean(groups):.3f} ({min(groups):.3f} to {max(groups):.3f})",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--foreign", help="groups of another origin, never trained on")
    parser.add_argument("--out", required=True)
    parser.add_argument("--config", default="configs/train-tiny.yaml")
    parser.add_argument("--recipes", nargs="+", default=[OFFICIAL, *LISTWISE], choices=[OFFICIAL, *LOSSES, *VARIANTS])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--groups", type=int, default=4, help="groups a step")
    parser.add_argument("--seeds", type=int, nargs="+", default=[18])
    args, args.more = parser.parse_known_args()
    for file in filter(None, (args.dev, args.foreign)):
        shared = {group.problem_key for group in load_groups(args.train)} & {g.problem_key for g in load_groups(file)}
        if shared:
            raise SystemExit(f"{len(shared)} problems of {file} are in {args.train}: its figures would be too good.")
    uses = ["dev", *(["foreign"] if args.foreign else [])]
    heads = [f"{use}: {what}" for use in uses for what in ("pairs", "95% interval, first seed", "groups")]
    print(f"| recipe | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name in args.recipes:
        results = [run(name, seed, args) for seed in args.seeds]
        row = [cell for use in uses for cell in cells([result[use] for result in results])]
        print(f"| {name} | {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
