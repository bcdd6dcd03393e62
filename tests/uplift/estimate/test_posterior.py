"""The distribution of a difference of Beta variables, against quadrature."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from rm.uplift.estimate.posterior import NODES, difference_cdf


@pytest.mark.parametrize(
    ("first", "second"), [((1, 1), (1, 1)), ((9, 1), (4, 14)), ((0.5, 16.5), (1, 3)), ((60, 8), (2, 2))]
)
@pytest.mark.parametrize("at", [-0.4, 0.0, 0.3])
def test_it_is_that_of_quadrature(first, second, at):
    def part(p2):
        return scipy.stats.beta.pdf(p2, *second) * scipy.stats.beta.cdf(p2 + at, *first)

    expected, _ = scipy.integrate.quad(part, 0, 1, limit=200)
    assert difference_cdf(at, first, second) == pytest.approx(expected, abs=0.5 / NODES)


def test_arrays_are_taken_element_by_element():
    a = np.array([2.0, 9.0])
    both = difference_cdf(0.0, (a, 3.0), (a[::-1], 4.0))
    assert both.tolist() == [float(difference_cdf(0.0, (2, 3), (9, 4))), float(difference_cdf(0.0, (9, 3), (2, 4)))]
