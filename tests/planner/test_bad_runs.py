"""What goes wrong in a run: it goes on where that is right, and stops with a clear message where it is not."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pytest
import torch

from rm.config import build_config
from rm.planner.grpo import PlannerTrainer, silent_groups
from rm.reward.config import RewardConfig
from rm.reward.export import export_bundle
from rm.reward.scorer import TraceLiftReward
from rm.text import Row as Text
from rm.train.checkpoints import complete_checkpoints

pytestmark = pytest.mark.filterwarnings("default")

Row = dict[str, Any]


@pytest.fixture
def served_bundle(bundle: Path, tmp_path: Path, executor_server: Any) -> Path:
    """A bundle whose executor is a server that can be made to fail."""
    uplift = {
        "executor": executor_server.executor(probe=False),
        "plan": {"kind": "sampled", "runs": 2, "baseline_runs": 2},
        "cache": "none",
        "attempts": 2,
    }
    config = build_config(RewardConfig, {"formula": "tracelift-math-v1", "uplift": uplift})
    probe = json.loads((bundle / "probes.jsonl").read_text().splitlines()[0])
    text = Text(probe["problem"], probe["reasoning"], probe["task_name"], probe["task_type"])
    export_bundle(bundle / "model", config, tmp_path / "served", lambda rubric: [[text]])
    return tmp_path / "served"


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch, executor_server: Any) -> Callable[[Container[int]], None]:
    """Has the executor's server answer 503 while the rewards of these steps are measured."""
    original = PlannerTrainer._calculate_rewards

    def plan(steps: Container[int]) -> None:
        def calculate(self: PlannerTrainer, *args: Any) -> torch.Tensor:
            executor_server.fault = 503 if self.state.global_step + 1 in steps else 0
            return original(self, *args)

        monkeypatch.setattr(PlannerTrainer, "_calculate_rewards", calculate)

    return plan


def steps_of(rows: list[Row]) -> list[Row]:
    return [row for row in rows if "groups/dead" in row]


def test_a_step_without_a_reward_changes_nothing(run, train_argv, served_bundle, down, lines, tmp_path):
    output = tmp_path / "run"
    down({1})
    ran = run(*train_argv(output, "--reward.source", served_bundle, "--reward.failure_rate", "1", "--grpo.steps", "2"))
    assert ran.code == 0, ran.err
    lost, found = steps_of(lines(output / "log.jsonl"))
    assert lost["groups/unmeasured"] == lost["groups/dead"] == lost["tracelift/unmeasured"] == 1.0
    assert lost["reward"] is None
    assert lost["loss"] == lost["grad_norm"] == 0
    assert lost["tracelift/rm"] > 0  # what was measured is logged all the same
    assert found["tracelift/unmeasured"] == 0
    result = lines(output / "samples.jsonl")[0]["result"]
    assert result["reward"] is None
    assert "uplift: lost: http 503" in "; ".join(result["failures"])
    page = (output / "samples.html").read_text()
    assert "not measured: " in page


def test_a_dead_executor_stops_the_run_which_goes_on_later(
    run, train_argv, served_bundle, executor_server, down, lines, same_weights, tmp_path
):
    whole, output = tmp_path / "whole", tmp_path / "run"
    options = ("--reward.source", served_bundle, "--reward.failure_least", "8", "--reward.failure_window", "8")
    assert run(*train_argv(whole, *options)).code == 0
    down({3, 4})
    stopped = run(*train_argv(output, *options))
    assert stopped.code == 1
    assert "of the last 8 rewards could not be measured, more than the limit of 50%" in stopped.err
    assert "http 503" in stopped.err
    assert "--resume goes on from there" in stopped.err
    assert [path.name for path in complete_checkpoints(output)] == ["checkpoint-2"]
    assert not (output / "model").exists()
    down({})
    executor_server.fault = 0
    assert run(*train_argv(output, *options, "--resume")).code == 0
    for name in ("reward", "loss", "groups/dead", "completions/mean_length"):
        curves = ([row[name] for row in steps_of(lines(each / "log.jsonl"))] for each in (output, whole))
        assert next(curves) == pytest.approx(next(curves), abs=1e-5)
    same_weights(output / "model", whole / "model", atol=1e-6)


def test_all_equal_rewards_are_counted_and_teach_nothing(run, train_argv, lines, tmp_path):
    """An untaught planner never helps: every reward is 0."""
    output = tmp_path / "run"
    assert run(*train_argv(output, "--grpo.steps", "2", "--planner.base", "tiny")).code == 0
    steps = steps_of(lines(output / "log.jsonl"))
    assert [row["groups/dead"] for row in steps] == [1.0, 1.0]
    assert all(row["loss"] == row["reward_std"] == row["grad_norm"] == row["groups/unmeasured"] == 0 for row in steps)


