"""The control variate: unbiased whatever the cheap value is worth, and narrower where it is worth something."""

from functools import cache

import numpy as np
import pytest

from rm.uplift.estimate import adjusted_mean

POPULATION, SAMPLED = 150, 15


LAWS = {
    "linear": lambda x, rng: 0.4 * x,
    "curved": lambda x, rng: x**2 / 2 + 0.4 * x,
    "unrelated": lambda x, rng: rng.normal(0, 0.4, len(x)),
}


@cache
def simulated(law, trials=800, noise=0.2):
    """Errors against the population's mean, errors of the plain mean, and shares of intervals that hold the truth."""
    rng = np.random.default_rng(0)
    errors, plain, held, claimed = [], [], [], []
    for seed in range(trials):
        cheap = rng.normal(size=POPULATION)
        truth = LAWS[law](cheap, rng)
        index = rng.choice(POPULATION, SAMPLED, replace=False)
        found = adjusted_mean(cheap, index, truth[index] + rng.normal(0, noise, SAMPLED), seed=seed)
        errors.append(found.mean - truth.mean())
        plain.append(found.plain - truth.mean())
        held.append(found.low <= truth.mean() <= found.high)
        claimed.append(found.standard_error)
    return np.array(errors), np.array(plain), np.mean(held), np.array(claimed)


@pytest.mark.parametrize("law", LAWS)
def test_the_mean_is_unbiased(law):
    errors, _, _, _ = simulated(law)
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(len(errors))


def test_a_good_cheap_value_saves_most_of_the_variance():
    errors, plain, held, claimed = simulated("linear")
    assert errors.var() < 0.35 * plain.var()  # noise alone: 0.2^2 / (0.2^2 + 0.4^2) = 0.2, and what the fit costs
    assert held > 0.93
    assert np.sqrt((claimed**2).mean()) > 0.95 * errors.std()


def test_a_worthless_one_costs_little():
    errors, plain, held, _ = simulated("unrelated")
    assert errors.var() < 1.25 * plain.var()
    assert held > 0.92


def test_a_constant_cheap_value_gives_the_plain_mean():
    found = adjusted_mean(np.ones(40), np.arange(15), np.linspace(0, 1, 15), seed=0)
    assert found.mean == pytest.approx(found.plain)


def test_an_interval_stays_where_uplift_lies():
    values = np.r_[np.ones(14), 0.5]
    found = adjusted_mean(np.ones(40), np.arange(15), values, seed=0)
    assert -1 <= found.low < found.mean
    assert found.high == 1


@pytest.mark.parametrize(
    ("cheap", "index", "values"),
    [
        (np.ones(40), np.arange(9), np.ones(9)),
        (np.ones(40), np.arange(12), np.ones(11)),
        (np.ones(40), np.zeros(12, int), np.ones(12)),
        (np.ones(40), np.arange(30, 42), np.ones(12)),
        (np.ones(40), np.arange(12), np.full(12, np.nan)),
    ],
)
def test_unusable_arrays_are_refused(cheap, index, values):
    with pytest.raises(ValueError, match=r"expected|indices|finite"):
        adjusted_mean(cheap, index, values, seed=0)
