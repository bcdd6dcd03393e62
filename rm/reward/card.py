"""The card of a bundle: what it rewards, with what, how it is loaded, and what it does not say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rm.reward.config import RewardConfig

CARD = "README.md"
METRICS = {"pair_accuracy": "pair accuracy", "group_accuracy": "group accuracy", "mrr": "MRR", "ndcg": "NDCG"}


def write_card(directory: Path, content: Mapping[str, Any], config: RewardConfig) -> None:
    """Write `README.md`.

    Args:
        directory: of the bundle.
        content: of its `bundle.json`.
        config: as it stands in the bundle.
    """
    parts = [
        "---\nlibrary_name: tracelift-rm\ntags: [reward, reasoning, tracelift]\n---\n",
        f"# TraceLift reward: {content['formula']['name']}\n",
        "Rewards a reasoning trace for being good (a rubric reward model) and for helping (the uplift that it gives a "
        "frozen executor). Made with tracelift-rm.\n",
        f"    reward = {formula_text(content)}\n",
        _usage(),
        _table("Reward model", _model_rows(content)),
        _table("Uplift", _uplift_rows(content, config)),
        _table("Options", _option_rows(config)),
        _metrics(content),
        _limits(content),
    ]
    (directory / CARD).write_text("\n".join(part for part in parts if part), encoding="utf-8")


def formula_text(content: Mapping[str, Any]) -> str:
    """The formula as defined, and the weights where they are others."""
    formula = content["formula"]
    weights = ", ".join(f"{name} {weight:g}" for name, weight in formula["weights"].items())
    return f"{formula['text']}   (weights here: {weights})"


def _usage() -> str:
    return (
        "## Use\n\n```python\nfrom rm import TraceLiftReward\n\n"
        'with TraceLiftReward.from_pretrained("THIS_DIRECTORY") as reward:\n'
        '    [result] = reward.score_sync([{"problem": "What is 2 + 3 * 4?", "reference_solution": "14",\n'
        '                                   "completion": "<reasoning>3 * 4 = 12, 2 + 12 = 14</reasoning>"}])\n'
        "    result.reward, result.parts\n```\n\n"
        "On the command line: `tracelift-rm reward check THIS_DIRECTORY`, then "
        "`tracelift-rm reward score THIS_DIRECTORY --input rows.jsonl --output rewards.jsonl`.\n"
    )


def _model_rows(content: Mapping[str, Any]) -> dict[str, Any]:
    names = {"form": "form", "weights": "weights", "backbone": "backbone", "max_length": "longest text (tokens)"}
    names |= {"base": "base", "base_revision": "base revision"}
    return {label: content["model"][key] for key, label in names.items() if content["model"].get(key)}


def _uplift_rows(content: Mapping[str, Any], config: RewardConfig) -> dict[str, Any]:
    facts = content["uplift"]
    if not facts:
        return {}
    rows = {
        "executor": facts["executor"],
        "model": facts.get("executor_model", ""),
        "revision": facts.get("executor_revision", ""),
        "plan": f"{facts['plan']}: {facts['runs']} runs with a trace, {facts['baseline_runs']} without",
        "temperature": facts["temperature"],
        "prompts": facts["prompts"],
        "cached baseline runs": facts["cached_runs"],
        "execution style": config.execution_style,
    }
    return {key: value for key, value in rows.items() if value != ""}


def _option_rows(config: RewardConfig) -> dict[str, Any]:
    prior = config.prior
    return {
        "rubric floor": config.rubric_floor or "none",
        "uplift": "raw" if prior is None else f"shrunken, priors {prior.with_trace} and {prior.baseline}",
        "a part that cannot be measured": "no reward" if config.on_unmeasured == "none" else "its terms are left out",
        "a trace too long for the reward model": "lowest score" if config.overlong == "lowest" else "no reward",
    }


def _metrics(content: Mapping[str, Any]) -> str:
    training = content["provenance"].get("training", {})
    data = [(use, item) for use, files in training.get("data", {}).items() for item in files]
    lines = [f"| {use} | {item['file']} | `{item['sha256']}` |" for use, item in data]
    table = ["## Data of the reward model\n", "| use | file | SHA-256 |", "|---|---|---|", *lines, ""] if lines else []
    metrics = content["provenance"]["metrics"]
    figures = {label: f"{metrics[key]:.3f}" for key, label in METRICS.items() if key in metrics}
    return "\n".join([*table, _table("Evaluation of the reward model", figures)]).rstrip("\n") + "\n"


def _limits(content: Mapping[str, Any]) -> str:
    lines = ["## Limits\n"]
    if content["uplift"]:
        lines.append(
            "- Uplift is an estimate of few runs, of this executor; another model behind the same name gives other "
            "rewards. Servers do not prove which weights they run."
        )
    lines.append("- A score ranks traces of one problem; it is not a probability of a right answer.")
    lines.append("- Hashes find accidents, not forgery: take bundles from where you trust.")
    return "\n".join([*lines, ""])


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    return "\n".join(
        [f"## {title}\n", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]
    )