def test_end_of_text_alone_is_a_failed_attempt(
    run, train_argv, teach, taught_groups, prompt_of, bundle, lines, tmp_path
):
    """It earns what the executor does alone, with the lowest score of the reward model, and is counted."""
    silent = teach([f"{prompt_of(group)}<|endoftext|>" for group in taught_groups], 40)
    output = tmp_path / "run"
    assert (
        run(*train_argv(output, "--grpo.steps", "2", "--planner.base", silent, "--grpo.options", "{top_k: 1}")).code
        == 0
    )
    steps = steps_of(lines(output / "log.jsonl"))
    assert [row["completions/empty"] for row in steps] == [1.0, 1.0]
    assert all(row["tracelift/rm"] == row["tracelift/unmeasured"] == 0 for row in steps)
    samples = lines(output / "samples.jsonl")
    assert {row["item"]["completion"] for row in samples} == {""}
    assert "completion: no reasoning in it" in samples[0]["result"]["notes"]
    with TraceLiftReward.from_pretrained(bundle) as reward:
        again = reward.score_sync([row["item"] for row in samples])
    assert [row["result"]["reward"] for row in samples] == [each.reward for each in again]


def test_completions_without_tags_are_scored_and_counted(run, train_argv, lines, tmp_path):
    """Four tokens do not reach the closing tag."""
    output = tmp_path / "run"
    ran = run(*train_argv(output, "--grpo.steps", "1", "--grpo.max_completion_length", "4"))
    assert ran.code == 0
    sign = "of the last step were cut off at 4 tokens: raise grpo.max_completion_length"
    assert sign in ran.err
    assert sign in (output / "samples.html").read_text()
    [step] = steps_of(lines(output / "log.jsonl"))
    assert step["completions/untagged"] > 0.5
    assert step["tracelift/unmeasured"] == 0
    assert step["tracelift/rm"] > 0
    noted = [row for row in lines(output / "samples.jsonl") if row["result"]["notes"]]
    assert len(noted) / 8 == step["completions/untagged"] + step["completions/empty"]


def test_weights_that_overflow_stop_the_run_before_they_are_saved(run, train_argv, lines, tmp_path):
    """The first step has a learning rate of 0; the second has one that no float survives."""
    output = tmp_path / "run"
    schedule = ("--grpo.lr_scheduler", "constant_with_warmup", "--grpo.warmup_ratio", "0.5", "--grpo.save_every", "1")
    ran = run(*train_argv(output, *schedule, "--grpo.learning_rate", "1e39"))
    assert ran.code == 1
    assert "became NaN or infinite at step 2. Nothing of it is saved." in ran.err
    assert "Step 1 is kept in" in ran.err
    assert [path.name for path in complete_checkpoints(output)] == ["checkpoint-1"]
    assert [row["step"] for row in lines(output / "log.jsonl")] == [1]


@pytest.mark.parametrize("what", ["The loss", "The gradient"])
def test_nan_stops_the_run(run, train_argv, monkeypatch, tmp_path, what):
    """A fault of the machine in the second step; without it the run goes on to its end."""
    output = tmp_path / "run"
    original = PlannerTrainer._compute_loss

    def faulty(self: PlannerTrainer, model: Any, inputs: Any) -> torch.Tensor:
        loss = original(self, model, inputs)
        if self.state.global_step != 1:
            return loss
        return loss * math.nan if what == "The loss" else _NanGradient.apply(loss)

    monkeypatch.setattr(PlannerTrainer, "_compute_loss", faulty)
    argv = train_argv(output, "--grpo.save_every", "1", "--grpo.steps", "2")
    ran = run(*argv)
    assert ran.code == 1
    assert f"{what} became NaN or infinite at step 2." in ran.err
    assert "Step 1 is kept in" in ran.err
    monkeypatch.setattr(PlannerTrainer, "_compute_loss", original)
    assert run(*argv, "--resume").code == 0


class _NanGradient(torch.autograd.Function):
    """The identity, whose gradient is NaN."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * math.nan


@pytest.mark.parametrize(("name", "share"), [("dead", 4 / 5), ("unmeasured", 1 / 5)])
def test_silent_groups(name, share):
    nan = math.nan
    rewards = torch.tensor([[0.5, 0.5, nan], [0.5, nan, nan], [nan, nan, nan], [0.1, 0.2, nan], [0.0, 0.0, 0.0]])
    assert silent_groups(rewards)[name] == pytest.approx(share)


def test_an_interruption_before_the_first_checkpoint_promises_none(run, train_argv, tmp_path, monkeypatch):
    monkeypatch.setattr(PlannerTrainer, "training_step", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    ran = run(*train_argv(tmp_path / "run"))
    assert (ran.code, ran.err.splitlines()[-1]) == (130, "Interrupted. There is no checkpoint yet.")
