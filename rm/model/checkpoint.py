"""Reading and writing reward models on disk: ours and official ones, merged and adapters.

A directory is *merged* where it has `model.safetensors` (or its index), and an *adapter* where it has
`adapter_config.json`; both carry the flat `config.json` described in `RewardModelConfig` when they are ours.
Official adapters carry no rubric: names and weights are then taken from the base's configuration, else from
`rm_metadata.json`, else from the `rubric` argument, else from the official rubric of the task.

Weights are read from safetensors only, and no code from a checkpoint is ever run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from rm.errors import ConfigError
from rm.model.facts import stated_facts
from rm.model.lora import PeftModel, load_lora, quantization_config, unwrap
from rm.model.reward_model import (
    RM_KEYS,
    RewardModel,
    RewardModelConfig,
    default_pooling,
)
from rm.model.weights import (
    GUARDED,
    Shapes,
    check_all_loaded,
    fingerprint,
    load_backbone,
    quiet_loading,
    read_backbone_config,
    refusals_told,
    set_dropout,
    weight_shapes,
)
from rm.precision import default_device, resolve_dtype
from rm.rubric import Rubric
from rm.sources import Source, find_source, lasting_name
from rm.text.tokenizer import load_tokenizer

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
METADATA = "rm_metadata.json"
UNTRAINED_TEMPLATE = "tracelift-1"
"""Official checkpoints name no template; they were trained on the official text, which is this one."""
OTHER_BASE = "The base differs from the one this adapter was trained on: scores will differ."


@dataclass(frozen=True)
class LoadedModel:
    """A reward model and what belongs to it.

    Args:
        model: the reward model; with an adapter, the adapted layers are inside it.
        tokenizer: its tokenizer.
        peft: the adapter wrapper around `model`, where the checkpoint is an adapter.
        notes: what a user should know about how it was loaded, a sentence each.
        stored_dtype: of the backbone's weights on disk, as its configuration says.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    peft: PeftModel | None = None
    notes: tuple[str, ...] = ()
    stored_dtype: str = "float32"

    @property
    def rubric(self) -> Rubric:
        return self.model.rubric


def load_reward_model(
    path: str | Path,
    *,
    rubric: Rubric | None = None,
    base: str | None = None,
    dtype: str = "auto",
    device: str | torch.device | None = None,
    quantization: str | None = None,
    attn_implementation: str = "",
    dropout: float | None = None,
    trainable: bool = False,
) -> LoadedModel:
    """Load a reward model from a directory (or hub name).

    Args:
        path: ours or official, merged or adapter; a run's output directory stands for the `model` in it.
        rubric: for official adapters, which name none. A model that has a rubric must have the same dimensions.
        base: where the adapter's base lies, if not where the adapter says.
        dtype: of the backbone: `float32`, `bfloat16`, `float16`, or `auto`.
        device: default: the first GPU, else the CPU.
        quantization: `none`, `nf4`, `int8`; default: as the adapter was trained.
        attn_implementation: passed to transformers.
        dropout: of the backbone, for further training; None keeps what its configuration says.
        trainable: leave the adapter trainable.

    Raises:
        ConfigError: no such directory, no reward model in it, a base that is missing, or another rubric.
    """
    source = find_source(str(model_directory(path)), "model")
    target = torch.device(device) if device is not None else default_device()
    how = _How(resolve_dtype(dtype, target), target, attn_implementation, dropout)
    files = _files_of(source)
    if files.adapter:
        return _load_adapter(source, files, rubric, base, quantization, how, trainable)
    if quantization not in (None, "none"):
        raise ConfigError(f"{path}: quantization applies to the base of an adapter; this model is merged.")
    return _load_merged(source, files, rubric, how)


def as_loaded(model: RewardModel | LoadedModel | str | Path) -> LoadedModel:
    """A reward model with its tokenizer, from any form that the Python functions take.

    Args:
        model: loaded already, or where it lies (see `load_reward_model`).

    Raises:
        ConfigError: as `load_reward_model`; or a model that was put together without a tokenizer.
    """
    if isinstance(model, LoadedModel):
        return model
    if not isinstance(model, RewardModel):
        return load_reward_model(model)
    if model.tokenizer is None:
        raise ConfigError("The reward model has no tokenizer. Load it with RewardModel.from_pretrained(DIRECTORY).")
    return LoadedModel(model, model.tokenizer)


