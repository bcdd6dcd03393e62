"""The runs of one arm, growing on demand: each is made once, whoever needs it, in this process or in another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rm.uplift.cache import BaselineCache, BaselineKey
from rm.uplift.meter import Meter
from rm.uplift.runs import Arm, Runner, Slot

_SHORTEST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class SharedRuns:
    """Where baselines are kept, and under which key those of one problem stand there."""

    cache: BaselineCache
    key: BaselineKey


class ArmRuns:
    """The runs of one arm. All traces of a problem are compared with a first part of the same baseline.

    Args:
        arm: whose runs.
        runner: draws and judges.
        meter: is told what the cache gave.
        shared: where they are shared with other processes; None for runs that are nobody else's.
        kept: runs that an interrupted measurement left.
        keep: is given slots as they are filled.
    """

    def __init__(
        self,
        arm: Arm,
        runner: Runner,
        meter: Meter,
        *,
        shared: SharedRuns | None,
        kept: Mapping[int, Slot],
        keep: Callable[[Sequence[Slot]], None],
    ) -> None:
        self._arm = arm
        self._runner = runner
        self._meter = meter
        self._shared = shared
        self._kept = kept
        self._keep = keep
        self._slots: list[Slot] = []
        self._growing = asyncio.Lock()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What there is so far."""
        return tuple(self._slots)

    async def first(self, count: int) -> list[Slot]:
        """The first `count` slots, filled where that could be done."""
        if count > len(self._slots):
            async with self._growing:
                self._slots += await self._fill(range(len(self._slots), count))
        return self._slots[:count]

    async def _fill(self, indexes: range) -> list[Slot]:
        slots = {index: self._kept[index] for index in indexes if index in self._kept}
        missing = set(indexes) - set(slots)
        if self._shared is None:
            made = await self._runner.run(self._arm, missing, self._keep_here)
        else:
            made = await self._fill_shared(missing, self._shared)
        slots |= {slot.index: slot for slot in made}
        return [slots[index] for index in indexes]

    async def _fill_shared(self, missing: Collection[int], shared: SharedRuns) -> list[Slot]:
        """Takes what the cache has, makes what nobody is making, and waits for the rest."""

        async def keep(slots: Sequence[Slot]) -> None:
            runs = [slot.run for slot in slots if slot.run is not None]
            await asyncio.to_thread(shared.cache.add, shared.key, runs)
            self._keep(slots)

        filled: list[Slot] = []
        wait = _SHORTEST_WAIT_SECONDS
        while missing:
            taken = await asyncio.to_thread(shared.cache.take, shared.key, missing)
            found = [Slot(index, run) for index, run in taken.found.items()]
            self._meter.cache_hits += len(found)
            self._keep(found)
            try:
                made = await self._runner.run(self._arm, taken.mine, keep)
            finally:
                if taken.mine:
                    shared.cache.release(shared.key, taken.mine)
            filled += found + made
            missing = set(missing) - taken.found.keys() - taken.mine
            if missing:
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        return filled

    async def _keep_here(self, slots: Sequence[Slot]) -> None:
        self._keep(slots)
