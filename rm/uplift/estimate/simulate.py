"""What a sequential plan does at known success rates: its cost, the bias of the raw difference, coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm.uplift.estimate.adaptive import Adaptive
from rm.uplift.estimate.sequence import sequence_ends
from rm.uplift.estimate.shrink import BetaPrior, Priors

Array = NDArray[np.float64]
UNIFORM = Priors(BetaPrior(1.0, 1.0), BetaPrior(1.0, 1.0))


@dataclass(frozen=True)
class Simulated:
    """Counts at the stop, for P problems of K traces each on one baseline. Runs pass or fail.

    Args:
        successes, runs: (P, K) with each trace.
        baseline_successes, baseline_runs: (P, K) of the part of the baseline that the trace was compared with.
        calls: all runs made; a problem's baseline counts once.
    """

    successes: Array
    runs: Array
    baseline_successes: Array
    baseline_runs: Array
    calls: int

    @property
    def difference(self) -> Array:
        """(P, K) raw difference of the rates."""
        return self.successes / self.runs - self.baseline_successes / self.baseline_runs


@dataclass(frozen=True)
class StoppingBias:
    """At one pair of true rates, means over simulations.

    Args:
        raw: bias of the raw difference.
        shrunken: bias of the shrunken estimate.
        error: standard error of `raw` by the number of simulations.
        coverage: share of intervals that hold the truth.
        runs, baseline_runs: judged runs at the stop.
    """

    raw: float
    shrunken: float
    error: float
    coverage: float
    runs: float
    baseline_runs: float


def simulate(plan: Adaptive, rates: ArrayLike, baseline_rates: ArrayLike, rng: np.random.Generator) -> Simulated:
    """Carry out a plan on P problems of K traces.

    Args:
        rates: (P, K) true success rates with each trace, in [0, 1].
        baseline_rates: (P,) true success rates of the problems alone.
    """
    rates, alone = np.asarray(rates, dtype=np.float64), np.asarray(baseline_rates, dtype=np.float64)
    successes, runs, compared, compared_runs = (np.zeros(rates.shape) for _ in range(4))
    baseline, baseline_runs = np.zeros(alone.shape), np.zeros(alone.shape)
    going, seen = np.ones(rates.shape, dtype=bool), 0
    for look in plan.looks:
        successes += np.where(going, rng.binomial(look - seen, rates), 0)
        runs[going] = seen = look
        more = np.where(going.any(axis=1), np.maximum(0, plan.baseline_at(look) - baseline_runs), 0).astype(int)
        baseline += rng.binomial(more, alone)
        baseline_runs += more
        problem, _ = np.nonzero(going)
        compared[going], compared_runs[going] = baseline[problem], baseline_runs[problem]
        going[going] = ~_stops(plan, successes[going], look, baseline[problem], baseline_runs[problem])
        if not going.any():
            break
    return Simulated(successes, runs, compared, compared_runs, int(runs.sum() + baseline_runs.sum()))


def stopping_bias(
    plan: Adaptive,
    rate: float,
    baseline_rate: float,
    *,
    seed: int,
    simulations: int = 4000,
    priors: Priors = UNIFORM,
) -> StoppingBias:
    """Bias of the two point estimates after a plan's optional stopping, at stated true rates.

    Args:
        rate, baseline_rate: true success rates with and without the trace, in [0, 1].
        priors: of the shrunken estimate.
    """
    rng = np.random.default_rng(seed)
    end = simulate(plan, np.full((simulations, 1), rate), np.full(simulations, baseline_rate), rng)
    truth, difference = rate - baseline_rate, end.difference
    shrunken = _mean(priors.with_trace, end.successes, end.runs) - _mean(
        priors.baseline, end.baseline_successes, end.baseline_runs
    )
    low, high = sequence_ends(end.successes, end.runs, end.baseline_successes, end.baseline_runs, plan.level)
    return StoppingBias(
        raw=float(difference.mean() - truth),
        shrunken=float(shrunken.mean() - truth),
        error=float(difference.std(ddof=1) / np.sqrt(simulations)),
        coverage=float(np.mean((low <= truth) & (truth <= high))),
        runs=float(end.runs.mean()),
        baseline_runs=float(end.baseline_runs.mean()),
    )


def _stops(plan: Adaptive, s1: Array, look: int, s0: Array, n0: Array) -> NDArray[np.bool_]:
    """Sign or width settled; equal counts are decided once."""
    different, back = np.unique(np.stack([s1, s0, n0]), axis=1, return_inverse=True)
    sign, width = plan.decide(different[0], look, different[1], different[2])
    return (sign | width)[back.reshape(-1)]


def _mean(prior: BetaPrior, successes: Array, runs: Array) -> Array:
    return (prior.a + successes) / (prior.a + prior.b + runs)
