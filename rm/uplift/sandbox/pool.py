"""Warm sandboxes, each serving one run at a time; those that are spent or broken are replaced in the background."""

from __future__ import annotations

import asyncio
import itertools

from rm.errors import ConfigError
from rm.uplift.sandbox import bubblewrap
from rm.uplift.sandbox.runs import Limits, RunResult
from rm.uplift.sandbox.worker import Worker, WorkerLost

ATTEMPTS = 2
"""For a run whose worker is lost before the program begins."""
CLOSED = WorkerLost("the sandbox has been closed")
ADVICE = (
    "An ordinary user needs user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
    "kernel.apparmor_restrict_unprivileged_userns); root needs CAP_SYS_ADMIN, which containers take away by default. "
    + bubblewrap.ADVICE
)


class Pool:
    """`workers` sandboxes, as many runs at once.

    Args:
        limits: on every run.
        workers: at least 1.
    """

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits = limits
        self._workers = workers
        self._slots: asyncio.Queue[Worker | WorkerLost] = asyncio.Queue()
        self._alive: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serial = itertools.count()
        self._closed = False

    async def start(self) -> None:
        """Start one worker, which tells whether sandboxes work here; the others come in the background.

        Raises:
            ConfigError: they do not, and why.
        """
        self._bubblewrap = await asyncio.to_thread(bubblewrap.find)
        try:
            await self._start_first()
        except BaseException:  # cancelled, too
            await self.close()
            raise
        for _ in range(self._workers - 1):
            self._renew(None)

    async def _start_first(self) -> None:
        self._renew(None)
        first = await self._slots.get()
        self._slots.put_nowait(first)
        if isinstance(first, WorkerLost):
            raise ConfigError(f"The sandbox does not start on this machine: {first}\n{ADVICE}") from first
        if not first.reusable and not self._bubblewrap.sizes:
            raise ConfigError(
                f"This machine allows a sandbox no namespaces inside it, which needs bubblewrap 0.7 or later. {ADVICE}"
            )

    async def run(self, source: str, stdin: str) -> RunResult:
        """Wait for a free worker, and run one program in it."""
        texts = source.encode(errors="surrogatepass"), stdin.encode(errors="surrogatepass")
        reason = ""
        for _ in range(ATTEMPTS):
            worker = await self._slots.get()
            if isinstance(worker, WorkerLost):
                reason = str(worker)
                if self._closed:
                    self._slots.put_nowait(worker)  # for all who wait
                else:
                    self._renew(None)
                continue
            reusable = False
            try:
                result = await worker.run(*texts)
                reusable = worker.reusable
            except WorkerLost as error:
                reason = str(error)
                continue
            finally:
                if reusable:
                    self._slots.put_nowait(worker)
                else:  # used up, broken, or cancelled and perhaps still at it
                    self._renew(worker)
            return result
        return RunResult("failed_to_start", None, "", reason, 0.0)

    async def close(self) -> None:
        """End all workers, and whatever runs in them. Everything is killed before anything is waited for.

        Runs that are going on, or wait for a worker, come out as `failed_to_start`.
        """
        self._closed = True
        for worker in self._alive:
            worker.kill()
        while self._alive or self._tasks:
            while not self._slots.empty():
                idle = self._slots.get_nowait()
                if isinstance(idle, Worker):
                    self._renew(idle)
            await asyncio.wait(self._tasks, timeout=0.01) if self._tasks else await asyncio.sleep(0.01)
        self._slots.put_nowait(CLOSED)

    def _renew(self, spent: Worker | None) -> None:
        """End `spent`, and put a new worker into its slot, without waiting."""
        if spent is not None:
            spent.kill()
        task = asyncio.create_task(self._replace(spent))  # of its own: a start that is cancelled half-way leaves traces
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, spent: Worker | None) -> None:
        if spent is not None:
            await spent.last_words()
            self._alive.discard(spent)
        self._slots.put_nowait(await self._new_worker())

    async def _new_worker(self) -> Worker | WorkerLost:
        """A worker, or why there is none: for the next run to tell."""
        if self._closed:
            return CLOSED
        try:
            worker = await Worker.start(self._bubblewrap, self._limits, bubblewrap.spare_uid(next(self._serial)))
        except WorkerLost as error:
            return error
        self._alive.add(worker)
        if self._closed:
            worker.kill()
        return worker