def model_directory(path: str | Path) -> str | Path:
    """Where the model lies: a training run's output directory stands for the `model` in it."""
    inside = Path(path).expanduser() / "model"
    if (inside / CONFIG).is_file() and not (inside.parent / CONFIG).is_file():
        return inside
    return path


def save_reward_model(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, directory: Path, state_dict: Any = None
) -> None:
    """Write weights, flat configuration and tokenizer into an existing or new directory.

    Args:
        model: a `RewardModel`, or the adapter wrapper around one (then an adapter is written).
        tokenizer: saved beside the weights.
        directory: target; see `rm.files` for writing it whole.
        state_dict: gathered weights, where a sharding engine holds them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with quiet_loading():
        if isinstance(model, PeftModel):
            model.save_pretrained(str(directory), state_dict=state_dict, save_embedding_layers=False)
            (directory / "README.md").unlink(missing_ok=True)  # peft's empty card; ours is written at export
        else:
            unwrap(model).save_pretrained(directory, state_dict=state_dict)
    write_flat_config(unwrap(model).config, directory)
    for file in directory.glob("*.safetensors"):
        shutil.copymode(directory / CONFIG, file)  # safetensors makes them readable by their owner alone
    tokenizer.save_pretrained(str(directory))


def write_flat_config(config: RewardModelConfig, directory: Path) -> None:
    """Write `config.json` as `RewardModelConfig.to_flat_dict` gives it."""
    text = json.dumps(config.to_flat_dict(), indent=2, sort_keys=True, default=str)
    (directory / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The `rm_*` facts of a checkpoint or a training run's output, without loading weights."""
    source = find_source(str(model_directory(path)), "model")
    return _files_of(source).config


@dataclass(frozen=True)
class _How:
    dtype: torch.dtype
    device: torch.device
    attn_implementation: str
    dropout: float | None

    @property
    def kwargs(self) -> dict[str, Any]:
        extra = {"attn_implementation": self.attn_implementation} if self.attn_implementation else {}
        return {"dtype": self.dtype, **extra}


@dataclass(frozen=True)
class _Files:
    """What a checkpoint's JSON files say."""

    config: dict[str, Any]
    adapter: dict[str, Any]
    metadata: dict[str, Any]


def _files_of(source: Source) -> _Files:
    files = _read_files(source)
    if not files.config and not files.adapter:
        raise ConfigError(
            f"{source}: no reward model here: neither config.json nor adapter_config.json. "
            "Give the directory that `train` or `export` wrote."
        )
    return files


def _read_files(source: Source) -> _Files:
    config, metadata = (stated_facts(source.read_json(name), f"{source}/{name}") for name in (CONFIG, METADATA))
    return _Files(config, source.read_json(ADAPTER_CONFIG), metadata)


def _load_merged(source: Source, files: _Files, rubric: Rubric | None, how: _How) -> LoadedModel:
    notes: list[str] = []
    shapes = weight_shapes(source)
    if not _num_dimensions(shapes):
        if any("SequenceClassification" in str(name) for name in files.config.get("architectures") or ()):
            raise ConfigError(
                f"{source}: a sequence classifier, as `export --seq-cls` writes them for other tools: it has one label "
                "and no rubric. Name the run or the export that it was made of."
            )
        raise ConfigError(
            f"{source}: a plain {files.config.get('model_type', 'model')} without reward heads. "
            "Train it first: tracelift-rm train --model.backbone PATH"
        )
    stated = _stated_rubric(files, source) or _rubric_by_task(rubric, _num_dimensions(shapes), notes)
    config = _model_config(_backbone_config(source, how.dropout), files.config, _checked(stated, rubric, source))
    _check_heads(shapes, stated, config.use_total_head, source)
    with quiet_loading(), refusals_told(source):
        loaded: Any = RewardModel.from_pretrained(
            source.path,
            config=config,
            **GUARDED,
            **source.hub_kwargs,
            **how.kwargs,
        )
    model, info = loaded
    check_all_loaded(source, info)
    model.tokenizer = load_tokenizer(source)
    return LoadedModel(model.to(how.device).eval(), model.tokenizer, None, tuple(notes), _stored_dtype(files))


