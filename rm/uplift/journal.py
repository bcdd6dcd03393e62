"""What a measurement leaves in its work file (`rm.workfile`).

Judged runs of both arms and log-likelihoods as they come, and of each finished trace a result, forced to the disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Literal

from rm.uplift.results import TraceResult
from rm.uplift.runs import Run, Slot
from rm.workfile import WorkFile

FORMAT = 2

Place = tuple[str, int | None]
"""Problem and trace; None for the problem's baseline."""
LogName = Literal["answer", "masked"]
"""Which log-likelihood of a place: that of the answer, or that after the trace with the answer masked."""


class Journal(WorkFile):
    """Opens or makes the work file, and holds what an interrupted run left in it.

    Args:
        output: the results file to be.
        identity: everything that decides the results, as JSON values; compared with the header.

    Attributes:
        results: of finished traces.
        slots: judged runs, by place and index.
        logs: log-likelihoods in nats, by place and which one.

    Raises:
        ConfigError, RunError: as `WorkFile`.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any]) -> None:
        self.results: dict[Place, TraceResult] = {}
        self.slots: dict[Place, dict[int, Slot]] = {}
        self.logs: dict[tuple[Place, LogName], float] = {}
        super().__init__(output, identity, self._keep, version=FORMAT)

    def add_slots(self, place: Place, slots: Sequence[Slot]) -> None:
        """Keeps the judged ones. They outlive the process, not a failure of the machine."""
        kept = [[*astuple(slot.run), list(slot.failures)] for slot in slots if slot.run is not None]
        if kept:
            self.append({"of": place, "runs": kept})

    def add_log(self, place: Place, name: LogName, log: float) -> None:
        """Keeps a log-likelihood. Outlives the process, not a failure of the machine."""
        self.append({"of": place, "log": name, "nats": log})

    def add_result(self, place: Place, result: TraceResult) -> None:
        """Keeps a finished trace; `sync` makes sure of it."""
        self.append({"of": place, "result": result.as_row()})

    def _keep(self, row: Mapping[str, Any]) -> None:
        problem_id, trace = row["of"]
        place = (problem_id, trace)
        if "result" in row:
            self.results[place] = TraceResult.from_row(row["result"])
            return
        if "log" in row:
            self.logs[place, row["log"]] = row["nats"]
            return
        kept = self.slots.setdefault(place, {})
        for index, seed, passed, score, reason, failures in row["runs"]:
            kept[index] = Slot(index, Run(index, seed, passed, score, reason), tuple(failures))
