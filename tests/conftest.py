"""Real models of random weights, small enough to be built anew for every test."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are too small for more threads to help

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
)
from transformers.utils import logging

from rm.rubric import Dimension, Rubric

logging.disable_progress_bar()

_VOCAB, _POSITIONS = 300, 512
_DECODER = {
    "vocab_size": _VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": _POSITIONS,
    "initializer_range": 0.2,
}
_GROUPED = {**_DECODER, "num_key_value_heads": 2}
_ENCODER = {**_DECODER, "type_vocab_size": 1}
_GPT2 = {"vocab_size": _VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": _POSITIONS}

FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "qwen2": lambda: Qwen2Config(**_GROUPED),
    "qwen3": lambda: Qwen3Config(**_GROUPED, head_dim=8),
    "llama": lambda: LlamaConfig(**_GROUPED),
    "mistral": lambda: MistralConfig(**_GROUPED, sliding_window=None),
    "gemma": lambda: GemmaConfig(**_GROUPED, head_dim=8),
    "gpt2": lambda: GPT2Config(**_GPT2, initializer_range=0.2),
    "bert": lambda: BertConfig(**_ENCODER),
    "roberta": lambda: RobertaConfig(**_ENCODER),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=_VOCAB, dim=32, hidden_dim=48, n_layers=2, n_heads=4, initializer_range=0.2
    ),
}


@pytest.fixture
def byte_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """One token a byte; `<pad>` and `<eos>` on top, unless `pad_token` is None."""

    def build(pad_token: str | None = "<pad>") -> PreTrainedTokenizerFast:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        names = ["<eos>", *([pad_token] if pad_token else [])]
        vocab = {piece: index for index, piece in enumerate([*names, *letters])}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token=pad_token)

    return build


@pytest.fixture
def backbone(tmp_path: Path, byte_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> Callable[..., Path]:
    """The directory of a pretrained-looking backbone of a family, with its tokenizer."""

    def save(family: str = "qwen2", name: str = "") -> Path:
        torch.manual_seed(0)
        directory = tmp_path / (name or f"base-{family}")
        AutoModel.from_config(FAMILIES[family]()).save_pretrained(directory)
        byte_tokenizer().save_pretrained(directory)
        return directory

    return save


@pytest.fixture
def proof_rubric() -> Rubric:
    """Two dimensions of three levels and unequal weights."""
    return Rubric("proof", "", (Dimension("plan", "", 0.75), Dimension("sums", "", 0.25)), num_levels=3)
