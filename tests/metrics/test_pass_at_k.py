"""pass@k against counting all subsets."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from rm.metrics import pass_at_k


@pytest.mark.parametrize(
    ("n", "c", "k"), [(n, c, k) for n in range(1, 7) for c in range(n + 1) for k in range(1, n + 1)]
)
def test_it_is_the_share_of_subsets_with_a_right_sample(n, c, k):
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


def test_large_numbers_do_not_overflow():
    # 1 - C(9990, 100) / C(10000, 100), by logarithms of factorials
    log = math.lgamma(9991) - math.lgamma(9891) - math.lgamma(10001) + math.lgamma(9901)
    assert pass_at_k(10000, 10, 100) == pytest.approx(1 - math.exp(log), rel=1e-6)


def test_fewer_samples_than_k_give_no_estimate():
    assert math.isnan(pass_at_k(3, 3, 4))
    assert math.isnan(pass_at_k(0, 0, 1))


@pytest.mark.parametrize(("n", "c", "k"), [(2, 3, 1), (2, -1, 1), (2, 1, 0)])
def test_counts_out_of_range_are_refused(n, c, k):
    with pytest.raises(ValueError, match="0 <= right <= samples"):
        pass_at_k(n, c, k)