def _load_adapter(
    source: Source,
    files: _Files,
    rubric: Rubric | None,
    base: str | None,
    quantization: str | None,
    how: _How,
    trainable: bool,
) -> LoadedModel:
    notes: list[str] = []
    base_source, base_name = _base_of(source, files, base)
    base_files = _read_files(base_source)
    if base_files.adapter:
        raise ConfigError(f"{base_source}: is itself an adapter. Export it with --merge, then use it as a base.")
    shapes = weight_shapes(source, "adapter_model")
    if not _num_dimensions(shapes):
        raise ConfigError(f"{source}: the adapter holds no reward heads (modules_to_save); it is not a reward model.")
    stated = _stated_rubric(files, source) or _stated_rubric(base_files, base_source)
    if stated is None:
        stated = _rubric_by_task(rubric, _num_dimensions(shapes), notes)
    settings = {**base_files.config, **files.config}
    settings.setdefault("rm_use_total_head", any(".total_head." in name for name in shapes))
    kind = quantization or settings.get("rm_quantization", "none")
    config = _model_config(
        _backbone_config(base_source, how.dropout), settings, _checked(stated, rubric, source), quantization=kind
    )
    _check_heads(shapes, stated, config.use_total_head, source)
    actual = fingerprint(base_source)
    config.base_fingerprint = files.config.get("rm_base_fingerprint", actual)
    if config.base_fingerprint != actual:
        notes.append(OTHER_BASE)
    model = RewardModel(config, load_backbone(base_source, dropout=how.dropout, **how.kwargs, **_quantized(kind, how)))
    wrapped = load_lora(model, Path(source.local_directory()), shapes, trainable=trainable)
    wrapped.peft_config["default"].base_model_name_or_path = base_name
    if kind == "none":
        wrapped = wrapped.to(how.device)
    else:
        for name in ("dimension_heads", "total_head"):
            head = getattr(model, name)
            if head is not None:
                head.to(how.device)
    wrapped.train(trainable)
    model.tokenizer = load_tokenizer(source, base_source)
    return LoadedModel(model, model.tokenizer, wrapped, tuple(notes), _stored_dtype(base_files))


def _stored_dtype(files: _Files) -> str:
    stated = files.config.get("dtype") or files.config.get("torch_dtype") or "float32"
    return str(stated).removeprefix("torch.")


def _quantized(kind: str, how: _How) -> dict[str, Any]:
    settings = quantization_config(kind, how.dtype)
    return {} if settings is None else {"quantization_config": settings, "device_map": {"": how.device}}


def _base_of(source: Source, files: _Files, base: str | None) -> tuple[Source, str]:
    """The adapter's base, and the name under which it is found again from anywhere on this machine."""
    named = base or str(files.adapter.get("base_model_name_or_path") or "")
    if not named:
        raise ConfigError(f"{source}: the adapter names no base. Say where it lies with --base PATH.")
    if base is None and source.is_local and not Path(named).is_absolute():
        beside = Path(source.path).resolve().parent / named
        if (beside / CONFIG).is_file():
            return Source(str(beside), "", True), str(beside)
    found = find_source(
        named,
        "--base" if base is not None else "the adapter's base (say where it lies with --base PATH)",
        revision=files.adapter.get("revision"),
    )
    if found.is_local and not (Path(found.path) / CONFIG).is_file():
        raise ConfigError(f"{source}: its base {named} has no config.json. Say where the base lies with --base PATH.")
    return found, lasting_name(named)


