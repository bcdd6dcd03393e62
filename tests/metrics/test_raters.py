"""Agreement of raters, against published figures and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from rm.metrics.raters import intraclass_correlation, rater_agreement

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
"""Six targets, four judges: Shrout and Fleiss 1979, table 2; ICC(2,1) = .29 in table 4."""


def test_icc_of_the_paper():
    assert intraclass_correlation(SHROUT_FLEISS) == pytest.approx(0.29, abs=0.005)


def test_icc_at_its_ends():
    assert intraclass_correlation(np.array([[1.0, 1.0], [5.0, 5.0], [9.0, 9.0]])) == pytest.approx(1.0)
    assert np.isnan(intraclass_correlation(np.ones((4, 2))))
    assert np.isnan(intraclass_correlation(np.ones((1, 3))))
    assert np.isnan(intraclass_correlation(np.ones((3, 1))))


def test_kappa_is_the_mean_over_pairs_of_raters():
    levels = np.array([[0, 0, 1], [1, 1, 1], [2, 1, 2], [2, 2, 0], [0, 1, 0]])
    expected = [
        cohen_kappa_score(levels[:, a], levels[:, b], weights="quadratic", labels=range(3))
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    found = rater_agreement(levels.astype(float), levels, 3)
    assert found.kappa == pytest.approx(np.mean(expected))
    assert found.exact == pytest.approx((3 + 3 + 1) / 15)
    assert found.n == 5


def test_what_a_rater_left_out_does_not_count():
    scores = np.array([[8.0, 8.0], [2.0, np.nan], [np.nan, np.nan], [4.0, 2.0]])
    levels = np.array([[2, 2], [0, -1], [-1, -1], [1, 0]])
    found = rater_agreement(scores, levels, 3)
    assert (found.n, found.exact) == (2, 0.5)
    alone = rater_agreement(scores[:, :1], levels[:, :1], 3)
    assert alone.n == 0
    assert np.isnan([alone.exact, alone.kappa, alone.icc]).all()


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="two arrays"):
        rater_agreement(np.zeros((2, 2)), np.zeros((2, 3), dtype=int), 3)
