"""What a run's last steps say of its settings."""

from __future__ import annotations

from typing import Any

import pytest

from rm.planner.signs import signs

FINE = {"completions/clipped_ratio": 0.2, "completions/untagged": 0.0, "groups/dead": 0.6, "reward": 0.4}


def log(*last: dict[str, Any]) -> list[dict[str, Any]]:
    """Twenty steps, of which the last two decide."""
    return [{**FINE, "completions/clipped_ratio": 1.0}] * 18 + [{**FINE, **each} for each in last]


def test_a_run_without_trouble_has_no_sign() -> None:
    assert signs(log({}, {}), 64) == []
    assert signs([], 64) == []
    assert signs([{"reward": None}], 64) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "completions/clipped_ratio",
            "of the last 2 steps were cut off at 64 tokens: raise grpo.max_completion_length",
        ),
        ("completions/untagged", "have no <reasoning> tags"),
        ("groups/dead", "of the last 2 steps taught nothing"),
    ],
)
def test_each_trouble_has_its_sentence(name: str, told: str) -> None:
    [sign] = signs(log({name: 1.0}, {name: 0.7}), 64)
    assert sign.startswith("85% of the ")
    assert told in sign


def test_one_step_is_judged_alone() -> None:
    [sign] = signs([{**FINE, "groups/dead": 1.0}], 64)
    assert sign.startswith("100% of the groups of the last step taught nothing")
