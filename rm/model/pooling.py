"""From token states to one state a sequence. Pure functions; T tokens, H hidden.

Padding is told from the attention mask alone, never from token ids: a pad token that equals the end-of-text
token, or a tokenizer without a pad token, changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_right_padding(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move each row's tokens to the left edge, so that positions count from 0 whatever the padding side.

    Absolute positions (GPT-2, BERT) would otherwise start at the padding; with this, both sides give the same
    states by construction.

    Args:
        input_ids: (N, T) int64.
        attention_mask: (N, T), 1 on tokens, which lie in one run.

    Returns:
        ids and mask of the same shape, right-padded; the inputs themselves where they already are.
    """
    if attention_mask.shape[1] == 0 or bool(attention_mask[:, 0].all()):
        return input_ids, attention_mask
    first = attention_mask.argmax(dim=1, keepdim=True)
    columns = torch.arange(input_ids.shape[1], device=input_ids.device)
    source = (columns + first) % input_ids.shape[1]
    return input_ids.gather(1, source), attention_mask.gather(1, source)


def last_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(N, T, H) -> (N, H): the state of each row's last unmasked token."""
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    last = (attention_mask.bool() * positions).argmax(dim=1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), last]


def masked_mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(N, T, H) -> (N, H): float32 mean over unmasked tokens."""
    weight = attention_mask.to(torch.float32).unsqueeze(-1)
    return (hidden.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1.0)


POOLING = {"last": last_token, "mean": masked_mean}
