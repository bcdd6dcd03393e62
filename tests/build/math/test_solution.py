"""Seeds become solutions, or are refused with a reason that can be counted; changes are carried through."""

from fractions import Fraction

import pytest

from rm.build.kinds import Unusable
from rm.build.math import solution as room
from rm.build.math.solution import carry, prepare
from rm.build.seed import Seed

PROBLEM = "Natalia sold 48 clips in April, half as many in May and 6 in June. How many did she sell?"
TRACE = """In May she sold 48/2 = <<48/2=24>>24 clips.
In April and May she sold 48+24 = <<48+24=72>>72 clips.
With June that makes 72+6 = <<72+6=78>>78 clips."""


def seed(solution: str = TRACE, answer: str = "78", problem: str = PROBLEM) -> Seed:
    return Seed("p1", problem, solution, answer=answer)


@pytest.mark.parametrize(
    ("solution", "answer", "reason"),
    [
        (TRACE, "", room.NO_ANSWER),
        (TRACE, "many", room.NO_ANSWER),
        ("", "78", room.NO_TRACE),
        ("  \n\n#### 78", "", room.NO_TRACE),
        ("It is 78 because I say so.", "78", room.NO_CALCULATION),
        (TRACE.replace("72+6 = <<72+6=78>>78", "72+6 = 79"), "79", "a calculation of the solution is wrong"),
        (TRACE, "80", room.OTHER_ANSWER),
        (TRACE + "\nShe has 5 friends.", "78", room.OTHER_ANSWER),
    ],
)
def test_unusable_seeds_say_why(solution, answer, reason):
    with pytest.raises(Unusable) as error:
        prepare(seed(solution, answer))
    assert str(error.value) == reason


def test_the_trace_has_no_marks_and_no_final_line():
    prepared = prepare(seed(TRACE + "\n#### 78", ""))
    assert prepared.answer == 78
    assert "<<" not in prepared.trace
    assert "####" not in prepared.trace
    assert prepared.trace.count("\n") == 2


def test_a_trace_on_one_line_is_read_by_sentences():
    prepared = prepare(seed("She sold 48/2 = 24 clips. In all she sold 48+24 = 72 clips. With June it is 72+6 = 78."))
    assert [str(line) for line in prepared.lines][1] == "In all she sold 48+24 = 72 clips."


@pytest.mark.parametrize("answer", ["78", "$78", "78.00", " 78 clips"])
def test_forms_of_an_answer(answer):
    assert prepare(seed(answer=answer)).answer == 78


def test_a_percentage_is_the_answer_with_and_without_its_sign():
    assert prepare(seed("That is 30/120 = 25% of all.", "25", "30 of 120?")).answer == 25


def test_which_line_needs_which():
    prepared = prepare(seed())
    assert prepared.needs == (frozenset(), {0}, {1})
    assert prepared.users == {0: (1,), 1: (2,), 2: ()}
    assert prepared.dependents(0) == (1, 2)
    assert prepared.answer_site == (2, 2)


def test_a_result_that_the_problem_names_is_not_followed():
    prepared = prepare(seed(problem=PROBLEM + " She has 24 friends."))
    assert [step for step, _ in prepared.sites] == [1, 2]
    assert prepared.needs[1] == frozenset()


def test_nothing_before_an_unexplained_number_is_changed():
    unclear = TRACE.replace("With June", "Her 17 friends know: with June")
    assert prepare(seed(unclear)).closed_from == 3
    assert prepare(seed()).closed_from == 0


def test_a_change_reaches_every_later_use():
    lines = prepare(seed()).lines
    after = carry(lines[1:], {Fraction(24): Fraction(20)})
    assert after is not None
    assert list(map(str, after)) == [
        "In April and May she sold 48+20 = 68 clips.",
        "With June that makes 68+6 = 74 clips.",
    ]


def test_a_result_named_before_its_calculation_changes_too():
    lines = prepare(
        seed("She sold 24 in May because 48/2 = 24\nShe sold 72 because 48+24 = 72\nSo 72+6 = 78 in all")
    ).lines
    after = carry(lines[1:], {Fraction(24): Fraction(20)})
    assert after is not None
    assert str(after[0]) == "She sold 68 because 48+20 = 68"


def test_a_change_that_breaks_whole_numbers_is_refused():
    lines = prepare(seed("48/2 = 24\n24/3 = 8", "8")).lines
    assert carry(lines[1:], {Fraction(24): Fraction(25)}) is None
    assert carry(lines[1:], {Fraction(24): Fraction(27)}) is not None


def test_hidden_calculations_are_carried_by_their_marks():
    lines = prepare(seed("In May it was 48/2 = 24.\nA third of that is <<24/3=8>>8 clips.", "8")).lines
    after = carry(lines[1:], {Fraction(24): Fraction(27)})
    assert after is not None
    assert str(after[0]) == "A third of that is 9 clips."
