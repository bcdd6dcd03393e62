"""Calls lost at random, 30 in 100: every estimate's expectation stays where it was, at the truth; only the cost grows.

Calls are made as a driver makes them: a lost one enters no count, and the plan asks again for what is missing.
"""

from functools import cache

import numpy as np
import pytest

from rm.uplift.estimate import (
    Adaptive,
    BetaPrior,
    Counts,
    Priors,
    Sampled,
    adjusted_mean,
    confidence_sequence,
    fit_prior,
    newcombe,
)

LOST = 0.3
RATE, ALONE = 0.75, 0.4
TRUTH = RATE - ALONE
PRIORS = Priors(BetaPrior(2, 1), BetaPrior(1, 1))


class Arm:
    """Calls of one arm, some of them lost, and their scores: half the successes are partial."""

    def __init__(self, rate, lost, rng):
        self.rate, self.lost, self.rng = rate, lost, rng
        self.counts, self.calls = Counts(0.0, 0), 0

    def ask(self, count):
        self.calls += count
        judged = int((self.rng.random(count) >= self.lost).sum())
        scores = np.where(self.rng.random(judged) < 0.5, 1.0, 0.5) * (self.rng.random(judged) < self.rate / 0.75)
        self.counts += Counts.of(scores.tolist())


def follow(plan, lost, rng):
    """Both arms as the plan leaves them."""
    with_trace, baseline = Arm(RATE, lost, rng), Arm(ALONE, lost, rng)
    while (more := plan.next(with_trace.counts, baseline.counts)) is not None:
        with_trace.ask(more[0])
        baseline.ask(more[1])
    return with_trace, baseline


def mean_and_error(values):
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))


def test_the_sampled_difference_stays_at_the_truth_where_lost_calls_are_not_repeated():
    rng = np.random.default_rng(0)
    values, held = [], []
    for _ in range(1200):
        arms = Arm(RATE, LOST, rng), Arm(ALONE, LOST, rng)
        for arm, count in zip(arms, (8, 16), strict=True):
            arm.ask(count)
        found = newcombe(arms[0].counts, arms[1].counts)
        values.append(found.value)
        held.append(found.low <= TRUTH <= found.high)
    mean, error = mean_and_error(values)
    assert abs(mean - TRUTH) < 3 * error
    assert np.mean(held) > 0.93


def test_the_sampled_plan_stays_at_the_truth_and_costs_more():
    rng, plan = np.random.default_rng(1), Sampled()
    ends = [follow(plan, LOST, rng) for _ in range(500)]
    mean, error = mean_and_error([plan.estimate(a.counts, b.counts).value for a, b in ends])
    assert abs(mean - TRUTH) < 3 * error
    assert np.mean([a.calls for a, _ in ends]) == pytest.approx(8 / (1 - LOST), rel=0.05)


class Remembered(Adaptive):
    """The default plan; equal counts are decided once, for speed."""

    @cache  # noqa: B019 - one plan, gone with the module
    def next(self, with_trace, baseline):
        return super().next(with_trace, baseline)


@pytest.fixture(scope="module")
def adaptive_ends():
    plan = Remembered(looks=(4, 8, 16, 32), baseline_most=48)
    return {lost: [follow(plan, lost, np.random.default_rng(seed)) for seed in range(200)] for lost in (0.0, LOST)}


def differences(ends):
    return [a.counts.rate - b.counts.rate for a, b in ends]


def test_the_adaptive_plan_stops_as_without_losses(adaptive_ends):
    whole, torn = (mean_and_error([a.counts.runs for a, _ in adaptive_ends[lost]]) for lost in (0.0, LOST))
    assert abs(whole[0] - torn[0]) < 3 * np.hypot(whole[1], torn[1])
    assert np.mean([a.calls / a.counts.runs for a, _ in adaptive_ends[LOST]]) == pytest.approx(1 / (1 - LOST), rel=0.05)


def test_adaptive_values_raw_and_shrunken_have_the_expectation_they_had(adaptive_ends):
    for value in (differences, lambda ends: [PRIORS.difference(a.counts, b.counts) for a, b in ends]):
        whole, torn = (mean_and_error(value(adaptive_ends[lost])) for lost in (0.0, LOST))
        assert abs(whole[0] - torn[0]) < 3 * np.hypot(whole[1], torn[1])


def test_adaptive_intervals_still_cover_the_truth(adaptive_ends):
    found = [confidence_sequence(a.counts, b.counts) for a, b in adaptive_ends[LOST][:150]]
    held = [low <= TRUTH <= high for low, high in found]
    assert np.mean(held) >= 0.95


def test_fitted_priors_stay_at_the_truth():
    rng = np.random.default_rng(2)
    rates = rng.beta(2, 3, 1500)
    kept = [int(n) for n in rng.binomial(16, 1 - LOST, 1500)]
    prior = fit_prior([Counts(int(rng.binomial(n, rate)), n) for n, rate in zip(kept, rates, strict=True)])
    assert (prior.a, prior.b) == pytest.approx((2, 3), rel=0.2)


def test_the_adjusted_mean_stays_at_the_truth_where_traces_are_lost():
    rng, errors = np.random.default_rng(3), []
    for seed in range(800):
        cheap = rng.normal(size=100)
        truth = 0.3 * cheap + 0.1 * cheap**2
        asked = rng.choice(100, 40, replace=False)
        index = asked[rng.random(40) >= LOST]
        found = adjusted_mean(cheap, index, truth[index] + rng.normal(0, 0.2, len(index)), seed=seed)
        errors.append(found.mean - truth.mean())
    mean, error = mean_and_error(errors)
    assert abs(mean) < 3 * error