def _stated_rubric(files: _Files, source: Source) -> Rubric | None:
    """The rubric that a checkpoint's files name, fully or by the official keys."""
    for facts in (files.config, files.metadata):
        if "rm_rubric" in facts:
            return Rubric.from_dict(facts["rm_rubric"], f"{source}/{CONFIG}")
        names = facts.get("rm_dimension_names") or facts.get("dimension_names")
        if not names:
            continue
        weights = facts.get("rm_dimension_weights") or facts.get("dimension_weights") or [1 / len(names)] * len(names)
        if isinstance(weights, Mapping):
            weights = [weights[name] for name in names if name in weights]
        if len(weights) != len(names):
            raise ConfigError(
                f"{source}: rm_dimension_weights has {len(weights)} entries for {len(names)} rm_dimension_names."
            )
        return _official_rubric(list(names), list(weights), facts.get("rm_num_labels", 5))
    return None


def _official_rubric(names: list[str], weights: list[float], num_levels: int) -> Rubric:
    """A shipped rubric's words where its dimensions fit, with the checkpoint's own weights."""
    plain: dict[str, Any] = {"name": "math", "levels": num_levels}
    known: dict[str, Any] = {}
    for shipped in ("math", "code"):
        candidate = Rubric.load(shipped)
        if set(names) <= set(candidate.dimension_names) and num_levels == candidate.num_levels:
            plain.update({k: v for k, v in candidate.to_dict().items() if k != "dimensions"})
            known = {item["name"]: item for item in candidate.to_dict()["dimensions"]}
            break
    plain["dimensions"] = [
        {**known.get(name, {"name": name}), "weight": weight} for name, weight in zip(names, weights, strict=True)
    ]
    return Rubric.from_dict(plain, "the checkpoint's rm_dimension_names")


def _rubric_by_task(rubric: Rubric | None, num_dimensions: int, notes: list[str]) -> Rubric:
    if rubric is not None:
        return rubric
    official = Rubric.load("math")
    if num_dimensions != len(official.dimensions):
        raise ConfigError(
            f"the checkpoint has {num_dimensions} heads and names no rubric. Say which with --rubric NAME|FILE."
        )
    notes.append("The checkpoint names no rubric: taken as math with equal weights. Say otherwise with --rubric.")
    return official


def _checked(stated: Rubric, asked: Rubric | None, source: Source) -> Rubric:
    if asked is not None and asked.dimension_names != stated.dimension_names:
        raise ConfigError(
            f"{source}: the model's rubric has the dimensions {', '.join(stated.dimension_names)}; --rubric has "
            f"{', '.join(asked.dimension_names)}. Leave --rubric out, or train on it with model.init_from."
        )
    return stated


def _model_config(
    backbone: PreTrainedConfig, facts: Mapping[str, Any], rubric: Rubric, quantization: str = "none"
) -> RewardModelConfig:
    return RewardModelConfig(
        backbone=backbone,
        rubric=rubric.to_dict(),
        pooling=facts.get("rm_pooling") or default_pooling(backbone),
        use_total_head=facts.get("rm_use_total_head", True),
        head_dropout=float(facts.get("rm_head_dropout", facts.get("classifier_dropout", 0.0))),
        template_version=facts.get("rm_template_version", UNTRAINED_TEMPLATE),
        include_tests=facts.get("rm_include_tests", True),
        text_max_length=facts.get("rm_max_length", 3072),
        quantization=quantization,
    )


def _backbone_config(source: Source, dropout: float | None) -> PreTrainedConfig:
    config = read_backbone_config(source)
    for key in RM_KEYS:
        if hasattr(config, key):
            delattr(config, key)
    config.architectures = None
    set_dropout(config, dropout)
    return config


def _num_dimensions(shapes: Shapes) -> int:
    return sum("dimension_heads." in name and name.endswith(".weight") for name in shapes)


def _check_heads(shapes: Shapes, rubric: Rubric, use_total_head: bool, source: Source) -> None:
    """As many heads as the rubric has dimensions, and the total's: one that is not there would score at random."""
    found, expected = _num_dimensions(shapes), len(rubric.dimensions)
    if found != expected:
        raise ConfigError(f"{source}: the weights hold {found} dimension heads, its rubric names {expected}.")
    if use_total_head and not any("total_head." in name for name in shapes):
        raise ConfigError(f"{source}: the weights lack total_head, which its configuration asks for.")
