"""The ridge head against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from rm.model.linear_head import STRENGTHS, _ridge, fit_head


def problem(count: int, width: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    rng = np.random.default_rng(0)
    states, weights = rng.normal(size=(count, width)), rng.normal(size=width)
    return states, states @ weights + noise * rng.normal(size=count), weights, [index // 4 for index in range(count)]


def test_weights_that_made_the_targets_are_found():
    states, targets, weights, groups = problem(200, 8)
    np.testing.assert_allclose(fit_head(states, targets, groups), weights, atol=1e-4)


@pytest.mark.parametrize(("count", "width"), [(40, 6), (6, 40)])
def test_the_ridge_is_the_normal_equations(count, width):
    states, targets, _, _ = problem(count, width, noise=0.5)
    penalty = count * np.square(states).mean() * 0.1
    expected = np.linalg.solve(states.T @ states + penalty * np.eye(width), states.T @ targets)
    np.testing.assert_allclose(_ridge(states, targets, [0.1])[:, 0], expected, rtol=1e-8, atol=1e-10)


def test_noise_asks_for_a_stronger_ridge():
    states, targets, weights, groups = problem(40, 32, noise=8.0)
    free = _ridge(states, targets, [STRENGTHS[0]])[:, 0]
    assert np.linalg.norm(fit_head(states, targets, groups) - weights) < np.linalg.norm(free - weights)


def test_one_group_is_too_few():
    states, targets, _, _ = problem(8, 4)
    with pytest.raises(ValueError, match="at least 2 groups"):
        fit_head(states, targets, [3] * 8)


def test_what_is_not_finite_is_refused():
    states, targets, _, groups = problem(8, 4)
    with pytest.raises(ValueError, match="finite"):
        fit_head(states, np.where(targets > 0, np.nan, targets), groups)
