"""`planner train --check`: all that can be known before GPUs are paid for, a scored completion included."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rm.model.lora import adapter_parameters
from rm.planner.config import PlannerConfig
from rm.planner.data import make_prompts
from rm.planner.model import adapters, base_source, positions_of, shape_of
from rm.planner.rewards import check_scores, opened
from rm.planner.run import check_vllm, first_item, prepare, room_of
from rm.sources import HubUnreachable
from rm.text.tokenizer import load_tokenizer


@dataclass(frozen=True)
class PlannerCheck:
    """What a run would be.

    Args:
        problems: to train on.
        steps: optimizer steps.
        completions_a_step, problems_a_step: over all processes.
        processes: that this command was started with.
        reward: its name.
        formula: name and text; of a server's own formula its name.
        first_reward: of the completion that was scored.
        longest_prompt: in tokens; None where the tokenizer is not at hand.
        prompt_form: `chat` or `plain`.
        parameters, trainable: of the planner; None where its configuration is not at hand.
        notes: what a user should know.
        skipped: what was not checked, and why.
    """

    problems: int
    steps: int
    completions_a_step: int
    problems_a_step: int
    processes: int
    reward: str
    formula: str
    first_reward: float
    longest_prompt: int | None
    prompt_form: str
    parameters: int | None
    trainable: int | None
    notes: tuple[str, ...]
    skipped: tuple[str, ...]


def check_planner(config: PlannerConfig, *, resume: bool = False, force: bool = False) -> PlannerCheck:
    """Check configuration, output, data, base, prompts and reward; score one completion; load no planner.

    Args:
        config: see `PlannerConfig`.
        resume, force: as the run would be started.

    Raises:
        ConfigError, DataError, RunError: as `rm.planner.run.train` would.
    """
    prepared = prepare(config, resume=resume, force=force)
    skipped: list[str] = []
    prompts, parameters, trainable = None, None, None
    try:
        source = base_source(config.planner)
        shape = shape_of(source, config.planner)
        tokenizer = load_tokenizer(source)
        prompts = make_prompts(prepared.problems, config.prompt, tokenizer, room_of(positions_of(shape), config.grpo))
        parameters = trainable = sum(each.numel() for each in shape.parameters())
        if (lora := adapters(shape, config.lora)) is not None:
            trainable = adapter_parameters(shape, lora)
    except HubUnreachable as error:
        skipped.append(f"Planner and prompts: {error}")
    if config.grpo.vllm != "none":
        if torch.cuda.is_available():
            check_vllm()
        else:
            skipped.append(f"grpo.vllm: {config.grpo.vllm}: there is no GPU here.")
    with opened(config.reward) as reward:
        result = check_scores(reward, first_item(prepared.problems[0]))
    completions = prepared.args.generation_batch_size or 0
    formula = reward.formula or {"name": result.formula, "text": ""}
    return PlannerCheck(
        problems=len(prepared.problems),
        steps=config.grpo.steps,
        completions_a_step=completions,
        problems_a_step=completions // config.grpo.num_generations,
        processes=prepared.args.world_size,
        reward=config.reward.name,
        formula=f"{formula['name']} = {formula['text']}" if formula["text"] else formula["name"],
        first_reward=float(result.reward or 0.0),
        longest_prompt=prompts.longest if prompts else None,
        prompt_form="chat" if prompts and prompts.chat else "plain",
        parameters=parameters,
        trainable=trainable,
        notes=reward.notes,
        skipped=tuple(skipped),
    )
