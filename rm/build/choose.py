"""From pools to a group: which sound and which flawed traces stand in it.

The plain choice draws kinds by their weights, one flaw a kind, and sound traces evenly. `rm.build.rebalance` chooses
by what the surface of the traces gives away.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from rm.build.config import BuildConfig

Entry = Mapping[str, Any]
"""A candidate as it stands in a row."""
Pools = Mapping[str, Any]
"""A line of the work file: `group` (a row without pools), `sound` and `flawed` (lists of candidates)."""


def choose(pools: Pools, config: BuildConfig) -> dict[str, Any]:
    """The row of a group: as many kinds and sound traces as the configuration allows, drawn by its seed."""
    rng = generator(pools, config)
    kinds = kinds_in_order(pools, config, rng)
    flawed = [rng.choice(entries) for entries in list(kinds.values())[: config.group.negatives_most]]
    return row_of(pools, draw_sound(pools, config, rng), flawed)


def generator(pools: Pools, config: BuildConfig) -> random.Random:
    """Of the choice for one group."""
    return random.Random(f"{config.seed}\nchoose\n{pools['id']}")


def draw_sound(pools: Pools, config: BuildConfig, rng: random.Random) -> list[Entry]:
    """Sound traces, drawn evenly."""
    return rng.sample(pools["sound"], min(config.group.positives, len(pools["sound"])))


def kinds_in_order(pools: Pools, config: BuildConfig, rng: random.Random) -> dict[str, list[Entry]]:
    """Flawed traces by kind, the kinds in an order drawn by their weights."""
    by_kind: dict[str, list[Entry]] = {}
    for entry in pools["flawed"]:
        by_kind.setdefault(entry["negative_kind"], []).append(entry)
    return {kind: by_kind[kind] for kind in drawn_by_weight(sorted(by_kind), config.kinds, rng)}


def drawn_by_weight(names: Sequence[str], weights: Mapping[str, float], rng: random.Random) -> list[str]:
    """All names, drawn one after another by their weights (1 where there is none, never 0) without replacement: the
    largest u^(1/w) in front (Efraimidis and Spirakis 2006)."""
    keys = {name: rng.random() ** (1 / weights.get(name, 1.0)) for name in names}
    return sorted(names, key=lambda name: -keys[name])


def row_of(pools: Pools, sound: Sequence[Entry], flawed: Sequence[Entry]) -> dict[str, Any]:
    """The group's row."""
    head = {name: value for name, value in pools["group"].items() if name != "metadata"}
    metadata = pools["group"].get("metadata", {})
    return {**head, "positive_pool": list(sound), "negative_bank": list(flawed), "metadata": metadata}
