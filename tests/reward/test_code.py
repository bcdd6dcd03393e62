"""The reward for code: programs of an executor on loopback, run in the sandbox."""

from __future__ import annotations

import pytest

PROBLEM = {
    "problem_id": "double",
    "problem": "Read a whole number and print its double.",
    "task_type": "code",
    "tests": [{"input": "2", "output": "4"}, {"input": "5", "output": "10"}],
}
RIGHT, HALF, BROKEN = "print(2 * int(input()))", "print(4)", "print(2 *"


@pytest.mark.parametrize(
    ("program", "style", "execution", "coefficient"),
    [
        (RIGHT, "hybrid", 1.0, 1.0),
        (HALF, "hybrid", 0.6, 0.0),  # 0.8 / 2 + 0.2, and no run passes every test
        (HALF, "binary", 0.0, 0.0),
        (BROKEN, "hybrid", 0.0, 0.0),
        (BROKEN, "coderl", -1.0, 0.0),
        ("", "coderl", -1.0, 0.0),  # an empty program earns what a broken one does
    ],
)
def test_a_program_is_rewarded_by_its_tests(reward, server, program, style, execution, coefficient):
    server.write = lambda prompt, seed: f"```python\n{program}\n```" if program and "twice" in prompt else ""
    rewards = reward(
        formula="tracelift-code-v1",
        execution_style=style,
        tasks=["code"],
        uplift={"executor": server.executor(probe=False), "plan": {"kind": "official"}},
    )
    [result] = rewards.score_sync([{**PROBLEM, "completion": "Print the number twice as large."}])
    assert result.failures == ()
    assert result.parts.end_to_end == pytest.approx(execution)
    assert result.parts.coefficient == coefficient
    assert result.reward == pytest.approx(min(1.0, max(0.0, execution + 0.2 * result.parts.rm * coefficient)))
