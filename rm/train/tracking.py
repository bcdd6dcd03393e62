"""Where a run's numbers go: `log.jsonl` always, a progress bar where somebody looks, wandb when asked."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rm.errors import ConfigError, MissingExtra

LOG = "log.jsonl"


class JsonlLog(TrainerCallback):
    """Appends each log as one JSON line, on the first process. A resumed run first drops the lines it repeats."""

    def __init__(self, directory: Path, steps_per_epoch: int) -> None:
        self._path = directory / LOG
        self._steps_per_epoch = steps_per_epoch
        self._started = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            # The evaluation before the first step is repeated by a run that starts at it again.
            drop_later_lines(self._path, state.global_step or -1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **_: Any,
    ) -> None:
        if state.is_world_process_zero and logs:
            seconds = round(time.monotonic() - self._started, 2)
            epoch = round(state.global_step / self._steps_per_epoch, 4)
            line = json.dumps({"step": state.global_step, "seconds": seconds, **logs, "epoch": epoch})
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


class Progress(TrainerCallback):
    """A bar on stderr with the loss beside it, and a line at each evaluation."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                unit="step",
                desc="train",
                file=sys.stderr,
                disable=None,  # where stderr is no terminal, only the lines of the evaluations are printed
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **_: Any,
    ) -> None:
        if self._bar is None or not logs:
            return
        if "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", ranking=f"{logs.get('loss_ranking', 0.0):.3f}")
        if "eval_pair_accuracy" in logs:
            self._bar.write(
                f"step {state.global_step}: dev pairs {logs['eval_pair_accuracy']:.3f}, "
                f"groups {logs['eval_group_accuracy']:.3f}",
                file=sys.stderr,
            )

    def close(self) -> None:
        """Leave the bar as it stands; what is printed next begins on a line of its own."""
        if self._bar is not None:
            self._bar.close()


def set_up_wandb(project: str, mode: str, directory: Path) -> None:
    """Point wandb at the run; the trainer's own callback does the logging.

    Raises:
        MissingExtra: wandb is not installed.
        ConfigError: wandb is to send the run's numbers and has no valid key to do so. Only the first process, which
            does the logging, looks; whether the server takes the key is found out when the run starts.
    """
    if importlib.util.find_spec("wandb") is None:
        raise MissingExtra("wandb", "tracking", "tracking.wandb")
    os.environ.setdefault("WANDB_PROJECT", project)
    os.environ.setdefault("WANDB_DIR", str(directory))
    if mode == "offline":
        os.environ["WANDB_MODE"] = "offline"
    os.environ.setdefault("WANDB_LOG_MODEL", "false")
    if os.environ.get("WANDB_MODE", "online") == "online" and os.environ.get("RANK", "0") == "0":
        _log_in_to_wandb()


def _log_in_to_wandb() -> None:
    """Have wandb find its key; where there is none, it asks for one in a terminal and fails anywhere else."""
    import wandb

    try:
        wandb.login(verify=False)
    except wandb.Error as error:
        wandb.teardown()  # else it keeps to the environment that it met here, in this process
        raise ConfigError(
            f"tracking.wandb: wandb cannot log in ({str(error).rstrip('.')}). Run `wandb login`, or set "
            "WANDB_MODE=offline to keep the numbers on this machine, or turn tracking off: --tracking.wandb false."
        ) from error


def drop_later_lines(path: Path, step: int) -> None:
    """Takes out of a JSON Lines file what a resumed run will write again: lines after `step`, and half a line."""
    if path.exists():
        kept = [line for line in whole_lines(path) if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def start_facts(output: Path) -> dict[str, Any]:
    """Dev metrics before the first step, as the log has them; empty where there was no evaluation then."""
    rows = whole_rows(output / LOG)[:2]
    return next((row for row in rows if row["step"] == 0 and "eval_pair_accuracy" in row), {})


def whole_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file that were written to the end; none where there is no file."""
    return [json.loads(line) for line in whole_lines(path)] if path.is_file() else []


def whole_lines(path: Path) -> list[str]:
    """Lines that were written to the end; a killed run may leave half a line."""
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()
