"""Values of the listwise losses against paper, SciPy, and enumeration."""

from itertools import permutations
from math import exp, log

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from rm.losses import lambda_rank, list_mle, list_net, plackett_luce


def group(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def all_real(z: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(z, dtype=torch.bool)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def likelihood_of_order(z: np.ndarray, order: tuple[int, ...]) -> float:
    """Plackett-Luce probability of one order, drawn candidate by candidate."""
    theta = np.exp(z)
    left, probability = set(range(len(z))), 1.0
    for candidate in order:
        probability *= theta[candidate] / sum(theta[i] for i in left)
        left.remove(candidate)
    return probability


def enumerated(z: np.ndarray, relevance: np.ndarray) -> float:
    """-log of the total probability of all orders in which the relevance never rises."""
    orders = permutations(range(len(z)))
    return -log(sum(likelihood_of_order(z, o) for o in orders if np.all(np.diff(relevance[list(o)]) <= 0)))


def swapped_ndcg_loss(z: np.ndarray, gains: np.ndarray) -> float:
    """LambdaRank by its definition: swap two candidates in the ranking, measure NDCG again."""

    def dcg(order: list[int]) -> float:
        return sum(gains[i] / np.log2(place + 2) for place, i in enumerate(order))

    order = sorted(range(len(z)), key=lambda i: (-z[i], gains[i]))
    best = dcg(sorted(range(len(z)), key=lambda i: -gains[i]))
    total = 0.0
    for i in range(len(z)):
        for j in range(len(z)):
            if gains[i] > gains[j]:
                swapped = [{i: j, j: i}.get(k, k) for k in order]
                total += abs(dcg(order) - dcg(swapped)) / best * np.log1p(np.exp(z[j] - z[i]))
    return total


# --- list_net


def test_list_net_is_scipy_cross_entropy_of_the_top_one_distributions():
    rng = np.random.default_rng(0)
    z, relevance = rng.normal(size=(3, 5)), rng.uniform(size=(3, 5))
    p, q = scipy.special.softmax(relevance / 0.1, axis=1), scipy.special.softmax(z, axis=1)
    expected = scipy.stats.entropy(p, axis=1) + scipy.stats.entropy(p, q, axis=1)
    z, relevance = torch.from_numpy(z), torch.from_numpy(relevance)
    np.testing.assert_allclose(list_net(z, relevance, all_real(z)), expected, rtol=1e-12)


def test_list_net_by_hand():
    # Target: relevance log 3 apart at temperature 1, so (3/4, 1/4). Logits: odds 1, so log 2 each.
    z, relevance = group(7.0, 7.0), group(log(3), 0.0)
    assert list_net(z, relevance, all_real(z), target_temperature=1.0).item() == pytest.approx(log(2))
    # Logits (log 3, 0): the entropy of (3/4, 1/4).
    expected = -0.75 * log(0.75) - 0.25 * log(0.25)
    assert list_net(relevance, relevance, all_real(z), target_temperature=1.0).item() == pytest.approx(expected)


def test_list_net_refuses_a_target_temperature_of_zero():
    z = group(1.0, 2.0)
    with pytest.raises(ValueError, match="target_temperature must be above 0, got 0"):
        list_net(z, z, all_real(z), target_temperature=0)


# --- list_mle


def test_list_mle_by_hand():
    # Weights 1, 2, 3, best first 3 > 1 > 2: 3/6 * 1/3 * 1.
    z, relevance = group(log(1), log(2), log(3)), group(0.5, 0.0, 1.0)
    loss = list_mle(z, relevance, all_real(z), generator=generator())
    assert loss.item() == pytest.approx(-log(3 / 6 * 1 / 3))


def test_list_mle_breaks_ties_by_either_order_and_evenly():
    # Weights 1, 2, 5; 1 and 2 tie for the best: 1/8 * 2/7 or 2/8 * 1/6.
    z = group(log(1), log(2), log(5)).expand(4000, 3)
    relevance = group(1.0, 1.0, 0.0).expand(4000, 3)
    losses = list_mle(z, relevance, all_real(z), generator=generator(3))
    first, second = -log(1 / 8 * 2 / 7), -log(2 / 8 * 1 / 6)
    is_first = torch.isclose(losses, torch.tensor(first, dtype=losses.dtype))
    is_second = torch.isclose(losses, torch.tensor(second, dtype=losses.dtype))
    assert torch.all(is_first | is_second)
    assert is_first.double().mean().item() == pytest.approx(0.5, abs=0.04)  # five standard errors


def test_list_mle_is_set_by_its_generator_alone():
    z, relevance = torch.randn(6, 5, generator=generator(1)), torch.zeros(6, 5)
    relevance[:, 0] = 1
    before = torch.get_rng_state()
    first = list_mle(z, relevance, all_real(z), generator=generator(5))
    torch.testing.assert_close(first, list_mle(z, relevance, all_real(z), generator=generator(5)), rtol=0, atol=0)
    assert not torch.equal(first, list_mle(z, relevance, all_real(z), generator=generator(6)))
    assert torch.equal(before, torch.get_rng_state())


# --- plackett_luce


@pytest.mark.parametrize(
    "relevance",
    [
        [3.0, 2.0, 1.0, 0.5, 0.0],
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.5, 1.0, 0.5],
        [0.5, 0.5, 0.5, 0.5, 0.0],
        [1.0, 1.0, 1.0, 0.2, 0.7],
    ],
)
def test_plackett_luce_exact_is_the_enumeration_of_all_orders(relevance):
    z = np.random.default_rng(1).normal(scale=2, size=5)
    value = plackett_luce(torch.from_numpy(z)[None], group(*relevance), torch.ones(1, 5, dtype=torch.bool))
    assert value.item() == pytest.approx(enumerated(z, np.array(relevance)), rel=1e-12)


def test_plackett_luce_without_ties_is_list_mle():
    z, relevance = torch.randn(4, 6, generator=generator(2)), torch.rand(4, 6, generator=generator(3))
    expected = list_mle(z, relevance, all_real(z), generator=generator())
    for ties in ("exact", "efron"):
        torch.testing.assert_close(plackett_luce(z, relevance, all_real(z), ties=ties), expected)


def test_efron_by_hand():
    # Weights 1, 2 tied above 5: 2! * (1 * 2) / (8 * (8 - 3/2)); exact would be 1/8 * 2/7 + 2/8 * 1/6.
    z, relevance = group(log(1), log(2), log(5)), group(1.0, 1.0, 0.0)
    efron = plackett_luce(z, relevance, all_real(z), ties="efron")
    assert efron.item() == pytest.approx(-log(2 * 2 / (8 * 6.5)))
    exact = plackett_luce(z, relevance, all_real(z))
    assert exact.item() == pytest.approx(-log(1 / 8 * 2 / 7 + 2 / 8 * 1 / 6))


def test_efron_is_exact_where_the_tied_logits_are_equal():
    z, relevance = group(0.3, 0.3, 0.3, -1.0, 0.8), group(1.0, 1.0, 1.0, 0.0, 0.0)
    efron = plackett_luce(z, relevance, all_real(z), ties="efron")
    torch.testing.assert_close(efron, plackett_luce(z, relevance, all_real(z), ties="exact"))


def test_blocks_above_the_limit_fall_back_to_efron():
    z, relevance = group(0.1, 0.9, -0.4, 1.3), group(1.0, 1.0, 1.0, 0.0)
    efron = plackett_luce(z, relevance, all_real(z), ties="efron")
    torch.testing.assert_close(plackett_luce(z, relevance, all_real(z), exact_limit=2), efron)
    assert not torch.isclose(plackett_luce(z, relevance, all_real(z), exact_limit=3), efron)


def test_groups_with_blocks_of_different_sizes_do_not_mix():
    z = torch.randn(3, 5, generator=generator(4), dtype=torch.float64)
    relevance = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [2, 1, 1, 1, 0]], dtype=torch.float64)
    together = plackett_luce(z, relevance, all_real(z))
    expected = [enumerated(a.numpy(), b.numpy()) for a, b in zip(z, relevance, strict=True)]
    np.testing.assert_allclose(together, expected, rtol=1e-12)


