"""Two models on the same groups: differences by hand, what leaves the comparison, and its table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from rm.evaluate.compare import compare, format_comparison
from rm.evaluate.surface import SurfaceResult


def rescored(each, logits):
    logits = np.array(logits)
    return replace(each, logits=logits, scores=1 / (1 + np.exp(-logits)))


@pytest.fixture
def other_model(two_groups):
    """Right on the first group, which model A gets half wrong; wrong on the second, which A gets right."""
    return [rescored(two_groups[0], [5.0, 1.0, 3.0]), rescored(two_groups[1], [0.0, 1.0, 2.0])]


def test_differences_by_hand(two_groups, other_model):
    result = compare(two_groups, other_model)
    pairs = result["metrics"]["pair_accuracy"]
    assert (pairs["a"], pairs["b"]) == (0.625, 0.5)
    assert pairs["difference"] == pytest.approx(((0.5 - 1) + (0.75 - 0)) / 2)
    assert pairs["n"] == 2
    assert pairs["longest"] == 0.75
    assert pairs["chance"] == 0.5
    assert pairs["surface"] is None
    slip = result["by_kind"]["slip"]
    assert (slip["n_pairs"], slip["a"], slip["b"]) == (3, 0.875, 0.5)
    assert result["right"] == {"both": 0, "neither": 0, "only_a": ["two"], "only_b": ["one"]}
    # one: positive-slip alike, positive-swap not, slip-swap alike. two: no pair alike.
    assert result["pair_agreement"] == pytest.approx(2 / 6)


def test_a_model_equals_itself(two_groups):
    result = compare(two_groups * 5, two_groups * 5)
    for row in result["metrics"].values():
        assert (row["difference"], row["low"], row["high"], row["p"]) == (0.0, 0.0, 0.0, 1.0)
    assert result["pair_agreement"] == 1.0


def test_a_clear_difference_is_clear(scored_group, trace):
    groups = [scored_group(str(i), [trace("positive", 1.0), trace("slip", 0.0)]) for i in range(12)]
    result = compare(groups, [rescored(each, [0.0, 1.0]) for each in groups])
    row = result["metrics"]["pair_accuracy"]
    assert (row["difference"], row["low"], row["high"]) == (1.0, 1.0, 1.0)
    assert row["p"] < 0.01


def test_groups_that_either_cannot_score_are_left_out(two_groups, other_model):
    surface = SurfaceResult((np.zeros(3), np.array([3.0, 2.0, 1.0])), "made up")
    result = compare(two_groups, [rescored(other_model[0], [np.nan, 1.0, 3.0]), other_model[1]], surface)
    assert (result["n_groups"], result["n_groups_left_out"]) == (1, 1)
    assert result["metrics"]["pair_accuracy"]["surface"] == 1.0
    assert result["metrics"]["pair_accuracy"]["a"] == 0.75


def test_nothing_shared_is_json_too(two_groups):
    nothing = [rescored(each, [np.nan] * 3) for each in two_groups]
    result = compare(two_groups, nothing)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert "0 groups scored by both, 2 left out" in format_comparison(result)


def test_other_groups_are_refused(two_groups, other_model):
    with pytest.raises(ValueError, match="got 2 and 1"):
        compare(two_groups, other_model[:1])
    with pytest.raises(ValueError, match="one and two"):
        compare(two_groups, other_model[::-1])


def test_the_table_names_models_and_differences(two_groups, other_model):
    text = format_comparison(compare(two_groups, other_model), "runs/a", "runs/b")
    assert "A: runs/a" in text
    assert "pair accuracy   62.5%  50.0%   12.5%" in text
    assert "only A 1, only B 1" in text
