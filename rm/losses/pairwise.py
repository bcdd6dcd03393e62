"""Pairwise ranking losses: the mean over the pairs of a group of how badly each pair is ordered.

Notation for shapes: G groups, K candidates a group (padded).

Both return one loss a group, (G,). A group without a pair (empty, a single candidate, all tied) has loss
exactly 0 and zero gradient. Padding, the order of the candidates and a constant added to a group's scores
change nothing.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rm.losses._shapes import check_bool, ordered_pairs, prepare, widen


def pairwise_logistic(z: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    """Mean of -log sigmoid(z_i - z_j) over all pairs with relevance_i > relevance_j.

    Args:
        z: (G, K) float, unbounded logits, already divided by their temperature.
        relevance: (G, K) float, higher is better; tied candidates form no pair.
        mask: (G, K) bool, True where a candidate is real.

    Returns:
        (G,) loss a group.

    Raises:
        ValueError: shapes differ, with the shapes.

    Source: Burges et al. 2005, "Learning to Rank using Gradient Descent" (RankNet), at target probability 1.
    """
    z, relevance = prepare(z, relevance, mask)
    pairs = ordered_pairs(relevance, mask)
    losses = F.softplus(z.unsqueeze(1) - z.unsqueeze(2)) * pairs  # [g, i, j]: -log sigmoid(z_i - z_j)
    return losses.sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)


def pairwise_bounded(scores: Tensor, positive: Tensor, mask: Tensor) -> Tensor:
    """The official ranking term: mean of -log sigmoid(score_pos - score_neg) over positives x negatives.

    The scores are bounded, so a perfect group still costs log(1 + exp(-1)) = 0.3133 and keeps its gradient;
    kept for comparison. Pairs of two negatives do not count (their official weight is 0).

    Args:
        scores: (G, K) float, official scores in [0, 1].
        positive: (G, K) bool, True for the positives among the candidates.
        mask: (G, K) bool, True where a candidate is real.

    Returns:
        (G,) loss a group.

    Raises:
        ValueError: shapes differ, or `positive` is not boolean.

    Source: TraceLift (arXiv 2605.03862), ranking loss of the reward model.
    """
    check_bool(positive=positive)
    return pairwise_logistic(scores, positive.to(widen(scores).dtype), mask)
