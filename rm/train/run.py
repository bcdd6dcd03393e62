"""`train`: from a configuration to a reward model on disk. The only place that unpacks `TrainConfig`."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.training_args import OptimizerNames

from rm.config import TrainConfig, config_to_dict
from rm.errors import ConfigError, DataError, Problem
from rm.evaluate.score import Scorer, rows_of
from rm.evaluate.scored import ScoredGroup
from rm.files import replace_directory
from rm.groups import Group, load_groups
from rm.groups.large import LargeGroups, label_counts
from rm.groups.read import data_files
from rm.groups.similarity import overlap
from rm.losses import LOSSES, get_dimension_loss, get_loss
from rm.model import LoadedModel
from rm.model.create import Recipe, create_model, position_limit
from rm.precision import has_fast_bfloat16
from rm.provenance import data_facts, versions
from rm.rubric import Rubric
from rm.train.checkpoints import has_ended, last_checkpoint, restore_ended, step_of, whole_or_gone
from rm.train.data import StepLoader, TokenizedSet, hash_seed, tokenize_groups
from rm.train.directory import check_run_directory, open_run_directory, process_rank
from rm.train.objective import Objective
from rm.train.tracking import JsonlLog, Progress, set_up_wandb, start_facts
from rm.train.trainer import BEST, GroupTrainer, best_facts, best_model

MODEL = "model"
PROVENANCE = "training.json"
EVALUATIONS = 8
FREE_TO_CHANGE = (
    "output",
    "data.train",
    "data.dev",
    "rubric",
    "tracking.",
    "train.tokens_per_microbatch",
    "train.keep_checkpoints",
    "train.log_every",
)


@dataclass(frozen=True)
class TrainResult:
    """What a finished run left behind.

    Args:
        model: directory of the trained reward model.
        steps: optimizer steps done.
        best: step and dev metrics of the model kept; empty without a dev set.
        start: dev metrics of the model that training started from, where that is a reward model; else empty.
        notes: what a user should know, a sentence each.
    """

    model: Path
    steps: int
    best: dict[str, Any]
    start: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """Everything that is settled before the first step."""

    rubric: Rubric
    objective: Objective
    train: Sequence[Group]
    dev: Sequence[Group]
    notes: tuple[str, ...]
    data: dict[str, list[dict[str, str]]]


def check_run(config: TrainConfig) -> Prepared:
    """All that needs neither weights nor a GPU: names, rubric, files, labels, overlap of train and dev.

    Raises:
        ConfigError: what the configuration alone shows to be wrong, all at once.
        DataError: every broken row.
    """
    problems = _config_problems(config)
    if problems:
        raise ConfigError(problems)
    rubric = Rubric.load(config.rubric)
    objective = objective_of(config)
    train = load_groups(config.data.train, rubric)
    dev = load_groups(config.data.dev, rubric) if config.data.dev else ()
    if not (config.loss.weights.ranking or label_counts(train).judged):
        raise ConfigError("loss.weights.ranking is 0 and no training trace has labels: there is nothing to learn.")
    facts = {
        "train": data_facts(data_files(config.data.train)),
        "dev": data_facts(data_files(config.data.dev)),
    }
    return Prepared(rubric, objective, train, dev, tuple(_data_notes(train, dev)), facts)


def train(config: TrainConfig, *, resume: bool = False, force: bool = False) -> TrainResult:
    """Train a reward model.

    Under `torchrun` every process calls this; the result is the same as with one process.

    Args:
        config: see `TrainConfig`.
        resume: go on from the last whole checkpoint in `config.output`; start anew where there is none.
        force: replace what is in `config.output`.

    Raises:
        ConfigError, DataError: as `check_run`, and for a model that cannot be loaded.
        RunError: the loss became NaN or infinite, or the disk is full.
    """
    prepared = check_run(config)
    output = check_output(config, prepared, resume, force)
    args = _training_arguments(config, output, has_dev=bool(prepared.dev))
    loaded = create_model(recipe_of(config, prepared.rubric), args.device, config.train.seed)
    max_length = max_length_of(config.text.max_length, loaded)
    loaded.model.config.text_max_length = max_length
    scorer = Scorer(
        loaded,
        max_length=max_length,
        tokens_per_batch=config.train.tokens_per_microbatch,
        prefix_sharing=config.model.prefix_sharing,
        hot_prefix_bytes=0,
    )
    tokenized = tokenize_groups(
        prepared.train, scorer.encoder, prepared.rubric, config.text.on_overflow, config.loss.shortcut
    )
    dev, dev_notes = _fitting(prepared.dev, scorer)
    notes = (
        *prepared.notes,
        *loaded.notes,
        *scorer.notes,
        *_text_notes(tokenized, max_length, config.text.max_length),
        *dev_notes,
    )
    if args.process_index == 0:
        for note in notes:
            print(note, file=sys.stderr)
    loader = StepLoader(
        tokenized.groups,
        groups_per_step=config.train.groups_per_step,
        negatives=config.data.negatives_per_group,
        seed=config.train.seed,
        cost=scorer.layout.group_cost,
        rank=args.process_index,
        world_size=args.world_size,
    )
    _set_schedule(args, config, len(loader))
    open_run_directory(output, _identity(config, prepared), args, resume=resume, force=force)
    progress = Progress()
    trainer = GroupTrainer(
        loaded,
        args,
        objective=prepared.objective,
        loader=loader,
        score_dev=_dev_scorer(config, dev, scorer, args) if dev else None,
        layout=scorer.layout,
        tokens_per_microbatch=config.train.tokens_per_microbatch,
        head_learning_rate=config.train.head_learning_rate,
        metric=config.train.metric,
        patience=config.train.patience,
        keep_checkpoints=config.train.keep_checkpoints,
        callbacks=[JsonlLog(output, len(loader)), progress],
    )
    scorer.forward = lambda **inputs: trainer.network(**inputs)
    for default in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(default)
    checkpoint = _last_checkpoint(output) if resume else None
    if resume and checkpoint is None and args.process_index == 0:
        print(f"There is no checkpoint in {config.output} to go on from: the run starts at step 0.", file=sys.stderr)
    if checkpoint is not None and has_ended(checkpoint):
        if (output / MODEL / PROVENANCE).is_file():
            return TrainResult(output / MODEL, step_of(checkpoint), best_facts(output), start_facts(output), notes)
        restore_ended(trainer, checkpoint)
        return _finish(config, prepared, trainer, output, notes)
    if checkpoint is not None:
        loader.skip(step_of(checkpoint) % len(loader))
    # Where training goes on from a reward model, its own figures say whether it is getting better.
    args.eval_on_start = bool(dev) and bool(config.model.init_from) and checkpoint is None
    torch.manual_seed(hash_seed(config.train.seed, args.process_index))
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        progress.close()
    return _finish(config, prepared, trainer, output, notes)


def _config_problems(config: TrainConfig) -> list[str]:
    problems = []
    if not config.data.train:
        problems.append("data.train: no file. Give one or more: --data.train groups.jsonl")
    if not config.output:
        problems.append("output: no directory. Say where the run goes: --output runs/NAME")
    if config.quantization != "none" and config.lora.rank == 0 and not config.model.init_from:
        problems.append("quantization: quantised weights cannot be trained. Set lora.rank, or quantization: none.")
    for look_up, name in (
        (Rubric.load, config.rubric),
        (get_loss, config.loss.ranking),
        (get_dimension_loss, config.loss.dimensions),
    ):
        try:
            look_up(name)
        except ConfigError as error:
            problems += error.problems
    bounded = config.loss.ranking in LOSSES and LOSSES[config.loss.ranking].ranks_on != "logit"
    if config.loss.shortcut != "none" and bounded:
        problems.append(f"loss.shortcut: {config.loss.ranking} ranks on the bounded score; none can be added to it.")
    weights = config.loss.weights
    if not (weights.ranking or weights.dimensions or weights.total):
        problems.append("loss.weights: all are 0, so there is nothing to learn.")
    if config.loss.label_smoothing and config.loss.dimensions != "cross_entropy":
        problems.append("loss.label_smoothing: only loss.dimensions: cross_entropy has it.")
    if config.train.optimizer not in set(OptimizerNames):
        choices = ", ".join(OptimizerNames)
        problems.append(f"train.optimizer: no optimizer {config.train.optimizer!r}. Choose one of: {choices}.")
    if config.output and Path(config.output).is_file():
        problems.append(f"output: {config.output} is a file, expected a directory.")
    if config.deepspeed and not Path(config.deepspeed).is_file():
        problems.append(f"deepspeed: no such file: {config.deepspeed}")
    return problems


def _data_notes(train: Sequence[Group], dev: Sequence[Group]) -> list[str]:
    notes = []
    counts = label_counts(train)
    if counts.unlabelled:
        notes.append(
            f"{counts.unlabelled} of {counts.candidates} training traces have no rubric labels: the dimension and "
            "total losses skip them, the ranking loss takes positives over negatives."
        )
    if dev:
        shared = _shared(train, dev)
        if shared:
            notes.append(
                f"Warning: {shared} of {len(dev)} dev problems are in the training data, or nearly. Dev "
                "figures will be too good; split anew with `tracelift-rm groups split`."
            )
    return notes


def _shared(train: Sequence[Group], dev: Sequence[Group]) -> int:
    """Dev problems that are in the training data, or nearly; of a large set this is computed once."""
    if not isinstance(train, LargeGroups):
        return overlap(train, dev).near_duplicates
    keys = hashlib.sha256("\n".join(group.problem_key for group in dev).encode()).hexdigest()
    return train.remembered(f"shared with {keys}", lambda: overlap(train, dev, progress=True).near_duplicates)


def _text_notes(tokenized: TokenizedSet, max_length: int, asked: int) -> list[str]:
    notes = []
    if max_length < asked:
        notes.append(f"text.max_length is lowered from {asked} to {max_length}, the positions that the backbone has.")
    if tokenized.overflow is None:
        notes.append("The training set is large: texts are tokenized when drawn; what does not fit is left out then.")
    elif tokenized.overflow.truncated or tokenized.overflow.unscorable:
        notes.append(f"Training text: {tokenized.overflow}.")
    if tokenized.dropped:
        notes.append(f"{tokenized.dropped} training groups are left out: no positive or no negative of theirs fits.")
    return notes


def _fitting(dev: Sequence[Group], scorer: Scorer) -> tuple[list[Group], list[str]]:
    """The dev groups whose every candidate fits, and a note on the others. Raises: DataError where none does."""
    encoded = scorer.encoder.encode([row for group in dev for row in rows_of(group, scorer.rubric)])
    kept: list[Group] = []
    start = 0
    for group in dev:
        stop = start + len(group.candidates)
        if all(item.fits for item in encoded[start:stop]):
            kept.append(group)
        start = stop
    if dev and not kept:
        found = f"{len(dev)} groups, each with a candidate that does not fit {scorer.encoder.max_length} tokens"
        raise DataError([Problem(dev[0].file, 0, "", "dev groups to evaluate on", found, "Raise text.max_length.")])
    left_out = len(dev) - len(kept)
    note = f"{left_out} of {len(dev)} dev groups are left out: not every candidate of theirs fits."
    return kept, [note] if left_out else []


def objective_of(config: TrainConfig) -> Objective:
    """The losses that a configuration asks for. Raises: ConfigError for an unknown name or option."""
    return Objective(
        ranking=config.loss.ranking,
        dimensions=config.loss.dimensions,
        temperature=config.loss.temperature,
        weights=dataclasses.asdict(config.loss.weights),
        options=config.loss.options,
        label_smoothing=config.loss.label_smoothing,
    )


def recipe_of(config: TrainConfig, rubric: Rubric) -> Recipe:
    """The network that a configuration asks for."""
    settings = dataclasses.asdict(config.model)
    del settings["prefix_sharing"]  # how it runs, not what it is
    return Recipe(
        rubric=rubric,
        quantization=config.quantization,
        include_tests=config.text.include_tests,
        max_length=config.text.max_length,
        lora_rank=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        lora_targets=config.lora.targets,
        lora_options=config.lora.options,
        **settings,
    )


def max_length_of(asked: int, loaded: LoadedModel) -> int:
    """Tokens of the longest text: as asked, or as many as the backbone has positions."""
    limit = position_limit(loaded.model)
    return min(asked, limit) if limit else asked


def _identity(config: TrainConfig, prepared: Prepared) -> dict[str, Any]:
    """What makes a run this run: its settings, and the content of its data and rubric wherever they lie."""
    content = {
        **{use: [item["sha256"] for item in files] for use, files in prepared.data.items()},
        "rubric": prepared.rubric.fingerprint,
    }
    return {**config_to_dict(config), "content": content}


def check_output(config: TrainConfig, prepared: Prepared, resume: bool, force: bool) -> Path:
    """See `check_run_directory`."""
    inputs = (*config.data.train, *config.data.dev, config.model.init_from, config.model.backbone)
    identity = _identity(config, prepared)
    return check_run_directory(config.output, identity, FREE_TO_CHANGE, inputs, resume=resume, force=force)


def _training_arguments(config: TrainConfig, output: Path, has_dev: bool) -> TrainingArguments:
    settings = config.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    autocast = settings.autocast
    if autocast == "auto":
        autocast = "bfloat16" if has_fast_bfloat16(device) else "none"
    if config.deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise ConfigError("deepspeed: the package is not installed: pip install deepspeed. Or leave deepspeed empty.")
    if config.tracking.wandb:
        set_up_wandb(config.tracking.project, config.tracking.mode, output)
    args = TrainingArguments(
        output_dir=str(output),
        use_cpu=device.type == "cpu",
        bf16=autocast == "bfloat16",
        fp16=autocast == "float16",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        lr_scheduler_type=settings.lr_scheduler,
        optim=settings.optimizer,
        seed=settings.seed,
        data_seed=settings.seed,
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if has_dev else "no",
        save_strategy="steps",
        ignore_data_skip=True,  # the loader itself goes on where the checkpoint was
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        deepspeed=config.deepspeed or None,
        report_to=["wandb"] if config.tracking.wandb else [],
        run_name=config.tracking.run_name or None,
        disable_tqdm=True,
        log_level="error",
    )
    use_one_gpu(args, "train")
    return args


def use_one_gpu(args: TrainingArguments, verb: str) -> None:
    """One process would drive all GPUs through DataParallel, which is slow; torchrun is the way."""
    if args.n_gpu > 1:
        args._n_gpu = 1
        print(
            f"Several GPUs: this process uses one. All: torchrun --nproc_per_node N -m rm.cli.main {verb}",
            file=sys.stderr,
        )


def schedule(config: TrainConfig, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    return config.train.max_steps or max(1, round(config.train.epochs * steps_per_epoch))


def _set_schedule(args: TrainingArguments, config: TrainConfig, steps_per_epoch: int) -> None:
    settings = config.train
    args.max_steps = schedule(config, steps_per_epoch)
    args.warmup_steps = round(settings.warmup_ratio * args.max_steps)
    args.eval_steps = settings.eval_every or max(1, args.max_steps // EVALUATIONS)
    args.save_steps = settings.save_every or args.eval_steps


def _dev_scorer(config: TrainConfig, dev: Sequence[Group], scorer: Scorer, args: TrainingArguments) -> Any:
    """Scores a seeded sample of the dev groups; each process takes its share where every one holds all weights."""
    chosen = list(dev)
    if 0 < config.train.eval_groups < len(dev):
        generator = torch.Generator().manual_seed(hash_seed(config.train.seed, len(dev)))
        chosen = [dev[i] for i in torch.randperm(len(dev), generator=generator)[: config.train.eval_groups].tolist()]
    sharded = bool(config.deepspeed) or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    split = args.world_size > 1 and not sharded
    mine = chosen[args.process_index :: args.world_size] if split else chosen

    def score() -> list[ScoredGroup]:
        rows = sum(len(group.candidates) for group in mine)
        with tqdm(total=rows, desc="dev", unit="trace", leave=False, disable=args.process_index > 0 or None) as bar:
            own = scorer.groups(mine, bar.update)
        if not split:
            return own
        gathered: list[list[ScoredGroup]] = [[] for _ in range(args.world_size)]
        dist.all_gather_object(gathered, own)
        return [each for part in gathered for each in part]

    return score


def _last_checkpoint(output: Path) -> Path | None:
    """The last whole checkpoint; what a kill left behind half done is removed."""
    first = process_rank() == 0
    checkpoint = last_checkpoint(output, clean=first)
    if first:
        best = best_model(output)
        for path in output.glob(f"{BEST}-*"):
            if path != best:
                shutil.rmtree(path, ignore_errors=True)
    return checkpoint


def _finish(
    config: TrainConfig, prepared: Prepared, trainer: GroupTrainer, output: Path, notes: tuple[str, ...]
) -> TrainResult:
    """Put the best model (without a dev set: the last) in its final place, with its provenance."""
    best = best_model(output)
    result = TrainResult(output / MODEL, trainer.state.global_step, best_facts(output), start_facts(output), notes)
    if best is None:
        last = output / ".last.partial"
        with whole_or_gone(last):
            trainer.save_model(str(last), _internal_call=True)
        best = last
    if trainer.args.should_save:
        with replace_directory(result.model, force=True) as staging:
            shutil.copytree(best, staging, dirs_exist_ok=True)
            provenance = _provenance(config, prepared, result)
            (staging / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(output / ".last.partial", ignore_errors=True)
    return result


def _provenance(config: TrainConfig, prepared: Prepared, result: TrainResult) -> dict[str, Any]:
    return {
        "config": config_to_dict(config),
        "rubric_fingerprint": prepared.rubric.fingerprint,
        "steps": result.steps,
        "groups": {"train": len(prepared.train), "dev": len(prepared.dev)},
        "data": prepared.data,
        "dev_metrics": result.best,
        "dev_metrics_at_start": result.start,
        "versions": versions(),
    }
