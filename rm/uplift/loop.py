"""An event loop in a thread of its own, so that work can be asked for from any thread and any loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from itertools import islice
from typing import Any, Self, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


class LoopThread:
    """Started with the first work, and anew in a process that was forked. Safe for any thread.

    Connections and semaphores belong to one loop, and trainers call from loops of their own, sometimes from another
    one each time: whatever has to last lives here.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs it in the loop. Cancelling the future cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it in the loop and waits, whether or not the caller's thread has a running loop of its own.

        An interruption (Ctrl-C) cancels the work.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this would wait for itself: await the asynchronous form instead")
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def join(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it in the loop and awaits it from another; cancelling the awaiting task cancels the work."""
        if threading.current_thread() is self._thread:
            return await work
        return await asyncio.wrap_future(self.submit(work))

    def in_order(
        self,
        work: Callable[[Item], Coroutine[Any, Any, T]],
        items: Iterator[Item],
        at_once: int,
        finish: tuple[type[BaseException], ...] = (),
    ) -> Iterator[T]:
        """Works on several items at a time in the loop; the results come in the order of the items.

        When work fails or the caller stops, what is under way is cancelled.

        Args:
            work: what to do with an item.
            items: taken as they are needed.
            at_once: >= 1.
            finish: failures of work after which what is under way is finished first.
        """
        under_way: deque[Future[T]] = deque()
        try:
            while True:
                for item in islice(items, at_once - len(under_way)):
                    under_way.append(self.submit(work(item)))
                if not under_way:
                    return
                yield under_way.popleft().result()
        except finish:
            wait(under_way)
            raise
        finally:
            for future in under_way:
                future.cancel()

    def stop(self) -> None:
        """Ends the thread; what is under way is cancelled. A second call does nothing."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._pid != os.getpid():
            return
        if thread is threading.current_thread():
            raise RuntimeError("the loop cannot stop itself")
        with suppress(CancelledError):
            asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
                self._thread.start()
            return self._loop


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
