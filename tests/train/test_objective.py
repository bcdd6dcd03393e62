"""Each part of the loss, against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rm.errors import ConfigError
from rm.model import RewardOutput
from rm.text import Batch, Member, collate
from rm.train.objective import PARTS, LossParts, Objective

D, L = 2, 5
EQUAL = {"ranking": 1.0, "dimensions": 1.0, "total": 1.0}


def trace(positive: bool, labels: Sequence[int] = (-1, -1), total: float | None = None) -> Member:
    return Member((1, 2), positive, tuple(labels), total)


def batch_of(*groups: Sequence[Member]) -> Batch:
    return collate(groups, num_dimensions=D)


def output_of(
    logits: Sequence[float], dimension_logits: Tensor | None = None, totals: Sequence[float] | None = None
) -> RewardOutput:
    """Scores of N rows; the heads are undecided where nothing else is given."""
    logit = torch.tensor(logits, requires_grad=True)
    levels = torch.zeros(len(logits), D, L) if dimension_logits is None else dimension_logits
    total = torch.zeros(len(logits)) if totals is None else torch.tensor(totals)
    return RewardOutput(torch.sigmoid(logit), logit, torch.zeros(len(logits), D), levels, total)


def parts_of(batch: Batch, output: RewardOutput, **changes: object) -> LossParts:
    settings = {"ranking": "pairwise_logistic", "dimensions": "cross_entropy", "temperature": 1.0, "weights": EQUAL}
    objective = Objective(**{**settings, **changes})  # type: ignore[arg-type]
    return objective(output, batch, torch.Generator().manual_seed(0))


def test_ranking_compares_logits_over_the_temperature() -> None:
    found = parts_of(batch_of([trace(True), trace(False)]), output_of([3.0, 1.0]), temperature=2.0)
    assert found.parts["ranking"].tolist() == pytest.approx([math.log(1 + math.exp(-1.0))])


def test_the_ranking_is_told_what_the_surface_says() -> None:
    surface = [2.0, -1.0]
    group = [replace(trace(index == 0), shortcut=value) for index, value in enumerate(surface)]
    found = parts_of(batch_of(group), output_of([3.0, 1.0]), temperature=2.0)
    assert found.parts["ranking"].tolist() == pytest.approx([math.log(1 + math.exp(-(1.5 + 2.0) + (0.5 - 1.0)))])


def test_the_official_ranking_compares_bounded_scores() -> None:
    found = parts_of(batch_of([trace(True), trace(False)]), output_of([50.0, -50.0]), ranking="pairwise_bounded")
    assert found.parts["ranking"].tolist() == pytest.approx([math.log(1 + math.exp(-1.0))])


def test_every_positive_is_ranked_above_every_negative() -> None:
    group = [trace(True), trace(True), trace(False)]
    found = parts_of(batch_of(group), output_of([1.0, 2.0, 0.0]))
    by_hand = (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(-2.0))) / 2
    assert found.parts["ranking"].tolist() == pytest.approx([by_hand])


def test_totals_rank_the_negatives_among_themselves() -> None:
    group = [trace(True, total=1.0), trace(False, total=0.6), trace(False, total=0.2)]
    found = parts_of(batch_of(group), output_of([0.0, 0.0, 1.0]))
    by_hand = (math.log(2.0) + math.log(1 + math.exp(1.0)) + math.log(1 + math.exp(1.0))) / 3
    assert found.parts["ranking"].tolist() == pytest.approx([by_hand])


def test_dimensions_average_over_labelled_candidates_and_sum_over_dimensions() -> None:
    levels = torch.zeros(3, D, L)
    levels[1, 0] = torch.tensor([math.log(6.0), 0.0, 0.0, 0.0, 0.0])  # level 0 has 6/10
    group = [trace(True, (4, 4)), trace(False, (0, 3)), trace(False)]
    found = parts_of(batch_of(group), output_of([0.0] * 3, levels))
    first, second = 2 * math.log(5.0), -math.log(0.6) + math.log(5.0)
    assert found.parts["dimensions"].tolist() == pytest.approx([(first + second) / 2])


def test_a_candidate_with_some_dimensions_labelled_counts_those() -> None:
    found = parts_of(batch_of([trace(True, (-1, 2)), trace(False)]), output_of([0.0, 0.0]))
    assert found.parts["dimensions"].tolist() == pytest.approx([math.log(5.0)])
    assert found.skipped["dimensions"] == 0


def test_total_is_half_the_squared_error_of_the_probability() -> None:
    group = [trace(True, total=1.0), trace(False, total=0.25), trace(False)]
    found = parts_of(batch_of(group), output_of([0.0] * 3, totals=[math.log(3.0), 0.0, 9.0]))
    assert found.parts["total"].tolist() == pytest.approx([(0.5 * 0.25**2 + 0.5 * 0.25**2) / 2])


def test_a_group_without_labels_is_ranked_and_its_other_parts_are_skipped() -> None:
    unlabelled, labelled = [trace(True), trace(False)], [trace(True, (4, 4), 1.0), trace(False, (0, 0), 0.0)]
    found = parts_of(batch_of(unlabelled, labelled), output_of([0.0] * 4))
    assert found.parts["ranking"][0].item() == pytest.approx(math.log(2.0))
    assert found.parts["dimensions"][0] == found.parts["total"][0] == 0
    assert {name: int(count) for name, count in found.skipped.items()} == {"ranking": 0, "dimensions": 1, "total": 1}


def test_a_group_of_one_kind_without_totals_is_no_ranking() -> None:
    found = parts_of(batch_of([trace(True), trace(True)]), output_of([1.0, 0.0]))
    assert found.parts["ranking"].tolist() == [0.0]
    assert found.skipped["ranking"] == 1


def test_a_model_without_a_total_head_has_no_total_loss() -> None:
    output = output_of([0.0, 0.0])._replace(total_logit=None)
    found = parts_of(batch_of([trace(True, total=1.0), trace(False, total=0.0)]), output)
    assert found.parts["total"].tolist() == [0.0]


def test_the_loss_is_the_weighted_sum() -> None:
    group = [trace(True, (4, 4), 1.0), trace(False, (0, 0), 0.0)]
    weights = {"ranking": 0.7, "dimensions": 1.0, "total": 0.5}
    found = parts_of(batch_of(group), output_of([0.0, 0.0]), weights=weights)
    by_hand = 0.7 * math.log(2.0) + 1.0 * 2 * math.log(5.0) + 0.5 * 0.5 * 0.25
    assert found.loss.tolist() == pytest.approx([by_hand])


def test_a_weight_of_zero_gives_no_gradient() -> None:
    output = output_of([0.0, 0.0])
    weights = {"ranking": 0.0, "dimensions": 1.0, "total": 1.0}
    parts_of(batch_of([trace(True), trace(False)]), output, weights=weights).loss.sum().backward()
    assert output.logit.grad is not None
    assert output.logit.grad.tolist() == [0.0, 0.0]


def test_label_smoothing_reaches_the_dimension_loss() -> None:
    levels = torch.zeros(2, D, L)
    levels[:, :, 4] = 50.0  # as good as certain
    group = [trace(True, (4, 4)), trace(False)]
    found = parts_of(batch_of(group), output_of([0.0, 0.0], levels), label_smoothing=0.1)
    assert found.parts["dimensions"].tolist() == pytest.approx([2 * 0.1 * 4 / 5 * 50.0])


@pytest.mark.parametrize("ranking", ["list_net", "lambda_rank", "plackett_luce", "pairwise_bounded"])
def test_groups_do_not_change_each_other(ranking: str) -> None:
    groups = [
        [trace(True, (4, 3), 1.0), trace(False, (0, 1), 0.2)],
        [trace(True), trace(True), trace(False), trace(False)],
        [trace(True, total=0.9), trace(False, (2, 2)), trace(False, total=0.5)],
    ]
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(9, generator=generator).tolist()
    levels, totals = torch.randn(9, D, L, generator=generator), torch.randn(9, generator=generator).tolist()
    together = parts_of(batch_of(*groups), output_of(logits, levels, totals), ranking=ranking)
    start = 0
    for index, group in enumerate(groups):
        rows = slice(start, start + len(group))
        start = rows.stop
        alone = parts_of(batch_of(group), output_of(logits[rows], levels[rows], totals[rows]), ranking=ranking)
        for name in PARTS:
            torch.testing.assert_close(together.parts[name][index], alone.parts[name][0])


def test_ties_of_list_mle_are_broken_by_the_generator_alone() -> None:
    batch, output = batch_of([trace(True), *[trace(False)] * 5]), output_of([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    objective = Objective("list_mle", "cross_entropy", 1.0, EQUAL)
    losses = [objective(output, batch, torch.Generator().manual_seed(seed)).loss.item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("options", [{"bogus": 1}, {"target_temperature": 0}, {"target_temperature": "warm"}])
def test_an_option_that_the_loss_does_not_take_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^loss\.options: "):
        Objective("list_net", "cross_entropy", 1.0, EQUAL, options)


@pytest.mark.parametrize(("ranking", "dimensions"), [("list_nett", "cross_entropy"), ("list_net", "crossentropy")])
def test_an_unknown_loss_is_refused_with_the_choices(ranking: str, dimensions: str) -> None:
    with pytest.raises(ConfigError, match=r"choose one of: .*(list_net|ordinal)"):
        Objective(ranking, dimensions, 1.0, EQUAL)
