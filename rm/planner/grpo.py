"""TRL's GRPOTrainer with whole checkpoints, no pickles, every part of the reward in the log, and clear ends.

What is ours, and why:
- a checkpoint counts once its marker is written; `training_args.bin`, a pickle, is not kept; resume state is loaded
  with `weights_only=True` by the trainer itself;
- groups without a signal are counted: all rewards equal, or fewer than two measured (their advantages are 0);
- NaN or infinite losses, gradients or weights end the run before anything of them is saved;
- TRL's telemetry and its model card (which names the machine's paths) are left out.

Tested with trl 1.16.0.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import gather_object
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.training_args import TrainingArguments

from rm.adapters.trl import make_reward_function
from rm.errors import MissingExtra, RunError
from rm.planner.data import ROW, columns_of
from rm.planner.rewards import OpenReward
from rm.planner.samples import PREFIX, Intake, SampleFile, odd_forms
from rm.train.checkpoints import CHECKPOINTS, seal, whole_or_gone

try:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
    from trl.trainer.utils import shutdown_event_loop_in_daemon
except ModuleNotFoundError:
    raise MissingExtra("trl", "rl", "planner train") from None

_ALL_NONE = "All reward functions returned None"


class PlannerTrainer(GRPOTrainer):
    """Trains a planner.

    Args:
        model: that trains.
        args: the trainer's arguments.
        dataset: see `rm.planner.data`.
        tokenizer: of the model.
        lora: peft's configuration; None trains all weights.
        reward: open.
        intake: what the reward function is told.
        keep_checkpoints: how many are kept.
        samples_per_step: completions of a step that go to `samples.jsonl`.
        callbacks: besides the trainer's own.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: GRPOConfig,
        *,
        dataset: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        lora: Any,
        reward: OpenReward,
        intake: Intake,
        keep_checkpoints: int,
        samples_per_step: int,
        callbacks: list[TrainerCallback],
    ) -> None:
        logging.getLogger("trl.trainer.grpo_trainer").addFilter(_counted_elsewhere)
        self._output = Path(args.output_dir or ".")
        self._intake = intake
        self._keep_checkpoints = keep_checkpoints
        self.sample_file = SampleFile(self._output, samples_per_step, args.num_generations or 1)
        super().__init__(
            model=model,
            args=args,
            reward_funcs=[reward_function(reward, intake)],  # type: ignore[list-item]  # it may be `async`
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[*callbacks, _Finite()],
        )
        for default in (PrinterCallback, ProgressCallback):
            self.remove_callback(default)

    def _send_telemetry(self) -> None:
        """Nobody was asked."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """See `rm.planner.save`."""

    def close(self) -> None:
        """Ends the thread of its event loop, which TRL leaves to the end of the process."""
        if hasattr(self, "async_loop_thread"):
            atexit.unregister(shutdown_event_loop_in_daemon)
            shutdown_event_loop_in_daemon(self.async_loop_thread, self.async_loop)
            self.async_loop.close()

    # ---- one step ---------------------------------------------------------------------------------------------

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        """(N, 1) rewards of all processes; N completions, group after group. Counts groups without a signal."""
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        for name, share in silent_groups(rewards[:, 0].view(-1, self.num_generations)).items():
            self._metrics["train"][f"groups/{name}"].append(share)
        records = gather_object(self._intake.take())
        if self.args.process_index == 0:
            self.sample_file.add(self.state.global_step + 1, records)
        return rewards

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss).all():
            raise diverged("The loss", self.state.global_step + 1)
        return loss

    # ---- checkpoints ------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Weights, configuration and tokenizer; no pickled arguments."""
        super()._save(output_dir, state_dict)
        (Path(output_dir or self._output) / "training_args.bin").unlink(missing_ok=True)

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._output / CHECKPOINTS)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        newest = Path(self._get_output_dir()) / f"checkpoint-{self.state.global_step}"
        with whole_or_gone(newest):
            super()._save_checkpoint(model, trial)
        if self.args.world_size > 1:
            dist.barrier()
        if self.args.should_save:
            seal(newest, self._keep_checkpoints)


def reward_function(reward: OpenReward, intake: Intake) -> Callable[..., Awaitable[list[float | None]]]:
    """TRL's reward function over the column `row`; logs the parts, and the share of completions in odd forms."""
    score = make_reward_function(reward.source, name=PREFIX, on_results=intake.add)

    async def scored(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], object],
        **columns: Any,
    ) -> list[float | None]:
        found = await score(prompts, completions, log_metric=log_metric, **columns_of(columns[ROW]))
        texts = [record["item"]["completion"] for record in intake.records[-len(completions) :]]
        for form, share in odd_forms(texts).items():
            log_metric(f"completions/{form}", share)
        return found

    scored.__name__ = scored.__qualname__ = PREFIX
    return scored


def silent_groups(rewards: Tensor) -> dict[str, float]:
    """Shares of groups that nothing can be learned from.

    Args:
        rewards: (G, K), NaN where not measured.

    Returns:
        `dead`: all measured rewards equal, or fewer than two of them; `unmeasured`: none of them.
    """
    known = ~torch.isnan(rewards)
    low = torch.where(known, rewards, torch.inf).amin(dim=1)
    high = torch.where(known, rewards, -torch.inf).amax(dim=1)
    dead = (known.sum(dim=1) < 2) | torch.isclose(low, high)
    return {"dead": dead.float().mean().item(), "unmeasured": (~known.any(dim=1)).float().mean().item()}


class _Finite(TrainerCallback):
    """Ends a run whose gradients or weights are NaN or infinite, before they are used or saved."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        if not _all_finite(gradients):
            raise diverged("The gradient", state.global_step + 1)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        if not _all_finite([parameter for parameter in model.parameters() if parameter.requires_grad]):
            raise diverged("A weight", state.global_step)


def _all_finite(tensors: Sequence[Tensor]) -> bool:
    """One number is read back for all of them; of sharded ones, this process's share counts."""
    local = [each.to_local() if hasattr(each, "to_local") else each for each in tensors]
    return bool(torch.stack([each.isfinite().all() for each in local]).all().item()) if local else True


def diverged(what: str, step: int) -> RunError:
    """What is told of a run that cannot go on."""
    return RunError(
        f"{what} became NaN or infinite at step {step}. Nothing of it is saved. If a passing fault of the machine did "
        "this, go on from the last checkpoint with --resume; else start anew with a lower grpo.learning_rate or "
        "grpo.max_grad_norm (planner.base may be the last checkpoint, if all weights are trained)."
    )


def _counted_elsewhere(record: logging.LogRecord) -> bool:
    """TRL prints a whole row for what is counted as `unmeasured` here."""
    return _ALL_NONE not in str(record.msg)
