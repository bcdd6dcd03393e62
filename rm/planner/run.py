"""`planner train`: from a configuration to a planner on disk. The only place that unpacks `PlannerConfig`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, set_seed

from rm.config import config_to_dict
from rm.errors import ConfigError, MissingExtra, RunError
from rm.groups.read import data_files
from rm.planner.config import GrpoSettings, PlannerConfig
from rm.planner.data import Prompts, make_prompts, problem_row, training_dataset
from rm.planner.model import adapters, base_source, dtype_of, load_base, loading, positions_of
from rm.planner.prompts import PROMPT_VERSION, check_prompt
from rm.planner.rewards import OpenReward, check_choice, check_scores, is_server, opened
from rm.planner.samples import Intake
from rm.precision import has_fast_bfloat16
from rm.provenance import data_facts, file_hash
from rm.reward.manifest import BUNDLE
from rm.text.tokenizer import load_tokenizer
from rm.train.checkpoints import has_ended, last_checkpoint, restore_ended, step_of
from rm.train.directory import Identity, check_run_directory, open_run_directory, process_rank
from rm.train.run import use_one_gpu
from rm.train.tracking import JsonlLog, set_up_wandb
from rm.uplift.meter import FailureLimit
from rm.uplift.problems import Problem
from rm.uplift.read import load_problems

if not importlib.util.find_spec("trl"):
    raise MissingExtra("trl", "rl", "planner train")

from trl import GRPOConfig

from rm.planner.grpo import PlannerTrainer
from rm.planner.save import PLANNER, Provenance, is_saved, save_planner
from rm.planner.tracking import PlannerProgress, SamplesPage

CHECKPOINTS_A_RUN = 8
FREE_TO_CHANGE = (
    "output",
    "data.train",
    "reward.source",
    "reward.overrides",
    "reward.api_key_env",
    "reward.timeout_s",
    "reward.retries",
    "reward.failure_",
    "tracking.",
    "grpo.keep_checkpoints",
    "samples_per_step",
)
_SET_HERE = frozenset(
    {
        "bf16",
        "data_seed",
        "disable_tqdm",
        "fp16",
        "generation_batch_size",
        "log_completions",
        "log_level",
        "logging_steps",
        "logging_strategy",
        "max_steps",
        "model_init_kwargs",
        "num_train_epochs",
        "output_dir",
        "push_to_hub",
        "remove_unused_columns",
        "report_to",
        "reward_weights",
        "run_name",
        "save_steps",
        "save_strategy",
        "save_total_limit",
        "shuffle_dataset",
        "trust_remote_code",
        "use_cpu",
        "use_vllm",
        "warmup_steps",
    }
)
"""Fields of `GRPOConfig` that `grpo.options` may not set, besides those that are keys of `GrpoSettings`."""
_SAME_NAME = (
    "num_generations",
    "temperature",
    "top_p",
    "max_completion_length",
    "learning_rate",
    "weight_decay",
    "max_grad_norm",
    "beta",
    "gradient_checkpointing",
    "seed",
    "vllm_gpu_memory_utilization",
)
_OTHER_NAME = {
    "lr_scheduler": "lr_scheduler_type",
    "per_device_batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "vllm": "vllm_mode",
}


@dataclass(frozen=True)
class PlannerResult:
    """What a finished run left behind.

    Args:
        model: directory of the trained planner.
        steps: optimizer steps done.
        rewards: mean reward of the first and of the last tenth of the steps; None where nothing was measured.
        notes: what a user should know, a sentence each.
    """

    model: Path
    steps: int
    rewards: tuple[float | None, float | None]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """What is settled without weights."""

    problems: tuple[Problem, ...]
    data: list[dict[str, str]]
    identity: Identity
    args: GRPOConfig
    output: Path


def prepare(config: PlannerConfig, *, resume: bool = False, force: bool = False) -> Prepared:
    """All that needs neither weights nor a reward: names, files, problems, TRL's own checks, the output.

    Raises:
        ConfigError: what the configuration alone shows to be wrong, all at once.
        DataError: every broken row.
    """
    problems = _config_problems(config)
    if problems:
        raise ConfigError(problems)
    rows = load_problems(config.data.train, traces="none", limit=config.data.limit or None)
    if not rows:
        raise ConfigError("data.train: there are no problems in these files.")
    data = data_facts(data_files(config.data.train))
    inputs = (*config.data.train, config.planner.base, *([] if is_server(config.reward) else [config.reward.source]))
    identity = identity_of(config, data)
    output = check_run_directory(config.output, identity, FREE_TO_CHANGE, inputs, resume=resume, force=force)
    return Prepared(rows, data, identity, training_arguments(config, output), output)


def train(config: PlannerConfig, *, resume: bool = False, force: bool = False) -> PlannerResult:
    """Train a planner.

    Under `torchrun` or `accelerate launch` every process calls this.

    Args:
        config: see `PlannerConfig`.
        resume: go on from the last whole checkpoint in `config.output`; start anew where there is none.
        force: replace what is in `config.output`.

    Raises:
        ConfigError, DataError: as `prepare`, and for a model or a reward that cannot be had.
        RunError: too many rewards cannot be measured, a number became NaN or infinite, or the disk is full; the whole
            checkpoints are kept.
    """
    prepared = prepare(config, resume=resume, force=force)
    args, output = prepared.args, prepared.output
    if config.grpo.vllm != "none":
        check_vllm()
    source = base_source(config.planner)
    tokenizer = load_tokenizer(source)
    model = load_base(source, config.planner, dtype_of(config.planner, config.lora, args.device))
    prompts = make_prompts(prepared.problems, config.prompt, tokenizer, room_of(positions_of(model), config.grpo))
    args.model_init_kwargs = loading(source, config.planner) if config.grpo.beta and not config.lora.rank else None
    with opened(config.reward, str(args.device) if args.device.type == "cuda" else None) as reward:
        first = check_scores(reward, first_item(prepared.problems[0])) if args.process_index == 0 else None
        open_run_directory(output, prepared.identity, args, resume=resume, force=force)
        provenance = Provenance(config, prepared.data, len(prepared.problems), reward, first)
        trainer = _trainer(config, args, model, tokenizer, prompts, reward)
        try:
            return _run(config, trainer, provenance, output, resume)
        finally:
            trainer.close()


def _trainer(
    config: PlannerConfig,
    args: GRPOConfig,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Prompts,
    reward: OpenReward,
) -> PlannerTrainer:
    choice = config.reward
    groups_per_step = (args.generation_batch_size or 0) // config.grpo.num_generations
    set_seed(args.seed)  # LoRA starts from random weights, and TRL before 1.15 seeds after it has made them
    return PlannerTrainer(
        model,
        args,
        dataset=training_dataset(prompts, args.max_steps * groups_per_step, config.grpo.seed),
        tokenizer=tokenizer,
        lora=adapters(model, config.lora),
        reward=reward,
        intake=Intake(FailureLimit(choice.failure_rate, choice.failure_window, choice.failure_least)),
        keep_checkpoints=config.grpo.keep_checkpoints,
        samples_per_step=config.samples_per_step,
        callbacks=[JsonlLog(Path(args.output_dir or "."), args.max_steps)],
    )


def _run(
    config: PlannerConfig, trainer: PlannerTrainer, provenance: Provenance, output: Path, resume: bool
) -> PlannerResult:
    progress, page = PlannerProgress(), SamplesPage(output, config, provenance)
    trainer.add_callback(progress)
    trainer.add_callback(page)
    first = process_rank() == 0
    checkpoint = last_checkpoint(output, clean=first) if resume else None
    if resume and checkpoint is None and first:
        print(f"There is no checkpoint in {config.output} to go on from: the run starts at step 0.", file=sys.stderr)
    if first:
        trainer.sample_file.go_back_to(step_of(checkpoint) if checkpoint else 0)
    try:
        if checkpoint is not None and has_ended(checkpoint):
            restore_ended(trainer, checkpoint)
            if is_saved(output):
                return PlannerResult(output / PLANNER, step_of(checkpoint), page.first_and_last(), ())
        else:
            with _last_checkpoint_told(output):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        progress.close()
    if first:
        page.write()
    target = save_planner(trainer, config, provenance, output)
    notes = (*provenance.reward.notes, *page.signs())
    return PlannerResult(target, trainer.state.global_step, page.first_and_last(), notes)


@contextmanager
def _last_checkpoint_told(output: Path) -> Iterator[None]:
    """What fails in mid-run says from where it can go on."""
    try:
        yield
    except RunError as error:
        checkpoint = last_checkpoint(output, clean=False)
        if checkpoint is not None:
            error.add_note(f"Step {step_of(checkpoint)} is kept in {checkpoint}; --resume goes on from there.")
        else:
            error.add_note("No checkpoint had been written yet; grpo.save_every says how often one is.")
        raise


def _config_problems(config: PlannerConfig) -> list[str]:
    problems = []
    if not config.planner.base:
        problems.append("planner.base: no model. Give a directory, or a hub name such as Qwen/Qwen2.5-7B-Instruct.")
    if not config.data.train:
        problems.append("data.train: no file. Give one or more: --data.train problems.jsonl")
    if not config.output:
        problems.append("output: no directory. Say where the run goes: --output runs/NAME")
    elif Path(config.output).is_file():
        problems.append(f"output: {config.output} is a file, expected a directory.")
    problems += check_choice(config.reward)
    try:
        check_prompt(config.prompt)
    except ConfigError as error:
        problems += error.problems
    taken = {*_SAME_NAME, *_OTHER_NAME.values(), *_SET_HERE}
    known = GRPOConfig.__dataclass_fields__
    for name in config.grpo.options:
        if name not in known:
            problems.append(f"grpo.options.{name}: trl's GRPOConfig has no such field.")
        elif name in taken:
            problems.append(f"grpo.options.{name}: is set by a key of grpo or by this package.")
    return problems


def training_arguments(config: PlannerConfig, output: Path) -> GRPOConfig:
    """TRL's own arguments. Raises: ConfigError in TRL's words where they do not go together."""
    settings = config.grpo
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bf16 = settings.autocast == "bfloat16" or (settings.autocast == "auto" and has_fast_bfloat16(device))
    if config.tracking.wandb:
        set_up_wandb(config.tracking.project, config.tracking.mode, output)
    same = {name: getattr(settings, name) for name in _SAME_NAME}
    other = {name: getattr(settings, key) for key, name in _OTHER_NAME.items() if key != "vllm"}
    save_every = settings.save_every or max(1, settings.steps // CHECKPOINTS_A_RUN)
    try:
        args = GRPOConfig(
            **same,
            **other,
            output_dir=str(output),
            use_cpu=device.type == "cpu",
            bf16=bf16,
            data_seed=settings.seed,
            max_steps=settings.steps,
            warmup_steps=round(settings.warmup_ratio * settings.steps),
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="steps",
            save_steps=save_every,
            shuffle_dataset=False,  # the dataset has its order
            use_vllm=settings.vllm != "none",
            vllm_mode="colocate" if settings.vllm == "none" else settings.vllm,
            ddp_find_unused_parameters=False,
            report_to=["wandb"] if config.tracking.wandb else [],
            run_name=config.tracking.run_name or None,
            disable_tqdm=True,
            log_level="error",
            **settings.options,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"grpo: trl refuses these settings: {error}") from None
    use_one_gpu(args, "planner train")
    every = (args.steps_per_generation or 1) * args.num_iterations
    if save_every * settings.gradient_accumulation % every:
        raise ConfigError(
            f"grpo.save_every = {save_every}: completions are used for {every} passes (grpo.options), and a checkpoint "
            "between them could not be resumed. Save after a whole number of them."
        )
    return args


def room_of(positions: int | None, settings: GrpoSettings) -> int | None:
    """Tokens that a prompt may have."""
    return None if positions is None else positions - settings.max_completion_length


def check_vllm() -> None:
    """Raises: MissingExtra where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise MissingExtra("vllm", "vllm", "grpo.vllm")


def first_item(problem: Problem) -> dict[str, Any]:
    """A problem row with a completion that says nothing of it, to try the reward with."""
    completion = "<reasoning>Read the problem, and work it out step by step.</reasoning>"
    return {**problem_row(problem), "completion": completion}


def identity_of(config: PlannerConfig, data: Sequence[dict[str, str]]) -> Identity:
    """What makes a run this run: its settings, and the content of its data and its bundle wherever they lie."""
    manifest = Path(config.reward.source).expanduser() / BUNDLE
    bundle = file_hash(manifest) if manifest.is_file() else ""
    content = {"train": [item["sha256"] for item in data], "bundle": bundle, "prompts": PROMPT_VERSION}
    return {**config_to_dict(config), "content": content}
