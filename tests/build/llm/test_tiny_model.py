"""A real server with a real model that cannot do what it is asked: `transformers serve` and the tiny executor.

It has learnt to copy numbers out of traces, so that every reply is nonsense. Nothing of it may be kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rm.cli.main import main
from rm.lab import TINY_EXECUTOR


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, load_test_module) -> Iterator[str]:
    server = load_test_module("transformers_server", "uplift")
    with server.serving(tmp_path_factory.mktemp("serve") / "log.txt") as found:
        yield found


def configured(address: str, tmp_path: Path, **llm: object) -> list[str]:
    """The command, with one small reply a question."""
    server = {"endpoints": [address], "model": str(TINY_EXECUTOR), "concurrency": 2, "timeout_s": 60.0}
    model = {"server": server, "max_tokens": 24}
    settings = {"cache": str(tmp_path / "cache.sqlite"), "rules": False, "perturber": model, "judges": [model], **llm}
    config = tmp_path / "build.yaml"
    config.write_text(yaml.safe_dump({"audit": {"groups": 0}, "seeds": {"limit": 2}, "llm": settings}))
    return ["groups", "build", "--config", str(config), "--out", str(tmp_path / "groups.jsonl")]


def test_the_gates_keep_nothing_that_it_writes(address, seeds, tmp_path, capsys):
    assert main([*configured(address, tmp_path), "--seeds", str(seeds)]) == 1
    told = capsys.readouterr().err
    assert "Not one group came out" in told
    assert "2 seeds: too few kinds of flaw" in told
    assert "traces: llm_" in told
    assert not (tmp_path / "groups.jsonl").exists()


def test_it_labels_nothing_as_a_judge(address, seeds, own_rubric, tmp_path, capsys):
    command = configured(address, tmp_path, perturber=None)
    assert main([*command, "--seeds", str(seeds), "--rubric", str(own_rubric)]) == 1
    assert "2 seeds: no sound trace that could be judged" in capsys.readouterr().err


def test_beside_the_rules_it_costs_its_own_flaws_alone(address, seeds, tmp_path):
    assert main([*configured(address, tmp_path, rules=True, judges=[]), "--seeds", str(seeds)]) == 0
    card = json.loads((tmp_path / "groups.card.json").read_text())
    (model,) = card["llm"]["models"].values()
    assert sum(model["dropped"].values()) == 2 * 4
    assert model["prompt_tokens"] > 1000
    assert not any(kind.startswith("llm_") for kind in card["tally"]["kinds"])
