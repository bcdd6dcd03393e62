"""One sandbox, seen from the caller's side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal

from rm.uplift.sandbox.bubblewrap import ENVIRONMENT, Bubblewrap
from rm.uplift.sandbox.inside import frames
from rm.uplift.sandbox.runs import Limits, RunResult

START_SECONDS = 60.0
"""For a supervisor to greet, or a program to begin: far beyond what a busy machine needs."""
GRACE_SECONDS = 5.0
"""Beyond the wall limit, for a watcher that gets little processor time to end the run itself."""


class WorkerLost(Exception):
    """A sandbox ended, or did not answer, before a program began. The message is what it said last."""


def pidfd_from(info: int) -> int | None:
    """A descriptor of the process that bubblewrap has told of; `None` where there is none (any more)."""
    told = os.pread(info, 1 << 12, 0)
    try:
        return os.pidfd_open(json.loads(told)["child-pid"]) if told else None
    except ProcessLookupError:
        return None


class Worker:
    """A started sandbox. Use `start` to get one; `kill` and `last_words` end it."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("a worker talks to its process through pipes")
        self.reusable = False
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._supervisor: int | None = None  # a pidfd: with the first process of a pid namespace all in it ends
        self._killed = False
        self._limits = limits

    @classmethod
    async def start(cls, bubblewrap: Bubblewrap, limits: Limits, uid: int) -> Worker:
        """A warm sandbox.

        Raises:
            WorkerLost: it does not come up.
        """
        info = os.memfd_create("info")  # no pipe: bubblewrap must not end half-way where the caller is gone
        try:
            process = await asyncio.create_subprocess_exec(
                *bubblewrap.command(limits, uid, info),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=(info,),
                start_new_session=True,
            )
        except OSError as error:  # no more processes or memory to be had
            os.close(info)
            raise WorkerLost(str(error)) from error
        worker = cls(process, limits)
        try:
            async with asyncio.timeout(START_SECONDS):
                greeting = await worker._read(1)
            worker._supervisor = pidfd_from(info)
        except (asyncio.IncompleteReadError, TimeoutError) as error:
            worker._supervisor = pidfd_from(info)
            raise WorkerLost(await worker.last_words()) from error
        finally:
            os.close(info)
        worker.reusable = greeting == frames.REUSABLE
        return worker

    async def run(self, source: bytes, stdin: bytes) -> RunResult:
        """Run one program. After any exception the worker is of no more use.

        Raises:
            WorkerLost: it ended before the program began.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._send(frames.REQUEST.pack(len(source), len(stdin)) + source + stdin)
                await self._read(1)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            raise WorkerLost(await self.last_words()) from error
        try:
            async with asyncio.timeout(self._limits.wall_seconds + GRACE_SECONDS):
                return await self._reply()
        except asyncio.IncompleteReadError as error:
            if self._killed:
                raise WorkerLost("the sandbox has been closed") from error
            # The program has begun, and something has ended its watcher: were that no failure, then programs would.
            self.reusable = False
            return RunResult("killed", None, "", "", 0.0)
        except TimeoutError:
            self.reusable = False
            return RunResult("timeout", None, "", "", self._limits.wall_seconds + GRACE_SECONDS)

    async def _send(self, data: bytes) -> None:
        self._stdin.write(data)
        await self._stdin.drain()

    async def _read(self, count: int) -> bytes:
        return await self._stdout.readexactly(count)

    async def _reply(self) -> RunResult:
        status, code, seconds, *lengths = frames.REPLY.unpack(await self._read(frames.REPLY.size))
        stdout, stderr = [(await self._read(length)).decode(errors="replace") for length in lengths]
        return RunResult(frames.STATUSES[status], None if code == frames.NO_CODE else code, stdout, stderr, seconds)

    def kill(self) -> None:
        """End the sandbox with everything in it. Does not wait."""
        if self._killed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            if self._supervisor is None:
                self._process.kill()
            else:
                signal.pidfd_send_signal(self._supervisor, signal.SIGKILL)
        if self._supervisor is not None:
            os.close(self._supervisor)

    async def last_words(self) -> str:
        """End it, wait until bubblewrap has ended (it does after everything inside has), and return what it printed."""
        self.kill()
        self._stdin.close()
        _, words = await self._process.communicate()
        return words[: 1 << 14].decode(errors="replace").strip()
