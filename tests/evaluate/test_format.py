"""Tables and sentences for the terminal."""

from __future__ import annotations

import numpy as np
import pytest

from rm.evaluate.format import findings, format_metrics, interval, table
from rm.evaluate.scored import BatchDrift
from rm.evaluate.summary import summarize
from rm.evaluate.surface import SurfaceResult


def surface_that_ranks(groups, right: bool) -> SurfaceResult:
    sign = 1.0 if right else -1.0
    return SurfaceResult(tuple(sign * each.positive for each in groups), "made up")


def told(groups, rubric, surface=None, drift=None) -> list[tuple[str, str]]:
    return [(each.bodes, each.text) for each in findings(summarize(groups, rubric, surface, drift))]


@pytest.fixture
def many(scored_group, trace):
    """Thirty groups, each ranked right."""
    return [scored_group(str(i), [trace("positive", 1.0), trace("slip", 0.0, "short")]) for i in range(30)]


def test_columns_are_aligned():
    assert table(["name", "n"], [["a", "1,000"], ["longer", "2"]]) == (
        "name        n\n------  -----\na       1,000\nlonger      2"
    )


def test_intervals_are_in_the_unit_of_their_figure():
    assert interval("pair_accuracy", [0.8189, 0.8421]) == "81.9 to 84.2"
    assert interval("mrr", [0.8189, 0.8421]) == "0.819 to 0.842"
    assert interval("mrr", [None, None]) == ""


def test_all_scorers_stand_in_one_table(two_groups, rubric):
    lines = format_metrics(summarize(two_groups, rubric, surface_that_ranks(two_groups, False))).splitlines()
    starts = [line.split("  ")[0] for line in lines]
    assert [name for name in starts if name in ("this model", "bag of words", "longest first", "chance")] == [
        "this model", "bag of words", "longest first", "chance",
    ]  # fmt: skip
    own = next(line for line in lines if line.startswith("this model"))
    assert own.split()[2] == "62.5%"
    assert any(line.split() == ["swap", "1", "0.0%", "0.0%"] for line in lines)


def test_the_verdict_follows_the_interval_of_the_difference(many, two_groups, rubric):
    bodes, text = told(many, rubric, surface_that_ranks(many, right=False))[0]
    assert bodes == "well"
    assert "+100.0 points (95% interval +100.0 to +100.0)" in text
    bodes, text = told(many, rubric, surface_that_ranks(many, right=True))[0]
    assert bodes == "ill"
    assert "may be chance" in text
    bodes, text = told(two_groups, rubric)[0]
    assert bodes == "neutral"
    assert "no bag of words" in text


def test_a_kind_not_above_the_bag_of_words_is_named(two_groups, rubric):
    texts = [text for _, text in told(two_groups, rubric, surface_that_ranks(two_groups, right=True))]
    assert "Weakest against swap: 0.0% of pairs right (bag of words 100.0%)." in texts
    expected = "Not above the bag of words against slip (87.5% against 100.0%), swap (0.0% against 100.0%)."
    assert expected in texts


def test_first_places_bode_well_only_beyond_chance(many, two_groups, rubric):
    def first_places(groups, surface):
        return next(each for each in told(groups, rubric, surface) if "comes first" in each[1])

    assert first_places(many, surface_that_ranks(many, right=False))[0] == "well"
    assert first_places(many, surface_that_ranks(many, right=True))[0] == "ill"  # no better
    half = SurfaceResult(
        tuple((1.0 if at < 29 else -1.0) * each.positive for at, each in enumerate(many)), "right but for one"
    )
    bodes, text = first_places(many, half)
    assert bodes == "neutral"
    assert text.endswith("may be chance.")


def test_a_kind_that_both_rank_right_throughout_is_no_failure(many, rubric):
    assert not [text for _, text in told(many, rubric, surface_that_ranks(many, right=True)) if "Not above" in text]


def test_doubts_are_told(many, scored_group, trace, rubric):
    tied = scored_group("tied", [trace("positive", 1.0), trace("slip", 1.0)])
    texts = " ".join(text for _, text in told([*many, tied], rubric, drift=BatchDrift(9, 0.1, 0.1, 3)))
    assert "Scores lean to longer traces: correlation with length +1.00" in texts
    assert "3.2% of pairs are tied" in texts
    assert "3 pairs change their order" in texts


def test_nothing_scored_is_said(scored_group, trace, rubric):
    bad = scored_group("bad", [trace("positive", np.nan), trace("slip", 0.0)])
    metrics = summarize([bad], rubric)
    assert "No group could be scored" in format_metrics(metrics)
    assert "1 of 1 groups are left out" in format_metrics(metrics)
