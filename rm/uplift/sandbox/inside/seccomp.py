"""A system call filter for the program: refuses what no honest program needs, as a small BPF program.

Most of it is refused by namespaces and missing capabilities as well; what only the filter stops is marked (*).
Numbers: asm/unistd_64.h for x86-64, asm-generic/unistd.h for arm64. Semantics: seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct

from rm.uplift.sandbox.inside import kernel

REFUSED = {  # name: (x86-64, arm64)
    # tracing and other processes' memory and descriptors
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    # namespaces and mounts (*: a user namespace would open much of the kernel to the program)
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    # (*) the caller's keyrings
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # (*) corners of the kernel with many holes
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    # (*) memory that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
}
CLONE, CLONE3, SOCKET, PRLIMIT = (56, 220), (435, 435), (41, 198), (302, 261)
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET | NEWNS."""
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine: column in the tables, AUDIT_ARCH."""
X32 = 0x40000000
AF_UNIX = 1

ALLOW, KILL_PROCESS, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
LOAD, RETURN, EQUAL, AT_LEAST, ANY_BIT = 0x20, 0x06, 0x15, 0x35, 0x45
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in struct seccomp_data; of the argument the low half (both machines are little-endian)."""


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def refuse(number: int) -> bytes:
    return instruction(RETURN, REFUSE | number)


def filter_program(machine: str) -> bytes:
    """The BPF instructions.

    Raises:
        KeyError: `machine` is none of MACHINES.
    """
    column, architecture = MACHINES[machine]
    allow, argument = instruction(RETURN, ALLOW), instruction(LOAD, FIRST_ARGUMENT)
    parts = [
        instruction(LOAD, ARCHITECTURE),
        instruction(EQUAL, architecture, 1, 0) + instruction(RETURN, KILL_PROCESS),
        instruction(LOAD, NUMBER),
        instruction(AT_LEAST, X32, 0, 1) + refuse(errno.ENOSYS),
    ]
    parts += [instruction(EQUAL, numbers[column], 0, 1) + refuse(errno.EPERM) for numbers in REFUSED.values()]
    parts += [
        # its flags lie in memory, where no filter sees them; the C library then falls back to clone
        instruction(EQUAL, CLONE3[column], 0, 1) + refuse(errno.ENOSYS),
        instruction(EQUAL, CLONE[column], 0, 4) + argument,
        instruction(ANY_BIT, NEW_NAMESPACES, 0, 1) + refuse(errno.EPERM) + allow,
        instruction(EQUAL, SOCKET[column], 0, 4) + argument,
        instruction(EQUAL, AF_UNIX, 1, 0) + refuse(errno.EACCES) + allow,
        instruction(EQUAL, PRLIMIT[column], 0, 4) + argument,  # (*) of oneself only: as one user it reaches the watcher
        instruction(EQUAL, 0, 1, 0) + refuse(errno.EPERM) + allow,
        allow,
    ]
    return b"".join(parts)


@functools.cache
def prepared() -> tuple[ctypes.c_char_p, ctypes.Array[ctypes.c_char]]:
    """The filter of this machine as prctl takes it (struct sock_fprog), and the instructions that it points to."""
    code = filter_program(os.uname().machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    return ctypes.c_char_p(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))), buffer


def install() -> None:
    """For this process and all that it starts; there is no way back."""
    program, _ = prepared()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, kernel.SECCOMP_MODE_FILTER, program)
