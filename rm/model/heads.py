"""From head outputs to the official score, in float32 and in log space. N rows, D dimensions, L levels.

    expected_d = sum_l softmax(logits_d)_l * l            in [0, L - 1]
    rubric     = sum_d w_d * expected_d / (L - 1)         in [0, 1]
    score      = (rubric + sigmoid(total)) / 2, or rubric alone where there is no total head

Source: github MasaiahHan/TraceLift, read at 69b7ba5. The score is bounded, so two good traces soon differ by
less than float32 can tell; what ranks is logit(score), computed here without ever forming the score:
log(score) and log(1 - score) are both sums of positive terms, hence log-sum-exps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class RewardOutput(NamedTuple):
    """What a reward model says of N rows. All float32. A tuple, so that DDP and FSDP find the tensors in it.

    Args:
        score: (N,) in [0, 1].
        logit: (N,) unbounded, log(score / (1 - score)).
        expected_levels: (N, D) in [0, L - 1].
        dimension_logits: (N, D, L).
        total_logit: (N,) before the sigmoid; None without a total head.
    """

    score: Tensor
    logit: Tensor
    expected_levels: Tensor
    dimension_logits: Tensor
    total_logit: Tensor | None


def combine_heads(dimension_logits: Tensor, total_logit: Tensor | None, weights: Tensor) -> RewardOutput:
    """The official score and its exact logit.

    Args:
        dimension_logits: (N, D, L), any float type.
        total_logit: (N,) or None.
        weights: (D,) positive, summing to 1.
    """
    dimension_logits = dimension_logits.float()
    log_p = F.log_softmax(dimension_logits, dim=-1)
    top = dimension_logits.shape[-1] - 1
    levels = torch.arange(top + 1, dtype=torch.float32, device=log_p.device)
    expected = (log_p.exp() * levels).sum(dim=-1)
    score = (expected * weights).sum(dim=-1) / top
    log_w = weights.log().unsqueeze(-1)
    # Level l gives l/top to the score and (top - l)/top to its complement; a share of 0 is left out, not logged.
    log_score = (log_p[..., 1:] + (levels[1:] / top).log() + log_w).flatten(1).logsumexp(dim=1)
    log_rest = (log_p[..., :-1] + ((top - levels[:-1]) / top).log() + log_w).flatten(1).logsumexp(dim=1)
    if total_logit is not None:
        total_logit = total_logit.float()
        score = 0.5 * (score + torch.sigmoid(total_logit))
        log_score = torch.logaddexp(log_score, F.logsigmoid(total_logit)) - math.log(2)
        log_rest = torch.logaddexp(log_rest, F.logsigmoid(-total_logit)) - math.log(2)
    return RewardOutput(score, log_score - log_rest, expected, dimension_logits, total_logit)
