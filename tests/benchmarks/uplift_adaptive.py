"""Executor calls of the adaptive plan against a fixed number of runs, at an equal share of right signs. No executor.

    python tests/benchmarks/uplift_adaptive.py [--problems 12000] [--seed 0]

True rates are drawn from a stated mixture: 4 traces a problem; of the traces 40% help (they close 50-100% of the gap
between baseline and 1), 25% harm (they lose 50-100% of the baseline), 20% change little (by -0.15 to 0.15, uniform) and
15% do nothing. Baselines are drawn from Beta(2, 2), and from Beta(0.8, 1.6) where many problems are nearly hopeless.

Fixed n gives each trace n runs and n runs of a baseline of its own, as the official implementation does with n = 3.
The adaptive plan shares a problem's baseline, and its calls hold that; sharing alone is worth 1.6 at 4 traces, the rest
is stopping. Right signs are counted over the traces that have an effect, however small; a difference of 0 counts half.
Calls, for both, are over all traces. The n of equal accuracy is read between simulated ones, on the logarithm. The
table is Markdown, and the same for the same seed.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray

from rm.uplift.estimate import Adaptive, Counts, Simulated, fit_prior, simulate, stopping_bias
from rm.uplift.estimate.sequence import sequence_ends

Array = NDArray[np.float64]

TRACES = 4
SHARES = {"help": 0.40, "harm": 0.25, "little": 0.20, "none": 0.15}
BASELINES = {"Beta(2, 2)": (2.0, 2.0), "Beta(0.8, 1.6)": (0.8, 1.6)}
FIXED = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
LOOKS = Adaptive().looks
TRUTHS = ((0.5, 0.5), (0.6, 0.5), (0.75, 0.5), (0.95, 0.5), (0.2, 0.5), (0.98, 0.035))


def mixture(problems: int, beta: tuple[float, float], rng: np.random.Generator) -> tuple[Array, Array]:
    """(P, K) true rates with each trace, (P,) of the problems alone."""
    alone = rng.beta(*beta, problems)
    base, shape = alone[:, None], (problems, TRACES)
    kinds = rng.choice(list(SHARES), size=shape, p=list(SHARES.values()))
    rates = {
        "help": base + (1 - base) * rng.uniform(0.5, 1.0, shape),
        "harm": base * rng.uniform(0.0, 0.5, shape),
        "little": np.clip(base + rng.uniform(-0.15, 0.15, shape), 0, 1),
        "none": np.broadcast_to(base, shape),
    }
    return np.select([kinds == kind for kind in rates], list(rates.values())), alone


def right_signs(difference: Array, truth: Array) -> float:
    """Share of the traces with an effect whose difference has its sign."""
    product = np.sign(difference[truth != 0]) * np.sign(truth[truth != 0])
    return float((product + 1).mean() / 2)


def fixed_accuracy(n: int, rates: Array, alone: Array, rng: np.random.Generator) -> float:
    difference = rng.binomial(n, rates) - rng.binomial(n, np.broadcast_to(alone[:, None], rates.shape))
    return right_signs(difference.astype(float), rates - alone[:, None])


def rms(errors: Array) -> float:
    return float(np.sqrt((errors**2).mean()))


def shrunken(end: Simulated) -> Array:
    """(P, K) shrunken estimates under priors fitted to the first 1000 problems."""
    arms = (end.successes, end.runs), (end.baseline_successes, end.baseline_runs)
    means = []
    for traces, (successes, runs) in zip((TRACES, 1), arms, strict=True):
        pairs = zip(successes[:1000, :traces].ravel(), runs[:1000, :traces].ravel(), strict=True)
        prior = fit_prior(Counts(float(s), int(n)) for s, n in pairs)
        means.append((prior.a + successes) / (prior.a + prior.b + runs))
    return means[0] - means[1]


def row(name: str, plan: Adaptive, rates: Array, alone: Array, accuracies: list[float], seed: int) -> str:
    end = simulate(plan, rates, alone, np.random.default_rng(seed + 1))
    truth = rates - alone[:, None]
    accuracy, calls = right_signs(end.difference, truth), end.calls / rates.size
    fixed = 2 * float(np.exp(np.interp(accuracy, accuracies, np.log(FIXED))))
    low, high = sequence_ends(end.successes, end.runs, end.baseline_successes, end.baseline_runs, plan.level)
    coverage = float(np.mean((low <= truth) & (truth <= high)))
    errors = (rms(estimate - truth) for estimate in (end.difference, shrunken(end)))
    cells = [f"{accuracy:.3f}", f"{calls:.1f}", f"{fixed:.1f}", f"**{fixed / calls:.2f}**", f"{coverage:.3f}"]
    cells += [f"{error:.3f}" for error in errors]
    return f"| {name} | {plan.looks[-1]} | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(
        "| baselines | most runs a trace | right signs | calls a trace | fixed n, calls a trace | fewer | coverage "
        "| rms error, raw | shrunken (fitted priors) |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, beta in BASELINES.items():
        rng = np.random.default_rng(args.seed)
        rates, alone = mixture(args.problems, beta, rng)
        accuracies = [fixed_accuracy(n, rates, alone, rng) for n in FIXED]
        for most in (32, 48, 64):
            plan = Adaptive(looks=tuple(look for look in LOOKS if look <= most))
            print(row(name, plan, rates, alone, accuracies, args.seed), flush=True)
    print(
        "\n| true rates, with and without | bias, raw | bias, shrunken (uniform priors) | coverage | runs "
        "| baseline runs |"
    )
    print("|---|---|---|---|---|---|")
    for rate, without in TRUTHS:
        found = stopping_bias(Adaptive(), rate, without, seed=args.seed)
        biases = f"{found.raw:+.3f} ± {found.error:.3f} | {found.shrunken:+.3f}"
        print(f"| {rate}, {without} | {biases} | {found.coverage:.3f} | {found.runs:.1f} | {found.baseline_runs:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
