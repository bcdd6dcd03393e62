"""A run's directory: new, an earlier run's to go on with, or one to replace; and what makes a run this run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import TrainingArguments

from rm.errors import ConfigError
from rm.files import check_target, write_text_whole

CONFIG = "run.json"
STARTED = (CONFIG, "wandb")
"""What a run leaves that failed before its first step; such a directory counts as new."""
Identity = dict[str, Any]
"""A run's settings, and the content of what it reads wherever that lies."""


def process_rank() -> int:
    """Of this process among those that `torchrun` started; 0 alone."""
    return int(os.environ.get("RANK", "0"))


def check_run_directory(
    output: str, identity: Identity, free: tuple[str, ...], inputs: Iterable[str], *, resume: bool, force: bool
) -> Path:
    """An output directory that may become this run's: new, an earlier run's to `resume`, or one to replace.

    Args:
        output: as the configuration has it.
        identity: of this run.
        free: beginnings of the dotted keys that a resumed run may change.
        inputs: places that the run reads, which `force` must not remove; names of the hub and empty ones may be there.
        resume, force: as the run was started.

    Raises:
        ConfigError: another run's directory, settings that changed, or both flags at once.
    """
    path = Path(output).expanduser().resolve()
    if resume and force:
        raise ConfigError("--resume goes on with a run and --force replaces it: give one of them.")
    if process_rank() != 0:
        return path
    saved = path / CONFIG
    if resume and saved.is_file():
        changed = _changed(_read_identity(saved), identity, free)
        if changed:
            raise ConfigError([f"--resume: {line}. Keep the run's own value, or start anew." for line in changed])
    elif path.exists() and any(each.name not in STARTED for each in path.iterdir()):
        _check_replaceable(output, path, inputs, force)
    return path


def _check_replaceable(output: str, path: Path, inputs: Iterable[str], force: bool) -> None:
    """`force` replaces an earlier run, and nothing else: not other files, not this run's own inputs."""
    if not (path / CONFIG).is_file():
        raise ConfigError(f"output: {output} holds something else than a run. Choose another directory.")
    if not force:
        raise ConfigError(
            f"output: {output} holds a run. Add --resume to go on with it, --force to replace it, or choose "
            "another directory."
        )
    inside = [name for name in inputs if name and Path(name).expanduser().resolve().is_relative_to(path)]
    if inside:
        raise ConfigError(f"output: --force would remove {inside[0]}, which this run reads. Choose another directory.")
    check_target(path, force=True)


def open_run_directory(output: Path, identity: Identity, args: TrainingArguments, *, resume: bool, force: bool) -> None:
    """Make the directory this run's own. Only here, with the model loaded, does `force` remove what was in it."""
    if args.process_index == 0:
        resumed = resume and (output / CONFIG).is_file()
        if force and not resumed and output.exists() and any(output.iterdir()):
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        write_text_whole(output / CONFIG, json.dumps(identity, indent=2) + "\n", force=True)
    if args.world_size > 1:
        dist.barrier()


def _read_identity(file: Path) -> Identity:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"--resume: {file} is damaged. Start anew with --force.")
    return found


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], free: tuple[str, ...], prefix: str = "") -> list[str]:
    lines = []
    for key in sorted(old.keys() | new.keys()):
        name = f"{prefix}{key}"
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict) and not name.endswith("options"):
            lines += _changed(before, after, free, f"{name}.")
        elif before != after and not name.startswith(free):
            lines.append(f"{name} was {before!r} and is now {after!r}")
    return lines
