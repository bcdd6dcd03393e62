"""What a bundle says of its executor and verifiers, and what it may not: secrets and places of one machine."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rm.config import config_to_dict
from rm.errors import ConfigError
from rm.files import replace_file
from rm.sources import TINY
from rm.uplift.cache import BaselineCache
from rm.uplift.config import UpliftConfig, default_cache
from rm.uplift.executors.config import OpenAIConfig, TransformersConfig, VllmConfig
from rm.uplift.prompts import PROMPT_VERSION

EXECUTOR = "executor"
"""Folder of a bundle for an executor that is copied into it."""
BASELINES = "baselines.sqlite"
_SECRET = re.compile(r"(api_?key|token|secret|passw|credential|authorization)", re.IGNORECASE)
_HARMLESS = frozenset({"api_key_env", "max_tokens", "budget_tokens", "batch_tokens", "max_tokens_field"})

KEY_OR_PLACE = {"uplift", "uplift.executor", "uplift.executor.api_key_env", "uplift.executor.endpoints"}
"""Overrides by which a user says which key is sent, or where to."""
_LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)")


def portable(config: UpliftConfig, folder: Path | None) -> UpliftConfig:
    """The configuration as it goes into a bundle: no secret, and nothing that lies on this machine alone.

    Args:
        config: as it is used here.
        folder: the bundle's, where an executor from a directory is to be copied into it; None refuses such a one.

    Raises:
        ConfigError: an option that looks like a secret, or an executor that only this machine has.
    """
    if names := sorted(set(_secrets(config_to_dict(config), ""))):
        raise ConfigError(
            f"uplift: {', '.join(names)} looks like a secret, and a bundle holds none. Leave it out; "
            "executor.api_key_env names the environment variable of a key."
        )
    executor = config.executor
    if isinstance(executor, TransformersConfig | VllmConfig) and _lies_here(executor.path):
        if folder is None:
            raise ConfigError(
                f"uplift.executor.path: {executor.path} is a directory of this machine. Give the model's hub name and "
                "revision, or copy it into the bundle with --include-executor."
            )
        _copy_model(Path(executor.path).expanduser(), folder / EXECUTOR)
        executor = replace(executor, path=EXECUTOR)
    cache = "none" if config.cache == "none" else ""
    return replace(config, executor=executor, cache=cache)


def check_key(name: str, uplift: UpliftConfig, overrides: Collection[str]) -> None:
    """A bundle of others may not choose which of the user's secrets is sent, and where to: one of them the user names.

    Args:
        name: of the bundle.
        uplift: its settings, overrides included.
        overrides: the keys that the user gave.

    Raises:
        ConfigError: it names a key and another machine.
    """
    executor = uplift.executor
    if not isinstance(executor, OpenAIConfig) or not executor.api_key_env or KEY_OR_PLACE & set(overrides):
        return
    elsewhere = [address for address in executor.endpoints if not _LOOPBACK.match(address)]
    if elsewhere:
        raise ConfigError(
            f"{name}: this bundle would send the key in your environment variable {executor.api_key_env} to "
            f"{', '.join(elsewhere)}. If that is right, say so: uplift.executor.api_key_env = {executor.api_key_env} "
            "among the overrides (an option of the same name on the command line)."
        )


def resolved(config: UpliftConfig, folder: Path, baselines_hash: str) -> UpliftConfig:
    """The configuration of a bundle as it is used here.

    Args:
        config: of the bundle.
        folder: where it lies.
        baselines_hash: of its cached baselines; empty where it has none.
    """
    executor = config.executor
    own = folder / EXECUTOR
    if isinstance(executor, TransformersConfig | VllmConfig) and executor.path == EXECUTOR and own.is_dir():
        executor = replace(executor, path=str(own))
    cache = config.cache
    if baselines_hash and not cache:
        cache = str(_own_copy(folder / BASELINES, baselines_hash))
    return replace(config, executor=executor, cache=cache)


def uplift_facts(config: UpliftConfig) -> dict[str, Any]:
    """What decides a measurement, as JSON values for a reader and for later comparison."""
    executor = config.executor
    facts = {
        "executor": executor.kind,
        "executor_fingerprint": executor.fingerprint(),
        "prompts": PROMPT_VERSION,
        "plan": config.plan.kind,
        "runs": config.plan.runs if config.plan.kind != "official" else 3,
        "baseline_runs": config.plan.baseline_runs if config.plan.kind != "official" else 3,
        **config_to_dict(config.sampling),
        "partial": config.partial,
        **{task: _judging(options) for task, options in (("math", config.math), ("code", config.code))},
        "seed": config.seed,
    }
    if config.plan.kind == "adaptive":
        facts |= {key: getattr(config.plan, key) for key in ("sign_probability", "width", "level")}
    if isinstance(executor, OpenAIConfig):
        facts |= {"executor_model": executor.model, "executor_revision": executor.revision}
    elif isinstance(executor, TransformersConfig | VllmConfig):
        facts |= {"executor_model": executor.path, "executor_revision": executor.revision}
    return facts


def _judging(options: Mapping[str, Any]) -> dict[str, Any]:
    """A verifier's options, but for how much it does at once."""
    return {key: value for key, value in options.items() if key != "workers"}


def copy_baselines(config: UpliftConfig, target: Path) -> int:
    """Copy the cached baselines of this executor.

    Returns:
        How many runs were copied; the cache holds hashes and counts, no text of a problem.

    Raises:
        ConfigError: there is no cache, or nothing of this executor in it.
    """
    path = config.cache_path()
    if path is None or not path.is_file():
        raise ConfigError(
            f"--include-baselines: there are no cached baselines at {path or 'all (uplift.cache: none)'}."
        )
    executor = config.executor
    fingerprints = {executor.fingerprint()}
    if isinstance(executor, TransformersConfig) and executor.dtype == "auto":  # runs are kept under what it became
        fingerprints = {executor.fingerprint(dtype) for dtype in ("float32", "bfloat16")}
    read_only = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(read_only, uri=True)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    with BaselineCache(target) as cache:
        for share in cache.info().executors:
            if share.executor not in fingerprints:
                cache.prune(executor=share.executor)
        runs = cache.info().runs
    if not runs:
        target.unlink()
        names = " or ".join(sorted(fingerprints))
        raise ConfigError(f"--include-baselines: {path} holds no baselines of this executor ({names}).")
    return runs


def _own_copy(bundled: Path, sha256: str) -> Path:
    """A copy in the user's cache folder, since a bundle does not change and may be read-only."""
    target = default_cache().with_name(f"bundle-{sha256[:16]}.sqlite")
    if not target.is_file():
        with replace_file(target) as staging:
            shutil.copyfile(bundled, staging)
    return target


def _lies_here(path: str) -> bool:
    return path != TINY and Path(path).expanduser().is_dir()


def _copy_model(source: Path, target: Path) -> None:
    """The files that its fingerprint is made of."""
    target.mkdir()
    for file in sorted(source.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            shutil.copyfile(file, target / file.name)


def _secrets(value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for key, below in value.items():
        here = f"{place}.{key}" if place else str(key)
        if key not in _HARMLESS and _SECRET.search(str(key)) and below not in (None, "", 0):
            yield here
        yield from _secrets(below, here)
