"""The reward model: any `AutoModel` backbone, one linear head a dimension, and a total head.

Parameter names are the official ones (`model.*`, `dimension_heads.i.*`, `total_head.*`), so official
checkpoints load as they are and official code can read ours. There are no buffers besides the backbone's own:
level values and weights come from the configuration, not from tensors that a loader could leave uninitialised.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from rm.errors import ConfigError
from rm.model.heads import RewardOutput, combine_heads
from rm.model.pooling import POOLING, to_right_padding
from rm.prefix import Packed, is_decoder, packed_states
from rm.rubric import Rubric
from rm.text import TEMPLATE_VERSION

RM_KEYS = (
    "rm_dimension_names",
    "rm_dimension_weights",
    "rm_num_labels",
    "rm_use_total_head",
    "rm_rubric",
    "rm_template_version",
    "rm_pooling",
    "rm_head_dropout",
    "rm_include_tests",
    "rm_max_length",
    "rm_quantization",
    "rm_base_fingerprint",
)


class RewardModelConfig(PreTrainedConfig):
    """A backbone's configuration, the rubric, and how text becomes a score.

    On disk it is *flat*, as the official one is: the backbone's own `config.json` plus the `rm_*` keys. So
    `AutoConfig` and `AutoModel` read a saved reward model as its backbone, and official code reads it too.

    Args:
        backbone: the backbone's configuration, or its plain form.
        rubric: dimensions, weights and levels, in plain form (`Rubric.to_dict`).
        pooling: `last` or `mean`.
        use_total_head: whether there is a total head.
        head_dropout: on the pooled state, in [0, 1).
        template_version: of the text that the model was trained on.
        include_tests: whether that text showed tests.
        text_max_length: tokens of the longest text in training; the default limit for scoring.
        quantization: `none`, `nf4` or `int8`: how the backbone was loaded in training.
        base_fingerprint: of the base that an adapter was trained on (see `rm.model.weights.fingerprint`); empty where
            there is none.
    """

    model_type = "tracelift_rm"
    sub_configs = {"backbone": AutoConfig}  # noqa: RUF012 - transformers reads it from the class

    def __init__(
        self,
        backbone: PreTrainedConfig | Mapping[str, Any] | None = None,
        rubric: Mapping[str, Any] | None = None,
        pooling: str = "last",
        use_total_head: bool = True,
        head_dropout: float = 0.0,
        template_version: str = TEMPLATE_VERSION,
        include_tests: bool = True,
        text_max_length: int = 3072,
        quantization: str = "none",
        base_fingerprint: str = "",
        **kwargs: Any,
    ) -> None:
        if isinstance(backbone, Mapping):
            plain = dict(backbone)
            backbone = AutoConfig.for_model(plain.pop("model_type"), **plain)
        # None only where transformers asks for a configuration of defaults.
        self.backbone: PreTrainedConfig = backbone  # type: ignore[assignment]
        self.rubric = dict(rubric) if rubric is not None else Rubric.load("math").to_dict()
        self.pooling = pooling
        self.use_total_head = use_total_head
        self.head_dropout = head_dropout
        self.template_version = template_version
        self.include_tests = include_tests
        self.text_max_length = text_max_length
        self.quantization = quantization
        self.base_fingerprint = base_fingerprint
        kwargs.setdefault("tie_word_embeddings", False)
        attention = backbone._attn_implementation if backbone is not None else None
        super().__init__(**kwargs)
        if attention is not None:  # the line above has reset what the backbone was loaded with
            self._attn_implementation = attention

    @property
    def hidden_size(self) -> int:
        return int(self.backbone.get_text_config().hidden_size)

    def to_flat_dict(self) -> dict[str, Any]:
        """What stands in `config.json`."""
        if self.backbone is None:
            raise ValueError("this configuration has no backbone")
        rubric = Rubric.from_dict(self.rubric, "config.json")
        flat = self.backbone.to_dict()
        flat.pop("quantization_config", None)  # the weights on disk are not quantised
        official = self.backbone.model_type == "qwen2" and self.pooling == "last"
        flat.update(
            architectures=["Qwen2ForReasonRewardModel" if official else "RewardModel"],
            rm_dimension_names=list(rubric.dimension_names),
            rm_dimension_weights=list(rubric.weights),
            rm_num_labels=rubric.num_levels,
            rm_use_total_head=self.use_total_head,
            rm_rubric=self.rubric,
            rm_template_version=self.template_version,
            rm_pooling=self.pooling,
            rm_head_dropout=self.head_dropout,
            rm_include_tests=self.include_tests,
            rm_max_length=self.text_max_length,
            rm_quantization=self.quantization,
            **({"rm_base_fingerprint": self.base_fingerprint} if self.base_fingerprint else {}),
        )
        return flat


def check_architecture(backbone: PreTrainedConfig) -> None:
    """Raises: ConfigError for an encoder-decoder, which has no one sequence of states to pool."""
    if backbone.is_encoder_decoder:
        raise ConfigError(
            f"model.backbone: {backbone.model_type} is an encoder-decoder; "
            "use a decoder (Qwen, Llama, Mistral, ...) or an encoder (BERT, DeBERTa, ModernBERT, ...)."
        )


def default_pooling(backbone: PreTrainedConfig) -> str:
    """`last` for decoders, `mean` for encoders. Raises: ConfigError for encoder-decoders."""
    check_architecture(backbone)
    return "last" if is_decoder(backbone) else "mean"


class RewardModel(PreTrainedModel):
    """Scores reasoning traces by a rubric.

        model = RewardModel.from_pretrained("runs/tiny/model")
        model(input_ids=ids, attention_mask=mask).score        # (N,) in [0, 1]

    Heads, softmax and sigmoid are float32 whatever the backbone's type. See `rm.evaluate.score_rows` for
    scoring text. `tokenizer` is the one that the checkpoint came with, None for a model that was put together here;
    it is no part of the weights.
    """

    config_class = RewardModelConfig
    config: RewardModelConfig
    base_model_prefix = "model"
    _keep_in_fp32_modules_strict = {"dimension_heads", "total_head"}  # noqa: RUF012 - as transformers has it
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: RewardModelConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        rubric = Rubric.from_dict(config.rubric, "the model's configuration")
        self.model = backbone if backbone is not None else backbone_from_config(config.backbone)
        self.dropout = nn.Dropout(config.head_dropout)
        self.dimension_heads = nn.ModuleList(
            nn.Linear(config.hidden_size, rubric.num_levels, dtype=torch.float32) for _ in rubric.dimensions
        )
        if config.use_total_head:
            self.total_head: nn.Linear | None = nn.Linear(config.hidden_size, 1, dtype=torch.float32)
        else:
            self.total_head = None
        self.rubric = rubric
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.post_init()

    @classmethod
    def from_pretrained(cls, path: str | Path, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """A reward model from a directory: ours or official, merged or adapter.

        See `rm.model.checkpoint.load_reward_model` for the arguments and errors; this gives its model alone.
        """
        if args or "config" in kwargs:  # the plain transformers way, which the loader itself uses
            return super().from_pretrained(path, *args, **kwargs)
        from rm.model.checkpoint import load_reward_model

        return load_reward_model(path, **kwargs).model  # type: ignore[return-value]

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Safetensors, and the flat `config.json`."""
        from rm.model.checkpoint import write_flat_config

        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True):
            write_flat_config(self.config, Path(save_directory))

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether any layer recomputes; peft asks by this name, which transformers has deprecated."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def _init_weights(self, module: nn.Module) -> None:
        """Heads start at zero-mean, small values: at first every trace scores nearly the same."""
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, packed: Packed | None = None
    ) -> RewardOutput:
        """Score N token sequences, padded or packed.

        Args:
            input_ids: (N, T) int64, padded on either side.
            attention_mask: (N, T), 1 on tokens.
            packed: instead of the two others, the sequences in one row with shared prefixes once. Needs a backbone
                that `rm.prefix.prepare` has made ready, and pooling by the last token.
        """
        if packed is not None:
            return self.score_states(packed_states(self.model, packed)[packed.last])
        if input_ids is None or attention_mask is None:
            raise TypeError("a reward model needs input_ids and attention_mask, or packed")
        input_ids, attention_mask = to_right_padding(input_ids, attention_mask)
        kwargs = {"use_cache": False} if self.config.pooling == "last" else {}
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **kwargs).last_hidden_state
        return self.score_states(POOLING[self.config.pooling](hidden, attention_mask))

    def score_states(self, pooled: Tensor) -> RewardOutput:
        """(N, H) pooled states -> scores, in float32 even under autocast."""
        with torch.autocast(pooled.device.type, enabled=False):
            pooled = self.dropout(pooled.float())
            # Sharding engines may hold all weights in 16 bits, the heads too; everything after them is float32.
            pooled = pooled.to(next(self.dimension_heads.parameters()).dtype)
            dimension_logits = torch.stack([head(pooled) for head in self.dimension_heads], dim=1)
            total_logit = self.total_head(pooled).squeeze(-1) if self.total_head is not None else None
            weights = torch.tensor(self.rubric.weights, dtype=torch.float32, device=pooled.device)
            return combine_heads(dimension_logits, total_logit, weights)


def backbone_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """An uninitialised backbone of that configuration."""
    return AutoModel.from_config(copy.deepcopy(config), **no_pooler(config))


def no_pooler(config: PreTrainedConfig) -> dict[str, Any]:
    """Arguments that leave a BERT-like pooler out, which nothing here reads."""
    model_class = MODEL_MAPPING.get(type(config), None)
    if model_class is None or isinstance(model_class, tuple):
        return {}
    accepts = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if accepts else {}
