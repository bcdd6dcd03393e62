"""A rubric of the user's own, three dimensions of three levels, from its YAML file to an exported model; no code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rm.cli.main import main
from rm.rubric import Rubric

TRAIN = {
    "train.max_steps": 2,
    "train.groups_per_step": 4,
    "train.eval_every": 2,
    "train.tokens_per_microbatch": 4096,
    "text.max_length": 512,
    "lora.rank": 4,
}


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture
def built(serve, section, seeds, own_rubric, tmp_path: Path) -> Path:
    """Groups whose flaws rules and model wrote, and whose labels the model gave by the new rubric."""
    model = {"server": section(serve())}
    settings = {
        "gates": {"near_duplicate": 1.0},
        "audit": {"groups": 0},
        "llm": {"perturber": {**model, "flaws": 2}, "judges": [model], "cache": str(tmp_path / "replies.sqlite")},
    }
    config, out = tmp_path / "build.yaml", tmp_path / "groups.jsonl"
    config.write_text(yaml.safe_dump(settings))
    run("groups", "build", "--config", config, "--seeds", seeds, "--rubric", own_rubric, "--out", out)
    return out


def test_build_train_evaluate_export_score(built: Path, own_rubric: Path, tmp_path: Path) -> None:
    rubric = Rubric.load(own_rubric)
    groups = [json.loads(line) for line in built.read_text().splitlines()]
    labels = [entry["rubric"] for group in groups for entry in (*group["positive_pool"], *group["negative_bank"])]
    assert all(set(each) == {*rubric.dimension_names, "total"} for each in labels)
    assert {1, 2} <= {each["sums"] for each in labels} <= {0, 1, 2}  # 6 of 10 for one wrong calculation: level 1
    assert all(entry["metadata"].get("rule_rubric") is None for group in groups for entry in group["negative_bank"])

    run("groups", "check", built, "--rubric", own_rubric)
    options = [word for key, value in TRAIN.items() for word in (f"--{key}", value)]
    data = ["--data.train", built, "--data.dev", built]
    run("train", "--rubric", own_rubric, *data, *options, "--output", tmp_path / "run")
    run("evaluate", tmp_path / "run", built, "--out", tmp_path / "evaluation")
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert set(metrics["dimensions"]) == set(rubric.dimension_names)
    assert metrics["n_groups"] == len(groups)

    run("export", tmp_path / "run", tmp_path / "exported", "--merge", "--dtype", "float32")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"problem": "What is 2 + 3?", "reasoning": "2 + 3 = 5"}) + "\n")
    run("score", tmp_path / "exported", "--input", rows, "--output", tmp_path / "scores.jsonl")
    scored = json.loads((tmp_path / "scores.jsonl").read_text())
    assert 0 <= scored["score"] <= 1
    assert all(0 <= scored["dimensions"][name] <= 2 for name in rubric.dimension_names)
