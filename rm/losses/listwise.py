"""Listwise ranking losses: one value for the whole order of a group.

Notation for shapes: G groups, K candidates a group (padded), B tie blocks, M candidates in a block.

All of them take `(z, relevance, mask)` and return one loss a group, (G,):

- z: (G, K) float, unbounded logits, already divided by their temperature. bf16 and fp16 are computed in
  float32.
- relevance: (G, K) float, higher is better; equal values are ties.
- mask: (G, K) bool, True where a candidate is real. What stands in the padding is never read.

A group in which no candidate outranks another (empty, a single candidate, all tied) holds no order to learn:
its loss is exactly 0 and its gradient is zero. Every loss is unchanged by padding, by adding a constant to
the logits of a group, and by the order of its candidates (`list_mle` with ties: in distribution). Shape
errors are `ValueError`s that carry the shapes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rm.losses._shapes import has_order, masked_logsumexp, ordered_pairs, prepare


def list_net(z: Tensor, relevance: Tensor, mask: Tensor, *, target_temperature: float = 0.1) -> Tensor:
    """Cross-entropy between the top-one distributions of the relevance and of the logits.

        loss = -sum_i softmax(relevance / target_temperature)_i * log softmax(z)_i

    Its minimum is the entropy of the target, not 0.

    Args:
        z, relevance, mask: see the module.
        target_temperature: softness of the target, > 0, in units of relevance.

    Returns:
        (G,) loss a group.

    Source: Cao et al. 2007, "Learning to Rank: From Pairwise Approach to Listwise Approach", with top-one
    probabilities; the temperature is ours.
    """
    if target_temperature <= 0:
        raise ValueError(f"target_temperature must be above 0, got {target_temperature}")
    z, relevance = prepare(z, relevance, mask)
    log_p = z - masked_logsumexp(z, mask).unsqueeze(1)
    scaled = relevance / target_temperature
    target = (scaled - masked_logsumexp(scaled, mask).unsqueeze(1)).masked_fill(~mask, float("-inf")).exp()
    return (target * -log_p).sum(dim=1).masked_fill(~has_order(relevance, mask), 0.0)


def list_mle(z: Tensor, relevance: Tensor, mask: Tensor, *, generator: torch.Generator) -> Tensor:
    """Negative log-likelihood of one best-first order of the group under the Plackett-Luce model.

        loss = sum_r [logsumexp(z of the candidates at rank r and below) - z at rank r]

    Candidates of equal relevance are put in a random order, drawn anew at each call; `plackett_luce` needs no
    such draw. One number is drawn for each real candidate, so padding does not shift the stream.

    Args:
        z, relevance, mask: see the module.
        generator: source of the tie-breaking order, on any device; its state advances.

    Returns:
        (G,) loss a group, a sum over ranks.

    Source: Xia et al. 2008, "Listwise Approach to Learning to Rank: Theory and Algorithm",
    likelihood loss.
    """
    z, relevance = prepare(z, relevance, mask)
    lottery = torch.zeros_like(relevance)
    draws = torch.rand(int(mask.sum()), generator=generator, device=generator.device, dtype=torch.float64)
    lottery[mask] = draws.to(lottery)
    rank = _rank(relevance, then_by=lottery, mask=mask)
    at_or_below = mask.unsqueeze(1) & (rank.unsqueeze(1) >= rank.unsqueeze(2))
    terms = masked_logsumexp(z.unsqueeze(1).expand_as(at_or_below), at_or_below) - z
    return terms.masked_fill(~mask, 0.0).sum(dim=1).masked_fill(~has_order(relevance, mask), 0.0)


def plackett_luce(
    z: Tensor,
    relevance: Tensor,
    mask: Tensor,
    *,
    ties: Literal["exact", "efron"] = "exact",
    exact_limit: int = 8,
) -> Tensor:
    """Negative log-likelihood, under the Plackett-Luce model, of *some* order that agrees with the relevance.

    A block of M tied candidates stands for any of its M! orders, and its likelihood is their sum:

    - `exact` adds up the orders by a recursion over the block's subsets, 2^M terms. Blocks of more than
      `exact_limit` candidates fall back to `efron`.
    - `efron` takes out the block's average candidate at each of its M draws. The factor M! is kept, so both
      agree where the logits of the block are equal.

    The lowest block adds 0 in both: with nothing below it, all of its orders together have probability 1.
    Without ties this is `list_mle`.

    Args:
        z, relevance, mask: see the module.
        ties: how a block of equal relevance is counted.
        exact_limit: largest block counted exactly, >= 1; at 12, a block has 4,096 subsets.

    Returns:
        (G,) loss a group, a sum over blocks.

    Source: Plackett 1975, "The Analysis of Permutations". Ties as in Cox's partial likelihood, which has the
    same form: exact, over all orders, by Kalbfleisch & Prentice 1973; approximate by Efron 1977, "The
    Efficiency of Cox's Likelihood Function for Censored Data".
    """
    if ties not in ("exact", "efron"):
        raise ValueError(f'ties must be "exact" or "efron", got {ties!r}')
    z, relevance = prepare(z, relevance, mask)
    below = ordered_pairs(relevance, mask)
    tied = mask.unsqueeze(2) & mask.unsqueeze(1) & (relevance.unsqueeze(2) == relevance.unsqueeze(1))
    # A block is named by its first candidate; the lowest block has nothing below it and is left out.
    named = mask & ~tied.tril(-1).any(dim=2) & below.any(dim=2)
    group, first = named.nonzero(as_tuple=True)
    size = tied[group, first].sum(dim=1)

    loss = z.masked_fill(torch.ones_like(mask), 0.0).sum(dim=1)  # zeros that keep their place in the graph
    for m in size.unique().tolist():
        chosen = size == m
        g, i = group[chosen], first[chosen]
        members = tied[g, i].nonzero()[:, 1].view(-1, m)  # (B, M): each row of `tied` here holds m
        block, rest = z[g].gather(1, members), masked_logsumexp(z[g], below[g, i])
        likelihood = _exact_block if ties == "exact" and m <= exact_limit else _efron_block
        loss = loss.index_add(0, g, -likelihood(block, rest))
    return loss


def lambda_rank(
    z: Tensor, relevance: Tensor, mask: Tensor, *, gain: Literal["linear", "exponential"] = "linear"
) -> Tensor:
    """Pairwise logistic loss, each pair weighted by the NDCG that swapping its two candidates would cost.

        loss = sum over i more relevant than j of |gain_i - gain_j| * |d(rank_i) - d(rank_j)| / maxDCG
                                                  * log(1 + exp(z_j - z_i)),      d(r) = 1 / log2(1 + r)

    Ranks are those of the current logits; the weights, being made of ranks, carry no gradient. Candidates
    with equal logits are ranked worst case first (the less relevant above), so that an untrained model still
    has something to learn.

    Args:
        z, relevance, mask: see the module; relevance must not be negative.
        gain: `linear` takes the relevance itself, as `rm.metrics.ndcg` does; `exponential` takes
            2^relevance - 1, as the papers do for integer grades. In [0, 1] the two differ little.

    Returns:
        (G,) loss a group, a sum over pairs.

    Source: Burges 2010, "From RankNet to LambdaRank to LambdaMART"; as a loss with fixed weights: Wang et al.
    2018, "The LambdaLoss Framework for Ranking Metric Optimization".
    """
    if gain not in ("linear", "exponential"):
        raise ValueError(f'gain must be "linear" or "exponential", got {gain!r}')
    z, relevance = prepare(z, relevance, mask)
    pairs = ordered_pairs(relevance, mask)
    weight = _swap_cost(z, relevance if gain == "linear" else torch.exp2(relevance) - 1, mask)
    return (F.softplus(z.unsqueeze(1) - z.unsqueeze(2)) * weight * pairs).sum(dim=(1, 2))


def _rank(values: Tensor, *, then_by: Tensor, mask: Tensor) -> Tensor:
    """(G, K) 0-based rank: highest value first, equal values by lowest `then_by` first, padding last."""
    second = then_by.argsort(dim=1, stable=True)
    primary = values.masked_fill(~mask, float("-inf")).gather(1, second)
    order = second.gather(1, primary.argsort(dim=1, descending=True, stable=True))
    return order.argsort(dim=1)


def _swap_cost(z: Tensor, gains: Tensor, mask: Tensor) -> Tensor:
    """(G, K, K) change of NDCG if i and j changed places in the order of `z`; 0 where maxDCG is 0."""
    rank = _rank(z, then_by=gains, mask=mask)
    discount = (rank + 2.0).to(z).log2().reciprocal()
    best_first = gains.masked_fill(~mask, 0.0).sort(dim=1, descending=True).values
    places = torch.arange(2, z.shape[1] + 2, device=z.device, dtype=z.dtype)
    max_dcg = (best_first / places.log2()).sum(dim=1).view(-1, 1, 1)
    swap = (gains.unsqueeze(2) - gains.unsqueeze(1)) * (discount.unsqueeze(2) - discount.unsqueeze(1))
    return torch.where(max_dcg > 0, swap.abs() / max_dcg, 0.0)


def _efron_block(block: Tensor, rest: Tensor) -> Tensor:
    """(B,) log-likelihood of blocks (B, M) drawn before all in `rest` (B,), by Efron's approximation."""
    m = block.shape[1]
    left = torch.arange(m, 0, -1, device=block.device, dtype=block.dtype).div(m).log()
    totals = torch.logaddexp(rest.unsqueeze(1), block.logsumexp(dim=1, keepdim=True) + left)
    return block.sum(dim=1) - totals.sum(dim=1) + math.lgamma(m + 1)


