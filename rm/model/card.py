"""The model card of an export: what the model is, what it was trained on, how good it is, how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rm.model.reward_model import RewardModelConfig
from rm.rubric import Rubric

CARD = "README.md"
TRAINING = "training.json"
METRIC_NAMES = {"pair_accuracy": "pair accuracy", "group_accuracy": "group accuracy", "mrr": "MRR", "ndcg": "NDCG"}


def write_card(directory: Path, config: RewardModelConfig, export: Mapping[str, Any]) -> None:
    """Write `README.md` beside the weights.

    Args:
        directory: of the export; its `training.json`, if any, supplies data and dev metrics.
        config: the model's.
        export: facts of the export itself: form, dtype, base, check.
    """
    file = directory / TRAINING
    training = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    rubric = Rubric.from_dict(config.rubric, "config.json")
    parts = [
        _front_matter(config, export),
        f"# Reward model for reasoning traces: {rubric.name}\n",
        "Scores a reasoning trace for a problem in [0, 1] and by the dimensions of a rubric. Made with tracelift-rm.\n",
        _usage(),
        _rubric_table(rubric),
        _facts(config, export),
        _training(training),
        "## Limits\n\nA score ranks traces of one problem; it is not a probability of a right answer. The model has "
        "seen the kinds of flaw of its training data, and may miss others.\n",
    ]
    (directory / CARD).write_text("\n".join(part for part in parts if part), encoding="utf-8")


def write_seq_cls_card(directory: Path, config: RewardModelConfig, report: Mapping[str, Any], max_length: int) -> None:
    """Write `README.md` beside a sequence-classification export (`rm.model.seq_cls`).

    Args:
        directory: of the export.
        config: of the reward model that it was made from.
        report: fields of `SeqClsReport`.
        max_length: tokens of the longest text.
    """
    rubric = Rubric.from_dict(config.rubric, "config.json")
    padding = "either side" if report["left_padding"] else "the right only: positions count from the first token"
    facts = {
        "class": f"{report['architecture']}, num_labels=1",
        "weights": report["dtype"],
        "distilled from": f"{config.backbone.model_type} reward model, rubric {rubric.name}",
        "head fitted on": f"{report['fitted_texts']} texts of {report['fitted_groups']} groups",
        "agreement measured on": f"{report['held_out_texts']} texts of {report['held_out_groups']} other groups",
        "Kendall's tau-b to the full score": f"{report['kendall']:.3f}",
        "Spearman's rho to the full score": f"{report['spearman']:.3f}",
        "same best trace": f"{report['top_agreement']:.3f} of the groups",
        "padding": padding,
        "longest text": f"{max_length} tokens",
        "task type": report["task_type"],
        "text template": config.template_version,
    }
    parts = [
        "---\nlibrary_name: transformers\npipeline_tag: text-classification\n"
        "tags: [reward-model, reasoning, tracelift]\n---\n",
        f"# Reward model for reasoning traces, one label: {rubric.name}\n",
        "A linear stand-in for a rubric reward model, for tools that read sequence classifiers only. The full score is "
        "not linear in the model's states; how well this one keeps its order is measured below. Made with "
        "tracelift-rm.\n",
        _SEQ_CLS_USAGE,
        _table(facts),
        "## Limits\n\nThe label is an unbounded logit that ranks traces of one problem. Dimensions, the score in "
        "[0, 1] and uplift need the full model. Longer texts lose their beginning here, where the full model cuts the "
        "problem's middle.\n",
    ]
    (directory / CARD).write_text("\n".join(parts), encoding="utf-8")


_SEQ_CLS_USAGE = """\
## Use

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("THIS_DIRECTORY")
model = AutoModelForSequenceClassification.from_pretrained("THIS_DIRECTORY")
messages = [{"role": "user", "content": "1 + 1 = ?"}, {"role": "assistant", "content": "1 and 1 make 2."}]
inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
model(**inputs).logits[0, 0]
```

The last user message is the problem, alone; the last assistant message the reasoning, with or without
`<reasoning>` tags. Text that is put together without the chat template means nothing to this model.
"""


def _front_matter(config: RewardModelConfig, export: Mapping[str, Any]) -> str:
    base = str(export.get("base") or "")
    lines = ["---", "library_name: tracelift-rm", "tags: [reward-model, reasoning, tracelift]"]
    if "/" in base and not Path(base).is_absolute():  # a hub name
        lines.append(f"base_model: {base}")
    return "\n".join([*lines, "---\n"])


def _usage() -> str:
    return (
        "## Use\n\n```python\nfrom rm import RewardModel, score_rows\n\n"
        'model = RewardModel.from_pretrained("THIS_DIRECTORY")\n'
        'score_rows("THIS_DIRECTORY", [{"problem": "1 + 1 = ?", "reasoning": "1 and 1 make 2."}])\n```\n\n'
        "On the command line: `tracelift-rm score THIS_DIRECTORY --input rows.jsonl --output scores.jsonl`.\n"
    )


def _rubric_table(rubric: Rubric) -> str:
    rows = [f"| {item.name} | {item.weight:g} | {' '.join(item.description.split())} |" for item in rubric.dimensions]
    head = f"## Rubric\n\n{rubric.num_levels} levels a dimension, 0 to {rubric.num_levels - 1}.\n"
    return "\n".join([head, "| dimension | weight | what is judged |", "|---|---|---|", *rows, ""])


def _facts(config: RewardModelConfig, export: Mapping[str, Any]) -> str:
    base = Path(str(export.get("base") or ""))
    facts = {
        "backbone": config.backbone.model_type,
        "pooling": config.pooling,
        "total head": "yes" if config.use_total_head else "no",
        "text template": config.template_version,
        "tests shown": "yes" if config.include_tests else "no",
        "longest text": f"{config.text_max_length} tokens",
        **export,
        # Where a directory lies on this machine helps nobody else.
        **({"base": f"{base.name} (a directory)"} if base.is_absolute() else {}),
    }
    return _table(facts)


def _table(facts: Mapping[str, Any]) -> str:
    return "\n".join(
        ["## Facts\n", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
    )


def _training(training: Mapping[str, Any]) -> str:
    if not training:
        return ""
    lines = ["## Training\n", f"{training['steps']} steps on {training['groups']['train']} groups.\n"]
    data = [
        f"| {use} | {item['file']} | `{item['sha256']}` |" for use, files in training["data"].items() for item in files
    ]
    lines += ["| use | file | SHA-256 |", "|---|---|---|", *data, ""]
    metrics = training.get("dev_metrics") or {}
    figures = [
        f"| {label} | {metrics[f'eval_{name}']:.3f} |"
        for name, label in METRIC_NAMES.items()
        if f"eval_{name}" in metrics
    ]
    if figures:
        lines += [
            f"On {training['groups']['dev']} dev groups, which also chose the step:\n",
            "| metric | value |",
            "|---|---|",
            *figures,
            "",
        ]
    versions = ", ".join(f"{name} {version}" for name, version in training.get("versions", {}).items())
    return "\n".join([*lines, f"Versions: {versions}. The whole configuration is in `{TRAINING}`.\n"])
