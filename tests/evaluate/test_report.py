"""The report: it stands alone, escapes what comes from the data, and shows what it should."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from rm.evaluate.report import render_report, worst_groups
from rm.evaluate.summary import summarize
from rm.evaluate.surface import SurfaceResult, surface_baseline

VOID = {"meta", "br", "circle", "line", "rect", "polyline"}
PROVENANCE = {"model": "runs/best", "data": "dev.jsonl (sha256 ab12)"}


class Page(HTMLParser):
    """Checks that tags are balanced; keeps tags, the text outside of style, and the text of `pre` blocks."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.blocks: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "pre":
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "pre" in self.open:
            self.blocks[-1] += data


def page_of(groups, rubric, surface=None) -> tuple[str, Page]:
    html = render_report(groups, summarize(groups, rubric, surface), rubric, PROVENANCE)
    return html, Page(html)


def test_it_stands_alone(two_groups, rubric):
    html, page = page_of(two_groups, rubric, surface_baseline([each.group for each in two_groups]))
    assert not re.search(r"https?://|@import|url\(", html)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name in ("src", "href")]


def test_text_from_the_data_is_escaped_once(scored_group, trace, rubric):
    nasty = "</pre></script><script>alert('x')</script> <b> & &amp; \"'"
    group = scored_group(
        nasty,
        [trace("positive", 0.0, f"{nasty} one"), trace(nasty, 1.0, f"{nasty} two"), trace("slip", np.nan)],
        problem=nasty,
        source=nasty,
    )
    scorable = scored_group("b", [trace("positive", 0.0, nasty), trace(nasty, 1.0, nasty)], nasty, nasty)
    html = render_report(
        [group, scorable], summarize([group, scorable], rubric), rubric, {"model": nasty, nasty: nasty}
    )
    page = Page(html)
    assert "<script" not in html
    assert page.blocks.count(nasty) == 3  # the problem, and both traces of the scorable group
    assert "&amp;lt;" not in html


def test_numbers_and_verdict_are_in_the_page(two_groups, rubric):
    surface = SurfaceResult((np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])), "made up")
    _, page = page_of(two_groups, rubric, surface)
    assert "62.5%" in page.text  # pairs, as in test_summary
    assert "The model ranks 62.5% of pairs right; a bag of words that never sees the problem, 0.0%" in page.text
    assert "made up" in page.text
    assert "dev.jsonl (sha256 ab12)" in page.text
    for heading in (
        "By kind of negative",
        "Calibration",
        "What was left out",
        "The 2 worst groups",
        "Provenance",
    ):
        assert heading in page.text


def test_every_drawing_has_words_and_every_table_has_headers(two_groups, rubric):
    html, page = page_of(two_groups, rubric)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == len(re.findall(r"<svg[^>]*><title>[^<]+</title>", html)) > 0
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert [attributes for tag, attributes in page.tags if tag == "html"] == [{"lang": "en"}]


def test_what_was_left_out_is_named(two_groups, scored_group, trace, rubric):
    bad = scored_group("too-long", [trace("positive", np.nan), trace("slip", np.nan)])
    _, page = page_of([*two_groups, bad], rubric)
    assert "1 of 3 groups are left out: 2 of their candidates" in page.text
    assert "too-long: 2 of 2" in page.text


@pytest.mark.parametrize("count", [0, 1])
def test_few_groups_still_make_a_page(two_groups, rubric, count):
    _, page = page_of(two_groups[:count], rubric)
    assert ("No group could be scored" in page.text) == (count == 0)


def test_nothing_scorable_still_makes_a_page(scored_group, trace, rubric):
    _, page = page_of([scored_group("bad", [trace("positive", np.nan), trace("slip", 0.0)])], rubric)
    assert "No group could be scored" in page.text


def test_labelled_dimensions_have_confusion_matrices(scored_group, trace, rubric):
    labels = {"plan": 2, "sums": 0}
    group = scored_group("one", [trace("positive", 1.0, labels=labels, total=0.5), trace("slip", 0.0)])
    html, page = page_of([group], rubric)
    assert html.count('<table class="confusion">') == 2
    assert "No candidate has rubric labels" not in page.text


def test_lone_surrogates_do_not_break_the_file(scored_group, trace, rubric):
    html, _ = page_of([scored_group("one", [trace("positive", 1.0, "a\ud800b"), trace("slip", 0.0)])], rubric)
    assert "a?b" in html
    html.encode("utf-8")


def test_the_worst_groups_come_first_with_traces_in_the_models_order(scored_group, trace):
    def group(name: str, positive: float, negative: float):
        return scored_group(name, [trace("positive", positive), trace("slip", negative), trace("swap", -9.0)])

    groups = [group("fine", 2.0, 0.0), group("bad", 0.0, 3.0), group("close", 0.0, 1.0)]
    worst = worst_groups(groups, count=2)
    assert [(each.problem_id, each.margin) for each in worst] == [("bad", -3.0), ("close", -1.0)]
    assert [candidate.kind for candidate in worst[0].candidates] == ["slip", "positive", "swap"]
