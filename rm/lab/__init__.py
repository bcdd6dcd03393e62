"""The miniature world: generated problems, a tiny base and a tiny executor with shipped weights, and sample groups.

Importing this loads no torch: it only says where things lie.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent

TINY_BASE: Path = _HERE / "tiny_base"
"""A Qwen2-shaped causal model and its tokenizer, made by `rm.lab.pretrain` (see `recipe.json` in it)."""
TINY_EXECUTOR: Path = _HERE / "tiny_executor"
"""A causal model that answers the executor's prompts with a trace's last result, made by `rm.lab.pretrain_executor`."""
SAMPLE_TRAIN: Path = _HERE / "data" / "groups_train.jsonl"
"""320 generated groups, made by `rm.lab.sample_groups`."""
SAMPLE_DEV: Path = _HERE / "data" / "groups_dev.jsonl"
"""80 generated groups about other problems."""
WORLD_PLANNER: Path = _HERE / "world_planner"
"""A planner of the tiny world (`rm.lab.world`) that starts mediocre, made by `rm.lab.pretrain_world`."""
WORLD_READER: Path = _HERE / "world_reader"
"""The executor that planners of the tiny world are trained with: it takes a trace's last number."""
WORLD_STRICT: Path = _HERE / "world_strict"
"""Another executor of that world: it follows the steps from the start, as far as they hold together."""
