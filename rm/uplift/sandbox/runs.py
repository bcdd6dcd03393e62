"""What a run may use, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from rm.errors import ConfigError

Status = Literal["exited", "timeout", "memory", "output", "killed", "failed_to_start"]
LEAST_MEMORY = 64 << 20
"""Below this an interpreter does not start."""


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    Args:
        cpu_seconds: processor time of all its processes together.
        wall_seconds: time from its first line to its end.
        memory_bytes: address space of each process; resident memory of all together.
        processes: processes and threads at a time, the program itself among them.
        file_bytes: size of a file that it writes.
        output_bytes: of stdout and of stderr each; the rest is cut off, and a run that prints more has status `output`.
        tmp_bytes: all files in its /tmp together (held in memory).

    Raises:
        ConfigError: a limit is not positive, or too small for an interpreter to start.
    """

    cpu_seconds: float = 2.0
    wall_seconds: float = 4.0
    memory_bytes: int = 1 << 30
    processes: int = 16
    file_bytes: int = 16 << 20
    output_bytes: int = 1 << 20
    tmp_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        problems = [
            f"sandbox limit {field.name} = {getattr(self, field.name)!r}, expected a positive number."
            for field in fields(self)
            if not getattr(self, field.name) > 0
        ]
        if 0 < self.memory_bytes < LEAST_MEMORY:
            problems.append(f"sandbox limit memory_bytes = {self.memory_bytes}, expected at least {LEAST_MEMORY}.")
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True)
class RunResult:
    """What came of one run.

    Args:
        status: `exited` by itself (look at `exit_code`); ended for `timeout` (processor or wall time), `memory` or
            `output`; `killed` by a signal; `failed_to_start`: our fault, it says nothing about the program.
        exit_code: as the program gave it; minus the signal where one killed it; `None` where it was ended.
        stdout, stderr: what it printed, cut to `Limits.output_bytes`; bytes that are not UTF-8 are replaced. Of a run
            that failed to start, `stderr` says why.
        seconds: wall time of the program.
    """

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """The program ran to its end and left with exit code 0."""
        return self.status == "exited" and self.exit_code == 0
