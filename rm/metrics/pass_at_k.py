"""pass@k: how likely at least one of k samples is right."""

from __future__ import annotations

import numpy as np


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The unbiased estimate of one problem.

    1 - C(n - c, k) / C(n, k), as a product, so that nothing overflows.

    Args:
        samples: n >= 0, drawn independently.
        right: c of them, in [0, n].
        k: >= 1.

    Returns:
        In [0, 1]; NaN where n < k, since no estimate without bias exists.

    Raises:
        ValueError: arguments out of their range.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1.
    """
    if not 0 <= right <= samples or k < 1:
        raise ValueError(f"expected 0 <= right <= samples and k >= 1, got {right} of {samples}, k = {k}")
    if samples < k:
        return float("nan")
    if samples - right < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - right + 1, samples + 1)))
