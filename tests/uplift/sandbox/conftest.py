"""Callers of the sandbox: this user, and, where this is root, an ordinary one; and what bubblewrap allows here."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
ORDINARY_UID = 65534


def load(name: str) -> ModuleType:
    """A module of this folder."""
    spec = importlib.util.spec_from_file_location(f"sandbox_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def giving_up(process: subprocess.Popen[str], seconds: float = 120.0) -> Iterator[None]:
    """A caller that hangs is killed, and its test fails."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who calls the sandbox, with what."""

    name: str
    uid: int
    python: str
    folder: str
    single_use: bool

    @contextlib.contextmanager
    def sandbox(
        self, limits: dict[str, Any], programs: dict[str, tuple[str, str]], **environment: str
    ) -> Iterator[Any]:
        """Run programs, eight at once; yields (process, results) while the sandbox is still open."""
        order = {"limits": limits, "programs": programs, "single_use": self.single_use, "workers": 8}
        with (
            subprocess.Popen(
                [self.python, "-X", "dev", "-W", "error", "drive.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": self.folder, **environment},
                **({} if self.uid == os.geteuid() else {"user": self.uid, "group": self.uid, "extra_groups": []}),
            ) as process,
            giving_up(process),
        ):
            print(json.dumps(order), file=process.stdin, flush=True)
            line = process.stdout.readline()
            assert line, f"the caller failed as {self.name}"
            yield process, json.loads(line)


def interpreter_for(uid: int) -> str:
    """An interpreter that the user may start; this one's may lie in root's home."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", check], user=uid, group=uid, extra_groups=[], check=True)
            return python
    pytest.skip("no Python 3.11 that an ordinary user may start")


@pytest.fixture(scope="session")
def copied_project() -> Iterator[str]:
    """The sandbox where every user can read it."""
    with tempfile.TemporaryDirectory(prefix="tracelift-test-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        target = Path(folder, "rm", "uplift", "sandbox")
        shutil.copytree(PROJECT / "rm" / "uplift" / "sandbox", target, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "rm" / "errors.py", Path(folder, "rm"))
        Path(folder, "rm", "__init__.py").touch()  # a regular package, or an installed one would be found instead
        shutil.copy(HERE / "drive.py", folder)
        yield folder


@pytest.fixture(scope="session")
def needs_bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")


CALLERS = ["this user", "this user, single use", "ordinary user", "ordinary user, single use"]


@pytest.fixture(scope="session", params=CALLERS)
def caller(request: pytest.FixtureRequest, copied_project: str, needs_bubblewrap: None) -> Caller:
    """This user and an ordinary one, each with workers for many runs and with workers for one."""
    single_use = request.param.endswith("single use")
    if request.param.startswith("this"):
        return Caller(request.param, os.geteuid(), sys.executable, copied_project, single_use)
    if os.geteuid() != 0:
        pytest.skip("this user is an ordinary one")
    return Caller(request.param, ORDINARY_UID, interpreter_for(ORDINARY_UID), copied_project, single_use)
