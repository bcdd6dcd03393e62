"""Where a trace states the answer; what is left when it is masked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm.uplift.estimate import Leak, find_leak, mask_answer

MASKED = [
    # answer, trace, masked trace
    ("18", "So 12 + 6 = 18. The answer is 18.", "So 12 + 6 = [...]. The answer is [...]."),
    ("#### 18", "pays $18.00 or 18%", "pays $[...] or [...]%"),
    ("18 apples", "18,000 and 18.5 and 118 and 18", "18,000 and 18.5 and 118 and [...]"),
    (r"18 \text{ km/h}", "goes at 18km/h", "goes at [...]km/h"),
    ("18", "lists 17,18,19", "lists 17,[...],19"),
    ("1234.5", "1,234.50 = 1{,}234.5", "[...] = [...]"),
    ("1,000", r"1000 or 1\,000 or 1.000", "[...] or [...] or 1.000"),
    (r"\boxed{\frac{1}{2}}", r"1/2, \frac{1}{2}, \dfrac12, 0.5, .5, 3/4", "[...], [...], [...], [...], [...], 3/4"),
    ("6", "24/4 = 6", "24/4 = [...]"),
    ("24", "24/4 = 6", "[...]/4 = 6"),
    ("0.25", "1/4 of it and 11/44", "[...] of it and [...]"),
    ("-5", "10-5, 10 - 5, x-5, is -5, = -5, −5", "10-5, 10 - 5, x-5, is [...], = [...], [...]"),
    ("5", "10 - 5 = 5, not -5, 5th, x5, 55, .5", "10 - [...] = [...], not -5, 5th, x5, 55, .5"),
    ("blue whale", "It is a Blue\nWhale, not bluewhales", "It is a [...], not bluewhales"),
    ("A", "(A) is a choice", "([...]) is a choice"),
    ("2x + 1", "so y = 2x + 1.", "so y = [...]."),
    ("...", "nothing ... here", "nothing ... here"),
    ("", "nothing here", "nothing here"),
    ("7", "", ""),
    ("1/0", "1/0 is written", "[...] is written"),
]


@pytest.mark.parametrize(("answer", "trace", "masked"), MASKED)
def test_every_statement_of_the_answer_is_masked_and_nothing_else(answer, trace, masked):
    assert mask_answer(trace, answer) == masked
    assert find_leak(trace, answer).anywhere == masked.count("[...]")


def test_the_last_line_is_counted_apart():
    assert find_leak("First 18 are read.\n6 * 3 = 18\nThe answer is 18\n\n", "18") == Leak(anywhere=3, last_line=1)
    assert find_leak("18 at first.\nThen think.", "18") == Leak(anywhere=1, last_line=0)


def test_numbers_in_words_are_not_recognised():
    assert not find_leak("The answer is eighteen.", "18")


@pytest.mark.parametrize("number", ["1" * 5000, "0." + "3" * 5000, "1/" + "3" * 5000])
def test_a_number_that_never_ends_is_no_statement_of_the_answer(number):
    assert find_leak(f"It is {number}, so 7.", "7").anywhere == 1
    assert mask_answer(f"It is {number}, so 0.5.", "1/2") == f"It is {number}, so [...]."
    assert not find_leak("So 7.", number)


@pytest.mark.parametrize("answer", ["x" + " " * 5000 + "!", "a" + 400 * "  " + "!", "word " * 2000 + "!"])
def test_a_long_answer_is_looked_for_in_no_time(answer):
    assert find_leak(f"It is {answer}", answer).anywhere == 1  # a pattern that tries every division takes hours


@given(
    st.text("0123456789 -−,./%$x[]{}\\fracab\n", max_size=60),
    st.from_regex(r"-?\d{1,2}(\.\d|/\d)?|ab?|a a", fullmatch=True),
)
def test_a_masked_trace_states_nothing(trace, answer):
    masked = mask_answer(trace, answer)
    assert not find_leak(masked, answer)
    assert mask_answer(masked, answer) == masked
