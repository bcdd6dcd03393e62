"""Whether a backbone can run packed rows, and by which path. Decided once, when a model is prepared; never silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from rm.prefix.attention import NAME, packed_states
from rm.prefix.forest import grow
from rm.prefix.packed import Path, pack_forest

Choice = Literal["auto", "plain", "segments", "tree_mask", "flex"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
"""`auto` and `plain`, and the paths of `rm.prefix.attention`."""
PROBE = ((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 6), (0, 1, 2, 3, 4, 7, 8), (9, 10))
TOLERANCE = 1e-4
LOW_PRECISION = 0.1
"""Largest relative difference of the probe's states; the second for 16-bit and quantised weights."""


@dataclass(frozen=True)
class Sharing:
    """What was decided.

    Args:
        path: how packed rows run; None where every sequence runs on its own.
        reason: why `path` is None; empty where nothing speaks against sharing, or it was not wanted.
    """

    path: Path | None
    reason: str = ""


def prepare(backbone: PreTrainedModel, choice: Choice = "auto", *, longest: int) -> Sharing:
    """Make a backbone ready for packed rows, if it can run them.

    Where it can, its attention becomes `rm.prefix.attention.attend`, which is transformers' SDPA for ordinary
    batches. Whether it can is asked of its configuration, and then tried: a few tokens, packed and one by one, must
    give the same states.

    Args:
        backbone: a decoder or encoder, on its device.
        choice: `plain` shares nothing; `auto` takes the quickest path measured for the device.
        longest: tokens of the longest sequence that will come.
    """
    if choice == "plain":
        return Sharing(None)
    reason = why_not(backbone.config, longest)
    if reason:
        return Sharing(None, reason)
    path: Path = "segments" if choice == "auto" else choice
    if path == "flex" and _device(backbone).type != "cuda":
        return Sharing(None, "FlexAttention has no backward pass on a CPU")
    if not backbone._can_set_attn_implementation():
        return Sharing(None, "its attention does not come from transformers' registry")
    before = backbone.config._attn_implementation
    backbone.set_attn_implementation(NAME)
    reason = "a trial of packed rows failed"
    try:
        reason = _probe(backbone, path)
    finally:
        if reason:
            backbone.set_attn_implementation(before)
    return Sharing(None, reason) if reason else Sharing(path)


def is_decoder(config: PreTrainedConfig) -> bool:
    """Whether tokens see only what comes before them."""
    name = config.model_type
    masked = name in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    causal = name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return bool(getattr(config, "is_decoder", False)) or (causal and not masked)


def why_not(config: PreTrainedConfig, longest: int) -> str:
    """What in a backbone's configuration rules packed rows out; empty if nothing does.

    Args:
        config: of the backbone.
        longest: tokens of the longest sequence; a sliding window at least as long hides nothing.
    """
    text = config.get_text_config()
    if not is_decoder(config):
        return "it is an encoder, in which earlier tokens see later ones"
    kinds = set(getattr(text, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        return f"it has layers that are no attention ({', '.join(sorted(kinds))})"
    if getattr(text, "attn_logit_softcapping", None):
        return "its attention caps logits, which SDPA cannot"
    # None where only the configuration was read, and nothing is chosen yet.
    if config._attn_implementation not in (None, "sdpa", NAME):
        return f"its attention is {config._attn_implementation}, and packed rows need sdpa"
    if getattr(text, "attn_temperature_tuning", False):
        return "its attention depends on a token's place in the row (attn_temperature_tuning)"
    window = _window(text, kinds)
    if window is not None and window < longest:
        return f"its attention has a window of {window} tokens, and texts may have up to {longest}"
    return ""


def _window(text: PreTrainedConfig, kinds: set[str]) -> int | None:
    """Tokens of the smallest attention window; None without one."""
    windows = []
    if kinds:
        if "sliding_attention" in kinds:
            windows.append(getattr(text, "sliding_window", None))
        if "chunked_attention" in kinds:
            windows.append(getattr(text, "attention_chunk_size", None))
    elif getattr(text, "use_sliding_window", True):
        windows.append(getattr(text, "sliding_window", None))
    return min((each for each in windows if each), default=None)


@torch.no_grad()
def _probe(backbone: PreTrainedModel, path: Path) -> str:
    """Run a few tokens packed and one by one. Returns what went wrong; empty where the states agree."""
    training = backbone.training
    backbone.eval()
    try:
        device = _device(backbone)
        # At the least saving, or so few tokens would not be merged and nothing would be tried.
        packed = pack_forest(grow([PROBE[:3], PROBE[3:]], min_saving=1), path).to(device)
        found = packed_states(backbone, packed)[packed.last]
        expected = torch.cat([_alone(backbone, tokens, device) for tokens in PROBE])
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        return f"a trial of packed rows failed ({type(error).__name__})"
    finally:
        backbone.train(training)
    quantized = getattr(backbone, "is_quantized", False)
    allowed = LOW_PRECISION if quantized or expected.element_size() < 4 else TOLERANCE
    difference = ((found - expected).norm() / expected.norm()).item()
    if not difference <= allowed:  # NaN too
        return f"a trial of packed rows gave other states than the plain way (relative difference {difference:.2g})"
    return ""


def _alone(backbone: PreTrainedModel, tokens: tuple[int, ...], device: torch.device) -> Tensor:
    ids = torch.tensor([tokens], device=device)
    states = backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).last_hidden_state
    return states[:, -1]


def _device(backbone: PreTrainedModel) -> torch.device:
    """Where the first layer lies."""
    return next(backbone.parameters()).device
