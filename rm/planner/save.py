"""The trained planner on disk: weights or adapter, tokenizer, what it came from, and its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from rm.config import config_to_dict
from rm.files import replace_directory
from rm.model.card import CARD, TRAINING
from rm.model.lora import merged_causal
from rm.planner.config import PlannerConfig
from rm.planner.model import base_source, dtype_of, load_base
from rm.planner.prompts import PROMPT_VERSION
from rm.planner.rewards import OpenReward
from rm.provenance import versions
from rm.reward.parts import RewardResult
from rm.train.checkpoints import whole_or_gone

if TYPE_CHECKING:
    from rm.planner.grpo import PlannerTrainer

PLANNER = "model"


@dataclass(frozen=True)
class Provenance:
    """What a planner comes from.

    Args:
        config: of the run.
        data: name and hash of each file.
        problems: trained on.
        reward: open.
        first: of the completion that was scored before the first step; on the first process.
    """

    config: PlannerConfig
    data: Sequence[Mapping[str, str]]
    problems: int
    reward: OpenReward
    first: RewardResult | None

    @property
    def formula(self) -> dict[str, Any]:
        """Name, and text and weights where they are known here; of a server's own formula its name."""
        told = self.first.formula if self.first is not None else ""
        return dict(self.reward.formula or {"name": told})

    def as_dict(self, steps: int) -> dict[str, Any]:
        """As JSON values."""
        return {
            "config": config_to_dict(self.config),
            "prompts": PROMPT_VERSION,
            "reward": {**self.reward.facts, "formula": self.formula},
            "steps": steps,
            "problems": self.problems,
            "data": list(self.data),
            "versions": versions("trl", "vllm"),
        }


def is_saved(output: Path) -> bool:
    """Whether the planner of a run is in its final place."""
    return (output / PLANNER / TRAINING).is_file()


def save_planner(trainer: PlannerTrainer, config: PlannerConfig, provenance: Provenance, output: Path) -> Path:
    """Put the planner in its final place. Every process calls this, since weights may be sharded; one writes."""
    last, target = output / ".last.partial", output / PLANNER
    with whole_or_gone(last):
        trainer.save_model(str(last), _internal_call=True)
    if trainer.args.should_save:
        with replace_directory(target, force=True) as staging:
            shutil.copytree(last, staging, dirs_exist_ok=True)
            if config.lora.rank and config.save == "merged":
                _replace_by_merged(staging, config, trainer.args.device)
            facts = provenance.as_dict(trainer.state.global_step)
            (staging / TRAINING).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            (staging / CARD).write_text(_card(facts, config), encoding="utf-8")
        shutil.rmtree(last, ignore_errors=True)
    return target


def _replace_by_merged(directory: Path, config: PlannerConfig, device: torch.device) -> None:
    """Folds the adapter in a directory into its base, in float32, and leaves the whole model there."""
    source = base_source(config.planner)
    base = load_base(source, config.planner, torch.float32)
    merged: PreTrainedModel = merged_causal(base, directory)
    for file in directory.glob("adapter_*"):
        file.unlink()
    merged.to(dtype_of(config.planner, config.lora, device)).save_pretrained(directory)  # type: ignore[arg-type]


def _card(facts: Mapping[str, Any], config: PlannerConfig) -> str:
    formula = facts["reward"]["formula"]
    place = Path(config.planner.base).expanduser()
    base = place.name if place.is_dir() else config.planner.base
    hub = f"base_model: {base}\n" if "/" in base else ""
    files = ", ".join(f"{each['file']} ({each['sha256'][:12]})" for each in facts["data"])
    text = f": {formula['text']}" if formula.get("text") else ""
    rows = {
        "base": base,
        "trained": f"LoRA of rank {config.lora.rank}" if config.lora.rank else "all weights",
        "algorithm": f"GRPO, {config.grpo.num_generations} completions a problem, {facts['steps']} steps",
        "reward": f"{config.reward.name} ({formula['name']}{text})",
        "data": f"{facts['problems']} problems of {files}",
        "prompts": facts["prompts"] if config.prompt.user is None else "its own, see training.json",
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
{hub}tags: [planner, reasoning, grpo, tracelift]
---

# Planner of reasoning traces

Writes a reasoning trace for a problem, for a frozen executor that reads it beside the problem. It is no solver: it was
rewarded for traces, not for answers. Made with tracelift-rm.

| | |
|---|---|
{table}

```
tracelift-rm planner evaluate --planner THIS --benchmark FILE --executor.kind openai --executor.model NAME --out DIR
```

## Limits

It was trained with one executor and one reward; with another executor measure it again. A reward can be won in ways
that nobody meant: read the traces in the run's samples.html before you trust the curve.
"""
