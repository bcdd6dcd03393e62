"""Rewards worked out by hand, formula by formula; None, gates, priors, weights."""

from __future__ import annotations

import math

import pytest

from rm.errors import ConfigError
from rm.reward.combine import FORMULAS, BetaRuns, Options, Prior, combine, formula_of
from rm.reward.parts import Parts, UpliftPart


def runs(successes: float, of: int, baseline: float, baseline_of: int) -> UpliftPart:
    value = successes / of - baseline / baseline_of if of and baseline_of else None
    return UpliftPart(
        value, None if value is None else -1.0, None if value is None else 1.0, successes, of, baseline, baseline_of
    )


def three(successes: int, baseline: int) -> UpliftPart:
    return runs(successes, 3, baseline, 3)


@pytest.mark.parametrize(
    ("end_to_end", "rm", "successes", "baseline", "expected"),
    [
        (1.0, 0.8, 3, 0, 0.9),  # 0.5 + 0.5 * 0.8 * 1
        (1.0, 0.8, 3, 3, 0.5),  # no uplift: the answer alone
        (0.0, 0.6, 2, 1, 0.1),  # 0.5 * 0.6 / 3
        (0.0, 0.6, 0, 3, -0.3),  # harm: 0.5 * 0.6 * -1
        (1.0, 0.0, 3, 0, 0.5),
        (1.0, 1.7, 3, 0, 1.0),  # rm is clamped to 1
        (0.0, -0.2, 3, 0, 0.0),  # and to 0
    ],
)
def test_tracelift_math(end_to_end, rm, successes, baseline, expected):
    result = combine("tracelift-math-v1", Parts(end_to_end, rm, None, three(successes, baseline)))
    assert result.reward == pytest.approx(expected)
    assert sum(result.terms.values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("end_to_end", "rm", "successes", "baseline", "coefficient", "expected"),
    [
        (0.5, 0.5, 2, 1, 1.0, 0.6),  # more pass: 0.5 + 0.2 * 0.5
        (0.5, 0.5, 1, 2, -1.0, 0.4),  # fewer pass
        (0.5, 0.5, 0, 0, 0.0, 0.5),  # ties: 0, 0.5, 2/3, 1
        (0.5, 0.6, 1, 1, 0.5, 0.56),
        (0.5, 0.6, 2, 2, 2 / 3, 0.58),
        (0.5, 0.5, 3, 3, 1.0, 0.6),
        (1.0, 0.9, 3, 0, 1.0, 1.0),  # clamped from 1.18
        (0.0, 0.9, 0, 1, -1.0, 0.0),  # clamped from -0.18
        (-0.6, 0.9, 3, 0, 1.0, 0.0),  # clamped from -0.42: the style coderl
    ],
)
def test_tracelift_code(end_to_end, rm, successes, baseline, coefficient, expected):
    result = combine("tracelift-code-v1", Parts(end_to_end, rm, None, three(successes, baseline)))
    assert result.parts.coefficient == pytest.approx(coefficient)
    assert result.reward == pytest.approx(expected)


@pytest.mark.parametrize(
    ("part", "coefficient"),
    [
        (runs(2, 8, 2, 8), 0.25),  # a tie of other numbers: passes / runs
        (runs(8, 8, 8, 8), 1.0),
        (runs(0, 8, 0, 16), 0.0),
        (runs(4, 8, 8, 16), 0.5),  # a tie of rates
        (runs(5, 8, 8, 16), 1.0),
        (runs(4, 8, 9, 16), -1.0),
        (runs(1, 3, 3, 9), 0.5),  # the table of three goes by the runs with the trace
    ],
)
def test_the_coefficient_for_code_with_other_numbers_of_runs(part, coefficient):
    assert combine("tracelift-code-v1", Parts(0.0, 1.0, None, part)).parts.coefficient == pytest.approx(coefficient)


@pytest.mark.parametrize(
    ("formula", "parts", "expected"),
    [
        ("exec-only-v1", Parts(end_to_end=-0.3), -0.3),  # not clamped
        ("rm-only-v1", Parts(rm=0.7), 0.7),
        ("uplift-only-v1", Parts(uplift=runs(1, 4, 2, 4)), -0.25),
        ("product-v1", Parts(rm=0.8, uplift=runs(3, 4, 1, 4)), 0.4),
        ("sum-v1", Parts(1.0, 0.8, uplift=runs(3, 4, 1, 4)), 0.825),
    ],
)
def test_the_formulas_of_one_or_two_parts(formula, parts, expected):
    assert combine(formula, parts).reward == pytest.approx(expected)


def test_the_product_takes_its_end_to_end_from_the_runs_with_the_trace():
    result = combine("product-v1", Parts(rm=0.8, uplift=runs(3, 4, 1, 4)), {"end_to_end": 0.2})
    assert result.parts.end_to_end == 0.75
    assert result.reward == pytest.approx(0.8 * 0.5 + 0.2 * 0.75)
    assert result.terms == pytest.approx({"rm_uplift": 0.4, "end_to_end": 0.15})


def test_weights_are_parameters():
    parts = Parts(1.0, 0.5, None, three(3, 0))
    assert combine("tracelift-math-v1", parts, {"end_to_end": 0.3, "rm_uplift": 0.7}).reward == pytest.approx(0.65)
    assert combine("tracelift-code-v1", parts, {"end_to_end": 0.5}).reward == pytest.approx(0.6)


