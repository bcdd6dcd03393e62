"""Does the mean of several runs' weights carry over better than each of them?

    python tests/benchmarks/average_weights.py RUN RUN ... --dev dev.jsonl --foreign foreign.jsonl --out runs/averaged

The runs are of one recipe with different seeds, all weights trained from the same backbone (Wortsman et al. 2022, model
soups); `tests/benchmarks/loss_table.py` leaves such. Prints pair and group accuracy of the mean as a Markdown row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from rm.cli.main import main as tracelift

WEIGHTS = "model.safetensors"


def average(models: list[Path], out: Path) -> None:
    """A copy of the first model with the mean of all weights."""
    shutil.copytree(models[0], out)
    states = [load_file(model / WEIGHTS) for model in models]
    mean = {name: sum(state[name].float() for state in states) / len(states) for name in states[0]}
    save_file({name: mean[name].to(states[0][name].dtype) for name in mean}, out / WEIGHTS, metadata={"format": "pt"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--foreign", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    average([run / "model" for run in args.runs], args.out / "model")
    cells = []
    for use in ("dev", "foreign"):
        with contextlib.redirect_stdout(sys.stderr):
            code = tracelift(["evaluate", str(args.out / "model"), getattr(args, use), "--out", str(args.out / use)])
        if code:
            return code
        found = json.loads((args.out / use / "metrics.json").read_text(encoding="utf-8"))
        low, high = found["intervals"]["pair_accuracy"]
        cells += [f"{found['pair_accuracy']:.3f}", f"{low:.3f} to {high:.3f}", f"{found['group_accuracy']:.3f}"]
    print(f"| mean of {len(args.runs)} runs | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
