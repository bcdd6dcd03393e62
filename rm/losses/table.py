"""The losses by the names that a configuration uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from rm.errors import ConfigError
from rm.losses.listwise import lambda_rank, list_mle, list_net, plackett_luce
from rm.losses.ordinal import ordinal
from rm.losses.pairwise import pairwise_bounded, pairwise_logistic
from rm.losses.pointwise import cross_entropy


@dataclass(frozen=True)
class RankingLoss:
    """A ranking loss and what it wants to be given.

    Args:
        function: `(values, target, mask, **parameters) -> (G,)`.
        ranks_on: `logit`, the unbounded logit over its temperature; or `score`, the official score in [0, 1].
        against: `relevance`, graded; or `positive`, the boolean mark.
        seeded: whether the function takes a `generator`.
        reference: where the loss comes from.
        description: one line.
    """

    function: Callable[..., Tensor]
    ranks_on: Literal["logit", "score"]
    against: Literal["relevance", "positive"]
    seeded: bool
    reference: str
    description: str

    def __call__(
        self,
        *,
        logit: Tensor,
        score: Tensor,
        relevance: Tensor,
        positive: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        **parameters: Any,
    ) -> Tensor:
        """Calls the function with those of the arguments it wants, and its own `parameters`; tensors are (G, K).

        Returns: (G,) float32, the loss of each group. The caller averages: over the groups of a whole step,
            which may come in several micro-batches and on several devices.
        """
        values = logit if self.ranks_on == "logit" else score
        target = relevance if self.against == "relevance" else positive
        seed = {"generator": generator} if self.seeded else {}
        return self.function(values, target, mask, **seed, **parameters)


@dataclass(frozen=True)
class DimensionLoss:
    """A loss of the dimension heads.

    Args:
        function: `(logits (N, D, L), labels (N, D)) -> (N,)`, a sum over dimensions.
        reference: where the loss comes from.
        description: one line.
    """

    function: Callable[..., Tensor]
    reference: str
    description: str


LOSSES: Mapping[str, RankingLoss] = MappingProxyType(
    {
        "list_net": RankingLoss(
            list_net, "logit", "relevance", False, "Cao et al. 2007",
            "cross-entropy of the top-one distributions; uses how far apart the relevances are",
        ),
        "list_mle": RankingLoss(
            list_mle, "logit", "relevance", True, "Xia et al. 2008",
            "likelihood of the best-first order, ties broken at random",
        ),
        "plackett_luce": RankingLoss(
            plackett_luce, "logit", "relevance", False, "Plackett 1975; Efron 1977",
            "likelihood of every order that agrees with the relevance, ties exact",
        ),
        "lambda_rank": RankingLoss(
            lambda_rank, "logit", "relevance", False, "Burges 2010; Wang et al. 2018",
            "pairs weighted by the NDCG at stake; looks at the top of the list most",
        ),
        "pairwise_logistic": RankingLoss(
            pairwise_logistic, "logit", "relevance", False, "Burges et al. 2005",
            "every pair of different relevance, alike (RankNet)",
        ),
        "pairwise_bounded": RankingLoss(
            pairwise_bounded, "score", "positive", False, "TraceLift, arXiv 2605.03862",
            "the official form: positives against negatives on the bounded score; never below 0.313",
        ),
    }
)  # fmt: skip

DIMENSION_LOSSES: Mapping[str, DimensionLoss] = MappingProxyType(
    {
        "cross_entropy": DimensionLoss(
            cross_entropy, "TraceLift, arXiv 2605.03862", "levels as unordered classes, the official form"
        ),
        "ordinal": DimensionLoss(
            ordinal,
            "Frank & Hall 2001",
            "cumulative probabilities: a label two levels off costs more than one",
        ),
    }
)

Entry = TypeVar("Entry")


def get_loss(name: str) -> RankingLoss:
    """The ranking loss of that name.

    Raises:
        ConfigError: an unknown name, with the choices.
    """
    return _look_up(LOSSES, name, "ranking loss")


def get_dimension_loss(name: str) -> DimensionLoss:
    """The dimension loss of that name.

    Raises:
        ConfigError: an unknown name, with the choices.
    """
    return _look_up(DIMENSION_LOSSES, name, "dimension loss")


def _look_up(table: Mapping[str, Entry], name: str, kind: str) -> Entry:
    if name not in table:
        raise ConfigError(f"unknown {kind} {name!r}; choose one of: {', '.join(table)}")
    return table[name]
