"""Runs `tracelift-rm` commands as processes of their own, some of which kill themselves at a given moment.

    python processes.py < jobs.json

A job is {"argv": [..], "processes": 1, "kill": [moment, n]}: so many processes as `torchrun` would start, each
sent SIGKILL by itself when it comes to the moment for the n-th time. All are forked from this one, so torch is
loaded once. Prints the exit codes of each job as one JSON line: [[0, 0], [-9]].
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import rm.train.run  # noqa: F401 - loaded before the forks
from rm.cli.main import main
from rm.train.trainer import GroupTrainer


def trainer_of(job: dict[str, Any]) -> type:
    """The class that does a job's training."""
    if job["argv"][0] == "planner":
        from rm.planner.grpo import PlannerTrainer

        return PlannerTrainer
    return GroupTrainer


def kill_at(moment: str, n: int, trainer: type) -> None:
    """Make this process end, as by `kill -9`, at the n-th time of `moment`."""
    left = n

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: type, name: str, applies: Any = lambda *args: True) -> None:
        original = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if applies(*args):
                count()
            return original(*args, **kwargs)

        setattr(owner, name, wrapper)

    if moment == "before a step":
        before(trainer, "training_step")
    elif moment == "weights are saved, the optimizer is not":
        before(trainer, "_save_optimizer_and_scheduler")
    elif moment == "all is saved, the marker is not":
        before(Path, "write_text", lambda path, *_: path.name == "complete.json")
    elif moment == "the final model is written, not renamed":
        before(Path, "rename", lambda path, *_: path.name.startswith(".model."))
    elif moment == "the best model is written, not renamed":
        before(Path, "rename", lambda path, *_: path.name.startswith(".best-"))
    elif moment == "the best model is renamed, the old one is there":
        before(shutil, "rmtree", lambda path, *_: Path(path).name.startswith("best-") and Path(path).exists())
    else:
        raise ValueError(f"no such moment: {moment}")


def start(job: dict[str, Any], rank: int, port: int) -> int:
    """Fork one process of a job. Returns its id."""
    pid = os.fork()
    if pid:
        return pid
    os.dup2(2, 1)  # stdout is for the exit codes
    count = job.get("processes", 1)
    if count > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ.update({key: str(value) for key, value in place.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if "kill" in job:
        kill_at(*job["kill"], trainer_of(job))
    code = main(job["argv"])
    sys.stderr.flush()
    os._exit(code)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run(job: dict[str, Any]) -> list[int]:
    port = free_port()
    pids = [start(job, rank, port) for rank in range(job.get("processes", 1))]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    for each in jobs:
        trainer_of(each)  # loaded before the forks, too
    print(json.dumps([run(job) for job in jobs]))
