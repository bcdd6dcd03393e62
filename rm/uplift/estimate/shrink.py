"""Empirical Bayes: what the other problems say about a rate measured with few runs.

Rates of success are taken to be draws from one Beta distribution over problems for the baseline, and from another over
traces for the runs with a trace. The fit is by maximum marginal likelihood; how the runs were stopped does not enter
it. The two rates of a trace are taken to be independent given these distributions: an easy problem is easy with the
trace too, so where problems differ much the shrunken uplift leans toward the mean uplift less well than it could.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import betaln, expit, log_expit

from rm.uplift.estimate.counts import Counts
from rm.uplift.estimate.posterior import difference_cdf

LOG_BOUND = 12.0
"""Of the logit of a prior's mean and of the log of its weight."""


@dataclass(frozen=True)
class BetaPrior:
    """Rates over problems: Beta(a, b).

    Args:
        a, b: > 0; a + b is the weight of the prior in runs.
    """

    a: float
    b: float

    @property
    def mean(self) -> float:
        """In (0, 1)."""
        return self.a / (self.a + self.b)

    def posterior(self, counts: Counts) -> BetaPrior:
        """After the runs of one arm; partial scores count as `Counts.effective_runs`."""
        if counts.rate is None:
            return self
        runs = counts.effective_runs
        return BetaPrior(self.a + counts.rate * runs, self.b + (1 - counts.rate) * runs)


@dataclass(frozen=True)
class Priors:
    """One of the rates with a trace, over traces, and one of the baseline, over problems."""

    with_trace: BetaPrior
    baseline: BetaPrior

    def difference(self, with_trace: Counts, baseline: Counts) -> float:
        """The shrunken uplift: posterior mean difference of the rates, in [-1, 1]; that of the priors without runs."""
        return self.with_trace.posterior(with_trace).mean - self.baseline.posterior(baseline).mean


@dataclass(frozen=True)
class Shrunken:
    """Posterior mean of the uplift in [-1, 1], and its equal-tailed credible interval."""

    value: float
    low: float
    high: float


def fit_prior(counts: Iterable[Counts]) -> BetaPrior:
    """The Beta distribution under which the counts of many problems are most probable.

    Args:
        counts: of one arm, one a problem (baselines) or a trace; those without runs are left out.

    Returns:
        Always proper: the likelihood is taken times a prior worth about one problem, uniform on the mean and on the
        shrinkage of a single run 1 / (1 + a + b). So all-0 or all-1 counts and a single problem give no point mass,
        and no counts at all give Beta(1/2, 1/2).

    Source: beta-binomial marginal likelihood, Skellam 1948; uniform shrinkage prior, Christiansen & Morris 1997,
    "Hierarchical Poisson regression modeling"; Daniels 1999.
    """
    used = [arm for arm in counts if arm.runs]
    runs = np.array([arm.effective_runs for arm in used])
    successes = np.array([arm.rate for arm in used], dtype=np.float64) * runs

    def loss(point: np.ndarray) -> float:
        logit, log_weight = point
        a, b = np.exp(log_weight) * expit(logit), np.exp(log_weight) * expit(-logit)
        marginal = betaln(a + successes, b + runs - successes) - betaln(a, b)
        prior = log_expit(point).sum() + log_expit(-point).sum()
        return float(-marginal.sum() - prior)

    start = np.zeros(2) if not used else np.array([_logit((successes.sum() + 0.5) / (runs.sum() + 1)), 0.0])
    logit, log_weight = minimize(loss, start, method="L-BFGS-B", bounds=[(-LOG_BOUND, LOG_BOUND)] * 2).x
    weight = float(np.exp(log_weight))
    return BetaPrior(weight * float(expit(logit)), weight * float(expit(-logit)))


def shrink(with_trace: Counts, baseline: Counts, priors: Priors, level: float = 0.95) -> Shrunken:
    """Posterior mean difference of the two rates; an arm without runs stands at its prior.

    Args:
        with_trace, baseline: runs of the two arms, however stopped.
        priors: fitted over many problems (`fit_prior`).
        level: posterior probability of the interval, in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    first, second = priors.with_trace.posterior(with_trace), priors.baseline.posterior(baseline)

    def quantile(probability: float) -> float:
        def excess(at: float) -> float:
            return float(difference_cdf(at, (first.a, first.b), (second.a, second.b))) - probability

        return float(brentq(excess, -1.0, 1.0, xtol=1e-6))

    value = priors.difference(with_trace, baseline)
    low, high = quantile((1 - level) / 2), quantile((1 + level) / 2)
    return Shrunken(value, min(low, value), max(high, value))


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))
