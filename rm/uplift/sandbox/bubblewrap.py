"""The command that puts a supervisor into a sandbox: what it sees, and what it may."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rm.errors import ConfigError
from rm.uplift.sandbox.inside import seccomp
from rm.uplift.sandbox.runs import Limits

LIBRARIES = tuple(f"{top}/{name}" for top in ("", "/usr", "/usr/local") for name in ("lib", "lib32", "lib64"))
READABLE = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/nix/store")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/shm": "/tmp",
}
PROJECT = Path(__file__).parents[3]
TRUSTED = ("rm/errors.py", "rm/uplift/sandbox/runs.py", "rm/uplift/sandbox/inside")
"""Of the project, all that the inside needs."""
TRUSTED_AT = "/trusted"
START = "import sys; sys.path.insert(0, {path!r}); from rm.uplift.sandbox.inside.{module} import main; main()()"
ENVIRONMENT = {"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"}
"""So that a program that prints a set prints the same twice; and symbols are bound once, not in every fork."""
NEEDED_KERNEL = (5, 14)
"""RLIMIT_NPROC counts within a user namespace, not all processes of the user, from this version on."""
ADVICE = "Or allow plain processes without any wall around them, if you trust the programs (unsafe_subprocess)."


@dataclass(frozen=True)
class Bubblewrap:
    """A bubblewrap that is installed.

    Args:
        path: of the program.
        sizes: it can limit the size of a tmpfs (0.7 and later).
    """

    path: str
    sizes: bool

    def command(self, limits: Limits, uid: int, info: int) -> list[str]:
        """A sandbox with a supervisor in it.

        Args:
            limits: on every run.
            uid: user id for the programs, 0 for the caller's; root has to give one.
            info: descriptor on which bubblewrap tells the process id of the supervisor.

        Not --die-with-parent: killed while it starts, bubblewrap leaves a child that waits for it for ever. Supervisor
        and init see by themselves that the caller has gone, or bubblewrap.
        """
        rights = ["SYS_ADMIN", "SETPCAP", "KILL", *(["SETUID", "SETGID"] if uid else [])]
        options = [
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *([] if uid else ["--unshare-user", "--uid", "65534", "--gid", "65534"]),
            *("--new-session", "--as-pid-1", "--info-fd", str(info)),
            *("--cap-drop", "ALL", *(word for right in rights for word in ("--cap-add", f"CAP_{right}"))),
            *("--hostname", "sandbox"),
            *visible(),
            *(["--size", str(limits.tmp_bytes)] if self.sizes else []),
            *("--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/", "--remount-ro", "/"),
        ]
        return [self.path, *options, "--", *interpreter(TRUSTED_AT, "supervisor", limits, uid)]


def find() -> Bubblewrap:
    """The bubblewrap of this machine.

    Raises:
        ConfigError: none, or the machine cannot carry a sandbox.
    """
    if sys.platform != "linux" or platform.machine() not in seccomp.MACHINES:
        raise ConfigError(f"The sandbox runs on Linux on {' or '.join(seccomp.MACHINES)} only. {ADVICE}")
    kernel = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in platform.release().split(".")[:2])
    if os.geteuid() != 0 and kernel < NEEDED_KERNEL:
        raise ConfigError(f"The sandbox of an ordinary user needs Linux 5.14, this is {platform.release()}. {ADVICE}")
    if base_python().startswith("/tmp/"):
        raise ConfigError(
            f"The sandbox has a /tmp of its own, which hides {base_python()}. Use another Python. {ADVICE}"
        )
    path = shutil.which("bwrap")
    if path is None:
        raise ConfigError(f"The sandbox needs bubblewrap: apt-get install bubblewrap, or your system's way. {ADVICE}")
    help_text = subprocess.run([path, "--help"], capture_output=True, text=True, check=False).stdout
    for option in ("--as-pid-1", "--info-fd", "--cap-add", "--perms"):
        if option not in help_text:
            raise ConfigError(f"{path} is too old: it does not know {option}. It takes bubblewrap 0.5. {ADVICE}")
    return Bubblewrap(path, sizes="--size" in help_text)


def interpreter(path: str, module: str, limits: Limits, uid: int) -> list[str]:
    """A Python that starts `module` of the inside, found under `path`."""
    options = ["-s", "-S", "-P", "-B", "-X", "utf8"]
    start = START.format(path=path, module=module)
    return [base_python(), *options, "-c", start, json.dumps(dataclasses.asdict(limits)), str(uid)]


def base_python() -> str:
    """The interpreter behind a virtual environment, or the one that runs."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def visible() -> Iterator[str]:
    """Options: all that is there to see. Read-only, all of it."""
    python = base_python()
    prefix = [f"{sys.base_prefix}/lib", f"{sys.base_prefix}/lib64", str(Path(os.__file__).parent), python]
    shown: list[Path] = []
    for name in (*LIBRARIES, *READABLE, *prefix):
        path = Path(name)
        if any(path.is_relative_to(other) for other in shown) or not path.exists():
            continue
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), name)
        else:
            shown.append(path)
            for parent in reversed(path.parents[:-1]):
                yield from ("--dir", str(parent))  # or it gets the mode of the host's, which may let nobody pass
            yield from ("--ro-bind", name, name)
    for packages in installed_packages(shown):
        yield from ("--tmpfs", str(packages), "--remount-ro", str(packages))
    for name in TRUSTED:
        yield from ("--ro-bind", str(PROJECT / name), f"{TRUSTED_AT}/{name}")
    yield from ("--proc", "/proc", "--dir", "/dev")
    for name in DEVICES:
        yield from ("--dev-bind", name, name)
    for name, target in LINKS.items():
        yield from ("--symlink", target, name)


def installed_packages(shown: list[Path]) -> list[Path]:
    """Folders of installed packages, to be hidden: a program has the standard library only, on every machine."""
    patterns = ("python3*/*-packages", "lib/python3*/*-packages")
    found = {folder.resolve() for top in shown for pattern in patterns for folder in top.glob(pattern)}
    return sorted(folder for folder in found if folder.is_dir())


def spare_uid(slot: int) -> int:
    """A user id that nobody has, for root to give away; 0 for an ordinary user, whose programs keep the own one.

    The number of processes is counted by user, so that two sandboxes must not share one. Taken from the upper end of
    the ids that this user namespace knows, by process and `slot`.
    """
    if os.geteuid() != 0:
        return 0
    rows = [tuple(map(int, row.split())) for row in Path("/proc/self/uid_map").read_text("ascii").splitlines()]
    first, _, count = max(rows, key=lambda row: row[2])
    room = max(1, min(count // 2, 1 << 28))
    return first + count - 2 - (os.getpid() * 64 + slot % 64) % room
