"""A reward as one directory that a colleague loads and that gives the same rewards: read and checked here.

    bundle.json      what it is, made by what, of what; the hash of every file
    reward.json      formula, weights, options, executor, plan, verifiers (`rm.reward.config.RewardConfig`)
    rubric.json      of the reward model
    model/           the reward model, merged or an adapter, with its tokenizer
    probes.jsonl     texts with the scores that they must get again
    baselines.sqlite, executor/
                     optional: measured baselines; an executor that has no other home
    README.md        its card

`rm.reward.export` writes it. Nothing in it points to a place on a machine, holds a secret or brings code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rm.config import load_config
from rm.errors import ConfigError, RunError
from rm.reward.config import RewardConfig
from rm.reward.manifest import Content, read_manifest
from rm.reward.specs import BASELINES, check_key, resolved, uplift_facts
from rm.rubric import Rubric
from rm.sources import push_directory, whole_repository

if TYPE_CHECKING:
    from rm.reward.judge import RewardScorer

CONFIG, RUBRIC, MODEL, PROBES = "reward.json", "rubric.json", "model", "probes.jsonl"
TOLERANCE = {"float32": 1e-4}
ROUNDED_TOLERANCE = 0.02
"""How far a probe's score may move, by number type: bfloat16 sums differ from device to device."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are all there and unaltered.

    Args:
        path: its directory.
        manifest: content of `bundle.json`.
        config: of the reward, as used here.
        rubric: of the reward model; None without one.
        notes: what a user should know, a sentence each.
    """

    path: Path
    manifest: Content
    config: RewardConfig
    rubric: Rubric | None
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> Path | None:
        """Where the reward model lies; None where the formula uses none."""
        return self.path / MODEL if self.rubric is not None else None

    @property
    def probes(self) -> list[dict[str, Any]]:
        """Score rows with the `score` and `dimensions` that they had at the export."""
        if self.model is None:
            return []
        with (self.path / PROBES).open(encoding="utf-8") as file:  # not `splitlines`: texts may hold other line ends
            return [json.loads(line) for line in file]

    def load_judge(self, *, device: str | None = None, base: str | None = None) -> RewardScorer:
        """The reward model. Raises: ConfigError where there is none, or its rubric is not the bundle's."""
        from rm.reward.judge import RewardScorer

        if self.model is None:
            raise ConfigError(f"{self.path}: this bundle ({self.config.formula}) has no reward model.")
        how = self.config.rm
        judge = RewardScorer.from_pretrained(
            self.model,
            base=base,
            dtype=how.dtype,
            device=device,
            max_length=how.max_length,
            tokens_per_batch=how.tokens_per_batch,
            prefix_sharing=how.prefix_sharing,
        )
        if self.rubric is None or judge.rubric.to_dict() != self.rubric.to_dict():
            raise ConfigError(
                f"{self.path}: {RUBRIC} is another rubric than the reward model's ({judge.rubric.name}: "
                f"{', '.join(judge.rubric.dimension_names)}). Export the bundle again."
            )
        return judge

    def rescore(self, judge: RewardScorer) -> float:
        """The largest difference of a probe's score to that of the export.

        Raises:
            RunError: it is larger than `TOLERANCE`, or a probe has no score.
        """
        return compare_scores(self.probes, judge.score(self.probes), self.config.rm.dtype, str(self.path))


def compare_scores(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], dtype: str, name: str
) -> float:
    """The largest difference of two lists of score results, in [0, 1]. Raises: RunError where it is too large."""
    differences = []
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        if one["score"] is None or other["score"] is None:
            raise RunError(f"{name}: probe {index} has no score. Is rm.max_length shorter than at the export?")
        differences.append(abs(one["score"] - other["score"]))
    largest = max(differences, default=0.0)
    allowed = TOLERANCE.get(dtype, ROUNDED_TOLERANCE)
    if not largest <= allowed:  # NaN, too
        raise RunError(
            f"{name}: the reward model does not score as it did: the largest difference on {len(differences)} probe "
            f"texts is {largest:.2e}, more than {allowed:g}. Is a base or a number type another one than at the export?"
        )
    return largest


def load_bundle(path: str | Path, *, overrides: Mapping[str, Any] | None = None, revision: str | None = None) -> Bundle:
    """Check a bundle's files and read its configuration; no weights are loaded.

    Args:
        path: a directory, or a hub name.
        overrides: dotted keys of `RewardConfig`, for this machine: addresses, limits, a cache.
        revision: of a hub repository: a commit, tag or branch.

    Raises:
        ConfigError: no bundle; files that are missing, altered or foreign; a schema version, a formula or an option
            that this version does not know.
    """
    directory = whole_repository(str(path), "reward bundle", revision)
    manifest = read_manifest(directory)
    texts = {key: _override(value) for key, value in (overrides or {}).items()}
    config = load_config(RewardConfig, directory / CONFIG, texts)
    if not Path(path).expanduser().is_dir():
        check_key(str(path), config.uplift, texts)
    notes: tuple[str, ...] = ()
    if any(key.startswith("uplift") for key in texts):
        notes = _changed(load_config(RewardConfig, directory / CONFIG), config, directory)
    baselines = str(manifest["files"].get(BASELINES, ""))
    config = replace(config, uplift=resolved(config.uplift, directory, baselines))
    config.recipe()
    rubric = None
    if (directory / MODEL).is_dir():
        rubric = Rubric.from_dict(json.loads((directory / RUBRIC).read_text(encoding="utf-8")), RUBRIC)
    return Bundle(directory, manifest, config, rubric, notes)


def push_bundle(
    path: str | Path, name: str, *, private: bool = True, message: str = "", endpoint: str | None = None
) -> str:
    """Check a bundle and upload it as a repository of the hub; `load_bundle(NAME)` loads it from there.

    Args:
        path: its directory.
        name: of the repository, `ORG/NAME`.
        private: of a new repository.
        message: of the commit.
        endpoint: of another hub.

    Returns:
        The address of the commit.

    Raises:
        ConfigError, RunError: as `read_manifest` and `rm.sources.push_directory`.
    """
    directory = Path(path).expanduser()
    manifest = read_manifest(directory)
    text = message or f"TraceLift reward {manifest['formula']['name']}, made by {manifest['made_by']}"
    return push_directory(directory, name, private=private, message=text, endpoint=endpoint)


def _override(value: Any) -> str | list[Any]:
    """As `load_config` takes it."""
    if isinstance(value, list | tuple):
        return list(value)
    return value if isinstance(value, str) else json.dumps(value)


def _changed(bundled: RewardConfig, config: RewardConfig, directory: Path) -> tuple[str, ...]:
    """A note where overrides change what is measured, and not only where."""
    was, now = (uplift_facts(resolved(each.uplift, directory, "")) for each in (bundled, config))
    keys = [key for key, value in now.items() if key != "executor_model" and was.get(key, value) != value]
    if not keys:
        return ()
    return (f"The overrides change {', '.join(keys)}: rewards will differ from those of the bundle.",)
