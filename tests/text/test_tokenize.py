"""Truncation and its report. The tokenizer makes one token of a byte, so that lengths can be counted by eye."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from rm.text import Encoder, OverflowReport, Row, render
from rm.text.tokenize import BATCH, CHARACTERS_A_TOKEN, cut_middle

MARK = "\n[...]\n"
LONG = Row("abcdefghij" * 40, "Because of this.", "math", "t")
CODE = Row("abcdefghij" * 40, "Because of this.", "code", "t", tests="0123456789" * 40)


@pytest.fixture
def encoder(byte_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> Callable[..., Encoder]:
    return lambda max_length, **options: Encoder(byte_tokenizer(), max_length, **options)


def text_of(encoder: Encoder, row: Row) -> str:
    return encoder.tokenizer.decode(encoder.encode([row])[0].input_ids)


def test_a_text_within_the_limit_is_rendered_whole(encoder):
    whole = len(render(LONG))
    assert text_of(encoder(whole), LONG) == render(LONG)
    assert not encoder(whole).encode([LONG])[0].truncated


def test_one_token_too_many_cuts_the_middle_of_the_problem(encoder):
    limit = len(render(LONG)) - 1
    encoded = encoder(limit).encode([LONG])[0]
    text = encoder(limit).tokenizer.decode(encoded.input_ids)
    assert encoded.truncated
    assert "<problem>\nabcdefghij" in text
    assert "abcdefghij\n</problem>" in text
    assert text.count(MARK) == 1


def test_a_cut_text_uses_the_whole_limit(encoder):
    for limit in range(120, 140):
        assert len(encoder(limit).encode([LONG])[0].input_ids) == limit


def test_reasoning_and_closing_tags_survive_every_cut(encoder):
    ending = "\n</problem>\n<reasoning>\nBecause of this.\n</reasoning>"
    for limit in range(110, len(render(LONG)), 37):
        assert text_of(encoder(limit), LONG).endswith(ending)


def test_tests_stay_whole_while_cutting_the_problem_is_enough(encoder):
    text = text_of(encoder(650), CODE)
    assert CODE.tests in text
    assert text.count(MARK) == 1


def test_where_the_problem_is_gone_the_middle_of_the_tests_goes(encoder):
    text = text_of(encoder(300), CODE)
    assert "<problem>\n[...]\n</problem>" in text
    assert "<tests>\n0123456789" in text
    assert "0123456789\n</tests>\n<reasoning>\nBecause of this.\n</reasoning>" in text


def test_a_reasoning_that_cannot_fit_is_reported_with_the_tokens_it_needs(encoder):
    row = Row("p" * 50, "r" * 200, "math", "t")
    # 17 + 1 + 14 + 1 for task and type, 9 + 1 + 5 + 1 + 10 + 1 for the cut problem, 11 + 1 + 200 + 1 + 12.
    needed = 33 + 27 + 225
    encoded = encoder(needed - 1).encode([row])[0]
    assert not encoded.fits
    assert encoded.overlong == needed
    assert encoded.input_ids == ()


def test_a_reasoning_that_just_fits_is_scored_without_its_problem(encoder):
    row = Row("p" * 50, "r" * 200, "math", "t")
    encoded = encoder(33 + 27 + 225).encode([row])[0]
    assert encoded.fits
    assert encoded.truncated


def test_a_problem_shorter_than_the_mark_is_not_made_longer_by_cutting(encoder):
    row = Row("ab", "r" * 200, "math", "t")
    exact = len(render(row))
    assert encoder(exact).encode([row])[0].fits
    assert encoder(exact - 1).encode([row])[0].overlong == exact


def test_a_short_problem_stays_where_the_tests_are_what_is_long(encoder):
    row = Row("Add.", "r", "code", tests="0123456789" * 40)
    assert "<problem>\nAdd.\n</problem>" in text_of(encoder(200), row)


def test_what_happens_to_a_row_does_not_depend_on_its_batch(encoder):
    rows = [LONG, Row("p", "r", "math"), Row("p", "r" * 400, "math"), CODE]
    limited = encoder(300)
    assert limited.encode(rows) == [limited.encode([row])[0] for row in rows]


def test_what_no_vocabulary_could_fit_is_not_tokenized(encoder, monkeypatch):
    limited, asked = encoder(300), []
    ids = limited._ids
    monkeypatch.setattr(limited, "_ids", lambda texts: asked.extend(map(len, texts)) or ids(texts))
    most = 300 * CHARACTERS_A_TOKEN
    problem, reasoning, fitting = (
        Row("p" * 10 * most, "r", "math"),
        Row("p", "r" * 10 * most, "math"),
        Row("p", "r", "math"),
    )
    cut, hopeless, fits = limited.encode([problem, reasoning, fitting])
    assert cut.truncated
    assert len(cut.input_ids) == 300
    assert hopeless.overlong == math.ceil(len(render(reasoning)) / CHARACTERS_A_TOKEN)
    assert fits == limited.encode([fitting])[0]
    assert max(asked) < most + 200
    assert sum(asked) < 4 * most


def test_order_is_kept_over_several_batches(encoder):
    rows = [Row(str(index), "r", "math") for index in range(BATCH + 3)]
    limited = encoder(300)
    assert [limited.tokenizer.decode(item.input_ids) for item in limited.encode(rows)] == [render(row) for row in rows]


def test_tests_can_be_hidden(encoder):
    hidden = encoder(2000, include_tests=False)
    assert text_of(hidden, CODE) == render(CODE.with_tests(""))


def test_hidden_tests_take_no_room(encoder):
    assert encoder(500, include_tests=False).encode([CODE])[0].truncated is False


def test_a_tokenizer_without_a_pad_token_works(byte_tokenizer):
    limited = Encoder(byte_tokenizer(pad_token=None), 300)
    assert limited.encode([Row("p", "r", "math")])[0].fits
    assert limited.pad_id == limited.tokenizer.eos_token_id


def test_a_tokenizer_with_no_special_token_at_all_works(byte_tokenizer):
    tokenizer = byte_tokenizer(pad_token=None)
    tokenizer.eos_token = None
    assert Encoder(tokenizer, 300).pad_id == 0


def test_a_limit_below_one_token_is_an_error(encoder):
    with pytest.raises(ValueError, match="max_length"):
        encoder(0)


def test_the_report_counts_what_was_cut_and_what_cannot_fit(encoder):
    encoded = encoder(200).encode([LONG, Row("p", "r", "math"), Row("p", "r" * 400, "math")])
    assert OverflowReport.of(encoded, 200) == OverflowReport(rows=3, truncated=1, unscorable=1, max_length=200)


def test_the_report_reads_as_a_sentence():
    text = str(OverflowReport(rows=3, truncated=1, unscorable=1, max_length=200))
    assert text.startswith("3 rows within 200 tokens: 1 ")


@settings(deadline=None, max_examples=60)
@given(text=st.text(min_size=2, max_size=60), keep=st.integers(0, 59))
def test_cutting_keeps_so_many_characters_from_both_ends(text, keep):
    keep = min(keep, len(text) - 1)
    head, _, tail = cut_middle(text, keep).partition(MARK) if MARK not in text else (None, None, None)
    if head is not None:
        assert text.startswith(head)
        assert text.endswith(tail)
        assert (len(head) + len(tail), len(head) - len(tail)) == (keep, keep % 2)
