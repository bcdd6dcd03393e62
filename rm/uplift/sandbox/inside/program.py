"""The process that becomes the program: takes every right away from itself, then runs the source as `__main__`."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import functools
import gc
import math
import os
import resource
import signal
import sys
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rm.uplift.sandbox.inside import frames, kernel, seccomp
from rm.uplift.sandbox.runs import Limits

TRUSTED_TASKS = 2
"""Supervisor and init, which count towards RLIMIT_NPROC where they have the program's user id."""
OPEN_FILES = 64
FILE = "main.py"
LOST_OUTPUT = 120
"""Exit code of an interpreter that could not write out what was printed."""


def enter(files: list[int], gate: tuple[int, int], limits: Limits, uid: int) -> Callable[[], None]:
    """Give up all rights, wait for the word, and return what is left to run.

    Args:
        files: the program's source, and what become its stdin, stdout and stderr; the first two are filled by the time
            it may go.
        gate: (read end, write end) of two pipes to init: one for the word to go, one to say that all is ready.
        limits: on the program.
        uid: user id to take; 0: keep the own one.

    Raises:
        OSError: the kernel refuses a step; nothing untrusted has run.
    """
    os.setsid()
    source, *standard = files
    for target, file in enumerate(standard):
        os.dup2(file, target)
    go, tell_ready, source = move_to((3, 4, 5), (*gate, source))
    os.closerange(6, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/tmp")
    set_limits(limits, limits.processes + (0 if uid else TRUSTED_TASKS))
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    kernel.drop_capabilities()
    kernel.hide_from_tracing(False)
    score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(score, b"1000")  # if memory runs out, then it goes first
    os.close(score)
    main = new_main()
    seccomp.install()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.write(tell_ready, b"R")
    os.close(tell_ready)
    if not os.read(go, 1):
        os._exit(1)
    os.close(go)
    text = frames.read_exactly(source, os.fstat(source).st_size)
    os.close(source)
    return functools.partial(run, text, main)


def move_to(targets: Sequence[int], descriptors: Sequence[int]) -> list[int]:
    """The same open files under other numbers, however the two sets overlap."""
    high = [os.dup2(descriptor, 100 + place) for place, descriptor in enumerate(descriptors)]
    return [os.dup2(descriptor, target) for descriptor, target in zip(high, targets, strict=True)]


def set_limits(limits: Limits, tasks: int | None) -> None:
    """Hard limits of this process and its children; `tasks` counts all of its user's (`None`: no limit)."""
    cpu = math.ceil(limits.cpu_seconds)
    values = {
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_AS: limits.memory_bytes,
        # stdout and stderr are files too: they may hold one byte more than is passed on
        resource.RLIMIT_FSIZE: max(limits.file_bytes, limits.output_bytes + 1),
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if tasks is not None:
        values[resource.RLIMIT_NPROC] = tasks
    for kind, value in values.items():
        hard = resource.getrlimit(kind)[1]
        ceiling = value + 1 if kind == resource.RLIMIT_CPU else value  # SIGXCPU, and a second later SIGKILL
        if hard != resource.RLIM_INFINITY:
            value, ceiling = min(value, hard), min(ceiling, hard)
        resource.setrlimit(kind, (value, ceiling))


def run(source: bytes, main: types.ModuleType) -> NoReturn:
    """Run `source` as `main`, which is fresh, and end the process, the way `python main.py` does."""
    with contextlib.suppress(OSError), open(FILE, "wb") as file:  # for tracebacks and inspect; it may be too long
        file.write(source)
    code = 0
    try:
        exec(compile(source, main.__file__ or FILE, "exec", dont_inherit=True), vars(main))
    except SystemExit as leaving:
        code = exit_code(leaving.code)
    except BaseException as error:  # noqa: BLE001 - all that the program may raise, told as the interpreter would
        error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)  # without this frame
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    finish(vars(main), code)


def exit_code(value: object) -> int:
    """What the interpreter makes of the argument of SystemExit."""
    if value is None or isinstance(value, int):
        return (value or 0) & 0xFF
    print(value, file=sys.stderr)
    return 1


def finish(names: dict[str, Any], code: int) -> NoReturn:
    """Threads, exit functions, finalizers, streams: what the interpreter does at its end, in its order.

    Its own way would touch every page that is shared with the supervisor: twice the processor time of the whole run.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads; the interpreter calls it
    atexit._run_exitfuncs()
    private = [name for name in names if name.startswith("_") and not name.startswith("__")]
    for name in (*private, *names):
        if name != "__builtins__":
            names[name] = None
    gc.collect()
    for stream in (sys.stdout, sys.__stdout__, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception:  # noqa: BLE001 - it may be the program's own object
            code = code or LOST_OUTPUT
    os._exit(code)


def new_main() -> types.ModuleType:
    """An interpreter that looks new: own streams, arguments, path and `__main__`; none of our modules."""
    for name in [name for name in sys.modules if name == "rm" or name.startswith("rm.")]:
        del sys.modules[name]
    here = os.getcwd()
    sys.argv = [FILE]
    sys.path[0] = here
    errors = "backslashreplace"
    streams = {
        "stdin": open(0, encoding="utf-8", closefd=False),  # noqa: SIM115 - all three stay open for the program
        "stdout": open(1, "w", encoding="utf-8", closefd=False),  # noqa: SIM115
        "stderr": open(2, "w", encoding="utf-8", errors=errors, buffering=1, closefd=False),  # noqa: SIM115
    }
    for name, stream in streams.items():
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    main = types.ModuleType("__main__")
    main.__file__ = os.path.join(here, FILE)
    vars(main)["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main
