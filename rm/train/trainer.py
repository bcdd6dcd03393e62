"""The loop: Hugging Face's Trainer, with steps of whole groups and checkpoints that are whole or not there.

What is ours, and why:
- a step is `groups_per_step` groups; `training_step` cuts it into micro-batches by padded tokens, so memory and
  the number of processes change nothing but speed;
- the dev set is scored by ranking metrics, and the best model is kept apart from the checkpoints;
- a checkpoint counts once its marker is written, after everything else in it; older ones go only then;
- no pickle: `training_args.bin` is not written, resume state loads with `weights_only=True`.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from rm.errors import RunError
from rm.evaluate.rankings import relevance_of
from rm.evaluate.scored import ScoredGroup
from rm.metrics import rank_group
from rm.model import LoadedModel, save_reward_model
from rm.model.layout import Layout
from rm.text import Member, collate
from rm.train.checkpoints import CHECKPOINTS, seal, whole_or_gone
from rm.train.data import StepGroups, StepLoader, hash_seed
from rm.train.objective import PARTS, Objective

BEST = "best"
BEST_FACTS = "dev_metrics.json"
STATS = (*PARTS, *(f"skipped_{name}" for name in PARTS), "tokens", "computed")


@dataclass(frozen=True)
class Best:
    """The best evaluation so far."""

    step: int
    value: float


class GroupTrainer(Trainer):
    """Trains a reward model on groups.

    Args:
        loaded: model (or its adapter wrapper) and tokenizer.
        args: the trainer's arguments.
        objective: the losses.
        loader: the steps of an epoch.
        score_dev: scores the dev groups, each of which fits, with the current weights; None trains without
            evaluation.
        layout: padded, or packed with shared prefixes once.
        tokens_per_microbatch: tokens a forward pass may hold, as the layout counts them.
        head_learning_rate: of the heads; 0 means the same as the rest.
        metric: which dev metric is best when high.
        patience: evaluations without a better metric before stopping; 0 never stops.
        keep_checkpoints: how many are kept.
        callbacks: besides the trainer's own.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        args: TrainingArguments,
        *,
        objective: Objective,
        loader: StepLoader,
        score_dev: Callable[[], Sequence[ScoredGroup]] | None,
        layout: Layout,
        tokens_per_microbatch: int,
        head_learning_rate: float,
        metric: str,
        patience: int,
        keep_checkpoints: int,
        callbacks: list[TrainerCallback],
    ) -> None:
        self._loaded = loaded
        self._objective = objective
        self._loader = loader
        self._score_dev = score_dev
        self._layout = layout
        self._tokens_per_microbatch = tokens_per_microbatch
        self._head_learning_rate = head_learning_rate
        self._metric = metric
        self._patience = patience
        self._keep_checkpoints = keep_checkpoints
        self._num_dimensions = len(loaded.rubric.dimensions)
        self._sums: Tensor | None = None
        self._summed_steps = 0
        self._output = Path(args.output_dir or ".")
        facts = best_facts(self._output)
        self._best = Best(facts["step"], facts["value"]) if facts else None
        # The trainer asks for a dataset before it evaluates; `evaluate` below has its own.
        dev: list[Any] | None = [] if score_dev is not None else None
        super().__init__(model=loaded.peft or loaded.model, args=args, eval_dataset=dev, callbacks=callbacks)

    @property
    def network(self) -> nn.Module:
        """What trains now: the reward model, its adapter wrapper, or what a sharding engine made of it."""
        if self.model is None:
            raise TypeError("the trainer has no model")
        return self.model

    # ---- data -------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> StepLoader:  # type: ignore[override]
        return self._loader

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # the inputs are no tensors yet; throughput is logged as tokens

    def _get_num_items_in_batch(self, batch_samples: Any, device: torch.device) -> None:
        return None  # losses are normalised by groups, in `training_step`

    def _track_num_input_tokens(self, inputs: Any) -> None:
        pass

    # ---- one step ---------------------------------------------------------------------------------------------

    def training_step(self, model: nn.Module, inputs: StepGroups, num_items_in_batch: Any = None) -> Tensor:  # type: ignore[override]
        """Forward and backward over this process's groups; gradients are of the mean over the step's groups."""
        model.train()
        parts = self._micro_batches(inputs.groups)
        count = self._agreed(len(parts))
        generator = torch.Generator().manual_seed(
            hash_seed(self.args.seed, self.state.global_step, self.args.process_index)
        )
        stats = torch.zeros(len(STATS), device=self.args.device)
        total = torch.zeros((), device=self.args.device)
        for index in range(count):
            with self._reduce_only_last(model, index == count - 1):
                # A process with fewer micro-batches than the others repeats one with weight 0: collective
                # operations need everybody.
                own = index < len(parts)
                loss, part_stats = self._forward(model, parts[index] if own else self._filler(parts), generator)
                weight = self.args.world_size / inputs.total if own else 0.0
                self.accelerator.backward(loss * weight, **self._backward_kwargs())
            if own:
                total += loss.detach() / inputs.total
                stats += part_stats / torch.tensor([inputs.total] * (len(STATS) - 2) + [1, 1], device=stats.device)
        total = self._summed(total)
        if not math.isfinite(total.item()):
            raise _diverged(f"The loss became {total.item()}", self.state.global_step + 1)
        self._sums = stats if self._sums is None else self._sums + stats
        self._summed_steps += 1
        return total

    def _micro_batches(self, groups: Sequence[Sequence[Member]]) -> list[list[Sequence[Member]]]:
        found = self._layout.group_batches([tokens_of(group) for group in groups], self._tokens_per_microbatch)
        return [[groups[index] for index in part] for part in found]

    def _forward(
        self, model: nn.Module, groups: Sequence[Sequence[Member]], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        inputs = self._layout.inputs([tokens_of(group) for group in groups])
        batch = collate(groups, self._num_dimensions).to(self.args.device)
        with self.compute_loss_context_manager():
            output = model(**inputs.to(self.args.device).kwargs)
        found = self._objective(output, batch, generator)
        stats = torch.stack(
            [
                *(found.parts[name].detach().sum() for name in PARTS),
                *(found.skipped[name].float() for name in PARTS),
                *torch.tensor([inputs.tokens, inputs.computed], dtype=torch.float, device=self.args.device),
            ]
        )
        return found.loss.sum(), stats

    def _filler(self, parts: Sequence[Any]) -> Any:
        """Something small to run with weight 0."""
        groups = [group for part in parts for group in part] or [self._loader.smallest()]
        return [min(groups, key=lambda group: self._layout.group_cost(tokens_of(group)))]

    def _agreed(self, count: int) -> int:
        """The largest number of micro-batches that any process has."""
        if self.args.world_size == 1:
            return count
        largest = torch.tensor(count, device=self.args.device)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return max(int(largest.item()), 1)

    def _summed(self, value: Tensor) -> Tensor:
        if self.args.world_size > 1:
            dist.all_reduce(value)
        return value

    @contextlib.contextmanager
    def _reduce_only_last(self, model: nn.Module, last: bool) -> Any:
        """Gradients are exchanged once a step, with the last micro-batch."""
        if last or self.args.world_size == 1:
            yield
            return
        if self.is_deepspeed_enabled:
            state = self.accelerator.gradient_state
            state._set_sync_gradients(False)
            try:
                yield
            finally:
                state._set_sync_gradients(True)
            return
        with self.accelerator.no_sync(model):
            yield

    def _backward_kwargs(self) -> dict[str, Any]:
        return {"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Weight decay on matrices only; the heads may have a learning rate of their own."""
        if self.optimizer is not None:
            return self.optimizer
        network = model if model is not None else self.network
        cls, options = self.get_optimizer_cls_and_kwargs(self.args)
        rate = self.args.learning_rate
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                is_head = "dimension_heads." in name or "total_head." in name
                groups.setdefault((is_head, parameter.ndim >= 2), []).append(parameter)
        self.optimizer = cls(
            [
                {
                    "params": parameters,
                    "lr": self._head_learning_rate or rate if is_head else rate,
                    "weight_decay": self.args.weight_decay if decays else 0.0,
                }
                for (is_head, decays), parameters in sorted(groups.items())
            ],
            **options,
        )
        return self.optimizer

    # ---- logging and evaluation -------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Adds each part of the loss, unweighted, averaged like the loss itself."""
        for name in ("train_samples_per_second", "total_flos"):
            logs.pop(name, None)  # the trainer's own counts, which know nothing of groups
        if "loss" in logs and self._sums is not None:
            steps = self._summed_steps
            sums = dict(zip(STATS, self._summed(self._sums).tolist(), strict=True))
            logs.update({f"loss_{name}": round(sums[name] / steps, 6) for name in PARTS})
            logs.update(
                {
                    f"skipped_{name}": round(sums[f"skipped_{name}"] / steps, 4)
                    for name in PARTS
                    if sums[f"skipped_{name}"]
                }
            )
            logs["tokens"] = int(sums["tokens"])
            logs["computed_tokens"] = int(sums["computed"])
            logs["padding_share"] = round(max(0.0, 1 - sums["tokens"] / max(sums["computed"], 1.0)), 4)
            self._sums, self._summed_steps = None, 0
        super().log(logs, *args, **kwargs)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Ranking metrics of the dev groups; keeps the model where it is the best so far."""
        if self._score_dev is None:
            return {}
        self.network.eval()
        scored = self._score_dev()
        self.network.train()
        if not all(each.scorable for each in scored):
            raise _diverged("The scores of dev groups became NaN or infinite", self.state.global_step)
        metrics = {f"eval_{name}": value for name, value in dev_metrics(scored).items()}
        self.log(metrics)
        step, value = self.state.global_step, metrics[f"eval_{self._metric}"]
        if self._best is None or value > self._best.value:
            self._best = Best(step, value)
            self._save_best({"step": step, "metric": self._metric, "value": value, **metrics})
        elif self._patience and (step - self._best.step) >= self._patience * int(self.args.eval_steps or 1):
            self.control.should_training_stop = True
            self.control.should_save = True  # a resumed run finds in its last checkpoint that it was over
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_best(self, facts: dict[str, Any]) -> None:
        """Writes `best-STEP` whole, then removes the one before: at every moment one of them is whole."""
        output = self._output
        target = output / f"{BEST}-{facts['step']}"
        staging = output / f".{target.name}.partial"
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
        self._barrier()
        with whole_or_gone(staging):
            self.save_model(str(staging), _internal_call=True)
        if self.args.should_save:
            (staging / BEST_FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(target, ignore_errors=True)
            staging.rename(target)
            for old in output.glob(f"{BEST}-*"):
                if old != target:
                    shutil.rmtree(old, ignore_errors=True)
        self._barrier()

    # ---- checkpoints ------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Weights, configuration and tokenizer; no pickled arguments. Every process calls this, one of them writes."""
        if self.args.should_save:
            save_reward_model(self.network, self._loaded.tokenizer, Path(output_dir or self._output), state_dict)

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._output / CHECKPOINTS)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        newest = Path(self._get_output_dir()) / f"checkpoint-{self.state.global_step}"
        with whole_or_gone(newest):
            super()._save_checkpoint(model, trial)
        self._barrier()
        if self.args.should_save:
            seal(newest, self._keep_checkpoints)

    def _barrier(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()


def tokens_of(group: Sequence[Member]) -> list[tuple[int, ...]]:
    """The tokens of each member."""
    return [member.input_ids for member in group]


def dev_metrics(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """Means over groups of the metrics that can pick a checkpoint."""
    ranks = [rank_group(each.logits, each.positive, relevance_of(each.group)) for each in scored]
    return {
        name: round(float(np.nanmean([getattr(rank, name) for rank in ranks])), 6)
        for name in ("pair_accuracy", "group_accuracy", "mrr", "ndcg")
    }


def _diverged(what: str, step: int) -> RunError:
    return RunError(
        f"{what} at step {step}. Look for broken rows with `tracelift-rm groups check`, then start anew with a lower "
        "train.learning_rate (--force replaces this run)."
    )


def best_model(output: Path) -> Path | None:
    """The directory of the best model so far."""
    found = [path.parent for path in output.glob(f"{BEST}-*/{BEST_FACTS}")]
    return max(found, key=lambda path: (_facts(path)["value"], -_facts(path)["step"]), default=None)


def best_facts(output: Path) -> dict[str, Any]:
    """Step and dev metrics of the best model so far; empty before the first evaluation."""
    best = best_model(output)
    return _facts(best) if best is not None else {}


def _facts(path: Path) -> dict[str, Any]:
    return json.loads((path / BEST_FACTS).read_text(encoding="utf-8"))
