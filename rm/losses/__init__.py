"""Losses: pure functions from tensors to one loss a group (ranking) or a candidate (dimensions, total).

`LOSSES` and `DIMENSION_LOSSES` are the tables a configuration names them by. Nothing here averages over
groups, weighs losses against each other, or knows a model.
"""

from rm.losses.listwise import lambda_rank, list_mle, list_net, plackett_luce
from rm.losses.ordinal import ordinal
from rm.losses.pairwise import pairwise_bounded, pairwise_logistic
from rm.losses.pointwise import cross_entropy, huber
from rm.losses.relevance import graded_relevance
from rm.losses.table import (
    DIMENSION_LOSSES,
    LOSSES,
    DimensionLoss,
    RankingLoss,
    get_dimension_loss,
    get_loss,
)

__all__ = [
    "DIMENSION_LOSSES",
    "LOSSES",
    "DimensionLoss",
    "RankingLoss",
    "cross_entropy",
    "get_dimension_loss",
    "get_loss",
    "graded_relevance",
    "huber",
    "lambda_rank",
    "list_mle",
    "list_net",
    "ordinal",
    "pairwise_bounded",
    "pairwise_logistic",
    "plackett_luce",
]
