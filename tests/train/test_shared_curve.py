"""Training with shared prefixes is the same training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rm.config import TrainConfig
from rm.errors import ConfigError
from rm.prefix.blocks import cut
from rm.train import train

MakeConfig = Callable[..., TrainConfig]
Log = Callable[[Path], list[dict[str, Any]]]

NO_DROPOUT = {"model.dropout": 0.0, "lora.dropout": 0.0}
HUNDRED = {"train.max_steps": 100, "train.eval_every": 50, "train.learning_rate": 3e-4, **NO_DROPOUT}


@pytest.mark.parametrize(
    ("way", "rank", "call_cost"),
    [("segments", 0, (0, 0)), ("segments", 8, (500, 8)), ("segments", 8, None), ("tree_mask", 8, None)],
)
def test_the_loss_curve_is_that_of_the_plain_way(
    config: MakeConfig,
    run: Path,
    log: Log,
    tmp_path: Path,
    rank: int,
    way: str,
    call_cost: tuple[int, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if call_cost:  # as it is, texts as short as these attend in one call
        monkeypatch.setattr("rm.prefix.packed.cut", partial(cut, call_pairs=call_cost[0], call_rows=call_cost[1]))
    train(config(**HUNDRED, **{"lora.rank": rank, "model.prefix_sharing": way}))
    train(config(**HUNDRED, **{"lora.rank": rank, "model.prefix_sharing": "plain", "output": str(tmp_path / "plain")}))
    shared, plain = ([line for line in log(out) if "loss" in line] for out in (run, tmp_path / "plain"))
    assert len(shared) == len(plain) == 100
    assert [line["loss"] for line in shared] == pytest.approx([line["loss"] for line in plain], abs=1e-4)
    assert plain[-1]["loss"] < plain[0]["loss"] - 0.3  # a curve, no flat line
    assert sum(line["computed_tokens"] for line in shared) < sum(line["tokens"] for line in plain)


def test_gradient_checkpointing_changes_nothing(config: MakeConfig, run: Path, log: Log, tmp_path: Path) -> None:
    for checkpointing, out in ((True, run), (False, tmp_path / "kept")):
        settings = {"model.gradient_checkpointing": checkpointing, "model.prefix_sharing": "segments"}
        train(config(**settings, **{"train.max_steps": 20, "model.dropout": 0.0, "output": str(out)}))
    recomputed, kept = ([line["loss"] for line in log(out) if "loss" in line] for out in (run, tmp_path / "kept"))
    assert recomputed == pytest.approx(kept, abs=1e-5)


def test_a_way_that_cannot_work_is_refused_before_the_run_begins(config: MakeConfig, run: Path) -> None:
    with pytest.raises(ConfigError, match=r"FlexAttention.*prefix_sharing"):
        train(config(**{"model.prefix_sharing": "flex"}))
    assert not run.exists()
