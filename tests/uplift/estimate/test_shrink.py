"""Priors fitted over problems, against SciPy's beta-binomial and the truth; posteriors against SciPy's Beta."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rm.uplift.estimate import BetaPrior, Counts, Priors, fit_prior, shrink

UNIFORM = Priors(BetaPrior(1, 1), BetaPrior(1, 1))


def drawn(a, b, problems, runs, seed=0):
    rng = np.random.default_rng(seed)
    return [Counts(int(k), runs) for k in rng.binomial(runs, rng.beta(a, b, problems))]


def test_the_fit_is_the_greatest_of_scipys_marginal_likelihood():
    counts = drawn(2, 5, 2000, 16)
    successes = np.array([arm.successes for arm in counts])

    def likelihood(a, b):
        return scipy.stats.betabinom(16, a, b).logpmf(successes).sum()

    prior = fit_prior(counts)
    best = likelihood(prior.a, prior.b)
    for factor_a, factor_b in [(1.05, 1.05), (0.95, 0.95), (1.03, 1), (0.97, 1)]:
        assert likelihood(prior.a * factor_a, prior.b * factor_b) < best


@pytest.mark.parametrize(("a", "b"), [(2, 5), (0.3, 0.3), (20, 4)])
def test_the_fit_finds_the_true_prior_over_many_problems(a, b):
    prior = fit_prior(drawn(a, b, 3000, 16))
    assert (prior.a, prior.b) == pytest.approx((a, b), rel=0.15)


def test_no_problems_give_jeffreys_prior():
    prior = fit_prior([Counts(0, 0)])
    assert (prior.a, prior.b) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ([Counts(0, 16)] * 30, 0.0, 0.03),
        ([Counts(16, 16)] * 30, 0.97, 1.0),
        ([Counts(8, 16)], 0.4, 0.6),
        ([Counts(1, 1)], 0.5, 0.95),
        ([Counts(8, 16)] * 30, 0.45, 0.55),
    ],
)
def test_edges_give_proper_priors(counts, low, high):
    prior = fit_prior(counts)
    assert prior.a > 0
    assert prior.b > 0
    assert low <= prior.mean <= high


def test_one_problem_is_no_certainty():
    prior = fit_prior([Counts(8, 16)])
    assert prior.a + prior.b < 16  # else the prior would weigh more than all that it comes from


def test_equal_problems_pull_more_than_different_ones():
    same, spread = fit_prior([Counts(8, 16)] * 30), fit_prior([Counts(0, 16), Counts(16, 16)] * 15)
    assert same.a + same.b > 50
    assert spread.a + spread.b < 0.5


def test_the_posterior_is_betas():
    found = shrink(Counts(8, 8), Counts(3, 16), UNIFORM)
    with_trace, baseline = scipy.stats.beta(9, 1), scipy.stats.beta(4, 14)
    rng = np.random.default_rng(0)
    draws = with_trace.rvs(200_000, random_state=rng) - baseline.rvs(200_000, random_state=rng)
    assert found.value == pytest.approx(with_trace.mean() - baseline.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.01)


def test_no_runs_stand_at_the_prior():
    priors = Priors(BetaPrior(3, 1), BetaPrior(1, 1))
    assert shrink(Counts(0, 0), Counts(0, 0), priors).value == pytest.approx(0.25)


def test_shrunken_estimates_err_less_than_raw_ones():
    rng = np.random.default_rng(0)
    p1, p0 = rng.beta(6, 2, 400), rng.beta(2, 4, 400)
    with_trace = [Counts(int(k), 4) for k in rng.binomial(4, p1)]
    baseline = [Counts(int(k), 16) for k in rng.binomial(16, p0)]
    priors = Priors(fit_prior(with_trace), fit_prior(baseline))
    raw = np.array([arm.rate - other.rate for arm, other in zip(with_trace, baseline, strict=True)])
    shrunken = np.array([priors.difference(arm, other) for arm, other in zip(with_trace, baseline, strict=True)])
    assert ((shrunken - (p1 - p0)) ** 2).mean() < 0.7 * ((raw - (p1 - p0)) ** 2).mean()


def test_credible_intervals_hold_their_share_where_the_prior_is_right():
    rng = np.random.default_rng(0)
    p1, p0 = rng.beta(6, 2, 250), rng.beta(2, 4, 250)
    priors, held = Priors(BetaPrior(6, 2), BetaPrior(2, 4)), 0
    for rate, alone in zip(p1, p0, strict=True):
        found = shrink(Counts(int(rng.binomial(4, rate)), 4), Counts(int(rng.binomial(16, alone)), 16), priors, 0.8)
        held += found.low <= rate - alone <= found.high
    assert held / 250 == pytest.approx(0.8, abs=0.07)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1)), max_size=6))
def test_any_counts_have_a_prior_and_an_estimate(arms):
    counts = [Counts(share * runs, runs) for runs, share in arms]
    prior = fit_prior(counts)
    found = shrink(counts[0] if counts else Counts(0, 0), Counts(0, 16), Priors(prior, prior))
    assert -1 <= found.low <= found.value <= found.high <= 1
