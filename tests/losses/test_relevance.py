"""Graded relevance, by hand."""

import pytest
import torch

from rm.losses import graded_relevance


def relevance_of(totals, positives, *, real=None, **options):
    """One group; a total of None is unlabelled."""
    total = torch.tensor([[float("nan") if t is None else t for t in totals]])
    positive = torch.tensor([positives], dtype=torch.bool)
    mask = torch.tensor([real or [True] * len(totals)])
    return graded_relevance(total, ~total.isnan(), positive, mask, **options)[0].tolist()


def test_totals_are_kept_where_positives_are_already_on_top():
    assert relevance_of([0.9, 0.4, 0.1], [True, False, False]) == pytest.approx([0.9, 0.4, 0.1])


def test_unlabelled_are_one_and_zero():
    assert relevance_of([None, None, None], [True, False, True]) == [1.0, 0.0, 1.0]


def test_a_positive_below_the_best_negative_is_lifted_just_above_it():
    assert relevance_of([0.3, 0.6, 0.9, 0.2], [True, False, True, False]) == pytest.approx([0.7, 0.6, 0.9, 0.2])


def test_a_positive_tied_with_a_perfect_negative_leaves_the_unit_interval():
    assert relevance_of([1.0, 1.0], [True, False], margin=0.1) == pytest.approx([1.1, 1.0])


def test_labelled_and_unlabelled_mix():
    assert relevance_of([0.05, None, None], [True, False, False]) == pytest.approx([0.1, 0.0, 0.0])


def test_without_negatives_nothing_is_lifted():
    assert relevance_of([0.3, 0.0], [True, True]) == pytest.approx([0.3, 0.0])


def test_padding_lifts_nothing_and_is_zero():
    assert relevance_of([0.3, 0.9, 0.1], [True, False, False], real=[True, False, True]) == pytest.approx(
        [0.3, 0.0, 0.1]
    )


def test_empty_groups():
    assert relevance_of([0.3, 0.9], [True, False], real=[False, False]) == [0.0, 0.0]
    none = torch.zeros(2, 0, dtype=torch.bool)
    assert graded_relevance(torch.zeros(2, 0), none, none, none).shape == (2, 0)


def test_a_negative_margin_is_refused():
    with pytest.raises(ValueError, match=r"margin must not be negative, got -0\.1"):
        relevance_of([0.3, 0.9], [True, False], margin=-0.1)


def test_different_shapes_are_refused_with_both():
    flags = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"total \(1, 3\), labelled \(1, 2\)"):
        graded_relevance(torch.zeros(1, 3), flags, flags, flags)
