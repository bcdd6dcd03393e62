"""math-verify in processes of our own, each killed and replaced when a question takes too long.

math-verify's own time-out is a SIGALRM: it works on the main thread only and reads a time-out as "different". Here a
worker is a separate interpreter, a question has a limit on the wall clock, and past it the worker gets SIGKILL.
Questions block the calling thread, so `rm.uplift.verifiers.math` asks them from threads; any thread may ask.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from queue import LifoQueue
from typing import Literal

Reply = Literal["equal", "different", "parsed", "unparsable", "error", "timeout", "died", "unavailable"]

START_SECONDS = 60.0
_WORKER = Path(__file__).with_name("_math_worker.py")


class MathPool:
    """Up to `workers` processes, started when first needed.

    Args:
        workers: how many questions are worked on at once; more wait.
        seconds: wall-clock limit of a question; the start of a process (about a second) is not counted.
    """

    def __init__(self, workers: int = 2, seconds: float = 5.0) -> None:
        self.workers = workers
        self.seconds = seconds
        self._idle: LifoQueue[_Worker] = LifoQueue()  # the last used first: no more processes than needed
        self._all = [_Worker() for _ in range(workers)]
        for worker in self._all:
            self._idle.put(worker)
        self._closed = threading.Event()
        self._finalizer = weakref.finalize(self, _stop_all, self._all)

    def ask(self, gold: str, answer: str | None = None) -> Reply:
        """One question to a free worker; waits for one.

        Args:
            gold: the reference.
            answer: what to compare with it; None asks only whether `gold` parses.

        Returns:
            the worker's reply; `timeout` or `died` where the question hung or killed it (it is replaced);
            `unavailable` where no worker can be started or the pool is closed.
        """
        question = {"gold": gold} if answer is None else {"gold": gold, "answer": answer}
        worker = self._idle.get()
        try:
            if self._closed.is_set() or not worker.start():
                return "unavailable"
            reply = worker.ask(question, self.seconds)
            return "unavailable" if self._closed.is_set() else reply
        finally:
            if self._closed.is_set():
                worker.stop()
            self._idle.put(worker)

    def close(self) -> None:
        """Kills every worker, also those at work; questions under way and later ones are `unavailable`."""
        self._closed.set()
        self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of the workers that run now."""
        return tuple(worker.process.pid for worker in self._all if worker.process is not None)


class _Worker:
    """One process and its pipes. Used by one thread at a time; only `stop` may come from another."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Whether a process is there and ready; starts one where none is."""
        if self.process is not None and self.process.poll() is None:
            return True
        self.stop()
        try:
            # -P: the folder of the file is not on the path of imports
            command = [sys.executable, "-P", str(_WORKER)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=_environment())
        except OSError:
            return False
        with self._lock:
            self.process, self._buffer = process, b""
        if self._read_line(process, START_SECONDS) == "ready":
            return True
        self.stop()
        return False

    def ask(self, question: dict[str, str], seconds: float) -> Reply:
        process = self.process
        if process is None:  # stopped from another thread
            return "died"
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        except (OSError, ValueError):  # a broken pipe, or one closed by `stop`
            self.stop()
            return "died"
        reply = self._read_line(process, seconds)
        if reply in ("timeout", "died"):
            self.stop()
        return reply  # type: ignore[return-value]

    def stop(self) -> None:
        """SIGKILL, and the process reaped."""
        with self._lock:
            process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            try:
                stream.close()  # type: ignore[union-attr]
            except OSError:  # what was buffered for a dead process
                continue

    def _read_line(self, process: subprocess.Popen[bytes], seconds: float) -> str:
        """One reply, or `timeout`, or `died` where the process closed its end."""
        deadline = time.monotonic() + seconds
        try:
            descriptor = process.stdout.fileno()  # type: ignore[union-attr]
            poll = select.poll()  # unlike select.select, good for descriptors above 1023
            poll.register(descriptor, select.POLLIN)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    return "timeout"
                if not (chunk := os.read(descriptor, 4096)):
                    return "died"
                self._buffer += chunk
        except (OSError, ValueError):  # closed by `stop`
            return "died"
        line, _, self._buffer = self._buffer.partition(b"\n")
        return str(json.loads(line))


def _environment() -> dict[str, str]:
    """One thread a worker: sympy needs no more, and a pool of them must not take the machine."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _stop_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()
