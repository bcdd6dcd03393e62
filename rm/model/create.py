"""A reward model to train: from a pretrained backbone, or from a trained reward model and perhaps a new rubric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from rm.errors import ConfigError
from rm.model.checkpoint import LoadedModel, load_reward_model, model_directory
from rm.model.lora import (
    ALL_LINEAR,
    TOTAL,
    LoraConfig,
    add_lora,
    head_states,
    load_lora_state,
    lora_state,
    make_lora_config,
    merge_lora,
    quantization_config,
    renewed,
)
from rm.model.reward_model import RewardModel, RewardModelConfig, default_pooling
from rm.model.weights import fingerprint, load_backbone
from rm.precision import resolve_dtype
from rm.rubric import Rubric
from rm.sources import find_source, lasting_name
from rm.text.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Recipe:
    """How the network is put together. Fields as in `rm.config` of the same names.

    Args:
        lora_rank: 0 trains all weights.
    """

    backbone: str
    rubric: Rubric
    init_from: str = ""
    revision: str = ""
    dtype: str = "auto"
    attn_implementation: str = ""
    pooling: str = "auto"
    dropout: float | None = None
    head_dropout: float = 0.0
    gradient_checkpointing: bool = False
    quantization: str = "none"
    include_tests: bool = True
    max_length: int = 3072
    lora_rank: int = 32
    lora_alpha: float = 64.0
    lora_dropout: float = 0.05
    lora_targets: str | Sequence[str] = ALL_LINEAR
    lora_options: Mapping[str, Any] = field(default_factory=dict)


def create_model(recipe: Recipe, device: torch.device, seed: int) -> LoadedModel:
    """Build the network that `recipe` describes, heads initialised from `seed`.

    Raises:
        ConfigError: a missing or unfit backbone, an unknown adapter option, quantised full fine-tuning.
        MissingExtra: bitsandbytes is needed and not installed.
    """
    if recipe.quantization != "none" and recipe.lora_rank == 0:
        raise ConfigError(
            f"quantization: {recipe.quantization} needs adapters, since quantised weights cannot be trained. "
            "Set lora.rank, or quantization: none."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = _go_on_from(recipe, device) if recipe.init_from else _start_fresh(recipe, device)
    if recipe.gradient_checkpointing:
        _recompute_activations(built.model.model)
    return built


def position_limit(model: RewardModel, rotary: bool = True) -> int | None:
    """How many positions the backbone has; None where nothing limits them.

    Args:
        model: the reward model.
        rotary: count rotary positions too. Learned ones are a hard limit, rotary ones what it was trained for.
    """
    config = model.config.backbone.get_text_config()
    if not rotary and getattr(config, "rope_parameters", None):
        return None
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if limit and config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limit -= 2  # these count positions from padding_idx + 1
    return limit


def _start_fresh(recipe: Recipe, device: torch.device) -> LoadedModel:
    source = find_source(recipe.backbone, "model.backbone", recipe.revision)
    dtype = _weights_dtype(recipe, device)
    extra: dict[str, Any] = {}
    if recipe.attn_implementation:
        extra["attn_implementation"] = recipe.attn_implementation
    quantized = quantization_config(recipe.quantization, dtype)
    if quantized is not None:
        extra.update(quantization_config=quantized, device_map={"": device})
    if source.is_local and not (Path(source.path) / "config.json").is_file():
        raise ConfigError(f"model.backbone: {source} has no config.json; expected a model directory.")
    backbone = load_backbone(
        source,
        dropout=recipe.dropout,
        dtype=dtype,
        **extra,
    )
    tokenizer = load_tokenizer(source)
    pooling = recipe.pooling if recipe.pooling != "auto" else default_pooling(backbone.config)
    model = RewardModel(_config(recipe, backbone.config, pooling), backbone)
    # What an adapter records as its base: a name that can be found again, not this process's view of it.
    backbone.name_or_path = model.name_or_path = lasting_name(recipe.backbone)
    if recipe.lora_rank == 0:
        return LoadedModel(model, tokenizer)
    model.config.base_fingerprint = fingerprint(source)
    wrapped = add_lora(model, _lora(recipe, model))
    wrapped.peft_config["default"].revision = recipe.revision or None
    return LoadedModel(model, tokenizer, wrapped)


def _go_on_from(recipe: Recipe, device: torch.device) -> LoadedModel:
    """Go on from a reward model; heads of dimensions that both rubrics share are kept."""
    old = load_reward_model(
        recipe.init_from,
        dtype=str(_weights_dtype(recipe, device)).removeprefix("torch."),
        device=device,
        quantization=recipe.quantization if recipe.quantization != "none" else None,
        attn_implementation=recipe.attn_implementation,
        dropout=recipe.dropout,
    )
    heads = head_states(old.model)
    config = _config(recipe, old.model.config.backbone, old.model.config.pooling)
    config.use_total_head = old.model.config.use_total_head
    adapter = old.peft if recipe.lora_rank > 0 else None  # what is trained on, rather than merged
    low_rank = lora_state(adapter) if adapter is not None else {}
    if old.peft is None:
        backbone, base, revision = old.model.model, lasting_name(str(model_directory(recipe.init_from))), None
    else:
        plain = adapter.unload() if adapter is not None else merge_lora(old.peft)
        backbone, record = plain.model, old.peft.peft_config["default"]
        base, revision = str(record.base_model_name_or_path), record.revision
    model = RewardModel(config, backbone)
    notes = (*old.notes, _keep_heads(model, heads, old.rubric))
    model.name_or_path = backbone.name_or_path = base
    if recipe.lora_rank == 0:
        model.requires_grad_(True)
        return LoadedModel(model, old.tokenizer, notes=notes)
    config.base_fingerprint = fingerprint(find_source(base, "model.init_from", revision))
    if adapter is None:
        return LoadedModel(model, old.tokenizer, add_lora(model, _lora(recipe, model)), notes)
    settings = renewed(adapter, model)
    wrapped = add_lora(model, settings)
    load_lora_state(wrapped, low_rank)
    going_on = f"The adapter of {recipe.init_from} is trained on, with its own lora.* settings (rank {settings.r})."
    return LoadedModel(model, old.tokenizer, wrapped, (*notes, going_on))


def _recompute_activations(backbone: PreTrainedModel) -> None:
    if not backbone.supports_gradient_checkpointing:
        raise ConfigError("model.gradient_checkpointing: this backbone does not offer it.")
    # transformers renames the method on its way to version 6; the old name warns where the new one is there.
    enable = getattr(backbone, "activation_checkpointing_enable", None) or backbone.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _keep_heads(model: RewardModel, heads: Mapping[str, Mapping[str, Tensor]], old: Rubric) -> str:
    """Copy the heads of shared dimensions; say which are kept and which are new."""
    same_levels = old.num_levels == model.rubric.num_levels
    kept = [name for name in model.rubric.dimension_names if name in old.dimension_names and same_levels]
    for name in kept:
        position = model.rubric.dimension_names.index(name)
        model.dimension_heads[position].load_state_dict(heads[name])
    if model.total_head is not None:
        model.total_head.load_state_dict(heads[TOTAL])
    new = [name for name in model.rubric.dimension_names if name not in kept]
    return (
        f"Heads kept: {', '.join(kept) or 'none'}{' and the total' if model.total_head is not None else ''}. "
        f"New heads: {', '.join(new) or 'none'}."
    )


def _config(recipe: Recipe, backbone: PreTrainedConfig, pooling: str) -> RewardModelConfig:
    return RewardModelConfig(
        backbone=backbone,
        rubric=recipe.rubric.to_dict(),
        pooling=pooling,
        head_dropout=recipe.head_dropout,
        include_tests=recipe.include_tests,
        text_max_length=recipe.max_length,
        quantization=recipe.quantization,
    )


def _lora(recipe: Recipe, model: RewardModel) -> LoraConfig:
    return make_lora_config(
        model,
        rank=recipe.lora_rank,
        alpha=recipe.lora_alpha,
        dropout=recipe.lora_dropout,
        targets=recipe.lora_targets,
        options=recipe.lora_options,
    )


def _weights_dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    """`auto` keeps float32 where all weights train: an update is often smaller than bfloat16 can hold."""
    if recipe.dtype == "auto" and recipe.lora_rank == 0:
        return torch.float32
    return resolve_dtype(recipe.dtype, device)
