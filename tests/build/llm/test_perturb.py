"""What the perturber is asked, and which of its texts become variants."""

import json
import random

import pytest

from rm.build.kinds import Kind
from rm.build.llm.asking import Dropped
from rm.build.llm.objects import Unreadable
from rm.build.llm.perturb import first_difference, kept_share, perturber_prompt, read_written, variant_of
from rm.build.seed import Seed

TRACE = "Each box holds 4 apples, so 3 boxes hold 3 * 4 = 12 apples.\nWith his 2 he has 2 + 12 = 14 apples."
SEED = Seed("p1", "Tom has 2 apples and buys 3 boxes of 4 apples. How many has he?", TRACE, answer="14")
SLIP = Kind("slip", "One product is computed wrongly.", lambda prepared, rng: None)
LUCKY = Kind("lucky", "Two errors.", lambda prepared, rng: None, right_answer="the second error undoes the first")
OTHER_WORDS = Kind("other_words", "The same in other words.", lambda prepared, rng: None, sound=True)
FLAWED = "Each box holds 4 apples, so 3 boxes hold 3 * 4 = 14 apples.\nWith his 2 he has 2 + 14 = 16 apples."
REWORDED = "There are 4 apples to a box; that makes 3 * 4 = 12 in three boxes.\nAdd the 2 from before: 2 + 12 = 14."


def reply(**changes):
    told = {"reasoning": FLAWED, "changed_step": 1, "explanation": "3 * 4 is 12.", "final_answer": "16"}
    return json.dumps({**told, **changes})


def made(kind=SLIP, trace=TRACE, **changes):
    return variant_of(read_written(reply(**changes)), SEED, trace, kind, "m")


def test_the_prompt_holds_problem_answer_numbered_steps_and_the_kind():
    text = perturber_prompt(SEED, TRACE, SLIP).text
    for part in (SEED.problem, "right answer: 14", "[1] Each box", "[2] With his", "slip: One product", "wrong answer"):
        assert part in text
    assert "the second error undoes the first" in perturber_prompt(SEED, TRACE, LUCKY).text
    assert "same answer" in perturber_prompt(SEED, TRACE, OTHER_WORDS).text


def test_a_good_reply_becomes_a_variant():
    variant = made()
    assert (variant.kind, variant.reasoning, variant.sound, variant.answer) == ("slip", FLAWED, False, "16")
    assert (variant.first_wrong_step, variant.answer_kept, variant.why) == (0, False, "3 * 4 is 12.")
    assert variant.labels is None
    assert variant.metadata["claimed_step"] == 0


def test_where_it_differs_is_seen_and_not_believed():
    assert made(changed_step=2).first_wrong_step == 0
    assert first_difference("a\nb\nc", "a\nb") == 1
    assert first_difference("a\nb", "a\nb\nc") == 2


def test_numbers_that_the_prompt_gave_the_lines_are_taken_off():
    numbered = "\n".join(f"[{i}] {line}" for i, line in enumerate(FLAWED.splitlines(), 1))
    assert made(reasoning=numbered).reasoning == FLAWED


def test_a_number_is_an_answer_too():
    assert made(final_answer=16).answer == "16"
    assert made(final_answer=None).answer is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reasoning": f"  {TRACE}\n"}, "unchanged"),
        ({"reasoning": "We multiply. 3 * 4 = 14, plus two is 16", "final_answer": "16"}, "whole rewrite"),
        ({"reasoning": f"I'm sorry, I can't write wrong steps, but here: {FLAWED}"}, "moralising"),
        ({"final_answer": "18"}, "answer not stated"),
        ({"final_answer": "14"}, "answer not stated"),
        ({"final_answer": "x + 1"}, "answer not stated"),
    ],
)
def test_a_text_that_is_not_what_it_claims_is_dropped(changes, reason):
    found = made(**changes)
    assert isinstance(found, Dropped)
    assert found.reason == reason


def test_whether_the_answer_is_right_is_computed_for_the_gates():
    variant = made(kind=LUCKY, reasoning=TRACE.replace("12", "15"), final_answer="14")
    assert variant.answer_kept
    assert variant.first_wrong_step == 0
    assert not made().answer_kept


def test_sound_traces_in_other_words():
    variant = made(kind=OTHER_WORDS, reasoning=REWORDED, final_answer="14")
    assert (variant.sound, variant.answer_kept, variant.first_wrong_step) == (True, True, None)
    assert made(kind=OTHER_WORDS, reasoning=TRACE + ".", final_answer="14").reason == "nothing rewritten"
    assert not made(kind=OTHER_WORDS, reasoning=REWORDED.replace("14", "15"), final_answer="15").answer_kept


def test_a_first_person_phrase_of_the_source_is_no_moralising():
    said = "I can't divide that evenly.\n"
    assert made(trace=said + TRACE, reasoning=said + FLAWED).kind == "slip"


@pytest.mark.parametrize(
    "changes",
    [
        {"reasoning": ["a", "b"]},
        {"reasoning": " "},
        {"changed_step": "1"},
        {"changed_step": 0},
        {"changed_step": 1.5},
        {"changed_step": True},
        {"explanation": ""},
        {"final_answer": [16]},
        {"final_answer": True},
    ],
    ids=str,
)
def test_wrong_types_are_told_to_the_model(changes):
    with pytest.raises(Unreadable) as error:
        read_written(reply(**changes))
    assert error.value.told


def test_carried_values_do_not_count_as_rewriting():
    rng = random.Random(0)
    assert kept_share(TRACE, FLAWED) == 1.0
    words = TRACE.split()
    rng.shuffle(words)
    assert kept_share(TRACE, " ".join(words)) < 0.8
    assert kept_share(TRACE, "Nothing of it.") < 0.2