def test_plackett_luce_refuses_an_unknown_way_with_ties():
    z = group(1.0, 2.0)
    with pytest.raises(ValueError, match="'breslow'"):
        plackett_luce(z, z, all_real(z), ties="breslow")


# --- lambda_rank


@pytest.mark.parametrize("seed", range(4))
def test_lambda_rank_is_the_swap_cost_by_definition(seed):
    rng = np.random.default_rng(seed)
    z, relevance = rng.normal(size=6), rng.choice([0.0, 0.3, 0.8, 1.1], size=6)
    args = torch.from_numpy(z)[None], torch.from_numpy(relevance)[None], torch.ones(1, 6, dtype=torch.bool)
    assert lambda_rank(*args).item() == pytest.approx(swapped_ndcg_loss(z, relevance))
    exponential = lambda_rank(*args, gain="exponential").item()
    assert exponential == pytest.approx(swapped_ndcg_loss(z, 2**relevance - 1))


def test_lambda_rank_ranks_equal_logits_worst_case_first():
    z, relevance = np.array([0.5, 0.5, 0.5, -1.0]), np.array([1.0, 0.0, 0.3, 0.8])
    args = torch.from_numpy(z)[None], torch.from_numpy(relevance)[None], torch.ones(1, 4, dtype=torch.bool)
    assert lambda_rank(*args).item() == pytest.approx(swapped_ndcg_loss(z, relevance))


def test_lambda_rank_by_hand():
    # One positive (gain 1) ranked third of three behind gains 0: 1/log2(4) = 1/2 against 1 and 1/log2(3).
    z, relevance = group(2.0, 1.0, 0.0), group(0.0, 0.0, 1.0)
    expected = (1 - 1 / 2) * log(1 + exp(2)) + (log(2) / log(3) - 1 / 2) * log(1 + exp(1))
    assert lambda_rank(z, relevance, all_real(z)).item() == pytest.approx(expected)


def test_lambda_rank_has_a_gradient_where_all_logits_are_equal():
    z = torch.zeros(1, 4, requires_grad=True)
    lambda_rank(z, torch.tensor([[0.0, 1.0, 0.0, 0.0]]), all_real(z)).sum().backward()
    assert z.grad[0, 1] < 0 < z.grad[0, 0]


def test_lambda_rank_refuses_an_unknown_gain():
    z = group(1.0, 2.0)
    with pytest.raises(ValueError, match="'square'"):
        lambda_rank(z, z, all_real(z), gain="square")
