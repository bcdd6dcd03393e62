"""Checkpoints that are whole or not there: one counts once its marker is written, after everything else in it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from transformers import Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from rm.errors import RunError
from rm.files import is_disk_full

MARKER = "complete.json"
CHECKPOINTS = "checkpoints"


def seal(checkpoint: Path, keep: int) -> None:
    """Marks a checkpoint as whole; only then older ones go, all but the newest `keep`."""
    (checkpoint / MARKER).write_text(json.dumps({"step": step_of(checkpoint)}) + "\n", encoding="utf-8")
    for old in complete_checkpoints(checkpoint.parent.parent)[:-keep]:
        remove_checkpoint(old)


def complete_checkpoints(output: Path) -> list[Path]:
    """Checkpoints whose marker is there, oldest first."""
    found = [path.parent for path in (output / CHECKPOINTS).glob(f"checkpoint-*/{MARKER}")]
    return sorted(found, key=step_of)


def last_checkpoint(output: Path, clean: bool) -> Path | None:
    """The last whole checkpoint of a run; `clean` removes what a kill left behind half done."""
    whole = complete_checkpoints(output)
    if clean:
        for path in (output / CHECKPOINTS).glob("checkpoint-*"):
            if path not in whole:
                remove_checkpoint(path)
        for path in output.glob(".*.partial"):
            shutil.rmtree(path, ignore_errors=True)
    return whole[-1] if whole else None


def step_of(checkpoint: Path) -> int:
    """The optimizer steps that a checkpoint has behind it."""
    return int(checkpoint.name.rsplit("-", 1)[-1])


def has_ended(checkpoint: Path) -> bool:
    """Whether the run was over with this checkpoint: all its steps are done, or its patience was at an end."""
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    return bool(state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"])


def restore_ended(trainer: Trainer, checkpoint: Path) -> None:
    """Have a trainer take over weights and step of a run that ended with this checkpoint, but was not finished."""
    trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    trainer._load_from_checkpoint(str(checkpoint))


@contextlib.contextmanager
def whole_or_gone(path: Path) -> Iterator[None]:
    """What cannot be written to the end is removed. Raises: RunError where the disk is full."""
    try:
        yield
    except Exception as error:
        remove_checkpoint(path)
        # torch.save does not say why it could not write.
        if is_disk_full(error) or any(words in str(error) for words in ("inline_container", "PytorchStreamWriter")):
            raise RunError(
                f"No space left on the disk for {path}. Make room, or keep fewer checkpoints (keep_checkpoints); then "
                "go on with --resume."
            ) from error
        raise


def remove_checkpoint(path: Path) -> None:
    """The marker goes first, so that a kill half-way leaves nothing that looks whole."""
    (path / MARKER).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
