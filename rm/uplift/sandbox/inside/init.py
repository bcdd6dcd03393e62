"""The first process of a run: trusted. It starts the program, watches it, ends everything, and tells what came of it.

As pid 1 of its namespace it cannot be signalled by the program, inherits every orphan, and takes all down with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rm.uplift.sandbox.inside import frames, kernel, program
from rm.uplift.sandbox.runs import Limits, Status

LOOK_SECONDS = 0.02
"""Between two looks at what a run uses."""
INODES = 8192
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Ending:
    """How the program ended: by itself with a wait status, or ended by the watcher for a reason."""

    wait_status: int | None = None
    reason: Status = "killed"


def make_room(limits: Limits) -> None:
    """Own mounts for the run: a /proc of its own processes only, an empty /tmp."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("proc", "/proc", "proc", quiet | kernel.MS_NOEXEC)
    kernel.mount("tmpfs", "/tmp", "tmpfs", quiet, f"size={limits.tmp_bytes},nr_inodes={INODES},mode=1777")


def serve(requests: int, replies: int, limits: Limits, uid: int) -> Callable[[], None]:
    """Serve one request and exit. Returns only in the program's process: what it is to run.

    That process stands ready, with every right given up, before there is a request: what it takes to make one is spent
    while the caller looks at the result of the run before.
    """
    files = [os.memfd_create(name) for name in ("source", "stdin", "stdout", "stderr")]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    ready, tell_ready = os.pipe()
    go, tell_go = os.pipe()
    child = os.fork()
    if child == 0:
        return program.enter(files, (go, tell_ready), limits, uid)
    os.close(tell_ready)
    if not os.read(ready, 1):  # it failed before anything untrusted ran
        sys.stderr.write(os.pread(files[3], 1 << 16, 0).decode(errors="replace"))
        sys.stderr.flush()
        os._exit(1)
    take_request(requests, files[0], files[1])
    frames.write_all(replies, frames.STARTED)
    start = time.monotonic()
    os.write(tell_go, b"G")
    ending = watch(child, files[2:], replies, limits)
    seconds = time.monotonic() - start
    end_everything()
    reply(replies, ending, seconds, [read_output(file, limits) for file in files[2:]], limits)
    os._exit(0)


def take_request(requests: int, source: int, stdin: int) -> None:
    """Wait for a request, and put its two parts into files, each to be read from its start."""
    lengths = frames.REQUEST.unpack(frames.read_exactly(requests, frames.REQUEST.size))
    for file, length in zip((source, stdin), lengths, strict=True):
        frames.write_all(file, frames.read_exactly(requests, length))
        os.lseek(file, 0, os.SEEK_SET)


def watch(child: int, outputs: list[int], replies: int, limits: Limits) -> Ending:
    """Wait until the program ends or uses too much, or nobody is left to be told."""
    start, used_before = time.monotonic(), cpu_of_dead()
    caller = None
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, LOOK_SECONDS)
        status = reap(child)
        if status is not None:
            return Ending(wait_status=status)
        if caller is None:  # most programs end before the first look
            caller, floor = select.poll(), own_resident()
            caller.register(replies, 0)
        if caller.poll(0):
            return Ending(reason="killed")
        cpu, resident = usage(floor)
        if time.monotonic() - start > limits.wall_seconds or cpu + cpu_of_dead() - used_before > limits.cpu_seconds:
            return Ending(reason="timeout")
        if resident > limits.memory_bytes:
            return Ending(reason="memory")
        if any(os.fstat(file).st_size > limits.output_bytes for file in outputs):
            return Ending(reason="output")


def reap(child: int) -> int | None:
    """Bury all that have ended, orphans too; the child's wait status if it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in (0, child):
            return status if pid else None


def cpu_of_dead() -> float:
    """Processor seconds of the processes buried so far."""
    times = os.times()
    return times.children_user + times.children_system


def own_resident() -> int:
    """Bytes that a process has in common with the supervisor from the start."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE


def usage(floor: int) -> tuple[float, int]:
    """Processor seconds and resident bytes (beyond `floor` each) of all processes of the run but this one."""
    ticks = resident = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                values = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, values[11:15]))  # utime, stime, and those of its dead children
        resident += max(0, int(values[21]) * PAGE - floor)
    return ticks / TICKS, resident


def end_everything() -> None:
    """Kill every process of the namespace but this one, and bury them all."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def read_output(file: int, limits: Limits) -> bytes:
    """One byte more than allowed shows that there was more."""
    parts, offset = [], 0
    while part := os.pread(file, limits.output_bytes + 1 - offset, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def judge(ending: Ending, outputs: list[bytes], limits: Limits) -> tuple[Status, int | None]:
    """Status and exit code."""
    if ending.wait_status is None:
        return ending.reason, None
    code = os.waitstatus_to_exitcode(ending.wait_status)
    if code == -signal.SIGXCPU:
        return "timeout", None
    if any(len(output) > limits.output_bytes for output in outputs):
        return "output", code
    if code > 0 and outputs[1].rstrip().rpartition(b"\n")[2].startswith(b"MemoryError"):
        return "memory", code
    return ("killed" if code < 0 else "exited"), code


def reply(replies: int, ending: Ending, seconds: float, outputs: list[bytes], limits: Limits) -> None:
    status, code = judge(ending, outputs, limits)
    outputs = [output[: limits.output_bytes] for output in outputs]
    head = frames.REPLY.pack(
        frames.STATUSES.index(status), frames.NO_CODE if code is None else code, seconds, *map(len, outputs)
    )
    frames.write_all(replies, head + b"".join(outputs))
