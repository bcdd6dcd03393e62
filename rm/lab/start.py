"""Where the tiny base starts from: weights in which attention already looks back and recognises.

With a few million training tokens a plain random start spends most of them on finding two things that every language
model finds: heads that look at the token just before, and heads that look at tokens like the present one. Together
they let a model tell that a number of several digits has occurred before. Here both are there from the start, as
ordinary weights that training may change:

- *Look back*: key and query biases of some heads in the first layers, turned against each other by RoPE so that the
  attention logit peaks at one or two tokens back.
- *Recognise*: the query projection of the other heads starts equal to their key projection, so that a token attends
  to its like (mimetic initialisation, Trockman & Kolter 2023, arXiv 2305.09828).

Matrices that read the residual stream start at standard deviation 1 / sqrt(hidden), for their width; the 0.02 that
configurations name is made for models ten times wider.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

ROPE_THETA = 10000.0
"""Base of the RoPE frequencies that the starting biases are made for."""
LOOK_BACK = (1, 2)
"""Distances, in tokens, of the heads that share the first key."""
LOOK_BACK_LAYERS = 2
_PEAK = 5.0  # length of the bias in each turning pair; about 3 nats between neighbours
_TURNING_PAIRS = 4  # the fastest RoPE frequencies; slower ones cannot tell neighbours apart
_GAIN = 1.3
_SHY = 2.2


@torch.no_grad()
def initialise(model: Qwen2ForCausalLM, seed: int) -> None:
    """Sets all weights in place; the same for a seed. Both kinds of heads need two key-value heads or more."""
    generator = torch.Generator().manual_seed(seed)
    width = model.config.hidden_size**-0.5
    nn.init.normal_(model.model.embed_tokens.weight, std=width, generator=generator)
    for number, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        for matrix in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            nn.init.normal_(matrix.weight, std=width, generator=generator)
        nn.init.normal_(attention.o_proj.weight, std=0.02, generator=generator)
        nn.init.normal_(mlp.down_proj.weight, std=0.01, generator=generator)
        _recognise(attention)
        if number < LOOK_BACK_LAYERS:
            _look_back(attention)


def _recognise(attention: Qwen2Attention) -> None:
    """Queries of every key but the first become that key (of the only one, if there is one).

    They compare by the slowly turning pairs, so that distance matters little; biases in the fast ones keep a token
    from finding itself.
    """
    size = attention.head_dim
    keys = attention.k_proj.out_features // size
    fast = torch.arange(min(_TURNING_PAIRS, size // 2))
    shared = attention.q_proj.out_features // (size * keys)
    for key in range(min(1, keys - 1), keys):
        rows = key * size + torch.cat((fast, fast + size // 2))
        attention.k_proj.weight[rows] = 0
        attention.k_proj.bias[key * size + fast] = _SHY
        for head in range(key * shared, (key + 1) * shared):
            own = attention.k_proj.weight[key * size : (key + 1) * size]
            attention.q_proj.weight[head * size : (head + 1) * size] = _GAIN * own
            attention.q_proj.bias[head * size + fast] = -_SHY


def _look_back(attention: Qwen2Attention) -> None:
    """Biases of the first key and its queries: q = R(-distance) k in each RoPE pair (i, i + head_dim / 2)."""
    size = attention.head_dim
    half = size // 2
    pairs = torch.arange(min(_TURNING_PAIRS, half))
    angles = ROPE_THETA ** (-pairs / half)
    attention.k_proj.weight[:size] *= 0.3
    attention.k_proj.bias[pairs] = _PEAK
    for head, distance in enumerate(LOOK_BACK):
        start = head * size
        attention.q_proj.weight[start : start + size] *= 0.3
        attention.q_proj.bias[start + pairs] = _PEAK * torch.cos(distance * angles)
        attention.q_proj.bias[start + half + pairs] = -_PEAK * torch.sin(distance * angles)
