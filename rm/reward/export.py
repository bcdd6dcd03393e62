"""Writing a bundle: the reward model exported and proven, the rest described, all of it loaded again and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rm.config import config_to_dict
from rm.errors import ConfigError
from rm.files import check_target, replace_directory
from rm.model.card import TRAINING
from rm.model.checkpoint import ADAPTER_CONFIG, model_directory, read_metadata
from rm.model.checkpoint import CONFIG as MODEL_CONFIG
from rm.model.export import export_model
from rm.provenance import versions
from rm.reward.bundle import CONFIG, MODEL, PROBES, RUBRIC, compare_scores, load_bundle
from rm.reward.card import write_card
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
from rm.reward.manifest import write_manifest
from rm.reward.specs import BASELINES, copy_baselines, portable, uplift_facts
from rm.rubric import Rubric
from rm.sources import TINY, find_source
from rm.text import TEMPLATE_VERSION, Row

PROBES_KEPT = 32


@dataclass(frozen=True)
class BundleReport:
    """What was written.

    Args:
        out: the directory.
        formula: its name.
        model: `merged`, `adapter`, or `none`.
        probes: texts that were scored before and after.
        largest_difference: of their scores between the model given and the bundle loaded again.
        baselines: cached runs in the bundle.
        notes: what a user should know, a sentence each.
    """

    out: str
    formula: str
    model: str
    probes: int
    largest_difference: float
    baselines: int
    notes: tuple[str, ...] = ()


def export_bundle(
    model: str | Path | None,
    config: RewardConfig,
    out: str | Path,
    make_probes: Callable[[Rubric], Sequence[Sequence[Row]]],
    *,
    merge: bool = True,
    dtype: str = "auto",
    base: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    include_baselines: bool = False,
    include_executor: bool = False,
    force: bool = False,
) -> BundleReport:
    """Write a bundle, load it again, and prove that its reward model scores the same.

    Args:
        model: a reward model's directory; None where the formula uses none.
        config: of the reward.
        out: a new directory.
        make_probes: from the model's rubric to the texts to compare on, those of one problem together.
        merge: fold an adapter into its base, so that the bundle needs nothing else; else the adapter's base must be
            a hub name or the shipped `tiny`.
        dtype: of merged weights on disk, see `export_model`.
        base: where an adapter's base lies, if not where it says.
        metrics: of an evaluation, for card and provenance.
        include_baselines: copy the cached baselines of this executor.
        include_executor: copy an executor that is a directory of this machine.
        force: replace `out`.

    Raises:
        ConfigError: `out` exists, the configuration does not go together or holds what no bundle may hold.
        RunError: the scores do not agree; nothing is left behind.
    """
    recipe = config.recipe()
    check_target(out, force)
    if model is None and "rm" in recipe.needs:
        raise ConfigError(f"{config.formula} needs a reward model: --model RM.")
    with replace_directory(out, force) as staging:
        described = replace(config, uplift=portable(config.uplift, staging if include_executor else None))
        text = json.dumps(config_to_dict(described), indent=2, sort_keys=True, ensure_ascii=False)
        (staging / CONFIG).write_text(text + "\n", encoding="utf-8")
        form, notes = "none", tuple[str, ...]()
        facts: dict[str, Any] = {}
        before: list[dict[str, Any]] = []
        if model is not None:
            report = export_model(
                model,
                staging / MODEL,
                make_probes,
                merge=_merge(model, merge, base),
                dtype=dtype,
                base=base,
            )
            form, notes = report.form, report.notes
            facts = _model_facts(staging / MODEL, report.form, report.dtype)
            _forget_places(staging / MODEL)
            judge = RewardScorer.from_pretrained(
                staging / MODEL, dtype=config.rm.dtype, max_length=config.rm.max_length
            )
            before = _probe_scores(judge, make_probes(judge.rubric))
            _write_json(staging / RUBRIC, judge.rubric.to_dict())
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in before]
            (staging / PROBES).write_text("".join(lines), encoding="utf-8")
            del judge
        runs = copy_baselines(config.uplift, staging / BASELINES) if include_baselines else 0
        content = {
            "formula": {"name": config.formula, "text": recipe.formula.text, "weights": dict(recipe.weights)},
            "needs": sorted(recipe.needs),
            "model": facts,
            "uplift": {**uplift_facts(config.uplift), "cached_runs": runs} if recipe.executes else None,
            "template": TEMPLATE_VERSION,
            "provenance": {"versions": versions(), "metrics": dict(metrics or {}), **_training(staging / MODEL)},
        }
        write_card(staging, content, described)
        write_manifest(staging, content)
        difference = _loaded_again(staging, before)
    return BundleReport(str(out), config.formula, form, len(before), difference, runs, notes)


def _merge(model: str | Path, merge: bool, base: str | None) -> bool | None:
    """As `export_model` takes it: a model that is merged already keeps its form. An adapter must travel."""
    source = find_source(str(model_directory(model)), "--model")
    adapter = source.read_json(ADAPTER_CONFIG)
    if not adapter:
        return None
    named = base or str(adapter.get("base_model_name_or_path") or "")
    if not merge and named != TINY and Path(named).expanduser().is_dir():
        raise ConfigError(
            f"--adapter: the adapter's base {named} is a directory of this machine, which a bundle cannot name. "
            "Leave --adapter out to merge, or put the base on the hub."
        )
    return merge


def _model_facts(model: Path, form: str, dtype: str) -> dict[str, Any]:
    stated = read_metadata(model)
    facts = {
        "form": form,
        "weights": dtype,
        "backbone": stated.get("model_type", ""),
        "max_length": stated.get("rm_max_length"),
        "includes_tests": stated.get("rm_include_tests"),
    }
    if form == "adapter":
        adapter = json.loads((model / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        facts |= {
            "base": adapter.get("base_model_name_or_path"),
            "base_revision": adapter.get("revision") or "",
            "base_fingerprint": stated.get("rm_base_fingerprint", ""),
        }
    return facts


def _forget_places(model: Path) -> None:
    """Takes this machine's directories out of what says how the model was made; none is needed to load it."""
    for file in (model / TRAINING, model / MODEL_CONFIG):
        if file.is_file():
            _write_json(file, _by_name(json.loads(file.read_text(encoding="utf-8"))))


