"""Where a trainer's rewards come from: a bundle in this process, or a server; and what to do with unmeasured ones."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rm.errors import ConfigError, RunError
from rm.reward.parts import RewardResult

LOG = logging.getLogger("rm.adapters")
ASKS = 3
"""How often an unmeasured reward is asked for, where the trainer has no way to say that there is none."""


class RewardSource(Protocol):
    """`rm.TraceLiftReward`, or `rm.adapters.client.ServerReward`."""

    async def score(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """Rewards of problem rows with `completion`, in their order."""

    def score_sync(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """The same, for code that is not asynchronous."""

    def close(self) -> None:
        """Gives back connections, processes and threads."""


_OPEN: dict[Any, RewardSource] = {}
_LOCK = threading.Lock()


def open_source(where: str | Path | RewardSource, **options: Any) -> RewardSource:
    """A reward source; one for the same place and options in a process, however often it is asked for.

    Args:
        where: the address of a server (`http://...`), the directory or hub name of a bundle, or a source itself.
        options: of `ServerReward` for a server, of `TraceLiftReward.from_pretrained` for a bundle; and for both
            `formula`, the name that it must have, such as `tracelift-math-v1`.

    Raises:
        ConfigError: as those two; options of the other; a bundle of another formula.
    """
    if not isinstance(where, str | Path):
        return where
    with _LOCK:
        key = _key(where, options)
        if key not in _OPEN:
            _OPEN[key] = _opened(str(where), options)
        return _OPEN[key]


async def open_source_async(where: str | Path | RewardSource, **options: Any) -> RewardSource:
    """`open_source`, which may load a model, in a thread; at once where it is open."""
    if not isinstance(where, str | Path):
        return where
    found = _OPEN.get(_key(where, options))
    return found if found is not None else await asyncio.to_thread(open_source, where, **options)


def _key(where: str | Path, options: Mapping[str, Any]) -> tuple[int, str, str]:
    return os.getpid(), str(where), repr(sorted(options.items()))


def close_sources() -> None:
    """Close all that `open_source` has opened in this process; done at its end, too."""
    with _LOCK:
        mine = [key for key in _OPEN if key[0] == os.getpid()]
        sources = [_OPEN.pop(key) for key in mine]
    for source in sources:
        source.close()


atexit.register(close_sources)


def is_address(where: str) -> bool:
    """Whether a server is meant, rather than a bundle."""
    return where.startswith(("http://", "https://"))


def _opened(where: str, options: Mapping[str, Any]) -> RewardSource:
    make: Callable[..., RewardSource]
    if is_address(where):
        from rm.adapters.client import ServerReward

        make = ServerReward
    elif where:
        make = _bundle
    else:
        raise ConfigError("No reward given. Name a server (http://...), or a bundle's directory.")
    try:
        return make(where, **options)
    except TypeError as error:  # an option that it does not have
        raise ConfigError(f"{where}: {error}") from None


def _bundle(where: str, formula: str = "", **options: Any) -> RewardSource:
    from rm.reward.scorer import TraceLiftReward

    reward = TraceLiftReward.from_pretrained(where, **options)
    if formula and reward.formula != formula:
        raise ConfigError(f"{where} rewards by {reward.formula}, expected {formula} (formula).")
    return reward


async def score_all(
    source: RewardSource, items: Sequence[Mapping[str, Any]], substitute: float | None = None
) -> tuple[list[RewardResult], list[float]]:
    """Rewards for a trainer that has no form for "not measured": asked for again, then an error.

    Args:
        source: see `open_source`.
        items: problem rows with `completion`.
        substitute: stands for a reward that could not be measured; each use is logged as a warning. It teaches the
            planner something that nobody measured.

    Returns:
        results and rewards, in the items' order.

    Raises:
        RunError: a reward that could not be measured, and no substitute.
    """
    results = await source.score(items)
    for _ in range(ASKS - 1):
        missing = [index for index, result in enumerate(results) if result.reward is None]
        if not missing:
            break
        again = await source.score([items[index] for index in missing])
        for index, result in zip(missing, again, strict=True):
            results[index] = result
    lost = [result for result in results if result.reward is None]
    if lost:
        reasons = "; ".join(sorted({reason for result in lost for reason in result.failures})) or "no reason given"
        told = f"{len(lost)} of {len(results)} rewards could not be measured in {ASKS} attempts ({reasons})"
        if substitute is None:
            raise RunError(f"{told}. This trainer has no form for that; substitute=NUMBER would put one in its place.")
        LOG.warning("%s: %g takes their place", told, substitute)
    return results, [float(substitute or 0.0) if each.reward is None else each.reward for each in results]


def parts_of(result: RewardResult) -> dict[str, float]:
    """The parts of a reward as numbers for logging, always the same keys; NaN where a part was not measured."""
    parts = result.parts
    values = {
        "rm": parts.rm,
        "uplift": parts.uplift.value if parts.uplift else None,
        "end_to_end": parts.end_to_end,
        "coefficient": parts.coefficient,
    }
    return {name: float("nan") if value is None else float(value) for name, value in values.items()}
