"""From pools to a group: which sound and which flawed traces stand in it.

The plain choice draws kinds by their weights, one flaw a kind, and sound traces evenly. `rm.build.rebalance` chooses
by what the surface of the traces gives away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rm.build.config import BuildConfig

Entry = Mapping[str, Any]
"""A candidate as it stands in a row."""
Pools = Mapping[str, Any]
"""A line of the work file: `group` (a row without pools), `sound` and `flawed` (lists of candidates)."""
Prefer = Callable[[Sequence[Entry], bool, random.Random], Sequence[Entry]]
"""Candidates of one sort (sound, or flawed of one kind), those to be taken first in front."""


def shuffled(entries: Sequence[Entry], sound: bool, rng: random.Random) -> Sequence[Entry]:
    """No preference."""
    return rng.sample(entries, len(entries))


def choose(pools: Pools, config: BuildConfig, prefer: Prefer = shuffled) -> dict[str, Any]:
    """The row of a group.

    Args:
        pools: enough kinds for a group.
        config: sizes, weights of the kinds, seed.
        prefer: orders the candidates of one sort.
    """
    rng = random.Random(f"{config.seed}\nchoose\n{pools['id']}")
    by_kind: dict[str, list[Entry]] = {}
    for entry in pools["flawed"]:
        by_kind.setdefault(entry["negative_kind"], []).append(entry)
    # Weighted without replacement: the largest u^(1/w) first (Efraimidis and Spirakis 2006).
    keys = {kind: rng.random() ** (1 / config.kinds.get(kind, 1.0)) for kind in by_kind}
    kinds = sorted(by_kind, key=lambda kind: -keys[kind])
    flawed = [prefer(by_kind[kind], False, rng)[0] for kind in kinds[: config.group.negatives_most]]
    sound = prefer(pools["sound"], True, rng)[: config.group.positives]
    return {**pools["group"], "positive_pool": list(sound), "negative_bank": flawed}
