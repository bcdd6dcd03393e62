"""Pretrained weights from disk or the hub: safetensors only, and every weight or an error.

transformers fills a weight that a checkpoint lacks with random numbers and says so in a log. A reward model that
scores at random looks like any other, so here it is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as hf_logging

from rm.errors import ConfigError
from rm.model.lora import keep_unpacked
from rm.model.reward_model import check_architecture, no_pooler
from rm.sources import Source

DROPOUTS = (
    *("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop", "activation_dropout", "dropout"),
    *("embd_pdrop", "embedding_dropout", "hidden_dropout", "hidden_dropout_prob", "mlp_dropout", "resid_pdrop"),
)
GUARDED: Mapping[str, Any] = {
    "output_loading_info": True,
    "ignore_mismatched_sizes": True,  # reported, and refused by `check_all_loaded`
    "trust_remote_code": False,
    "use_safetensors": True,
}
"""How every `from_pretrained` for weights is called: no code from the checkpoint, no pickle, all misses reported."""
Shapes = Mapping[str, tuple[int, ...]]
"""Weight name -> shape."""
_SAMPLES = 16
_SAMPLE_BYTES = 128 * 1024


def weight_shapes(source: Source, stem: str = "model") -> Shapes:
    """Names and shapes of the weights, read from the headers of `STEM.safetensors` or of its shards.

    Raises:
        ConfigError: there are no safetensors, or they are damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(source, stem):
        try:
            with safe_open(file, framework="pt") as weights:
                shapes.update({key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()})  # noqa: SIM118
        except SafetensorError as error:
            raise ConfigError(f"{file}: not a whole safetensors file ({error}). Copy or export it again.") from None
    return shapes


def fingerprint(source: Source) -> str:
    """16 hexadecimal digits that tell one base from another without reading all of it.

    Of each weights file, its size and 16 samples of 128 KiB, evenly spaced from its start (where safetensors lists
    names, types and shapes) to its end. Weights that differ between the samples alone are not told apart.

    Raises:
        ConfigError: there are no safetensors.
    """
    digest = hashlib.sha256()
    for path in _weight_files(source, "model"):
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        last = max(size - _SAMPLE_BYTES, 0)
        with path.open("rb") as file:
            for position in sorted({last * index // (_SAMPLES - 1) for index in range(_SAMPLES)}):
                file.seek(position)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _weight_files(source: Source, stem: str) -> list[Path]:
    directory = Path(source.local_directory())
    index = directory / f"{stem}.safetensors.index.json"
    names = [f"{stem}.safetensors"]
    if index.is_file():
        names = sorted(set(source.read_json(index.name).get("weight_map", {}).values()))
    for name in names:
        if not (directory / name).is_file():
            raise ConfigError(f"{source}: no {name}. Weights are read from safetensors only; convert them first.")
    return [directory / name for name in names]


def read_backbone_config(source: Source) -> PreTrainedConfig:
    """The configuration of a backbone that can be used. Raises: ConfigError for any other."""
    try:
        config = AutoConfig.from_pretrained(source.path, trust_remote_code=False, **source.hub_kwargs)
    except ValueError as error:  # an unknown model type, or one that wants to bring its own code
        raise ConfigError(f"{source}: {str(error).splitlines()[0]}") from error
    check_architecture(config)
    return config


def load_backbone(source: Source, dropout: float | None = None, **kwargs: Any) -> PreTrainedModel:
    """A pretrained backbone; a BERT-like pooler, which nothing here reads, is left out.

    Args:
        source: a directory or hub repository.
        dropout: every dropout of the backbone; None keeps what its configuration says.
        kwargs: for `from_pretrained`.

    Raises:
        ConfigError: an encoder-decoder, an attention that cannot be had, or a checkpoint that lacks weights of the
            backbone or has other shapes.
    """
    config = read_backbone_config(source)
    set_dropout(config, dropout)
    weight_shapes(source)
    with quiet_loading(), refusals_told(source):
        model, info = AutoModel.from_pretrained(
            source.path,
            config=config,
            **GUARDED,
            **no_pooler(config),
            **source.hub_kwargs,
            **kwargs,
        )
    check_all_loaded(source, info)
    keep_unpacked(model)
    return model


def set_dropout(config: PreTrainedConfig, dropout: float | None) -> None:
    """Set every dropout that a backbone's configuration has, whatever its family calls it; None changes nothing."""
    if dropout is not None:
        for key in DROPOUTS:
            if hasattr(config, key):
                setattr(config, key, dropout)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No load report and no progress bar: what is missing is an error of ours, what is left over is expected."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


@contextmanager
def refusals_told(source: Source) -> Iterator[None]:
    """transformers refuses an attention or quantisation that this backbone or machine lacks."""
    try:
        yield
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())}") from error


def check_all_loaded(source: Source, info: Mapping[str, Any]) -> None:
    """A weight that was not in the checkpoint starts at random, and so would the scores: refuse."""
    missing = sorted(info.get("missing_keys", ()))
    shapes = sorted(str(item[0]) if isinstance(item, tuple) else str(item) for item in info.get("mismatched_keys", ()))
    problems = [
        f"{source}: {what} {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}. Copy or export the model again."
        for what, names in (
            ("the weights lack", missing),
            ("these weights have other shapes than config.json says:", shapes),
        )
        if names
    ]
    if problems:
        raise ConfigError(problems)
