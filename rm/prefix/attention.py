"""Attention over a packed row, as an attention function of transformers.

Any decoder that takes its attention from transformers' registry runs a packed row unchanged: embeddings, projections
and feed-forward layers see one row of T tokens, and the function below, registered under `NAME`, lets each token see
its own path alone. No cache is involved, so gradients, gradient checkpointing, LoRA and quantised weights need nothing
special. Three ways, equal but for rounding:

- `segments`: one call of `scaled_dot_product_attention` a segment, over the keys of its path. No pair outside a path
  is computed.
- `tree_mask`: one call with a (T, T) mask. Every pair is computed and most are thrown away; few calls.
- `flex`: FlexAttention with a block mask that skips what no token of a block sees. For CUDA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rm.prefix.packed import Packed

NAME = "tracelift_shared_prefix"


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed: Packed | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention of a layer; without `packed`, transformers' own SDPA attention.

    Args:
        query: (1, heads, T, d).
        key, value: (1, key-value heads, T, d).
        packed: the row's layout.

    Returns:
        (1, T, heads, d), and no weights.
    """
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    if packed.path == "flex":
        return flex_attention_forward(module, query, key, value, packed.block_mask(), scaling)
    if packed.path == "tree_mask":
        repeats = query.shape[1] // key.shape[1]
        found = scaled_dot_product_attention(
            query,
            repeat_kv(key, repeats),
            repeat_kv(value, repeats),
            attn_mask=packed.tree_bias(query.dtype),
            dropout_p=dropout,
            scale=scaling,
        )
    else:
        found = _by_segments(query, key, value, packed, getattr(module, "layer_idx", -1), dropout, scaling)
    return found.transpose(1, 2), None


def _by_segments(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: Packed,
    layer: int,
    dropout: float,
    scaling: float | None,
) -> Tensor:
    segments = packed.forest.segments
    here = [index for index in range(len(segments)) if index not in packed.known]
    lengths = [segments[index].length for index in here]
    # Split and concatenate, never slice: the gradient of a slice is as large as what it was cut from.
    queries = dict(zip(here, query.split(lengths, dim=2), strict=True))
    keys, values = _repeated(here, lengths, key, value, packed, layer, query.shape[1] // key.shape[1])
    found = []
    for index in here:
        segment = segments[index]
        path = (*segment.ancestors, index)
        found.append(
            scaled_dot_product_attention(
                queries[index],
                _joined(keys, path),
                _joined(values, path),
                attn_mask=packed.segment_bias(index, query.dtype) if segment.ancestors else None,
                is_causal=not segment.ancestors,
                dropout_p=dropout,
                scale=scaling,
            )
        )
    return torch.cat(found, dim=2)


def _repeated(
    here: Sequence[int],
    lengths: Sequence[int],
    key: Tensor,
    value: Tensor,
    packed: Packed,
    layer: int,
    repeats: int,
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Keys and values of every segment, of this row or known from before, for every query head."""
    if packed.wanted:
        own = zip(here, key.split(lengths, dim=2), value.split(lengths, dim=2), strict=True)
        for index, segment_keys, segment_values in own:
            if index in packed.wanted:
                packed.wanted[index][layer] = (segment_keys.detach().clone(), segment_values.detach().clone())
    keys = dict(zip(here, repeat_kv(key, repeats).split(lengths, dim=2), strict=True))
    values = dict(zip(here, repeat_kv(value, repeats).split(lengths, dim=2), strict=True))
    for index, layers in packed.known.items():
        keys[index], values[index] = (repeat_kv(each, repeats) for each in layers[layer])
    return keys, values


def _joined(parts: Mapping[int, Tensor], path: Sequence[int]) -> Tensor:
    """The keys or values along a path."""
    return torch.cat([parts[index] for index in path], dim=2) if len(path) > 1 else parts[path[0]]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def packed_inputs(packed: Packed) -> dict[str, Any]:
    """Keyword arguments that make a decoder, prepared by `rm.prefix.prepare`, run a packed row."""
    # A mask of four dimensions is passed on as it is; `attend` knows better than any mask who sees whom.
    placeholder = torch.zeros((1, 1, 1, 1), dtype=torch.bool, device=packed.input_ids.device)
    return {
        "input_ids": packed.input_ids,
        "position_ids": packed.position_ids,
        "attention_mask": placeholder,
        "packed": packed,
    }


def packed_states(backbone: nn.Module, packed: Packed) -> Tensor:
    """(T, H): the last hidden states of a packed row.

    Args:
        backbone: a decoder prepared by `rm.prefix.prepare`.
        packed: on the backbone's device.
    """
    return backbone(**packed_inputs(packed), use_cache=False).last_hidden_state[0]
