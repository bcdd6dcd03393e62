"""`samples.jsonl`: completions of a run with their rewards, part by part, as they were learned from.

A line a completion: the step, its place in the group, the problem row, the completion, and the reward result (the row
of INTERFACES). Whole groups are kept, the first of each step.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rm.reward.items import COMPLETION
from rm.reward.parts import RewardResult
from rm.reward.reasoning import Form, extract_reasoning
from rm.train.tracking import drop_later_lines
from rm.uplift.meter import FailureLimit, Watch

SAMPLES = "samples.jsonl"
PREFIX = "tracelift"
"""Of the reward and its parts in the log, whatever the formula, so that runs can be laid over each other."""
ODD_FORMS: tuple[Form, ...] = ("untagged", "unclosed", "doubled", "empty")
"""Forms of a completion that are logged; `tagged` and `unopened` (after a prompt that opens the tag) are usual."""

Record = dict[str, Any]


@dataclass
class Intake:
    """What the reward function of one process has been told and nobody has taken yet.

    Args:
        limit: when too little can be measured to go on.
    """

    limit: FailureLimit
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._watch = Watch("rewards could not be measured", self.limit)

    def add(self, items: Sequence[Mapping[str, Any]], results: Sequence[RewardResult]) -> None:
        """Keeps them. Raises: RunError where too many of the latest rewards could not be measured."""
        for item, result in zip(items, results, strict=True):
            self.records.append({"item": dict(item), "result": result.as_row()})
            if result.reward is None:
                self._watch.came_to_nothing("; ".join(result.failures) or "no reason given")
            else:
                self._watch.came()

    def take(self) -> list[Record]:
        """All of them, once."""
        taken, self.records = self.records, []
        return taken


def odd_forms(completions: Sequence[str]) -> dict[str, float]:
    """Share of the completions in each odd form."""
    counts = Counter(extract_reasoning(completion).form for completion in completions)
    return {form: counts[form] / len(completions) for form in ODD_FORMS}


class SampleFile:
    """Appends the samples of a run, on the process that holds it.

    Args:
        directory: of the run.
        per_step: completions kept of a step, in whole groups; 0 for none.
        group: completions in a group.
    """

    def __init__(self, directory: Path, per_step: int, group: int) -> None:
        self.path = directory / SAMPLES
        self._kept = -(-per_step // group) * group
        self._group = group

    def add(self, step: int, records: Sequence[Record]) -> None:
        """Keeps the first whole groups of a step's completions, which stand group after group."""
        lines = [
            json.dumps({"step": step, "group": index // self._group, "member": index % self._group, **record})
            for index, record in enumerate(records[: self._kept])
        ]
        if lines:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))

    def go_back_to(self, step: int) -> None:
        """Drops what a run that goes on from this step will write again."""
        drop_later_lines(self.path, step)


def completion_of(record: Mapping[str, Any]) -> str:
    """What the planner wrote."""
    return str(record["item"][COMPLETION])
