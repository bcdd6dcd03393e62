"""Agreement with rubric labels, by hand."""

import numpy as np
import pytest

from rm.metrics import confusion, dimension_agreement


def test_accuracy_and_mae_by_hand():
    result = dimension_agreement([0, 1, 2, 4], [0.5, 1.0, 2.5, 3.0], [0, 1, 3, 2], n_levels=5)
    assert result.n == 4
    assert result.accuracy == pytest.approx(2 / 4)
    assert result.mae == pytest.approx((0.5 + 0.0 + 0.5 + 1.0) / 4)


def test_kappa_by_its_definition():
    # 1 - observed / expected mean squared distance; expected: every label with every prediction.
    predicted, labels = np.array([0, 1, 2, 4, 4, 3]), np.array([0, 0, 3, 4, 2, 3])
    observed = np.mean((predicted - labels) ** 2)
    expected = np.mean((predicted[:, None] - labels[None, :]) ** 2)
    result = dimension_agreement(predicted, predicted, labels, n_levels=5)
    assert result.kappa == pytest.approx(1 - observed / expected)


@pytest.mark.parametrize(("predicted", "kappa"), [([0, 4, 2], 1), ([2, 2, 2], 0)])
def test_kappa_of_perfect_and_of_constant_predictions(predicted, kappa):
    assert dimension_agreement(predicted, predicted, [0, 4, 2], n_levels=5).kappa == pytest.approx(kappa)


def test_kappa_of_one_constant_level_is_undefined_and_the_rest_is_not():
    result = dimension_agreement([3, 3], [2.9, 3.0], [3, 3], n_levels=5)
    assert np.isnan(result.kappa)
    assert result.accuracy == 1
    assert result.mae == pytest.approx(0.05)


def test_unlabelled_candidates_are_left_out():
    with_gaps = dimension_agreement([0, 3, 1, 2], [0.1, 3, 1.2, 2], [0, -1, 2, -1], n_levels=4)
    assert with_gaps == dimension_agreement([0, 1], [0.1, 1.2], [0, 2], n_levels=4)


@pytest.mark.parametrize("labels", [[], [-1, -1]])
def test_nothing_labelled_is_undefined(labels):
    zeros = [0] * len(labels)
    result = dimension_agreement(zeros, zeros, labels, n_levels=5)
    assert result.n == 0
    assert np.isnan([result.accuracy, result.mae, result.kappa]).all()
    assert confusion(zeros, labels, n_levels=5).tolist() == np.zeros((5, 5)).tolist()


def test_confusion_has_labels_in_rows_and_predictions_in_columns():
    counts = confusion([0, 1, 1, 2], [0, 0, 1, -1], n_levels=3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(("predicted", "labels"), [([5], [0]), ([-1], [0]), ([0], [5])])
def test_levels_out_of_range_are_refused(predicted, labels):
    with pytest.raises(ValueError, match=r"must be levels 0\.\.4"):
        dimension_agreement(predicted, [0.0], labels, n_levels=5)


def test_different_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"predicted \(2,\), labels \(3,\)"):
        confusion([0, 1], [0, 1, 2], n_levels=5)
    with pytest.raises(ValueError, match=r"expected \(1,\), labels \(2,\)"):
        dimension_agreement([0, 1], [0.5], [0, 1], n_levels=5)
