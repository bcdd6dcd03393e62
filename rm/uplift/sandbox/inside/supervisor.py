"""The first process of a sandbox: warm, trusted, and never in touch with a program's data.

Arguments: the limits as JSON; the user id for programs, 0 where they keep the supervisor's (which is then not root).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import site
import sys
from collections.abc import Callable

from rm.uplift.sandbox.inside import frames, init, kernel, seccomp
from rm.uplift.sandbox.runs import Limits

WARM = "bisect collections copy datetime decimal fractions functools heapq itertools json math random re string typing"
"""Imported ahead, since programs import them most; a program still has to import what it uses."""


def main() -> Callable[[], None]:
    """Serve until the caller goes. Returns only in the forked process that is to be the program: what that runs."""
    limits, uid = Limits(**json.loads(sys.argv[1])), int(sys.argv[2])
    requests, replies = take_channel()
    warm_up()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which pid 1 does not get; Python's own handler it would
    home = os.open("/proc/self/ns/pid", os.O_RDONLY)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # when bubblewrap is killed
    kernel.shrink_bounding_set()
    kernel.hide_from_tracing(True)
    if not can_nest(home, limits):
        frames.write_all(replies, frames.SINGLE_USE)
        return init.serve(requests, replies, limits, uid)
    frames.write_all(replies, frames.REUSABLE)
    while True:
        run = fork_apart(home)
        if run == 0:
            init.make_room(limits)
            return init.serve(requests, replies, limits, uid)
        if os.waitpid(run, 0)[1] != 0:
            sys.exit(1)  # the channel may hold half a message; the caller knows whether the program had begun


def take_channel() -> tuple[int, int]:
    """Move the channel away from the descriptors 0 and 1, onto which nothing is to print by accident."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return requests, replies


def warm_up() -> None:
    for module in WARM.split():
        importlib.import_module(module)
    seccomp.prepared()
    site.setquit()  # exit and quit, which come from site and which programs use
    os.environ.clear()
    gc.freeze()  # the collector leaves alone what all forks share


def fork_apart(home: int) -> int:
    """Fork a child that is the first process of a new pid namespace; `home` is the supervisor's own."""
    kernel.unshare(kernel.CLONE_NEWPID)
    child = os.fork()
    if child:
        kernel.setns(home, kernel.CLONE_NEWPID)
    return child


def can_nest(home: int, limits: Limits) -> bool:
    """Whether the host allows a sandbox namespaces of its own (some security modules do not): try it once."""
    try:
        child = fork_apart(home)
    except OSError:
        return False
    if child == 0:
        try:
            init.make_room(limits)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
