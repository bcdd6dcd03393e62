"""A loop in a thread of its own: called from threads, loops, and itself."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rm.uplift.loop import LoopThread


@pytest.fixture
def loop():
    made = LoopThread("test")
    yield made
    made.stop()


async def name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_work_runs_in_its_thread_whoever_asks(loop):
    async def within():
        return loop.wait(name()), await loop.join(name())

    assert (loop.wait(name()), *asyncio.run(within())) == ("test",) * 3


def test_it_does_not_wait_for_itself(loop):
    async def within():
        with pytest.raises(RuntimeError, match="wait for itself"):
            loop.wait(name())
        return await loop.join(name())

    assert loop.wait(within()) == "test"


def test_what_is_under_way_ends_with_it_and_it_starts_anew(loop):
    ended = threading.Event()
    begun = threading.Event()

    async def endless():
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    future = loop.submit(endless())
    assert begun.wait(10)
    loop.stop()
    loop.stop()
    assert ended.is_set()
    assert future.cancelled()
    assert loop.wait(name()) == "test"


def test_errors_reach_the_caller(loop):
    async def broken():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        loop.wait(broken())


def test_results_come_in_the_order_of_the_items_whichever_is_done_first(loop):
    under_way, most = 0, 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02 if item % 3 == 0 else 0)
        under_way -= 1
        return item

    assert list(loop.in_order(work, iter(range(20)), at_once=4)) == list(range(20))
    assert 1 < most <= 4


@pytest.mark.parametrize("finish", [False, True])
def test_when_work_fails_what_is_under_way_is_cancelled_or_finished_first(loop, finish):
    done = []

    async def work(item: int) -> None:
        if item == 0:
            raise KeyError(item)
        await asyncio.sleep(0.1 if finish else 60)
        done.append(item)

    with pytest.raises(KeyError):
        list(loop.in_order(work, iter(range(9)), at_once=3, finish=(KeyError,) if finish else ()))
    assert done == ([1, 2] if finish else [])
