"""Adapters and quantised weights: the only place that knows peft and bitsandbytes."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rm.errors import ConfigError, MissingExtra
from rm.model.reward_model import RewardModel

ALL_LINEAR = "all-linear"
TOTAL = "total"
_SET_HERE = {"r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "task_type", "peft_type"}


def quantization_config(kind: str, compute_dtype: Any) -> BitsAndBytesConfig | None:
    """How to load a backbone in fewer bits.

    The heads are made outside the quantised backbone, so they stay float32; they are named here all the same
    for loaders that see the whole model.

    Args:
        kind: `none`, `nf4` or `int8`.
        compute_dtype: torch dtype of the products.

    Raises:
        MissingExtra: bitsandbytes is not installed.
    """
    if kind == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "qlora", f"quantization: {kind}")
    heads = ["dimension_heads", "total_head"]
    if kind == "int8":
        # It warns at every product that inputs are cast, which is what int8 does.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=heads)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=heads,
    )


def keep_unpacked(backbone: nn.Module) -> None:
    """Has 4-bit layers compute from their weights as they are, on every processor.

    On one with AVX-512 and bfloat16, bitsandbytes packs a layer's weights anew at the first product in evaluation and
    computes in bfloat16: layers narrower than a block fail, and scores depend on the machine.
    """
    for module in backbone.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010 - an attribute of that class alone


def make_lora_config(
    model: RewardModel,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    targets: str | Sequence[str],
    options: Mapping[str, Any],
) -> LoraConfig:
    """The peft configuration, with the heads under `modules_to_save` as official adapters have them.

    Raises:
        ConfigError: an unknown peft option, one that is set elsewhere, or a target that the backbone lacks.
    """
    return _lora_config(
        model.model,
        targets,
        options,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        modules_to_save=head_names(model),
    )


def causal_lora_config(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    targets: str | Sequence[str],
    options: Mapping[str, Any],
) -> LoraConfig:
    """The peft configuration of adapters on a causal language model, its output layer left alone.

    Raises:
        ConfigError: an unknown peft option, one that is set elsewhere, or a target that the model lacks.
    """
    backbone = model.base_model
    return _lora_config(
        backbone, targets, options, r=rank, lora_alpha=alpha, lora_dropout=dropout, task_type="CAUSAL_LM"
    )


def adapter_parameters(model: PreTrainedModel, config: LoraConfig) -> int:
    """How many weights adapters have; they are put onto the model, which may be without weights."""
    wrapped = get_peft_model(model, config)
    return sum(each.numel() for each in wrapped.parameters() if each.requires_grad)


def merged_causal(base: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """A causal language model with a saved adapter folded in. Raises: ConfigError where it does not fit."""
    with _misfit_told(adapter):
        merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    if not isinstance(merged, PreTrainedModel):
        raise TypeError(f"merging gave a {type(merged).__name__}")
    return merged


def add_lora(model: RewardModel, config: LoraConfig) -> PeftModel:
    """Wrap the model with fresh adapters; the adapters and a copy of each head are what trains.

    Raises:
        ConfigError: peft refuses the settings.
    """
    with _peft_refusals_told():
        wrapped = get_peft_model(model, config)
    if not isinstance(wrapped, PeftModel):
        raise TypeError(f"peft gave a {type(wrapped).__name__}")
    return wrapped


def load_lora(model: RewardModel, adapter: Path, stored: Collection[str], trainable: bool = False) -> PeftModel:
    """Attach a saved adapter. Its heads replace the model's.

    Args:
        model: on the adapter's base, with the heads that the adapter holds.
        adapter: its directory.
        stored: names of the weights in it.
        trainable: leave it trainable.

    Raises:
        ConfigError: the adapter belongs to another base, or lacks weights.
    """
    with _misfit_told(adapter), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error, below
        wrapped = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    missing = sorted(set(get_peft_model_state_dict(wrapped, save_embedding_layers=False)) - set(stored))
    if missing:
        raise ConfigError(f"{adapter}: the weights lack {', '.join(missing[:8])}. Copy or export the model again.")
    return wrapped


def lora_state(model: PeftModel) -> dict[str, Tensor]:
    """A copy of the low-rank weights, without the heads."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: value.detach().clone() for name, value in state.items() if "lora_" in name}


def load_lora_state(model: PeftModel, state: dict[str, Tensor]) -> None:
    """Put low-rank weights from `lora_state` into a model with the same adapters."""
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    set_peft_model_state_dict(model, {**own, **state})