@pytest.mark.parametrize("formula", FORMULAS)
def test_what_was_not_measured_makes_the_reward_none_and_is_named(formula):
    result = combine(formula, Parts())
    assert result.reward is None
    assert {failure.split(":")[0] for failure in result.failures} == FORMULAS[formula].needs(FORMULAS[formula].weights)


def test_one_missing_part_is_enough():
    result = combine("tracelift-math-v1", Parts(1.0, None, None, three(3, 0)))
    assert result.reward is None
    assert result.failures == ("rm: not measured",)
    assert result.terms == {"end_to_end": 0.5, "rm_uplift": None}


@pytest.mark.parametrize("formula", ["tracelift-math-v1", "rm-only-v1"])
def test_a_score_that_is_no_number_is_not_measured(formula):
    result = combine(formula, Parts(1.0, math.nan, None, three(3, 0)))
    assert (result.reward, result.parts.rm, result.failures) == (None, None, ("rm: not measured",))


def test_an_arm_without_runs_is_not_measured():
    assert combine("uplift-only-v1", Parts(uplift=runs(2, 3, 0, 0))).reward is None
    assert combine("tracelift-code-v1", Parts(1.0, 0.5, None, runs(0, 0, 1, 3))).reward is None


def test_skipping_sums_the_terms_that_are_there():
    skip = Options(on_unmeasured="skip")
    result = combine("tracelift-math-v1", Parts(1.0, None, None, three(3, 0)), options=skip)
    assert (result.reward, result.failures) == (0.5, ("rm: not measured",))
    assert combine("tracelift-math-v1", Parts(), options=skip).reward is None


@pytest.mark.parametrize(
    ("rm", "successes", "baseline", "expected"),
    [(0.49, 3, 0, 0.0), (0.5, 3, 0, 0.75), (0.4, 0, 3, -0.2)],  # harm is not forgiven
)
def test_below_the_floor_only_harm_counts(rm, successes, baseline, expected):
    parts = Parts(1.0, rm, None, three(successes, baseline))
    result = combine("tracelift-math-v1", parts, options=Options(rubric_floor=0.5))
    assert result.reward == pytest.approx(expected)
    assert bool(result.notes) == (rm < 0.5)


def test_a_gate_that_cannot_be_read_gives_no_reward():
    for choice in ("none", "skip"):
        assert combine("exec-only-v1", Parts(1.0), options=Options(0.5, on_unmeasured=choice)).reward is None


def test_a_prior_draws_both_rates_towards_what_is_usual():
    prior = Prior(with_trace=BetaRuns(2, 2), baseline=BetaRuns(1, 3))
    # (3 + 2) / (3 + 4) - (0 + 1) / (3 + 4) = 4/7
    result = combine("uplift-only-v1", Parts(uplift=three(3, 0)), options=Options(prior=prior))
    assert result.reward == pytest.approx(4 / 7)
    assert result.parts.uplift.value == 1.0  # what was measured stays visible
    assert combine("uplift-only-v1", Parts(uplift=runs(1, 3, 0, 0)), options=Options(prior=prior)).reward is None


def test_a_weight_of_zero_needs_no_measurement():
    result = combine("tracelift-math-v1", Parts(end_to_end=1.0), {"rm_uplift": 0})
    assert (result.reward, result.failures) == (0.5, ())
    assert FORMULAS["product-v1"].needs({"rm_uplift": 0.0, "end_to_end": 1.0}) == {"uplift"}


def test_an_unknown_formula_names_the_choices():
    with pytest.raises(ConfigError, match=r"no formula 'tracelift-math-v2'.*tracelift-math-v1, tracelift-code-v1"):
        formula_of("tracelift-math-v2")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"rm": 1}, r"weights\.rm: tracelift-math-v1 has no such weight\. It has: end_to_end, rm_uplift"),
        ({"end_to_end": -1}, r"weights\.end_to_end = -1, expected a finite number"),
        ({"end_to_end": float("nan")}, "= nan, expected"),
        ({"end_to_end": True}, "= True, expected"),
        ({"end_to_end": 0, "rm_uplift": 0}, "all weights .* are 0"),
    ],
)
def test_weights_that_cannot_be(weights, message):
    with pytest.raises(ConfigError, match=message):
        combine("tracelift-math-v1", Parts(), weights)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Options(rubric_floor=1.5),
        lambda: Options(rubric_floor=float("nan")),
        lambda: Options(on_unmeasured="zero"),
        lambda: BetaRuns(0, 1),
        lambda: combine("tracelift-code-v1", Parts(), options=Options(prior=Prior(BetaRuns(1, 1), BetaRuns(1, 1)))),
    ],
)
def test_options_that_cannot_be(make):
    with pytest.raises(ConfigError):
        make()


def test_a_result_is_plain_json_values():
    row = combine("tracelift-math-v1", Parts(1.0, 0.8, {"plan": 3.2}, three(3, 0))).as_row()
    assert set(row) >= {"reward", "formula", "parts", "failures"}
    assert set(row["parts"]) == {"end_to_end", "rm", "dimensions", "uplift", "coefficient"}
    assert row["parts"]["uplift"]["baseline_runs"] == 3
    assert row["failures"] == []
