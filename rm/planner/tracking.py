"""What a planner's run shows while it goes: a progress bar with the reward, and `samples.html` at each checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rm.files import write_text_whole
from rm.planner.config import PlannerConfig
from rm.planner.page import render_page
from rm.planner.samples import SAMPLES
from rm.planner.save import Provenance
from rm.planner.signs import last_tenth, mean_of, signs
from rm.train.tracking import LOG, Progress, whole_rows

PAGE = "samples.html"


class PlannerProgress(Progress):
    """A bar on stderr with the reward, and the share of groups without a signal, beside it."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        if self._bar is not None and logs and "groups/dead" in logs:
            reward = logs.get("reward")
            self._bar.set_postfix(
                reward="none" if reward is None else f"{reward:.3f}", dead=f"{logs['groups/dead']:.2f}"
            )


class SamplesPage(TrainerCallback):
    """Writes the page anew at each checkpoint, on the first process.

    Args:
        directory: of the run.
        config: of the run.
        provenance: of the run.
    """

    def __init__(self, directory: Path, config: PlannerConfig, provenance: Provenance) -> None:
        self._directory = directory
        self._config = config
        self._provenance = provenance

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.write()

    def write(self) -> None:
        """The page of what is there so far."""
        formula = self._provenance.formula
        page = render_page(self.curve(), whole_rows(self._directory / SAMPLES), self._config, formula)
        write_text_whole(self._directory / PAGE, page, force=True)

    def curve(self) -> list[dict[str, Any]]:
        """The lines of the log that belong to a step."""
        return [row for row in whole_rows(self._directory / LOG) if "reward" in row]

    def signs(self) -> list[str]:
        """See `rm.planner.signs`."""
        return signs(self.curve(), self._config.grpo.max_completion_length)

    def first_and_last(self) -> tuple[float | None, float | None]:
        """Mean reward of the first and of the last tenth of the steps."""
        curve = self.curve()
        return mean_of(curve[: max(1, len(curve) // 10)], "reward"), mean_of(last_tenth(curve), "reward")