def _by_name(value: Any) -> Any:
    """JSON values with every absolute path replaced by its last part."""
    if isinstance(value, dict):
        return {key: _by_name(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_by_name(below) for below in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _training(model: Path) -> dict[str, Any]:
    file = model / TRAINING
    if not file.is_file():
        return {}
    training = json.loads(file.read_text(encoding="utf-8"))
    kept = ("data", "groups", "steps", "dev_metrics", "versions")
    return {"training": {key: training[key] for key in kept if key in training}}


def _probe_scores(judge: RewardScorer, groups: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
    """Up to `PROBES_KEPT` rows that fit, with their scores."""
    rows: list[dict[str, Any]] = [
        {
            "problem": row.problem,
            "reasoning": row.reasoning,
            "task_name": row.task_name,
            "task_type": row.task_type,
            **({"tests": row.tests} if row.tests else {}),
        }
        for group in groups
        for row in group
    ][:PROBES_KEPT]
    scored = [{**row, **said} for row, said in zip(rows, judge.score(rows), strict=True)]
    scored = [row for row in scored if row["score"] is not None]
    if not scored:
        raise ConfigError("No probe text fits the model's length limit. Give groups of your own with --probes FILE.")
    return scored


def _loaded_again(directory: Path, before: Sequence[Mapping[str, Any]]) -> float:
    """Raises: RunError where the bundle does not score as it says."""
    bundle = load_bundle(directory)
    if bundle.model is None:
        return 0.0
    judge = bundle.load_judge()
    return compare_scores(before, judge.score(bundle.probes), bundle.config.rm.dtype, "The bundle")


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
