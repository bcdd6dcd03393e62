"""The posterior of a difference of two rates whose posteriors are independent Beta distributions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

NODES = 128
_QUANTILES = (np.arange(NODES) + 0.5) / NODES

Beta = tuple[ArrayLike, ArrayLike]
"""The two parameters, > 0."""


def difference_cdf(at: ArrayLike, first: Beta, second: Beta) -> NDArray[np.float64]:
    """P(p1 - p2 <= at) for independent p1 ~ Beta(first), p2 ~ Beta(second), of any common shape.

    Mean over equally probable values of p2; off by 1 / (2 NODES) at most.
    """
    at, a1, b1, a2, b2 = (np.asarray(part, dtype=np.float64)[..., None] for part in (at, *first, *second))
    other = betaincinv(a2, b2, _QUANTILES)
    return betainc(a1, b1, np.clip(other + at, 0.0, 1.0)).mean(axis=-1)
