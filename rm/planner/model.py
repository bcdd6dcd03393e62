"""The model that a planner starts from: its tokenizer, its weights, its adapters, and its shape without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rm.config import LoraSettings
from rm.errors import ConfigError
from rm.model.checkpoint import CONFIG
from rm.model.lora import causal_lora_config
from rm.model.weights import check_all_loaded, quiet_loading
from rm.planner.config import BaseConfig
from rm.precision import resolve_dtype
from rm.sources import Source, find_source, lasting_name

WHAT = "planner.base"


def base_source(config: BaseConfig) -> Source:
    """Where the base lies.

    Raises:
        ConfigError: it does not, or it is a directory that holds no language model.
        HubUnreachable: a hub name and no network.
    """
    source = find_source(lasting_name(config.base), WHAT, config.revision)
    if problem := no_language_model(Path(source.path)):
        raise ConfigError(f"{WHAT}: {problem}")
    return source


def no_language_model(path: Path) -> str:
    """What is wrong with a directory, from its `config.json` alone; empty where nothing is, or it is no directory."""
    if not path.is_dir():
        return ""
    if not (path / CONFIG).is_file():
        inside = path / "model"
        likely = (inside / CONFIG).is_file() and not no_language_model(inside)
        return f"{path} holds no model ({CONFIG}).{f' Did you mean {inside}?' if likely else ''}"
    try:
        names = json.loads((path / CONFIG).read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError, AttributeError):
        return f"{path / CONFIG} cannot be read."
    if any("RewardModel" in name or "SequenceClassification" in name for name in names):
        return f"{path} is a {names[0]}, which writes nothing. Name a language model."
    return ""


def dtype_of(config: BaseConfig, lora: LoraSettings, device: torch.device) -> torch.dtype:
    """The type of the weights in memory; see `BaseConfig`."""
    if config.dtype == "auto" and lora.rank == 0:
        return torch.float32
    return resolve_dtype(config.dtype, device)


def load_base(source: Source, config: BaseConfig, dtype: torch.dtype) -> PreTrainedModel:
    """The weights. Raises: ConfigError where they cannot be had, are no safetensors, or are no language model's."""
    try:
        with quiet_loading():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source.path, dtype=dtype, output_loading_info=True, **loading(source, config)
            )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{WHAT}: {config.base} cannot be loaded: {error}") from None
    model, info = loaded
    check_all_loaded(source, info)
    return model


def loading(source: Source, config: BaseConfig) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained`, but for the type; TRL loads its reference model with them, too."""
    attention = {"attn_implementation": config.attn_implementation} if config.attn_implementation else {}
    return {"use_safetensors": True, "trust_remote_code": False, **source.hub_kwargs, **attention}


def shape_of(source: Source, config: BaseConfig) -> PreTrainedModel:
    """The network without weights, on torch's device `meta`. Raises: ConfigError for what is no language model."""
    try:
        found = AutoConfig.from_pretrained(source.path, trust_remote_code=False, **source.hub_kwargs)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(found, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{WHAT}: {config.base} is no language model that can be loaded: {error}") from None


def adapters(model: PreTrainedModel, lora: LoraSettings) -> Any:
    """peft's configuration; None where all weights train. Raises: ConfigError for settings that do not fit."""
    if lora.rank == 0:
        return None
    return causal_lora_config(
        model, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, targets=lora.targets, options=lora.options
    )


def positions_of(model: PreTrainedModel) -> int | None:
    """Tokens of the longest sequence; None where the model does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)
