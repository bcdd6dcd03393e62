"""The trace in completions with one pair of tags, none, half of one, or several."""

from __future__ import annotations

import pytest

from rm.reward.reasoning import extract_reasoning


@pytest.mark.parametrize(
    ("completion", "text", "form"),
    [
        ("<reasoning>\n3 + 4 = 7\n</reasoning>\nThe answer is 7.", "3 + 4 = 7", "tagged"),
        ("Well. <Reasoning>a</REASONING>", "a", "tagged"),
        ("  3 + 4 = 7  ", "3 + 4 = 7", "untagged"),
        ("<reasoning>3 + 4 = 7 and th", "3 + 4 = 7 and th", "unclosed"),
        ("3 + 4 = 7</reasoning> 7", "3 + 4 = 7", "unopened"),
        ("<reasoning>a</reasoning><reasoning>b</reasoning>", "a", "doubled"),
        ("<reasoning>a<reasoning>b</reasoning>", "a<reasoning>b", "doubled"),
        ("</reasoning><reasoning>a</reasoning>", "a", "doubled"),
        ("<reasoning>a</reasoning></reasoning>", "a", "doubled"),
        ("a < b <reason>c</reason>", "a < b <reason>c</reason>", "untagged"),
        ("", "", "empty"),
        (" \n", "", "empty"),
        ("<reasoning> </reasoning> 7", "", "empty"),
        ("<reasoning>", "", "empty"),
    ],
)
def test_what_counts_as_the_trace(completion, text, form):
    found = extract_reasoning(completion)
    assert (found.text, found.form) == (text, form)


def test_only_the_usual_form_goes_without_a_note():
    assert extract_reasoning("<reasoning>a</reasoning>").note == ""
    assert "no <reasoning> tags" in extract_reasoning("a").note
    assert "no reasoning" in extract_reasoning("").note
