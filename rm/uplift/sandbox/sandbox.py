"""The door to the sandbox; the package's docstring says what it stops and what it does not."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rm.errors import ConfigError
from rm.uplift.sandbox.plain import PlainProcesses
from rm.uplift.sandbox.pool import Pool
from rm.uplift.sandbox.runs import Limits, RunResult


class Sandbox:
    """Runs untrusted Python programs, several at once. An async context manager, for one event loop.

    Args:
        limits: on every run.
        workers: runs at once; one a processor core is a good number.
        unsafe_subprocess: plain processes with limits and no walls, also where a sandbox could be had. A program can
            then do whatever the caller can.

    Raises:
        ConfigError: fewer than one worker.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 2, unsafe_subprocess: bool = False) -> None:
        if workers < 1:
            raise ConfigError(f"sandbox workers = {workers}, expected at least 1.")
        kind = PlainProcesses if unsafe_subprocess else Pool
        self._started = False
        self._runner: Pool | PlainProcesses = kind(limits or Limits(), workers)

    async def start(self) -> None:
        """Raises ConfigError where this machine carries no sandbox, with what to do about it."""
        await self._runner.start()
        self._started = True

    async def close(self) -> None:
        """End every run. No process and no file is left. Nothing may be run after it."""
        await self._runner.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, source: str, stdin: str = "") -> RunResult:
        """Run `source` as `__main__` of a fresh process that reads `stdin`.

        Waits for a free worker first. A run that is cancelled is killed.

        Returns:
            What came of it; `failed_to_start` where, twice, no worker could be had: all else is the program's doing.

        Raises:
            RuntimeError: the sandbox has not been started.
        """
        if not self._started:
            raise RuntimeError("start the sandbox first: async with Sandbox() as sandbox")
        return await self._runner.run(source, stdin)
