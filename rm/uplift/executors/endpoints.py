"""Which server takes the next request: least under way, a limit each, and a circuit breaker.

A slot is free where an endpoint has fewer requests under way than its limit, is not asked to pause, and its breaker
lets requests through. Those that wait get slots in the order in which they came.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Health = Literal["answered", "failed", "unknown"]
"""What a request says of its server: it is there; it is broken; nothing (the request was cancelled)."""


@dataclass
class Endpoint:
    """A server as seen from here. Only the pool changes it.

    Attributes:
        address: base address, without a slash at its end.
        in_flight: requests under way.
        failures: in a row.
        shut_until: the breaker is open until then; the first request afterwards is alone until it has ended.
        paused_until: the server asked to be left alone until then.
    """

    address: str
    in_flight: int = 0
    failures: int = 0
    shut_until: float = 0.0
    paused_until: float = 0.0


@dataclass(frozen=True)
class Shut:
    """No endpoint is fit for use, and a request that tried one again has just failed. Args: why."""

    reason: str


@dataclass
class _Waiting:
    slot: asyncio.Future[Endpoint | Shut]
    avoid: Endpoint | None


class EndpointPool:
    """Hands out slots.

    Args:
        addresses: of the servers.
        concurrency: requests under way at once, each.
        breaker_failures: failures in a row that open an endpoint's breaker.
        breaker_pause: seconds until an open breaker lets one request through.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        concurrency: int,
        breaker_failures: int,
        breaker_pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoints = tuple(Endpoint(address) for address in addresses)
        self._concurrency = concurrency
        self._breaker_failures = breaker_failures
        self._breaker_pause = breaker_pause
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, avoid: Endpoint | None = None) -> Endpoint | Shut:
        """A slot, which must be released; or `Shut`, which must not.

        Args:
            avoid: taken only where no other has a free slot: the one that has just failed.
        """
        waiting = _Waiting(asyncio.get_running_loop().create_future(), avoid)
        self._waiting.append(waiting)
        self._hand_out()
        try:
            return await waiting.slot
        except asyncio.CancelledError:
            if waiting.slot.done() and not waiting.slot.cancelled():
                given = waiting.slot.result()
                if isinstance(given, Endpoint):
                    self.release(given, "unknown")
            raise

    def release(self, endpoint: Endpoint, health: Health, reason: str = "", pause: float = 0.0) -> None:
        """Give a slot back.

        Args:
            endpoint: what `acquire` gave.
            health: what was learnt of the server.
            reason: how it failed.
            pause: seconds for which the server asked to be left alone.
        """
        endpoint.in_flight -= 1
        now = self._clock()
        if pause:
            endpoint.paused_until = max(endpoint.paused_until, now + pause)
        if health == "answered":
            endpoint.failures, endpoint.shut_until = 0, 0.0
        elif health == "failed":
            was_trial = 0 < endpoint.shut_until <= now
            endpoint.failures += 1
            if was_trial or (not endpoint.shut_until and endpoint.failures >= self._breaker_failures):
                endpoint.shut_until = now + self._breaker_pause
            if was_trial and all(other.shut_until for other in self.endpoints):
                self._turn_away(Shut(reason))
        self._hand_out()

    def shut(self, endpoint: Endpoint) -> None:
        """Open an endpoint's breaker: it is known not to answer."""
        endpoint.shut_until = self._clock() + self._breaker_pause

    def _hand_out(self) -> None:
        while self._waiting:
            waiting = self._waiting[0]
            if waiting.slot.done():  # cancelled
                self._waiting.popleft()
                continue
            endpoint = self._pick(waiting.avoid)
            if endpoint is None:
                self._set_timer()
                return
            self._waiting.popleft()
            endpoint.in_flight += 1
            waiting.slot.set_result(endpoint)

    def _pick(self, avoid: Endpoint | None) -> Endpoint | None:
        now = self._clock()
        free = [endpoint for endpoint in self.endpoints if self._has_slot(endpoint, now)]
        return min(free, key=lambda endpoint: (endpoint is avoid, endpoint.in_flight), default=None)

    def _has_slot(self, endpoint: Endpoint, now: float) -> bool:
        limit = 1 if endpoint.shut_until else self._concurrency
        return endpoint.in_flight < limit and now >= max(endpoint.shut_until, endpoint.paused_until)

    def _set_timer(self) -> None:
        """Wake up when the next pause ends; slots given back wake up by themselves."""
        now = self._clock()
        ends = [end for e in self.endpoints if (end := max(e.shut_until, e.paused_until)) > now]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ends:
            self._timer = asyncio.get_running_loop().call_later(min(ends) - now + 1e-3, self._hand_out)

    def _turn_away(self, shut: Shut) -> None:
        for waiting in self._waiting:
            if not waiting.slot.done():
                waiting.slot.set_result(shut)
        self._waiting.clear()

    def close(self) -> None:
        """Forget the timer. Nothing may wait any more."""
        if self._timer is not None:
            self._timer.cancel()