def _exact_block(block: Tensor, rest: Tensor) -> Tensor:
    """(B,) log-likelihood of blocks (B, M) drawn, in any order, before all in `rest` (B,).

    `rest` is the log of the summed exponentials of the candidates below the block.

    log P(S), of having drawn exactly the subset S of the block, is built up by the size of S:
    P(S) = sum over i in S of P(S without i) * exp(z_i) / (everything not yet drawn before i).
    """
    log_p = block.new_zeros(block.shape[0], 1)  # of the empty subset
    for remaining, previous, item in _subset_steps(block.shape[1]):
        left = torch.tensor(remaining, device=block.device)  # (S, M - s): who is left after each smaller subset
        total = torch.logaddexp(rest.unsqueeze(1), block[:, left].logsumexp(dim=2))
        drawn = torch.tensor(item, device=block.device)  # (S', s + 1): who came last, for each larger subset
        before = torch.tensor(previous, device=block.device)
        log_p = ((log_p - total)[:, before] + block[:, drawn]).logsumexp(dim=2)
    return log_p.squeeze(1)


_Indices = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=32)
def _subset_steps(m: int) -> tuple[tuple[_Indices, _Indices, _Indices], ...]:
    """Index tables of the recursion in `_exact_block`, one step for each size s of the smaller subset.

    Each step holds, for every subset of size s, the items it lacks; and for every subset of size s + 1, the
    positions of its s + 1 predecessors among the subsets of size s, and the item that each of them lacks.
    """
    steps = []
    for s in range(m):
        smaller = {subset: place for place, subset in enumerate(combinations(range(m), s))}
        larger = tuple(combinations(range(m), s + 1))
        remaining = tuple(tuple(i for i in range(m) if i not in subset) for subset in smaller)
        previous = tuple(tuple(smaller[subset[:k] + subset[k + 1 :]] for k in range(s + 1)) for subset in larger)
        steps.append((remaining, previous, larger))
    return tuple(steps)
