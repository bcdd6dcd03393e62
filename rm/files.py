"""Output that is there whole or not at all: written beside its target, then renamed onto it.

A failure, a full disk or Ctrl-C leaves the target as it was. What this does not cover: `kill -9` leaves the
hidden staging copy (`.NAME.XXXXXXXX.partial`) beside the target, which may be deleted, and the two renames
that replace an existing directory are not one atomic step.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from rm.errors import ConfigError, RunError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """What can be made again is kept here: `tracelift-rm` in `XDG_CACHE_HOME`, else in `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "tracelift-rm"


def check_target(target: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> Path:
    """Refuses, before any work is done, a target that cannot be written or must not be replaced.

    Args:
        target: a file or a directory to be.
        force: whether it may exist.
        inputs: what the command reads; those that do not exist are passed over.

    Returns:
        The target with links resolved, so that a link keeps pointing at the new content.

    Raises:
        ConfigError: the target exists and `force` is not set, or it is or holds an input, the current or the
            home directory.
        RunError: nothing can be written in the nearest directory that exists.
    """
    path = Path(target).expanduser().resolve()
    if path.exists():
        for each in inputs:
            if _is_or_holds(path, Path(each).expanduser().resolve()):
                raise ConfigError(f"{target} is or holds the input {each}. Choose another place.")
        if not force:
            raise ConfigError(f"{target} exists already. Choose another place, or add --force to replace it.")
        if path.is_dir() and any(kept.is_relative_to(path) for kept in (Path.cwd(), Path.home().resolve())):
            raise ConfigError(f"{target} holds the current or the home directory; --force does not replace that.")
    place = next(parent for parent in path.parents if parent.exists())
    with _told_as_run_error(path), tempfile.TemporaryFile(dir=place):  # permissions alone do not tell (root, /proc)
        pass
    return path


def check_file(target: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> Path:
    """As `check_target`, for a file. Raises: ConfigError, too, where the target is a directory or a device."""
    path = check_target(target, force, inputs)
    if path.is_dir():
        raise ConfigError(f"{target} is a directory where a file is to be written. Choose another place.")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{target} is a device or a pipe; --force does not replace that.")
    return path


def check_directory(
    target: str | Path, force: bool = False, inputs: Iterable[str | Path] = (), *, made_with: Iterable[Set[str]]
) -> Path:
    """As `check_target`, for a directory: `force` replaces none but an empty one and those of the same command.

    Args:
        target: a directory to be.
        force: whether it may exist.
        inputs: what the command reads.
        made_with: sets of names inside; a directory that holds all of one set is taken for the command's own.

    Raises:
        ConfigError: as `check_target`; the target is a file, or it holds other things.
        RunError: as `check_target`.
    """
    path = check_target(target, force, inputs)
    if not path.exists():
        return path
    _refuse_file(target, path)
    own = any(all((path / name).exists() for name in names) for names in made_with)
    if not own and any(path.iterdir()):
        raise ConfigError(f"{target} holds other things; choose another place or remove it yourself.")
    return path


@contextmanager
def replace_directory(target: str | Path, force: bool = False) -> Iterator[Path]:
    """Yields an empty staging directory beside `target`; it becomes `target` when the block ends well.

    Args:
        target: the directory to make; missing parents are made.
        force: replace a directory that is there already; all it held is lost.

    Raises:
        ConfigError: `target` exists and `force` is not set, or it is no directory.
        RunError: the disk is full, or the place cannot be written.
    """
    path = check_target(target, force)
    _refuse_file(target, path)
    staging = _beside(path)
    with _told_as_run_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    try:
        with _disk_full_told(path):
            yield staging
        with _told_as_run_error(path):
            _swap(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def replace_file(target: str | Path, force: bool = False) -> Iterator[Path]:
    """Yields an empty staging file beside `target`; it becomes `target` when the block ends well.

    Raises:
        ConfigError: `target` exists and `force` is not set, or it is a directory.
        RunError: the disk is full, or the place cannot be written.
    """
    path = check_file(target, force)
    staging = _beside(path)
    with _told_as_run_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        staging.touch()
    try:
        with _disk_full_told(path):
            yield staging
        with _told_as_run_error(path):
            staging.replace(path)
    finally:
        with suppress(OSError):
            staging.unlink(missing_ok=True)


def write_text_whole(path: str | Path, text: str, force: bool = False) -> None:
    """Writes `text` as UTF-8, line ends as they are, whole or not at all. Raises as `replace_file` does."""
    with replace_file(path, force) as staging, staging.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _is_or_holds(path: Path, inside: Path) -> bool:
    """Whether replacing `path` replaces `inside` (links resolved); a hard link is the same file."""
    return inside.exists() and (inside.is_relative_to(path) or inside.samefile(path))


def _refuse_file(target: str | Path, path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{target} is a file where a directory is to be written. Choose another place.")


def _beside(path: Path) -> Path:
    """A fresh hidden name on the same disk. Not `mkdtemp`, whose mode 0700 the finished target would keep."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


def _swap(staging: Path, path: Path) -> None:
    """Puts `staging` in the place of `path`; what was there comes back if that fails."""
    if not path.exists():
        staging.rename(path)
        return
    old = _beside(path)
    path.rename(old)
    try:
        staging.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _told_as_run_error(path: Path) -> Iterator[None]:
    """Turns what the file system refuses of our own steps into a message for the user."""
    try:
        with _disk_full_told(path):
            yield
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}.") from error


@contextmanager
def _disk_full_told(path: Path) -> Iterator[None]:
    """Turns a full disk into a message; every other error is the block's own and passes."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise RunError(f"No space left on the disk of {path}; nothing was written.") from error


def is_disk_full(error: Exception) -> bool:
    """Whether a disk was full. The system tells by number; safetensors and tokenizers, written in Rust, in words."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK_FULL
    return os.strerror(errno.ENOSPC) in str(error)
