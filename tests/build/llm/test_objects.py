"""What is read in a reply, and what is not."""

import pytest

from rm.build.llm.objects import Unreadable, number_of, read_object, sounds_like_refusal, text_of

KEYS = ("a", "b")


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1, "b": "x"}',
        '```json\n{"a": 1, "b": "x"}\n```',
        'Here you are:\n\n{"a": 1, "b": "x"}\n\nI hope that helps {smile}.',
        '<think>Perhaps {"a": 2, "b": "y"}? No.</think>{"b": "x", "a": 1, "c": [3]}',
        'First {"c": 1}, then {"a": 1, "b": "x"}',
        '{"a": 1, "b": "x"} Once more: {"a": 1, "b": "x"}',
    ],
)
def test_the_object_is_found_in_what_stands_around_it(reply):
    assert read_object(reply, KEYS) == {"a": 1, "b": "x"}


def test_a_line_break_in_a_string_is_one():
    assert read_object('{"a": "two\nlines", "b": "and\\ntwo"}', KEYS) == {"a": "two\nlines", "b": "and\ntwo"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty reply"),
        ("<think>nothing comes</think>  ", "empty reply"),
        ("I'm sorry, but I can't help with creating misleading content.", "refusal"),
        ("As an AI language model I value honesty.", "refusal"),
        ("The steps are fine.", "no JSON"),
        ("[1, 2]", "no JSON"),
        ('{"a": 1, "b": "x"', "broken JSON"),
        ('{"a": 1, "b": }', "broken JSON"),
        ('{"a": NaN, "b": "x"}', "broken JSON"),
        ('{"a": 1, "a": 2, "b": "x"}', "broken JSON"),
        ('{"a": 1, "b": {"a": {"b": ' * 4000, "broken JSON"),
        ('{"a": 1, "other": "x"}', "missing keys"),
        ('{"a": 1, "b": "x"} or {"a": 2, "b": "x"}', "several objects"),
        (r'{"a": "3 \times 4", "b": "x"}', "control characters"),
        (r'{"a": ["\frac{1}{2}"], "b": "x"}', "control characters"),
    ],
)
def test_nothing_is_guessed(reply, reason):
    with pytest.raises(Unreadable) as error:
        read_object(reply, KEYS)
    assert error.value.reason == reason


def test_a_cut_object_does_not_pass_for_the_one_inside_it():
    with pytest.raises(Unreadable) as error:
        read_object('{"scores": {"a": 1, "c": 2}, "b": "x', KEYS)
    assert error.value.reason == "missing keys"


def test_a_model_that_declines_or_says_nothing_is_not_asked_again():
    for reply in ("", "I cannot do that."):
        with pytest.raises(Unreadable) as error:
            read_object(reply, KEYS)
        assert error.value.told == ""


@pytest.mark.parametrize(
    "value", ["7", True, None, [7], 11, -1, float("inf"), float("nan"), 10**400], ids=lambda v: str(v)[:9]
)
def test_a_score_is_a_number_in_its_range(value):
    with pytest.raises(Unreadable, match="wrong type"):
        number_of({"score": value}, "score", 0, 10)


def test_whole_numbers_only_where_they_are_asked_for():
    assert number_of({"step": 3}, "step", 1, 9, whole=True) == 3
    assert number_of({"score": 7.5}, "score", 0, 10) == 7.5
    with pytest.raises(Unreadable, match="whole"):
        number_of({"step": 3.5}, "step", 1, 9, whole=True)


@pytest.mark.parametrize("value", ["", "  ", 3, None, ["x"]])
def test_a_text_is_a_string_with_something_in_it(value):
    with pytest.raises(Unreadable, match="wrong type"):
        text_of({"why": value}, "why")


def test_a_curly_apostrophe_declines_as_well():
    assert sounds_like_refusal("I can’t write that.")
    assert not sounds_like_refusal("Tom can't carry 7 bags, so he goes twice.")
