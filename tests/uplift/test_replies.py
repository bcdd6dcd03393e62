"""Replies as servers write them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from rm.uplift.executors.base import Completion
from rm.uplift.executors.replies import (
    BrokenReply,
    Scored,
    answer_log_probability,
    error_code,
    is_transient,
    read_completions,
    read_json,
    read_models,
    read_scored,
    retry_after,
    server_words,
)

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def body(data: Any) -> bytes:
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("3", 3),
        ("0.5", 0.5),
        ("-4", 0),
        ("soon", 0),
        ("nan", 0),
        ("inf", 0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30),
    ],
)
def test_retry_after(header, seconds):
    assert retry_after(header, NOON) == seconds


def test_transient_statuses():
    assert [s for s in (301, 400, 404, 408, 413, 422, 425, 429, 500, 502, 529) if is_transient(s)] == [
        408, 425, 429, 500, 502, 529,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (body({"error": {"message": "no such model"}}), "no such model"),
        (body({"error": "bad"}), "bad"),
        (body({"message": "too\nlong"}), "too long"),
        (body({"detail": "Not Found"}), "Not Found"),
        (body({"detail": [{"loc": "x"}]}), '[{"loc": "x"}]'),
        (b"<html><body>x</body></html>", "an HTML page"),
        (b"plain", "plain"),
        (b"", ""),
        (b"\xff\xfe", "��"),
        (b"x" * 1000, "x" * 300 + "..."),
    ],
)
def test_servers_words(content, words):
    assert server_words(content) == words


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (body({"error": {"code": "insufficient_quota"}}), "insufficient_quota"),
        (body({"error": {"type": "x"}}), "x"),
        (body({"error": {"code": None}}), ""),
        (body({"error": "bad"}), ""),
        (body([1]), ""),
        (b"no", ""),
    ],
)
def test_error_code(content, code):
    assert error_code(content) == code


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "broken json"),
        (b'{"choices": [', "broken json"),
        (b"[" * 100_000, "broken json"),
        (b"  <HTML>", "html page"),
        (b"[]", "broken reply"),
        (body({"error": {"message": "x"}}), "error in reply"),
        (body({}), "broken reply"),
        (body({"choices": "x"}), "broken reply"),
        (body({"choices": ["x"]}), "broken reply"),
        (body({"choices": []}), "no choices"),
        (body({"choices": [{"finish_reason": "stop"}]}), "broken reply"),
        (body({"choices": [{"text": 4}]}), "broken reply"),
        (body({"choices": [{"message": {}}]}), "broken reply"),
        (body({"choices": [{"text": "", "finish_reason": "abort"}]}), "aborted"),
    ],
)
def test_broken_replies(content, reason):
    with pytest.raises(BrokenReply) as caught:
        read_completions(content)
    assert caught.value.reason == reason


def test_an_empty_error_is_none():
    assert read_json(body({"error": None, "x": 1}))["x"] == 1


def test_tokens_are_told_where_one_completion_has_them_all():
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 9}}
    alone = read_completions(body({"choices": [{"text": "a", "finish_reason": "stop"}], **usage}))
    assert alone.completions == (Completion("a", True, 9),)
    both = read_completions(body({"choices": [{"text": "a"}, {"text": "b", "finish_reason": "length"}], **usage}))
    assert both.completions == (Completion("a", True, None), Completion("b", False, None))
    assert (both.prompt_tokens, both.completion_tokens) == (7, 9)


def test_an_aborted_choice_is_left_out():
    reply = read_completions(body({"choices": [{"text": "a"}, {"text": "", "finish_reason": "abort"}]}))
    assert [each.text for each in reply.completions] == ["a"]


@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {"prompt_tokens": "9"}}])
def test_usage_that_is_not_told(usage):
    reply = read_completions(body({"choices": [{"text": "a"}], **usage}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)


def test_models():
    assert read_models(body({"data": [{"id": "a"}, {"name": "b"}, 3]})) == ["a"]
    assert read_models(body({"data": None})) == []


# Log probabilities: by hand


def test_answer_in_the_midst():
    scored = Scored(("<s>", "1", " +", " 1", " =", " 2", ".", "\n"), (None, -9, -9, -9, -9, -0.5, -0.25, -9))
    assert answer_log_probability(scored, "1 + 1 =", " 2.") == -0.75


def test_the_first_token_without_a_text():
    scored = Scored(("", " + 1", " =", " 2"), (None, -9, -9, -0.5))
    assert answer_log_probability(scored, "1 + 1 =", " 2") == -0.5


@pytest.mark.parametrize(
    ("tokens", "logprobs"),
    [
        ((), ()),
        (("something", " else"), (None, -1.0)),
        (("1 =", " 2"), (-1.0, None)),
        (("1 =", " 2"), (-1.0, math.nan)),
        (("2",), (-1.0,)),
    ],
)
def test_no_answer_among_the_tokens(tokens, logprobs):
    assert answer_log_probability(Scored(tokens, logprobs), "1 =", " 2") is None


def test_an_impossible_answer_and_rounding():
    assert answer_log_probability(Scored(("a", "b"), (None, -math.inf)), "a", "b") == -math.inf
    assert answer_log_probability(Scored(("a", "b"), (None, 1e-9)), "a", "b") == 0.0


@pytest.mark.parametrize(
    "choice",
    [
        {"logprobs": {"tokens": ["a"], "token_logprobs": [None, -1]}},
        {"logprobs": {"tokens": ["a"], "token_logprobs": ["x"]}},
        {"prompt_logprobs": [None, {}, {"5": 3}]},
    ],
)
def test_broken_logprobs(choice):
    with pytest.raises(BrokenReply, match="broken logprobs"):
        read_scored(body({"choices": [choice]}))


@pytest.mark.parametrize("choice", [{}, {"logprobs": None}, {"logprobs": {"content": []}}, {"prompt_logprobs": None}])
def test_no_logprobs(choice):
    assert read_scored(body({"choices": [{"text": "", **choice}]})).tokens == ()
