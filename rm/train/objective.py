"""(Batch, RewardOutput) -> LossParts: the only place where the model's output meets the losses.

Every part is one value a group, so that a step's loss is the mean over its groups however they are spread
over micro-batches and processes. A part that a group has no labels for is 0 there, and counted as skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rm.errors import ConfigError
from rm.losses import get_dimension_loss, get_loss, graded_relevance, huber
from rm.model import RewardOutput
from rm.text import Batch

PARTS = ("ranking", "dimensions", "total")


@dataclass(frozen=True)
class LossParts:
    """Loss of G groups, part by part, and how many groups a part had nothing to learn from.

    Args:
        parts: name -> (G,) float32, unweighted.
        loss: (G,) float32, the weighted sum.
        skipped: name -> number of groups.
    """

    parts: Mapping[str, Tensor]
    loss: Tensor
    skipped: Mapping[str, Tensor]


@dataclass(frozen=True)
class Objective:
    """Which losses, and their weights. Raises: ConfigError for an unknown name or option.

    Args:
        ranking: a name of `rm.losses.LOSSES`.
        dimensions: a name of `rm.losses.DIMENSION_LOSSES`.
        temperature: T in z = logit(score) / T.
        weights: of ranking, dimensions and total.
        options: parameters of the ranking loss.
        label_smoothing: of the dimension loss; only cross-entropy has it.
    """

    ranking: str
    dimensions: str
    temperature: float
    weights: Mapping[str, float]
    options: Mapping[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        get_dimension_loss(self.dimensions)
        pair = torch.tensor([[1.0, 0.0]])
        mask = torch.ones_like(pair, dtype=torch.bool)
        arguments = {"logit": pair, "score": pair, "relevance": pair, "positive": pair > 0, "mask": mask}
        loss = get_loss(self.ranking)
        try:  # the loss itself knows best which options it takes
            loss(**arguments, generator=torch.Generator(), **self.options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"loss.options: {error}.") from None

    def __call__(self, output: RewardOutput, batch: Batch, generator: torch.Generator) -> LossParts:
        """Losses of a batch.

        Args:
            output: of the batch's N rows.
            batch: G groups.
            generator: on the CPU; breaks ties where a loss wants that.
        """
        parts = {
            "ranking": self._ranking(output, batch, generator),
            "dimensions": self._dimensions(output, batch),
            "total": self._total(output, batch),
        }
        loss = torch.stack([self.weights[name] * parts[name] for name in PARTS]).sum(dim=0)
        return LossParts(parts, loss, _skipped(batch))

    def _ranking(self, output: RewardOutput, batch: Batch, generator: torch.Generator) -> Tensor:
        labelled = batch.gather(batch.labelled) & batch.mask
        relevance = graded_relevance(batch.gather(batch.total), labelled, batch.positive, batch.mask)
        return get_loss(self.ranking)(
            logit=batch.gather(output.logit) / self.temperature + batch.gather(batch.shortcut),
            score=batch.gather(output.score),
            relevance=relevance,
            positive=batch.positive,
            mask=batch.mask,
            generator=generator,
            **self.options,
        )

    def _dimensions(self, output: RewardOutput, batch: Batch) -> Tensor:
        smoothing = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        losses = get_dimension_loss(self.dimensions).function(output.dimension_logits, batch.labels, **smoothing)
        return _mean_within(losses, (batch.labels >= 0).any(dim=1), batch)

    def _total(self, output: RewardOutput, batch: Batch) -> Tensor:
        if output.total_logit is None:
            return output.score.new_zeros(batch.num_groups)
        losses = huber(torch.sigmoid(output.total_logit), batch.total, batch.labelled)
        return _mean_within(losses, batch.labelled, batch)


def _mean_within(losses: Tensor, counts: Tensor, batch: Batch) -> Tensor:
    """(N,) losses -> (G,) mean over the candidates of each group that `counts` (N,) marks; 0 where none is."""
    marked = batch.gather(counts) & batch.mask
    summed = batch.gather(losses).masked_fill(~marked, 0.0).sum(dim=1)
    return summed / marked.sum(dim=1).clamp_min(1)


def _skipped(batch: Batch) -> dict[str, Tensor]:
    positives = (batch.positive & batch.mask).sum(dim=1)
    both = (positives > 0) & (positives < batch.mask.sum(dim=1))
    with_levels = (batch.gather((batch.labels >= 0).any(dim=1)) & batch.mask).any(dim=1)
    with_total = (batch.gather(batch.labelled) & batch.mask).any(dim=1)
    return {
        "ranking": (~both & ~with_total).sum(),
        "dimensions": (~with_levels).sum(),
        "total": (~with_total).sum(),
    }