def renewed(adapter: PeftModel, model: RewardModel) -> LoraConfig:
    """A saved adapter's configuration, made trainable, with the heads that `model` has."""
    fresh = copy.deepcopy(adapter.peft_config["default"])
    if not isinstance(fresh, LoraConfig):
        raise ConfigError(f"model.init_from: the adapter is of the kind {fresh.peft_type}, expected LoRA.")
    fresh.inference_mode = False
    fresh.task_type = None  # with a task, peft's wrapper would call the model with arguments of its own
    fresh.modules_to_save = head_names(model)
    return fresh


def merge_lora(model: PeftModel) -> RewardModel:
    """The adapter folded into the backbone's weights; heads become plain modules again."""
    merged = model.merge_and_unload()
    if not isinstance(merged, RewardModel):
        raise TypeError(f"merging gave a {type(merged).__name__}")
    return merged


def unwrap(model: nn.Module) -> RewardModel:
    """The reward model inside an adapter wrapper, or the model itself."""
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    if not isinstance(inner, RewardModel):
        raise TypeError(f"expected a RewardModel, found {type(inner).__name__}")
    return inner


def head_states(model: RewardModel) -> dict[str, dict[str, Tensor]]:
    """A copy of each head's weights by dimension name, and the total's under `total`.

    Under an adapter the trained copy of a head is meant, not the one it replaces.
    """
    heads: dict[str, nn.Module] = dict(zip(model.rubric.dimension_names, model.dimension_heads, strict=True))
    if model.total_head is not None:
        heads[TOTAL] = model.total_head
    return {name: _plain_state(head) for name, head in heads.items()}


def head_names(model: RewardModel) -> list[str]:
    """Module names of the heads, in the official order."""
    names = [f"dimension_heads.{index}" for index in range(len(model.dimension_heads))]
    return [*names, "total_head"] if model.total_head is not None else names


def linear_names(backbone: nn.Module) -> list[str]:
    """Last names of the backbone's linear modules, e.g. q_proj, sorted."""
    return sorted({path.rsplit(".", 1)[-1] for path in _linear_paths(backbone)})


def _lora_config(
    backbone: nn.Module, targets: str | Sequence[str], options: Mapping[str, Any], **settings: Any
) -> LoraConfig:
    """`settings` are fields of peft's own, `targets` and `options` a user's."""
    known = {item.name for item in dataclasses.fields(LoraConfig)}
    problems = [f"lora.options.{key}: peft's LoraConfig has no such field." for key in options if key not in known]
    problems += [
        f"lora.options.{key}: is set by lora.rank, lora.alpha, lora.dropout, lora.targets or by this package."
        for key in options
        if key in _SET_HERE
    ]
    names = linear_names(backbone)
    if targets != ALL_LINEAR and not isinstance(targets, str):
        problems += [
            f"lora.targets: the backbone has no linear module {target!r}. It has: {', '.join(names)}."
            for target in targets
            if not any(name == target or name.endswith(f".{target}") for name in _linear_paths(backbone))
        ]
    if problems:
        raise ConfigError(problems)
    if targets == ALL_LINEAR:
        targets = names
    with _peft_refusals_told():
        return LoraConfig(
            target_modules=targets if isinstance(targets, str) else list(targets),
            **settings,
            **{"fan_in_fan_out": _stores_transposed(backbone), **options},
        )


@contextmanager
def _peft_refusals_told() -> Iterator[None]:
    """peft checks values of its own options, and targets given as a pattern, only when it uses them."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(f"lora: peft refuses these settings: {error}") from error


@contextmanager
def _misfit_told(adapter: Path) -> Iterator[None]:
    """Weights of another shape, or modules that the base lacks."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ConfigError(
            f"{adapter}: the adapter does not fit its base: {reason} Say where the right base lies with --base PATH."
        ) from error


def _plain_state(head: nn.Module) -> dict[str, Tensor]:
    trained = head.modules_to_save[head.active_adapters[0]] if isinstance(head, ModulesToSaveWrapper) else head
    return {name: value.detach().clone() for name, value in trained.state_dict().items()}


def _stores_transposed(backbone: nn.Module) -> bool:
    """Whether linear weights are (in, out), as GPT-2's are; peft would find out too, with a warning a layer."""
    return any(isinstance(module, Conv1D) for module in backbone.modules())


def _linear_paths(backbone: nn.Module) -> list[str]:
    # bitsandbytes' linear layers are subclasses of nn.Linear.
    return [path for path, module in backbone.named_modules() if isinstance(module, nn.Linear | Conv1D)]
