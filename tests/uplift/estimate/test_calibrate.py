"""From likelihood to uplift: found where there is a law, honest where there is none, silent outside the fit."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import r2_score

from rm.uplift.estimate import Features, Leak, LikelihoodValue, calibrate

N, A_PROBLEM = 240, 4
PROBLEMS = [f"p{index // A_PROBLEM}" for index in range(N)]


def features(rng, count=N):
    value = rng.normal(2, 2, count)
    table = np.stack(
        [value, value - 0.1, -rng.gamma(2, 2, count), rng.integers(0, 2, count), rng.normal(5, 0.3, count)], 1
    )
    return [Features(*row) for row in table.tolist()]


def uplift(rows):
    return np.tanh(np.array([row.value for row in rows]) / 3)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    rows = features(rng)
    noisy = np.clip(uplift(rows) + rng.normal(0, 0.15, N), -1, 1)
    return calibrate(rows, noisy, PROBLEMS)


def test_a_curved_law_is_found(fitted):
    rows = features(np.random.default_rng(1), 200)
    predicted = fitted.predict(rows)
    inside = ~np.isnan(predicted)
    assert inside.sum() > 180
    assert np.abs(predicted - uplift(rows))[inside].mean() < 0.05


def test_the_report_tells_of_unseen_problems(fitted):
    rng = np.random.default_rng(2)
    rows = features(rng, 2000)
    noisy = np.clip(uplift(rows) + rng.normal(0, 0.15, 2000), -1, 1)
    predicted = fitted.predict(rows)
    inside = ~np.isnan(predicted)
    assert fitted.report.r2 == pytest.approx(r2_score(noisy[inside], predicted[inside]), abs=0.08)
    ranks = scipy.stats.spearmanr(noisy[inside], predicted[inside]).statistic
    assert fitted.report.rank_correlation == pytest.approx(ranks, abs=0.08)
    assert fitted.report.mean_absolute_error == pytest.approx(np.abs(noisy - predicted)[inside].mean(), abs=0.03)
    assert (fitted.report.slope, fitted.report.intercept) == pytest.approx((1, 0), abs=0.1)
    assert (fitted.report.traces, fitted.report.problems) == (N, N // A_PROBLEM)
    held = np.abs(noisy - predicted)[inside] <= fitted.report.half_width
    assert held.mean() == pytest.approx(0.95, abs=0.03)


def test_problems_known_by_heart_do_not_count():
    rng = np.random.default_rng(1)
    each = features(rng, N // A_PROBLEM)
    rows = [row for row in each for _ in range(A_PROBLEM)]  # all traces of a problem look alike
    target = np.repeat(rng.uniform(-1, 1, len(each)), A_PROBLEM)  # and share an uplift that nothing explains
    fitted = calibrate(rows, target, PROBLEMS)
    assert r2_score(target, fitted.predict(rows)) > 0.3
    assert fitted.report.r2 < 0.1


def test_outside_the_fit_there_is_no_prediction(fitted):
    inside, outside = Features(2, 1.9, -3, 0, 5), Features(50, 1.9, -3, 0, 5)
    assert np.isnan(fitted.predict([inside, outside])).tolist() == [False, True]
    found = fitted.estimate(outside)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.notes == ("outside the range of the fit: value",)


def test_an_estimate_has_an_interval_and_no_runs(fitted):
    found = fitted.estimate(Features(2, 1.9, -3, 0, 5))
    assert -1 <= found.low < found.value < found.high <= 1
    assert (found.with_trace.runs, found.baseline.runs, found.method) == (0, 0, "calibrated")
    assert fitted.estimate(None).value is None


def test_features_come_from_a_likelihood_value():
    value = LikelihoodValue(3.0, 0.6, -3.1, Leak(1, 1))
    assert Features.of(value, 0) == Features(3.0, 0.6, -3.1, 1.0, 0.0)
    assert Features.of(LikelihoodValue(3.0, None, -3.1, Leak(1, 1)), 10) is None


def test_a_feature_that_never_varies_does_no_harm():
    rng = np.random.default_rng(0)
    rows = [replace(row, leak=0.0) for row in features(rng)]
    fitted = calibrate(rows, uplift(rows), PROBLEMS)
    assert fitted.report.r2 > 0.95
    assert fitted.estimate(replace(rows[0], leak=1.0)).notes == ("outside the range of the fit: leak",)


def test_constant_uplift_leaves_correlations_undefined():
    report = calibrate(features(np.random.default_rng(0)), np.full(N, 0.5), PROBLEMS).report
    assert np.isnan([report.r2, report.rank_correlation]).all()
    assert report.half_width == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("targets", "problems"), [(np.zeros(N - 1), PROBLEMS), (np.full(N, np.nan), PROBLEMS), (np.zeros(N), ["p"] * N)]
)
def test_unusable_data_is_refused(targets, problems):
    with pytest.raises(ValueError, match=r"uplift|problems"):
        calibrate(features(np.random.default_rng(0)), targets, problems)
