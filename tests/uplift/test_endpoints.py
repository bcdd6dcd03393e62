"""Slots and breakers, by a clock that the tests turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest

from rm.uplift.executors.client import backoff
from rm.uplift.executors.endpoints import Endpoint, EndpointPool, Shut


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def pool(clock: Clock, *addresses: str, concurrency: int = 2) -> EndpointPool:
    return EndpointPool(addresses or ("a",), concurrency, breaker_failures=3, breaker_pause=10.0, clock=clock)


async def at_once(waiting: Awaitable[Endpoint | Shut]) -> Endpoint | Shut | None:
    """What is there without waiting; None for nothing yet."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(waiting)), 0.01)
    except TimeoutError:
        return None


async def take(slots: EndpointPool, count: int = 1) -> list[Endpoint]:
    got = [await at_once(slots.acquire()) for _ in range(count)]
    endpoints = [each for each in got if isinstance(each, Endpoint)]
    assert len(endpoints) == count
    return endpoints


def test_the_least_busy_comes_first():
    async def main() -> list[str]:
        return [each.address for each in await take(pool(Clock(), "a", "b"), 4)]

    assert asyncio.run(main()) == ["a", "b", "a", "b"]


def test_the_one_to_avoid_is_taken_only_where_no_other_is_free():
    async def main() -> list[str]:
        slots = pool(Clock(), "a", "b", concurrency=1)
        first, second = slots.endpoints
        got = [await slots.acquire(avoid=first), await slots.acquire(avoid=second)]
        return [each.address for each in got if isinstance(each, Endpoint)]

    assert asyncio.run(main()) == ["b", "a"]


def test_those_that_wait_come_in_order():
    async def main() -> list[int]:
        slots, order = pool(Clock(), concurrency=1), []
        (held,) = await take(slots)

        async def wait(number: int) -> None:
            got = await slots.acquire()
            assert isinstance(got, Endpoint)
            order.append(number)
            slots.release(got, "answered")

        tasks = [asyncio.create_task(wait(number)) for number in range(4)]
        await asyncio.sleep(0)
        assert order == []
        slots.release(held, "answered")
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(main()) == [0, 1, 2, 3]


def test_failures_in_a_row_open_the_breaker_and_one_trial_closes_it():
    async def main() -> None:
        clock = Clock()
        slots = pool(clock)
        for health in ("failed", "failed", "answered", "failed", "failed"):  # never three in a row
            slots.release((await take(slots))[0], health)
        slots.release((await take(slots))[0], "failed")
        waiting = [asyncio.ensure_future(slots.acquire()) for _ in range(3)]
        assert await at_once(waiting[0]) is None
        clock.now += 10
        slots._hand_out()
        trial = await at_once(waiting[0])
        assert isinstance(trial, Endpoint)
        assert await at_once(waiting[1]) is None  # one trial at a time
        slots.release(trial, "answered")
        assert isinstance(await at_once(waiting[1]), Endpoint)
        assert isinstance(await at_once(waiting[2]), Endpoint)
        slots.close()

    asyncio.run(main())


def test_a_failed_trial_turns_all_away_that_wait():
    async def main() -> None:
        clock = Clock()
        slots = pool(clock)
        for _ in range(3):
            slots.release((await take(slots))[0], "failed", "timeout")
        clock.now += 10
        trial = (await take(slots))[0]
        waiting = asyncio.ensure_future(slots.acquire())
        await asyncio.sleep(0)
        slots.release(trial, "failed", "timeout")
        assert await asyncio.wait_for(waiting, 1) == Shut("timeout")
        later = asyncio.ensure_future(slots.acquire())
        assert await at_once(later) is None  # shut again
        later.cancel()
        slots.close()

    asyncio.run(main())


def test_a_failed_trial_turns_nobody_away_where_another_endpoint_is_well():
    async def main() -> None:
        clock = Clock()
        slots = pool(clock, "a", "b", concurrency=1)
        broken, well = slots.endpoints
        slots.shut(broken)
        assert await take(slots) == [well]
        clock.now += 10
        assert await take(slots) == [broken]
        waiting = asyncio.ensure_future(slots.acquire())
        await asyncio.sleep(0)
        slots.release(broken, "failed", "timeout")
        assert await at_once(waiting) is None
        slots.release(well, "answered")
        assert await waiting is well
        slots.close()

    asyncio.run(main())


def test_late_failures_do_not_prolong_the_pause():
    async def main() -> None:
        clock = Clock()
        slots = pool(clock, concurrency=4)
        held = await take(slots, 4)
        for endpoint in held[:3]:
            slots.release(endpoint, "failed")
        clock.now += 6
        slots.release(held[3], "failed")
        clock.now += 4
        await take(slots)
        slots.close()

    asyncio.run(main())


def test_a_server_that_asks_for_a_pause_gets_it():
    async def main() -> None:
        clock = Clock()
        slots = pool(clock)
        slots.release((await take(slots))[0], "unknown", pause=0.05)
        waiting = asyncio.ensure_future(slots.acquire())
        assert await at_once(waiting) is None
        clock.now += 0.05
        assert isinstance(await asyncio.wait_for(waiting, 1), Endpoint)  # woken by itself

    asyncio.run(main())


def test_a_slot_given_to_a_call_that_is_cancelled_is_free_again():
    async def main() -> None:
        slots = pool(Clock(), concurrency=1)
        (held,) = await take(slots)
        waiting = asyncio.ensure_future(slots.acquire())
        await asyncio.sleep(0)
        slots.release(held, "answered")  # the slot is given, the task has not run yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert held.in_flight == 0
        await take(slots)

    asyncio.run(main())


def test_waits_double_up_to_a_limit_with_full_jitter():
    rng = random.Random(0)
    for attempt, top in enumerate([0.5, 1.0, 2.0, 3.0, 3.0]):
        waits = [backoff(attempt, 0.5, 3.0, rng) for _ in range(400)]
        assert 0 <= min(waits) < 0.05 * top
        assert 0.95 * top < max(waits) <= top
    assert backoff(10_000, 0.5, 3.0, rng) <= 3.0
