"""Attention over a packed row, as an attention function of transformers.

Any decoder that takes its attention from transformers' registry runs a packed row unchanged: embeddings, projections
and feed-forward layers see one row of T tokens, and the function below, registered under `NAME`, lets each token see
its own path alone. No cache is involved, so gradients, gradient checkpointing, LoRA and quantised weights need nothing
special. Three ways, equal but for rounding:

- `segments`: one call of `scaled_dot_product_attention` a segment, over the keys of its path, so that no pair outside a
  path is computed; small segments beside or below each other share a masked call, see `rm.prefix.blocks`.
- `tree_mask`: one call with a (T, T) mask. Every pair is computed and most are thrown away; few calls.
- `flex`: FlexAttention with a block mask that skips what no token of a block sees. For CUDA.
"""

from __future__ import annotations

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
    if packed.path == "segments":
        return _by_blocks(query, key, value, packed, getattr(module, "layer_idx", -1), dropout, scaling), None
    repeats = query.shape[1] // key.shape[1]
    found = scaled_dot_product_attention(
        query,
        repeat_kv(key, repeats),
        repeat_kv(value, repeats),
        attn_mask=packed.tree_bias(query.dtype),
        dropout_p=dropout,
        scale=scaling,
    )
    return found.transpose(1, 2), None


def _by_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: Packed,
    layer: int,
    dropout: float,
    scaling: float | None,
) -> Tensor:
    """(1, T, heads, d)."""
    for index, layers in packed.wanted.items():
        place = slice(packed.place(index), packed.place(index) + packed.forest.segments[index].length)
        layers[layer] = (key[:, :, place].detach().clone(), value[:, :, place].detach().clone())
    # Split and concatenate, never slice: the gradient of a slice is as large as what it was cut from.
    lengths = [block.length for block in packed.blocks]
    own = zip(packed.blocks, key.split(lengths, dim=2), value.split(lengths, dim=2), strict=True)
    parts = {block.first: (keys, values) for block, keys, values in own}
    parts |= {index: layers[layer] for index, layers in packed.known.items()}
    # Query heads that share keys go into the batch: there keys are broadcast, not copied.
    grouped = query[0].unflatten(0, (key.shape[1], -1)).transpose(0, 1)  # (repeats, key-value heads, T, d)
    found = []
    for block, queries in zip(packed.blocks, grouped.split(lengths, dim=2), strict=True):
        path = [parts[index] for index in (*block.above, block.first)]
        keys, values = (_joined(each).expand(len(queries), -1, -1, -1) for each in zip(*path, strict=True))
        bias = packed.block_bias(block, query.dtype)
        found.append(
            scaled_dot_product_attention(
                queries, keys, values, attn_mask=bias, is_causal=bias is None, dropout_p=dropout, scale=scaling
            ).permute(2, 1, 0, 3)
        )
    return torch.cat(found).flatten(1, 2)[None]


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    """Keys or values along a path."""
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


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
