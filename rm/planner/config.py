"""All of `planner train` and `planner evaluate`: frozen, checked without any I/O."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from rm.config import (
    CLOSED,
    Bool,
    Fraction,
    LoraSettings,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveShare,
    Share,
    TrackingConfig,
)
from rm.uplift.config import SamplingConfig
from rm.uplift.executors.config import ArithmeticConfig, ExecutorConfig, TransformersConfig


@dataclass(frozen=True, config=CLOSED)
class BaseConfig:
    """The model that training starts from.

    Args:
        base: a directory or hub name of a causal language model; `tiny` is the shipped base.
        revision: hub revision.
        dtype: of its weights in memory. `auto`: where an adapter is trained bfloat16 if the device has it in hardware,
            else float32; all weights are trained in float32.
        attn_implementation: passed to transformers; empty lets it choose.
    """

    base: str = ""
    revision: str = ""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attn_implementation: str = ""


@dataclass(frozen=True, config=CLOSED)
class PromptConfig:
    """What a planner reads; see `rm.planner.prompts`.

    Args:
        format: `chat` goes through the tokenizer's chat template, `plain` is one text; `auto` is `chat` where there is
            a template.
        system: instructions; null for those of the task, empty for none.
        user: the rest, with `{problem}` where the problem stands; null for that of the task.
    """

    format: Literal["auto", "chat", "plain"] = "auto"
    system: str | None = None
    user: str | None = None


@dataclass(frozen=True, config=CLOSED)
class PlannerData:
    """Files to train on.

    Args:
        train: problem rows, groups, GSM8K or MBPP rows, JSONL or JSON; see `rm.uplift.read`.
        limit: only so many problems, the first; 0 for all.
    """

    train: list[str] = field(default_factory=list)
    limit: NonNegativeInt = 0


@dataclass(frozen=True, config=CLOSED)
class RewardChoice:
    """Where rewards come from, and which.

    Args:
        source: a bundle's directory or hub name, or the address of `tracelift-rm serve BUNDLE`.
        name: `tracelift` is the source's own formula; `exec-only`, `rm-only` and `uplift-only` make another of the same
            parts, without the source's gate and prior, and so does any name of `rm.reward.combine.FORMULAS`.
        weights: of the terms of another formula than the source's own.
        all_parts: measure and log every part that the source's own formula has, though the reward needs fewer. A
            server always does.
        overrides: dotted keys of `rm.reward.config.RewardConfig` for this machine, for a bundle.
        api_key_env: environment variable with the key, for a server.
        timeout_s: of one request to a server.
        retries: of one request to a server, with pauses that grow to half a minute.
        failure_rate: share of unmeasured rewards, of the latest `failure_window`, above which training stops; never
            before `failure_least` of them are there.
    """

    source: str = ""
    name: str = "tracelift"
    weights: dict[str, Any] = field(default_factory=dict)
    all_parts: Bool = False
    overrides: dict[str, Any] = field(default_factory=dict)
    api_key_env: str = ""
    timeout_s: PositiveFloat = 900.0
    retries: NonNegativeInt = 6
    failure_rate: Share = 0.5
    failure_window: PositiveInt = 200
    failure_least: PositiveInt = 50


@dataclass(frozen=True, config=CLOSED)
class GrpoSettings:
    """The run itself, on TRL's GRPOTrainer.

    Args:
        steps: optimizer steps.
        num_generations: completions of one problem that are compared with each other.
        per_device_batch_size: completions in one forward and backward pass of a process.
        gradient_accumulation: passes a step. A step has processes x per_device_batch_size x gradient_accumulation
            completions, a multiple of num_generations.
        temperature, top_p: of the planner's sampling.
        max_completion_length: tokens of a completion.
        learning_rate: peak.
        lr_scheduler: a transformers scheduler name.
        warmup_ratio: share of the steps with rising learning rate.
        weight_decay: AdamW's.
        max_grad_norm: clipping norm.
        beta: weight of the KL term towards the base; 0 keeps no reference model.
        gradient_checkpointing: trade compute for memory.
        autocast: mixed precision: `auto` is bfloat16 where the device has it in hardware.
        vllm: generation by vLLM: `none`, `colocate` (on the GPUs that train), or `server` (`trl vllm-serve`).
        vllm_gpu_memory_utilization: share of a GPU's memory for vLLM, `colocate` only.
        seed: of everything random.
        save_every: steps between checkpoints; 0 means eight in a run.
        keep_checkpoints: how many are kept.
        options: further fields of `trl.GRPOConfig`, e.g. `{loss_type: dr_grpo, epsilon_high: 0.28}`.
    """

    steps: PositiveInt = 600
    num_generations: Annotated[int, Field(strict=True, ge=2)] = 4
    per_device_batch_size: PositiveInt = 8
    gradient_accumulation: PositiveInt = 1
    temperature: PositiveFloat = 0.7
    top_p: PositiveShare = 1.0
    max_completion_length: PositiveInt = 512
    learning_rate: PositiveFloat = 5e-6
    lr_scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "constant"
    warmup_ratio: Fraction = 0.0
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0
    beta: NonNegativeFloat = 0.0
    gradient_checkpointing: Bool = False
    autocast: Literal["auto", "none", "bfloat16"] = "auto"
    vllm: Literal["none", "colocate", "server"] = "none"
    vllm_gpu_memory_utilization: PositiveShare = 0.3
    seed: NonNegativeInt = 18
    save_every: NonNegativeInt = 0
    keep_checkpoints: PositiveInt = 2
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, config=CLOSED)
class PlannerConfig:
    """All of `tracelift-rm planner train`.

    Args:
        lora: adapters; `rank: 0` trains all weights.
        save: the form of the trained planner: `merged` weights, or the `adapter` alone.
        samples_per_step: completions of each step kept in `samples.jsonl`, in whole groups; 0 keeps none.
        output: directory of the run; the trained planner ends up in `OUTPUT/model`.
    """

    planner: BaseConfig = field(default_factory=BaseConfig)
    lora: LoraSettings = field(default_factory=lambda: LoraSettings(rank=16, alpha=32.0))
    prompt: PromptConfig = field(default_factory=PromptConfig)
    data: PlannerData = field(default_factory=PlannerData)
    reward: RewardChoice = field(default_factory=RewardChoice)
    grpo: GrpoSettings = field(default_factory=GrpoSettings)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    save: Literal["merged", "adapter"] = "merged"
    samples_per_step: NonNegativeInt = 8
    output: str = ""


@dataclass(frozen=True, config=CLOSED)
class EvaluationConfig:
    """All of `tracelift-rm planner evaluate` but what is evaluated on what.

    Args:
        executor: the frozen model that reads the traces, see `rm.uplift.executors.config`.
        sampling: how it is sampled.
        engine: what runs the planners: as an executor; each planner's name takes the place of `path` (`model` for a
            server).
        planner_sampling: how planners are sampled.
        prompt: what they read; as in their training.
        samples: traces of a problem, each with one run of the executor; and runs of the executor alone.
        k: of pass@k, each at most `samples`.
        math, code: options of the verifiers, see `rm.uplift.verifiers.table`.
        cache: of runs without a trace, see `rm.uplift.config.UpliftConfig`.
        attempts: how often a lost completion is asked for in all.
        at_once: problems, or traces, under way at the same time.
        seed: of every draw and of the bootstrap.
    """

    executor: ExecutorConfig = field(default_factory=ArithmeticConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    engine: ExecutorConfig = field(default_factory=lambda: TransformersConfig(path="PLANNER"))
    planner_sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig(temperature=0.7))
    prompt: PromptConfig = field(default_factory=PromptConfig)
    samples: PositiveInt = 4
    k: list[PositiveInt] = field(default_factory=lambda: [1])
    math: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    cache: str = ""
    attempts: PositiveInt = 10
    at_once: PositiveInt = 256
    seed: NonNegativeInt = 18
