"""`metrics.json`: figures worked out by hand for two groups, what leaves them, and that it is JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from math import log2

import numpy as np
import pytest

from rm.evaluate.rankings import relevance_of
from rm.evaluate.scored import BatchDrift
from rm.evaluate.summary import summarize
from rm.evaluate.surface import SurfaceResult
from rm.groups import Candidate, Group

INTERFACE = {
    "n_groups", "n_candidates", "n_unscorable", "pair_accuracy", "group_accuracy", "mrr", "ndcg",
    "kendall_tau", "tie_rate", "truncation_rate", "length_correlation", "intervals", "surface", "longest",
    "chance", "by_kind", "by_source", "by_length", "dimensions", "calibration",
}  # fmt: skip


def test_headline_figures_by_hand(two_groups, rubric):
    metrics = summarize(two_groups, rubric)
    assert metrics["n_groups"] == 2
    assert metrics["n_candidates"] == 6
    # one: the positive beats slip, loses to swap. two: one pair right, one tied.
    assert metrics["pair_accuracy"] == pytest.approx((0.5 + 0.75) / 2)
    assert metrics["group_accuracy"] == pytest.approx((0 + 1) / 2)
    assert metrics["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    # two: the tied places 2 and 3 share the mean gain of one positive and one negative.
    second = (1 + 0.5 / log2(3) + 0.5 / log2(4)) / (1 + 1 / log2(3))
    assert metrics["ndcg"] == pytest.approx((1 / log2(3) + second) / 2)
    assert metrics["tie_rate"] == pytest.approx((0 + 1 / 3) / 2)
    # ranks of logit and length: (2, 1, 3), (2, 3, 1) and (3, 1.5, 1.5), (2.5, 2.5, 1).
    assert metrics["length_correlation"] == pytest.approx((-1 + 0.5) / 2)


def test_baselines_by_hand(two_groups, rubric):
    surface = SurfaceResult((np.array([5.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])), "made up")
    metrics = summarize(two_groups, rubric, surface)
    assert metrics["chance"]["pair_accuracy"] == 0.5
    assert metrics["chance"]["group_accuracy"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert metrics["longest"]["pair_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert metrics["longest"]["group_accuracy"] == pytest.approx((0 + 1) / 2)
    assert metrics["surface"]["pair_accuracy"] == pytest.approx((1 + 0) / 2)
    assert metrics["surface"]["group_accuracy"] == pytest.approx((1 + 0) / 2)
    assert metrics["surface"]["protocol"] == "made up"
    assert metrics["surface"]["gain"]["pair_accuracy"]["difference"] == pytest.approx((-0.5 + 0.75) / 2)


def test_by_kind_by_hand(two_groups, rubric):
    surface = SurfaceResult((np.array([5.0, 1.0, 9.0]), np.array([0.0, 0.0, 1.0])), "made up")
    rows = summarize(two_groups, rubric, surface)["by_kind"]
    assert list(rows) == ["slip", "swap"]
    assert rows["slip"]["n_pairs"] == 1 + 2
    assert rows["slip"]["n_groups"] == 2
    assert rows["slip"]["pair_accuracy"] == pytest.approx((1 + 0.75) / 2)
    assert rows["slip"]["surface"] == pytest.approx((1 + 0) / 2)
    assert rows["slip"]["longest"] == pytest.approx((0 + 1) / 2)
    assert rows["swap"]["n_pairs"] == 1
    assert rows["swap"]["pair_accuracy"] == 0.0
    assert rows["swap"]["interval"] == [None, None]


def test_by_source_and_by_length(two_groups, rubric):
    metrics = summarize(two_groups, rubric)
    assert {source: row["pair_accuracy"] for source, row in metrics["by_source"].items()} == {
        "a": 0.5,
        "b": 0.75,
    }
    assert metrics["by_source"]["b"]["chance"]["group_accuracy"] == pytest.approx(2 / 3)
    assert metrics["by_source"]["b"]["surface"] is None
    # mean lengths 35 / 3 and 20 / 3
    assert {label: row["n_groups"] for label, row in metrics["by_length"].items()} == {
        "7 to 7": 1,
        "12 to 12": 1,
    }


def test_lengths_are_cut_at_their_quartiles(scored_group, trace, rubric):
    groups = [
        scored_group(str(n), [trace("positive", 1.0, "x" * n), trace("slip", 0.0, "y" * n)])
        for n in (10, 20, 30, 40, 50, 60, 70, 80)
    ]
    rows = summarize(groups, rubric)["by_length"]
    assert [(row["lowest"], row["highest"]) for row in rows.values()] == [
        (10, 20),
        (30, 40),
        (50, 60),
        (70, 80),
    ]


def test_lengths_that_differ_by_parts_of_a_character_lose_no_group(scored_group, trace, rubric):
    groups = [
        scored_group(
            str(longer), [trace("positive" if k == 0 else "slip", 0.0, "x" * (10 + (k < longer))) for k in range(8)]
        )
        for longer in range(4)
    ]  # mean lengths of 10, 10 1/8, 10 1/4 and 10 3/8 characters
    rows = summarize(groups, rubric)["by_length"]
    assert sum(row["n_groups"] for row in rows.values()) == 4


def test_a_group_with_an_unscorable_candidate_is_counted_and_nothing_else(two_groups, scored_group, trace, rubric):
    bad = scored_group("bad", [trace("positive", np.nan), trace("slip", 9.0), trace("slip", np.nan)])
    surface = SurfaceResult(tuple(np.arange(3.0) for _ in range(3)), "made up")
    without = SurfaceResult(surface.scores[:2], "made up")
    metrics, expected = summarize([*two_groups, bad], rubric, surface), summarize(two_groups, rubric, without)
    counts = {key: metrics[key] for key in ("n_groups", "n_groups_left_out", "n_candidates", "n_unscorable")}
    assert counts == {"n_groups": 3, "n_groups_left_out": 1, "n_candidates": 9, "n_unscorable": 2}
    for key in set(metrics) - set(counts):
        assert metrics[key] == expected[key], key


def test_truncation_counts_candidates(two_groups, rubric):
    cut = replace(two_groups[0], truncated=np.array([True, True, False]))
    assert summarize([cut, two_groups[1]], rubric)["truncation_rate"] == pytest.approx(2 / 6)


def test_dimensions_by_hand(scored_group, trace, rubric):
    # plan: labels 2, 0, 0, predicted 2, 0, 1, expected 1.5, 0.5, 1.0; the last candidate has no labels.
    group = scored_group(
        "one",
        [
            trace("positive", 1.0, labels={"plan": 2, "sums": 1}, predicted=(2, 1), expected=(1.5, 1.0)),
            trace("slip", 0.0, labels={"plan": 0, "sums": 1}, predicted=(0, 1), expected=(0.5, 1.0)),
            trace("slip", 0.0, labels={"plan": 0, "sums": 1}, predicted=(1, 1), expected=(1.0, 1.0)),
            trace("slip", 0.0, predicted=(2, 2), expected=(2.0, 2.0)),
        ],
    )
    rows = summarize([group], rubric)["dimensions"]
    plan = rows["plan"]
    assert plan["n"] == 3
    assert plan["accuracy"] == pytest.approx(2 / 3)
    assert plan["mae"] == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    # mean squared distance 1 / 3; by the marginals (labels 0, 0, 2 against 0, 1, 2) it would be 15 / 9
    assert plan["kappa"] == pytest.approx(1 - (1 / 3) / (15 / 9))
    assert plan["majority"] == pytest.approx(2 / 3)
    assert plan["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert rows["sums"]["accuracy"] == 1.0
    assert rows["sums"]["kappa"] is None


def test_without_labels_dimensions_are_empty(two_groups, rubric):
    row = summarize(two_groups, rubric)["dimensions"]["plan"]
    assert {key: row[key] for key in ("n", "accuracy", "mae", "kappa", "majority")} == {
        "n": 0, "accuracy": None, "mae": None, "kappa": None, "majority": None,
    }  # fmt: skip


def test_calibration_is_against_positives_and_against_totals(scored_group, trace, rubric):
    group = scored_group("one", [trace("positive", 0.0, total=0.75), trace("slip", 0.0, total=0.25)])
    calibration = summarize([group], rubric)["calibration"]
    assert calibration["positive"]["expected_error"] == pytest.approx(0.0)  # both score .5, half are positive
    assert calibration["total"]["bins"] == [
        {"low": 0.5, "high": 0.5, "count": 2, "mean_score": 0.5, "mean_outcome": 0.5}
    ]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_it_is_complete_json_however_few_groups(two_groups, rubric, count):
    metrics = summarize(two_groups[:count], rubric, None, BatchDrift(2, 1e-6, float("nan"), 0))
    assert set(metrics) >= INTERFACE
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert metrics["drift"] == {"candidates": 2, "largest": 1e-6, "mean": None, "order_changes": 0}


def test_nothing_scorable_is_no_crash(scored_group, trace, rubric):
    bad = scored_group("bad", [trace("positive", np.nan), trace("slip", 9.0)])
    metrics = summarize([bad], rubric, SurfaceResult((np.arange(2.0),), "made up"))
    assert metrics["n_groups_left_out"] == 1
    assert metrics["pair_accuracy"] is None
    assert metrics["by_kind"] == {}


def test_the_same_seed_gives_the_same_intervals(two_groups, rubric):
    groups = two_groups * 10
    assert summarize(groups, rubric, seed=1) == summarize(groups, rubric, seed=1)
    assert summarize(groups, rubric, seed=1) != summarize(groups, rubric, seed=2)


def test_surface_scores_of_other_groups_are_refused(two_groups, rubric):
    with pytest.raises(ValueError, match="2 groups, got 1"):
        summarize(two_groups, rubric, SurfaceResult((np.arange(3.0),), "made up"))


def test_relevance_is_the_total_and_positives_stay_on_top():
    candidates = (
        Candidate("a", True, "positive", total=0.6),
        Candidate("b", True, "positive"),
        Candidate("c", False, "slip", total=0.8),
        Candidate("d", False, "slip"),
    )
    relevance = relevance_of(Group("one", "Problem", candidates))
    assert relevance == pytest.approx([0.9, 1.0, 0.8, 0.0])
