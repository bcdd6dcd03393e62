"""Figures over traces, from a few results worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from rm.uplift.meter import Totals
from rm.uplift.page import render_page
from rm.uplift.results import TraceResult, with_shrunken_values
from rm.uplift.summary import STOPPED_EARLY, format_summary, kinds, summarize_uplift

TOTALS = Totals(
    seconds=2.0,
    calls=30,
    samples=240,
    samples_with_trace=200,
    samples_baseline=40,
    cache_hits=8,
    resumed_runs=0,
    lost={"timeout": 3},
    failed={"wrong answer": 90},
)


def result(problem_id, trace, kind, value, low=None, high=None, total=None, rm_score=None, **more):
    """8 runs in each arm, half the baseline right."""
    if value is None:
        counts = {"successes": 0, "runs": 0}
    else:
        low, high = (value - 0.3, value + 0.3) if low is None else (low, high)
        counts = {"successes": 8 * (value + 0.5), "runs": 8}
    return TraceResult(
        problem_id,
        trace,
        kind,
        value,
        low,
        high,
        "sampled",
        **counts,
        baseline_successes=4,
        baseline_runs=8,
        total=total,
        rm_score=rm_score,
        **more,
    )


RESULTS = [
    result("a", 0, "positive", 0.5, total=1.0),
    result("a", 1, "sign", -0.5, total=0.2),
    result("a", 2, "sign", 0.0, total=0.4),
    result("b", 0, "positive", 0.25, total=1.0),
    result("b", 1, "copy", 0.25, total=0.5),
    result("b", 2, "sign", 0.5, total=0.0),
    result("c", 0, "positive", -0.5, -0.9, -0.1, total=0.9),
    result("c", 1, "copy", 0.5, 0.1, 0.9, total=0.3),
    result("c", 2, "copy", None, total=0.1),
]


@pytest.fixture
def summary():
    return summarize_uplift(RESULTS, TOTALS)


def test_counts(summary):
    assert (summary["problems"], summary["traces"], summary["unmeasured"]) == (3, 9, 1)
    assert (
        summary["settled"] == 5
    )  # +-0.5 with +-0.3 around it four times, and c's own two less b's 0.25 ones: see below


def test_means_are_over_problems_not_over_traces(summary):
    assert summary["positives"]["mean"] == pytest.approx((0.5 + 0.25 - 0.5) / 3)
    assert summary["negatives"]["mean"] == pytest.approx((-0.25 + 0.375 + 0.5) / 3)
    assert summary["by_kind"]["sign"] == {
        "traces": 3,
        "problems": 2,
        "mean": pytest.approx((-0.25 + 0.5) / 2),
        "low": pytest.approx(-0.25),
        "high": pytest.approx(0.5),
    }
    assert summary["difference"]["mean"] == pytest.approx((0.75 - 0.125 - 1.0) / 3)
    assert summary["difference"]["problems"] == 3
    assert summary["baseline"] == {"problems": 3, "mean": 0.5, "low": 0.5, "high": 0.5}


def test_order_counts_the_pairs_that_the_judge_tells_apart(summary):
    """a: all three pairs alike. b: positive over copy tied, positive over sign and copy over sign the other way.
    c: the other way, and the intervals lie apart."""
    assert summary["order"]["total"] == {
        "pairs": 7,
        "same": 3,
        "opposite": 3,
        "tied": 1,
        "clearly_opposite": 1,
        "disagreement": 0.5,
    }
    assert summary["order"]["rm_score"]["pairs"] == 0
    assert summary["order"]["rm_score"]["disagreement"] is None


def test_kinds_begin_with_the_good_ones():
    found = [result("p", i, kind, 0.0) for i, kind in enumerate(["sign", "", "reference", "copy", "positive"])]
    assert kinds(found) == ["positive", "reference", "", "copy", "sign"]


def test_it_is_json(summary):
    assert json.loads(json.dumps(summary, allow_nan=False))["cost"]["samples_per_second"] == 120


def test_the_terminal_shows_it(summary):
    text = format_summary(summary)
    assert "positives                       3         3   +0.083  -0.500 to +0.500" in text
    assert "rubric total                      7         3         3        1       1" in text
    assert "240 completions in 30 calls, 2.0 s, 120.0 a second" in text
    assert "Lost calls: 3 timeout." in text
    assert "RM score" not in text


def test_an_adaptive_plan_is_told_to_lean(summary):
    assert (summary["stopped_early"], STOPPED_EARLY in format_summary(summary)) == (0, False)
    found = summarize_uplift([replace(RESULTS[0], method="adaptive"), *RESULTS[1:]], TOTALS)
    assert found["stopped_early"] == 1
    assert STOPPED_EARLY in format_summary(found)


def test_baselines_alone_have_a_summary_too():
    alone = [result("a", None, "baseline", None), result("b", None, "baseline", None)]
    summary = summarize_uplift(alone, TOTALS)
    assert (summary["traces"], summary["problems"], summary["baseline"]["mean"]) == (0, 2, 0.5)
    assert "Success without a trace: 50.0%" in format_summary(summary)
    assert "<svg" in render_page(alone, summary)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_draws_every_measured_trace(summary):
    page = Page(render_page(RESULTS, summary))
    assert page.open == []
    dots = [attrs for tag, attrs in page.tags if tag == "circle" and attrs["r"] == "4"]
    assert len(dots) == 8
    assert not {"src", "href"} & {name for _, attrs in page.tags for name in attrs}


def test_the_page_escapes_what_the_data_says():
    bad = [result("<script>", 0, "<b>kind", 0.5)]
    text = render_page(bad, summarize_uplift(bad, TOTALS))
    assert "<script>" not in text
    assert "<b>kind" not in text


def test_the_reward_model_comes_before_the_rubric_in_the_picture():
    scored = [result("p", 0, "positive", 0.5, rm_score=0.25, total=0.75)]
    text = render_page(scored, summarize_uplift(scored, TOTALS))
    assert "RM score against uplift" in text


def test_shrunken_values_lie_between_the_raw_one_and_the_mean():
    found = with_shrunken_values([result(f"p{i}", 0, "positive", value) for i, value in enumerate([0.5, 0.0, 0.25])])
    mean = 0.25
    for each in found:
        assert abs(each.shrunken - mean) <= abs(each.value - mean) + 0.02


def test_nothing_measured_is_nothing_shrunken():
    found = with_shrunken_values([result("p", 0, "positive", None)])
    assert found[0].shrunken is None


def test_the_costs_of_a_resumed_measurement_say_that_they_are_not_all():
    summary = summarize_uplift(RESULTS, replace(TOTALS, resumed_runs=512), 0)
    assert "took over 512 runs of an earlier one" in format_summary(summary)
    assert "took over" not in format_summary(summarize_uplift(RESULTS, TOTALS, 0))
