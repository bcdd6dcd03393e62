"""Real models of random weights, small enough to be built anew for every test; files of rows; the shipped base."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are too small for more threads to help

import huggingface_hub.constants
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    RobertaConfig,
)
from transformers.utils import logging

from rm.lab import TINY_BASE
from rm.model import LoadedModel
from rm.model.create import Recipe, create_model
from rm.rubric import Dimension, Rubric
from rm.sources import dataset_repository, hub_reachable

logging.disable_progress_bar()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

_spec = importlib.util.spec_from_file_location("hub", Path(__file__).with_name("hub.py"))
if _spec is None or _spec.loader is None:
    raise ImportError("tests/hub.py")
_hub = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_hub)

_WORDS = "What is plus ? makes , so it . < > / [ ] task type problem reasoning math tests"
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
def fresh(backbone: Callable[..., Path]) -> Callable[..., LoadedModel]:
    """A new reward model on a random backbone, its heads wide enough for scores to differ."""

    def build(family: str = "qwen2", rubric: Rubric | None = None, spread: float = 1.0, **recipe: Any) -> LoadedModel:
        settings = {"dtype": "float32", "lora_rank": 0, **recipe}
        if "backbone" not in settings:
            settings["backbone"] = str(backbone(family))
        made = create_model(Recipe(rubric=rubric or Rubric.load("math"), **settings), torch.device("cpu"), seed=0)
        _widen(made, spread)
        (made.peft or made.model).eval()
        return made

    return build


def _widen(loaded: LoadedModel, spread: float) -> None:
    """Draw what trains in an adapter, and every head, from N(0, spread): as if it had been trained."""
    generator = torch.Generator().manual_seed(1)
    for name, value in loaded.model.named_parameters():
        if "lora_B" in name or "dimension_heads" in name or "total_head" in name:
            scale = 0.1 if "lora_B" in name else spread
            with torch.no_grad():
                value.normal_(std=scale, generator=generator)


@pytest.fixture(scope="session")
def word_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The directory of a Qwen2-shaped backbone of a few thousand weights, always the same, with a tokenizer of
    whole words for sums."""

    def save(positions: int, dropout: float = 0.0) -> Path:
        directory = tmp_path_factory.mktemp("base")
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.train_from_iterator(
            [_WORDS, " ".join(map(str, range(60)))], trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]"])
        )
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
        config = Qwen2Config(
            vocab_size=len(fast),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=positions,
            attention_dropout=dropout,
            pad_token_id=fast.pad_token_id,
            bos_token_id=None,
            eos_token_id=None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            Qwen2Model(config).save_pretrained(directory)
        fast.save_pretrained(str(directory))
        return directory

    return save


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """That of the shipped tiny base."""
    return AutoTokenizer.from_pretrained(TINY_BASE)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSON Lines; text and bytes go in as lines of their own."""

    def to_file(*rows: dict[str, Any] | str | bytes, name: str = "rows.jsonl") -> Path:
        lines = [row if isinstance(row, str | bytes) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
        return path

    return to_file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data, where there is one beside the project."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no development data at ../shared/data")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub that is open on a free port of loopback; somebody is logged in."""
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    opened = _hub.Hub()
    yield opened
    opened.close()


@pytest.fixture
def reachable_hub(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The hub that this process asks, with a cache of its own."""
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    for cached in (hub_reachable, dataset_repository):
        cached.cache_clear()
    yield hub
    for cached in (hub_reachable, dataset_repository):
        cached.cache_clear()


@pytest.fixture
def proof_rubric() -> Rubric:
    """Two dimensions of three levels and unequal weights."""
    return Rubric("proof", "", (Dimension("plan", "", 0.75), Dimension("sums", "", 0.25)), num_levels=3)
