"""`train --check`: all that can be known before a GPU is paid for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from rm.config import TrainConfig
from rm.errors import ConfigError
from rm.groups import Group
from rm.groups.large import LargeGroups
from rm.model.checkpoint import load_tokenizer, model_directory, read_metadata
from rm.model.create import position_limit
from rm.model.layout import refusal, why_unshared
from rm.model.lora import add_lora, make_lora_config, unwrap
from rm.model.reward_model import RewardModel, RewardModelConfig, default_pooling
from rm.model.weights import read_backbone_config
from rm.sources import HubUnreachable, Source, find_source
from rm.text import Encoder
from rm.train.data import tokenize_groups
from rm.train.run import Prepared, check_output, check_run, schedule

SAMPLED = 2000
"""Groups whose texts are looked at, of a set too large for memory."""


@dataclass(frozen=True)
class CheckReport:
    """What a run would be.

    Args:
        groups: training groups read.
        dev_groups: dev groups read.
        steps: optimizer steps of the whole run; None where the texts could not be tokenized.
        steps_per_epoch: of one pass.
        longest: tokens of the longest training text that fits.
        truncated: training texts whose problem is cut.
        unscorable: training texts that cannot fit.
        parameters: of the whole network.
        trainable: of those, what trains.
        notes: what a user should know.
        skipped: what was not checked, and why.
    """

    groups: int
    dev_groups: int
    steps: int | None
    steps_per_epoch: int | None
    longest: int | None
    truncated: int | None
    unscorable: int | None
    parameters: int | None
    trainable: int | None
    notes: tuple[str, ...]
    skipped: tuple[str, ...]


def check_training(config: TrainConfig, *, resume: bool = False, force: bool = False) -> CheckReport:
    """Check configuration, output, data, tokens and the network's shape; load no weights.

    Args:
        config: see `TrainConfig`.
        resume, force: as the run would be started.

    Raises:
        ConfigError, DataError: as `rm.train.train` would.
    """
    prepared = check_run(config)
    check_output(config, prepared, resume, force)
    skipped: list[str] = []
    old = config.model.init_from
    try:
        if old:
            source = find_source(str(model_directory(old)), "model.init_from")
        else:
            source = find_source(config.model.backbone, "model.backbone")
    except HubUnreachable as error:
        skipped.append(f"Tokens and network: {error}")
        return _report(config, prepared, None, None, skipped)
    network = _network(config, prepared, source, skipped)
    return _report(config, prepared, source, network, skipped)


def _network(config: TrainConfig, prepared: Prepared, source: Source, skipped: list[str]) -> torch.nn.Module | None:
    """The network without weights, with the adapters it would have."""
    if config.model.init_from:
        read_metadata(config.model.init_from)
        skipped.append("Network: with model.init_from its shape is the old model's.")
        return None
    backbone = read_backbone_config(source)
    pooling = config.model.pooling if config.model.pooling != "auto" else default_pooling(backbone)
    with torch.device("meta"):
        model = RewardModel(RewardModelConfig(backbone=backbone, rubric=prepared.rubric.to_dict(), pooling=pooling))
        if config.lora.rank == 0:
            return model
        lora = make_lora_config(
            model,
            rank=config.lora.rank,
            alpha=config.lora.alpha,
            dropout=config.lora.dropout,
            targets=config.lora.targets,
            options=config.lora.options,
        )
        return add_lora(model, lora)


def _report(
    config: TrainConfig,
    prepared: Prepared,
    source: Source | None,
    network: torch.nn.Module | None,
    skipped: list[str],
) -> CheckReport:
    notes = list(prepared.notes)
    limit: int | None = None
    longest = truncated = unscorable = steps = per_epoch = None
    if source is not None:
        limit = _limit_of(network)
        max_length = min(config.text.max_length, limit or config.text.max_length)
        encoder = Encoder(load_tokenizer(source), max_length, config.text.include_tests)
        groups: Sequence[Group] = prepared.train
        if isinstance(groups, LargeGroups):
            notes.append(f"Texts are looked at of the first {SAMPLED:,} groups only.")
            groups = tuple(groups[:SAMPLED])
        tokenized = tokenize_groups(groups, encoder, prepared.rubric, config.text.on_overflow)
        texts = [member for group in tokenized.groups for member in (*group.positives, *group.negatives)]
        longest = max(len(member.input_ids) for member in texts)
        if tokenized.overflow:
            truncated, unscorable = tokenized.overflow.truncated, tokenized.overflow.unscorable
        count = len(prepared.train) - tokenized.dropped
        per_epoch = -(-count // config.train.groups_per_step)
        steps = schedule(config, per_epoch)
    if network is not None:
        notes += _sharing_notes(config, unwrap(network), limit)
    if config.quantization != "none" and not torch.cuda.is_available():
        skipped.append(f"quantization: {config.quantization}: loading it needs the weights.")
    if config.deepspeed:
        skipped.append(f"{Path(config.deepspeed).name}: DeepSpeed itself reads it at the start of a run.")
    parameters = list(network.parameters()) if network is not None else None
    return CheckReport(
        groups=len(prepared.train),
        dev_groups=len(prepared.dev),
        steps=steps,
        steps_per_epoch=per_epoch,
        longest=longest,
        truncated=truncated,
        unscorable=unscorable,
        parameters=sum(p.numel() for p in parameters) if parameters else None,
        trainable=sum(p.numel() for p in parameters if p.requires_grad) if parameters else None,
        notes=tuple(notes),
        skipped=tuple(skipped),
    )


def _sharing_notes(config: TrainConfig, model: RewardModel, limit: int | None) -> list[str]:
    """What the configuration alone shows of prefix sharing. Raises: ConfigError for a way that cannot work."""
    choice, backbone = config.model.prefix_sharing, copy.deepcopy(model.config.backbone)
    if choice == "plain":
        return []
    backbone._attn_implementation = config.model.attn_implementation or None  # as loading would set it
    longest = min(config.text.max_length, limit or config.text.max_length)
    reason = why_unshared(backbone, model.config.pooling, longest)
    if reason and choice != "auto":
        raise ConfigError(refusal(choice, reason))
    return [f"Prefixes are not shared: {reason}."] if reason else []


def _limit_of(network: torch.nn.Module | None) -> int | None:
    """As `position_limit`, for a network that may be wrapped or absent."""
    return position_limit(unwrap(network)) if network is not None else None
