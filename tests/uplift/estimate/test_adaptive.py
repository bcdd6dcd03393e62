"""The sequential plan: when it stops, what it asks for, and that its interval survives the stopping."""

import numpy as np
import pytest
import scipy.stats

from rm.uplift.estimate import Adaptive, Counts, adaptive, confidence_sequence

PLAN = Adaptive()


def test_the_first_look_has_the_baseline_of_sixteen():
    assert PLAN.next(Counts(0, 0), Counts(0, 0)) == (4, 16)


def test_a_look_is_completed_before_anything_is_decided():
    assert PLAN.next(Counts(3, 3), Counts(0, 16)) == (1, 0)  # decided already, but a call was lost
    assert PLAN.next(Counts(4, 4), Counts(0, 9)) == (0, 7)


def test_a_settled_sign_ends_it():
    assert PLAN.next(Counts(4, 4), Counts(1, 16)) is None
    assert PLAN.settled(Counts(4, 4), Counts(1, 16)) == "sign"


def test_an_open_sign_goes_on_to_the_next_look():
    assert PLAN.next(Counts(2, 4), Counts(8, 16)) == (4, 0)
    assert PLAN.next(Counts(12, 24), Counts(18, 36)) == (8, 12)  # 48 = 1.5 * 32


def test_a_settled_width_ends_it():
    plan = Adaptive(width=1.1)
    assert plan.settled(Counts(4, 8), Counts(8, 16)) is None
    assert plan.settled(Counts(8, 16), Counts(12, 24)) == "width"


def test_the_total_is_bounded():
    assert PLAN.next(Counts(32, 64), Counts(48, 96)) is None
    assert PLAN.settled(Counts(32, 64), Counts(48, 96)) == "total"
    assert max(PLAN.baseline_at(look) for look in PLAN.looks) == PLAN.baseline_most


def test_more_runs_than_the_plan_knows_are_used_as_they_are():
    assert PLAN.next(Counts(40, 80), Counts(60, 120)) is None


def test_the_sign_is_settled_by_its_posterior_probability():
    rng = np.random.default_rng(0)
    above = scipy.stats.beta(4, 2).rvs(200_000, random_state=rng) > scipy.stats.beta(5, 13).rvs(
        200_000, random_state=rng
    )
    probability = above.mean()  # of 3 of 4 against 4 of 16
    counts = Counts(3, 4), Counts(4, 16)
    assert Adaptive(sign_probability=probability - 0.005).settled(*counts) == "sign"
    assert Adaptive(sign_probability=probability + 0.005).settled(*counts) is None


def test_the_estimate_is_the_raw_difference_with_the_sequence_and_says_what_ended_it():
    counts = Counts(4, 4), Counts(1, 16)
    found = PLAN.estimate(*counts)
    assert found.value == pytest.approx(1 - 1 / 16)
    assert (found.low, found.high) == confidence_sequence(*counts)
    assert found.notes[-1] == "ended: sign"


def test_partial_scores_are_counted():
    found = adaptive(Counts.of([0.5, 1.0, 1.0, 0.75]), Counts.of([0.25] * 16))
    assert found.value == pytest.approx(0.5625)


def test_no_runs_give_no_value():
    assert PLAN.estimate(Counts(0, 0), Counts(1, 16)).value is None


@pytest.mark.parametrize(
    "settings",
    [
        {"looks": ()},
        {"looks": (4, 4)},
        {"looks": (0, 4)},
        {"baseline_runs": 200},
        {"baseline_ratio": -1.0},
        {"sign_probability": 0.5},
        {"level": 1.0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"look|baseline|sign|level"):
        Adaptive(**settings)
