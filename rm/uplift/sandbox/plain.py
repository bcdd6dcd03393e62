"""Runs programs without a sandbox: plain processes with limits, for those who insist."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from rm.uplift.sandbox import bubblewrap
from rm.uplift.sandbox.runs import Limits, RunResult, Status

WARNING = (
    "Programs run WITHOUT A SANDBOX. A program can read and write all that you can, send it over the network, see and "
    "kill your other processes, read the expected outputs from this process's memory, leave processes behind, "
    "and fill memory and disk. Limits on processor time, memory, file size and open files are all there is."
)
START_SECONDS = 5.0
"""For an interpreter to start, on top of the wall limit."""
log = logging.getLogger(__name__)


class PlainProcesses:
    """A fresh interpreter and a fresh folder for every run, as many as `workers` at once."""

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits = limits
        self._free = asyncio.Semaphore(workers)
        self._trusted: tempfile.TemporaryDirectory[str] | None = None

    async def start(self) -> None:
        """Say what is not stopped, and lay out the starter."""
        log.warning(WARNING)
        self._trusted = tempfile.TemporaryDirectory(prefix="tracelift-plain-")
        for name in bubblewrap.TRUSTED:
            source, target = bubblewrap.PROJECT / name, Path(self._trusted.name, name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)

    async def close(self) -> None:
        if self._trusted is not None:
            self._trusted.cleanup()

    async def run(self, source: str, stdin: str) -> RunResult:
        """Run one program in a folder of its own; its process group is killed at the end."""
        if self._trusted is None:
            raise RuntimeError("the sandbox has not been started")
        async with self._free:
            with tempfile.TemporaryDirectory(prefix="run-", dir=self._trusted.name, ignore_cleanup_errors=True) as name:
                folder = Path(name)
                (folder / "source").write_bytes(source.encode(errors="surrogatepass"))
                (folder / "stdin").write_bytes(stdin.encode(errors="surrogatepass"))
                return await self._run_in(folder, self._trusted.name)

    async def _run_in(self, folder: Path, trusted: str) -> RunResult:
        work = folder / "work"
        work.mkdir()
        command = bubblewrap.interpreter(trusted, "plain", self._limits, 0)
        names = (folder / "stdin", folder / "out", folder / "err")
        with names[0].open("rb") as stdin, names[1].open("wb") as out, names[2].open("wb") as err:
            start = time.monotonic()
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=stdin,
                    stdout=out,
                    stderr=err,
                    env=bubblewrap.ENVIRONMENT,
                    cwd=work,
                    start_new_session=True,
                )
            except OSError as error:
                return RunResult("failed_to_start", None, "", str(error), 0.0)
        late = False
        try:
            async with asyncio.timeout(self._limits.wall_seconds + START_SECONDS):
                await process.wait()
        except TimeoutError:
            late = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        outputs = [name.read_bytes() for name in names[1:]]
        return self._result(None if late else process.returncode, outputs, time.monotonic() - start)

    def _result(self, code: int | None, outputs: list[bytes], seconds: float) -> RunResult:
        limit = self._limits.output_bytes
        status: Status = "exited"
        if code is None or code == -signal.SIGXCPU:
            status, code = "timeout", None
        elif any(len(output) > limit for output in outputs):
            status = "output"
        elif code > 0 and outputs[1].rstrip().rpartition(b"\n")[2].startswith(b"MemoryError"):
            status = "memory"
        elif code < 0:
            status = "killed"
        stdout, stderr = (output[:limit].decode(errors="replace") for output in outputs)
        return RunResult(status, code, stdout, stderr, seconds)
