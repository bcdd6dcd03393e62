"""Ranking metrics against paper, enumeration of all ways to break ties, scikit-learn and SciPy."""

from dataclasses import astuple
from itertools import permutations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rm.metrics import (
    chance_group,
    group_accuracy,
    kendall_tau,
    ndcg,
    pair_accuracy,
    rank_group,
    reciprocal_rank,
    spearman_rho,
    tie_rate,
)

POSITIVE_FIRST = np.array([True, False, False, False, False])


@st.composite
def tied_groups(draw: st.DrawFn, most: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with many ties, positives of both kinds, relevance that varies, for 2 to `most` candidates."""
    size = draw(st.integers(2, most))

    def column(values: list[float]) -> np.ndarray:
        return np.array(draw(st.lists(st.sampled_from(values), min_size=size, max_size=size)))

    scores, positive, relevance = column([0.1, 0.5, 0.9]), column([0.0, 1.0]) > 0, column([0.0, 0.4, 1.0])
    assume(positive.any() and not positive.all() and np.ptp(relevance) > 0)
    return scores, positive, relevance


def orders_of_equal_chance(scores: np.ndarray) -> list[tuple[int, ...]]:
    """Every best-first order that agrees with the scores, ties broken in every way."""
    return [o for o in permutations(range(len(scores))) if np.all(np.diff(scores[list(o)]) <= 0)]


# --- accuracies and reciprocal rank


@pytest.mark.parametrize(
    ("scores", "positive", "pair", "group", "mrr"),
    [
        ([0.9, 0.1, 0.2, 0.3, 0.4], POSITIVE_FIRST, 1, 1, 1),
        ([0.0, 0.1, 0.2, 0.3, 0.4], POSITIVE_FIRST, 0, 0, 1 / 5),
        ([0.3, 0.1, 0.2, 0.8, 0.4], POSITIVE_FIRST, 2 / 4, 0, 1 / 3),
        ([0.4, 0.1, 0.2, 0.3, 0.4], POSITIVE_FIRST, 3.5 / 4, 1 / 2, (1 + 1 / 2) / 2),
        ([0.5, 0.5, 0.5, 0.5, 0.5], POSITIVE_FIRST, 0.5, 1 / 5, (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5),
        ([0.2, 0.9, 0.2, 0.1, 0.1], POSITIVE_FIRST, 2.5 / 4, 0, (1 / 2 + 1 / 3) / 2),
        # Two positives and one negative tied: 2/3 of the top; the first positive is second in 1 of 3 orders.
        ([0.5, 0.5, 0.5], [True, True, False], 0.5, 2 / 3, 2 / 3 + 1 / 3 / 2),
        ([0.1, 0.7, 0.6], [True, True, False], 0.5, 1, 1),
    ],
)
def test_by_hand(scores, positive, pair, group, mrr):
    assert pair_accuracy(scores, positive) == pytest.approx(pair)
    assert group_accuracy(scores, positive) == pytest.approx(group)
    assert reciprocal_rank(scores, positive) == pytest.approx(mrr)


@settings(max_examples=40, deadline=None)
@given(group=tied_groups())
def test_ties_are_the_expectation_over_ways_to_break_them(group):
    scores, positive, _ = group
    orders = orders_of_equal_chance(scores)
    first_positive = [min(place for place, i in enumerate(o, 1) if positive[i]) for o in orders]
    assert reciprocal_rank(scores, positive) == pytest.approx(np.mean([1 / place for place in first_positive]))
    assert group_accuracy(scores, positive) == pytest.approx(np.mean([positive[o[0]] for o in orders]))


@settings(max_examples=40, deadline=None)
@given(group=tied_groups())
def test_pair_accuracy_is_scikit_learn_roc_auc(group):
    scores, positive, _ = group
    assert pair_accuracy(scores, positive) == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores))


@pytest.mark.parametrize("metric", [pair_accuracy, group_accuracy, reciprocal_rank])
@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_kind_of_candidate_is_undefined(metric, positive):
    assert np.isnan(metric([0.2, 0.1], positive))


# --- ndcg


def test_ndcg_by_hand():
    # Gains in score order 0, 1, 0.5; discounts 1, 1/log2(3), 1/2.
    discount = 1 / np.log2(3)
    expected = (discount + 0.25) / (1 + 0.5 * discount)
    assert ndcg([0.3, 0.9, 0.1], [1.0, 0.0, 0.5]) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(group=tied_groups())
def test_ndcg_is_scikit_learn_with_ties(group):
    scores, _, relevance = group
    assert ndcg(scores, relevance) == pytest.approx(sklearn.metrics.ndcg_score([relevance], [scores]))


@pytest.mark.parametrize("relevance", [[0.0, 0.0], [0.7, 0.7]])
def test_ndcg_of_tied_relevance_is_undefined(relevance):
    assert np.isnan(ndcg([0.2, 0.1], relevance))


def test_ndcg_refuses_negative_relevance():
    with pytest.raises(ValueError, match=r"got -1\.0"):
        ndcg([0.2, 0.1], [1.0, -1.0])


# --- kendall_tau


def test_kendall_tau_by_hand():
    # Of 6 pairs 5 agree and 1 does not.
    assert kendall_tau([0.9, 0.7, 0.8, 0.1], [3, 2, 1, 0]) == pytest.approx(4 / 6)


@settings(max_examples=40, deadline=None)
@given(group=tied_groups())
def test_kendall_tau_is_tau_b_by_counting_pairs(group):
    scores, _, relevance = group
    assume(np.ptp(scores) > 0)
    pairs = [(i, j) for i in range(len(scores)) for j in range(i)]
    agreement = sum(np.sign(scores[i] - scores[j]) * np.sign(relevance[i] - relevance[j]) for i, j in pairs)
    untied = [sum(x[i] != x[j] for i, j in pairs) for x in (scores, relevance)]
    assert kendall_tau(scores, relevance) == pytest.approx(agreement / np.sqrt(untied[0] * untied[1]))


@pytest.mark.parametrize(("scores", "relevance"), [([0.5, 0.5], [1, 0]), ([0.5, 0.1], [1, 1]), ([0.5], [1]), ([], [])])
def test_kendall_tau_without_variation_is_undefined(scores, relevance):
    assert np.isnan(kendall_tau(scores, relevance))


# --- tie_rate


@pytest.mark.parametrize(
    ("scores", "rate"),
    [([0.1, 0.2, 0.3], 0), ([0.1, 0.1, 0.3], 1 / 3), ([1, 1, 1], 1), ([1, 1, 2, 2], 2 / 6)],
)
def test_tie_rate_by_hand(scores, rate):
    assert tie_rate(scores) == pytest.approx(rate)


@pytest.mark.parametrize("scores", [[], [0.4]])
def test_tie_rate_below_two_candidates_is_undefined(scores):
    assert np.isnan(tie_rate(scores))


# --- whole groups


def test_rank_group_holds_every_metric_under_its_name():
    scores, relevance = [0.3, 0.9, 0.1, 0.1, 0.2], [1.0, 0.4, 0.2, 0.1, 0.3]
    ranking = rank_group(scores, POSITIVE_FIRST, relevance)
    assert ranking.pair_accuracy == pytest.approx(3 / 4)
    assert ranking.group_accuracy == 0
    assert ranking.mrr == pytest.approx(1 / 2)
    assert ranking.ndcg == pytest.approx(sklearn.metrics.ndcg_score([relevance], [scores]))
    # Of 10 pairs one disagrees, one is tied in the scores: (8 - 1) / sqrt(9 * 10).
    assert ranking.kendall_tau == pytest.approx(7 / np.sqrt(90))
    assert ranking.tie_rate == pytest.approx(1 / 10)


@settings(max_examples=30, deadline=None)
@given(group=tied_groups(), order=st.permutations(range(6)))
def test_order_of_the_candidates_does_not_matter(group, order):
    order = [i for i in order if i < len(group[0])]
    moved = astuple(rank_group(*(column[order] for column in group)))
    assert moved == pytest.approx(astuple(rank_group(*group)), nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(group=tied_groups(most=5))
def test_chance_is_the_mean_over_all_orders(group):
    _, positive, relevance = group
    size = len(positive)
    every = [astuple(rank_group(order, positive, relevance)) for order in permutations(np.arange(size) / size)]
    assert astuple(chance_group(positive, relevance)) == pytest.approx(np.mean(every, axis=0), abs=1e-12)


def test_chance_of_one_positive_among_five():
    chance = chance_group(POSITIVE_FIRST, [1, 0, 0, 0, 0])
    assert chance.pair_accuracy == 0.5
    assert chance.group_accuracy == pytest.approx(0.2)
    assert chance.mrr == pytest.approx(137 / 300)
    assert chance.ndcg == pytest.approx(np.mean(1 / np.log2([2, 3, 4, 5, 6])))
    assert chance.kendall_tau == 0
    assert chance.tie_rate == 0


def test_an_empty_group_is_undefined_in_everything():
    assert np.isnan(astuple(rank_group([], [], []))).all()
    assert np.isnan(astuple(chance_group([], []))).all()


# --- bad input


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="scores must be finite"):
        rank_group([0.1, bad], [True, False], [1, 0])


def test_different_lengths_are_refused_with_both():
    with pytest.raises(ValueError, match=r"scores \(3,\), positive \(2,\)"):
        pair_accuracy([0.1, 0.2, 0.3], [True, False])
    with pytest.raises(ValueError, match=r"scores \(3,\), relevance \(2,\)"):
        ndcg([0.1, 0.2, 0.3], [1, 0])


def test_integer_marks_are_refused():
    with pytest.raises(ValueError, match="positive must be boolean, got int64"):
        pair_accuracy([0.1, 0.2], [1, 0])


def test_several_groups_at_once_are_refused():
    with pytest.raises(ValueError, match=r"one group, got shape \(2, 2\)"):
        tie_rate(np.zeros((2, 2)))


def test_spearman_shares_ranks_among_ties():
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5 / 4, variances 4.5 / 4 and 5 / 4."""
    assert spearman_rho([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert np.isnan(spearman_rho([1, 1], [1, 2]))
