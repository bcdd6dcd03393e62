"""What `train --check` knows of prefix sharing without any weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rm.config import TrainConfig
from rm.errors import ConfigError
from rm.train import check_training

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def windowed(base: Path, tmp_path: Path) -> Path:
    """The same backbone with a sliding window of 16 tokens in its configuration."""
    there = tmp_path / "windowed"
    there.mkdir()
    for file in base.iterdir():
        (there / file.name).write_bytes(file.read_bytes())
    config = json.loads((there / "config.json").read_text())
    layers = ["sliding_attention"] * config["num_hidden_layers"]
    config.update(use_sliding_window=True, sliding_window=16, max_window_layers=0, layer_types=layers)
    (there / "config.json").write_text(json.dumps(config))
    return there


def test_a_window_is_told_before_the_run(config: MakeConfig, windowed: Path) -> None:
    report = check_training(config(**{"model.backbone": str(windowed)}))
    assert any("Prefixes are not shared: its attention has a window of 16 tokens" in note for note in report.notes)


@pytest.mark.parametrize("change", [{"model.attn_implementation": "eager"}, {"model.pooling": "mean"}])
def test_a_way_that_cannot_work_is_refused_before_the_run(config: MakeConfig, change: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="Sharing prefixes by segments does not work"):
        check_training(config(**change, **{"model.prefix_sharing": "segments"}))


def test_a_backbone_that_shares_needs_no_note(config: MakeConfig) -> None:
    assert not any("Prefixes" in note for note in check_training(config()).notes)
