"""The system calls that Python has no function for. Each raises OSError where the kernel refuses."""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = (
    1,
    4,
    22,
    24,
    38,
    47,
)
SECCOMP_MODE_FILTER = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITIES = 64
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def prctl(option: int, first: int = 0, second: object = None) -> None:
    unused = ctypes.c_ulong(0)
    pointer = ctypes.c_void_p(0) if second is None else second
    _checked(libc.prctl(option, ctypes.c_ulong(first), pointer, unused, unused), f"prctl({option})")


def unshare(flags: int) -> None:
    _checked(libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    _checked(libc.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (text.encode() for text in (source, target, kind))
    _checked(libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def hide_from_tracing(hidden: bool) -> None:
    """A process that is not dumpable cannot be traced, nor its memory and descriptors be opened through /proc."""
    prctl(PR_SET_DUMPABLE, 0 if hidden else 1)


def shrink_bounding_set() -> None:
    """No execve may give a capability from here on. What the process holds already, it keeps."""
    for capability in range(CAPABILITIES):
        libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability))  # fails beyond the last one, and where there is none


def drop_capabilities() -> None:
    """All sets, for good (no_new_privs is on)."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _checked(libc.capset(struct.pack("Ii", CAPABILITY_VERSION_3, 0), bytes(24)), "capset")
