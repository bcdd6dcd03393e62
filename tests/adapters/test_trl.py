"""TRL's own GRPOTrainer trains a tiny planner on the bundle, in this process and through the server."""

from __future__ import annotations

import asyncio
import atexit
import inspect
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from rm.adapters.client import ServerReward
from rm.adapters.trl import make_reward_function
from rm.errors import ConfigError
from rm.lab import TINY_BASE
from rm.reward.parts import Parts, RewardResult
from rm.sources import Source
from rm.text.tokenizer import load_tokenizer

trl = pytest.importorskip("trl")
from trl.trainer.utils import shutdown_event_loop_in_daemon  # noqa: E402

STEPS = 2


@pytest.fixture(scope="module")
def dataset(taught_groups: list[dict[str, Any]], prompt_of: Callable[[dict[str, Any]], str]) -> Dataset:
    """Prompts that the tiny base goes on with, beside the columns of their problem rows."""
    return Dataset.from_list(
        [
            {
                "prompt": prompt_of(group),
                **{key: group[key] for key in ("problem_id", "problem", "reference_solution", "task_type")},
            }
            for group in taught_groups
        ]
    )


def train(planner: Path, dataset: Dataset, source: Any, output: Path) -> tuple[list[float | None], Any]:
    """A few steps of GRPO; gives every reward in its order, and the trainer."""
    function, seen = make_reward_function(source), []

    async def tracelift(**kwargs: Any) -> list[float | None]:
        rewards = await function(**kwargs)
        seen.extend(rewards)
        return rewards

    settings = trl.GRPOConfig(
        output_dir=str(output),
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=64,
        max_steps=STEPS,
        learning_rate=1e-3,
        logging_steps=1,
        temperature=1.0,
        seed=3,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        log_completions=False,
    )
    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(planner, dtype=torch.float32),
        reward_funcs=[tracelift],
        args=settings,
        train_dataset=dataset,
        processing_class=load_tokenizer(Source(str(TINY_BASE), "", True)),
    )
    trainer.train()
    shutdown_event_loop_in_daemon(trainer.async_loop_thread, trainer.async_loop)  # TRL leaves it to the process's end
    atexit.unregister(shutdown_event_loop_in_daemon)
    trainer.async_loop.close()
    return seen, trainer


@pytest.fixture(scope="module")
def in_process(
    planner: Path, dataset: Dataset, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Any], Any]:
    return train(planner, dataset, bundle, tmp_path_factory.mktemp("grpo"))


@pytest.mark.filterwarnings("default")
def test_a_planner_trains_on_the_bundle(in_process, planner):
    rewards, trainer = in_process
    assert len(rewards) == 8 * STEPS
    assert len({round(reward, 6) for reward in rewards}) > 2
    logged = [row for row in trainer.state.log_history if "tracelift/rm" in row]
    assert len(logged) == STEPS
    assert all(row["tracelift/unmeasured"] == 0 and 0 < row["tracelift/rm"] < 1 for row in logged)
    start = AutoModelForCausalLM.from_pretrained(planner, dtype=torch.float32)
    moved = [not torch.equal(a, b) for a, b in zip(start.parameters(), trainer.model.parameters(), strict=True)]
    assert any(moved)


@pytest.mark.filterwarnings("default")
def test_the_server_gives_the_same_rewards_and_the_same_planner(in_process, planner, dataset, server, tmp_path):
    rewards, trainer = in_process
    with closing(ServerReward(server)) as source:
        served, other = train(planner, dataset, source, tmp_path)
    assert served == pytest.approx(rewards, abs=1e-5)
    for mine, theirs in zip(trainer.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_it_is_a_real_async_def(bundle):
    function = make_reward_function(bundle, name="help")
    assert inspect.iscoroutinefunction(function)
    assert function.__name__ == "help"


class Source_:
    """Gives the results that it was made with."""

    def __init__(self, *results: RewardResult) -> None:
        self.results, self.items = list(results), []

    async def score(self, items):
        self.items = list(items)
        return self.results


LOST = RewardResult(None, "f", Parts(rm=0.5), failures=("uplift: connection",))
FOUND = RewardResult(0.25, "f", Parts(rm=0.7, end_to_end=1.0))


def call(source: Any, completions: list[Any], **columns: Any) -> tuple[list[float | None], dict[str, Any]]:
    logged: dict[str, Any] = {}
    rewards = asyncio.run(
        make_reward_function(source)(
            prompts=["p"] * len(completions),
            completions=completions,
            completion_ids=[[1]] * len(completions),
            trainer_state=object(),
            log_extra=logged.__setitem__,
            log_metric=logged.__setitem__,
            **columns,
        )
    )
    return rewards, logged


def test_columns_go_along_and_unmeasured_is_none():
    source = Source_(LOST, FOUND)
    rewards, logged = call(source, ["a", "b"], problem=["1 + 1?", "2 + 2?"], reference_solution=["2", "4"])
    assert rewards == [None, 0.25]
    assert source.items[1] == {"problem": "2 + 2?", "reference_solution": "4", "completion": "b"}
    assert logged["tracelift/rm"] == pytest.approx(0.6)
    assert logged["tracelift/end_to_end"] == 1.0
    assert logged["tracelift/unmeasured"] == 0.5
    assert "tracelift/uplift" not in logged
    assert logged["tracelift_failures"] == ["uplift: connection", ""]
    assert logged["tracelift_end_to_end"] == [None, 1.0]


def test_messages_are_read_as_their_content():
    source = Source_(FOUND)
    call(source, [[{"role": "assistant", "content": "<reasoning>b</reasoning>"}]], problem=["1 + 1?"])
    assert source.items[0]["completion"] == "<reasoning>b</reasoning>"


def test_a_dataset_without_problems_is_refused():
    with pytest.raises(ConfigError, match="no column `problem`"):
        call(Source_(), ["a"], question=["1 + 1?"])
