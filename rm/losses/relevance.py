"""From rubric totals and positive/negative marks to the graded relevance that the ranking losses learn."""

from __future__ import annotations

from torch import Tensor

from rm.losses._shapes import check_bool, check_same_shape, widen


def graded_relevance(total: Tensor, labelled: Tensor, positive: Tensor, mask: Tensor, *, margin: float = 0.1) -> Tensor:
    """Relevance of each candidate: its rubric total, else 1 for a positive and 0 for a negative.

    Positives stand above every negative: one whose relevance is not `margin` above the group's best negative
    is lifted to just that. The others keep theirs, so the result stays within [0, 1 + margin]; positives that
    are lifted become tied with each other.

    Args:
        total: (G, K) float, rubric totals in [0, 1]; not read where unlabelled.
        labelled: (G, K) bool, True where a total is given.
        positive: (G, K) bool, True for the positives.
        mask: (G, K) bool, True where a candidate is real.
        margin: least distance between a positive and the best negative, >= 0.

    Returns:
        (G, K) float32 (float64 for float64 totals), 0 in the padding, no gradient.

    Raises:
        ValueError: shapes differ, with the shapes; a negative margin.
    """
    check_same_shape(2, total=total, labelled=labelled, positive=positive, mask=mask)
    check_bool(labelled=labelled, positive=positive, mask=mask)
    if margin < 0:
        raise ValueError(f"margin must not be negative, got {margin}")
    total = widen(total.detach())
    relevance = total.where(labelled, positive.to(total.dtype)).masked_fill(~mask, 0.0)
    if relevance.shape[1] == 0:
        return relevance
    # A group without negatives has the floor -inf: nothing is lifted.
    best_negative = relevance.masked_fill(positive | ~mask, float("-inf")).amax(dim=1, keepdim=True)
    return relevance.maximum(best_negative + margin).where(positive & mask, relevance)
