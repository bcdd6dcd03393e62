"""TraceLift-RM: reward models for reasoning traces, and the uplift that a trace gives.

The public names are loaded on first use, so that `import rm` stays quick and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rm.evaluate.score import score_rows
    from rm.groups import Group, load_groups
    from rm.model import RewardModel
    from rm.reward.scorer import TraceLiftReward
    from rm.rubric import Rubric

__version__ = "0.1.0.dev0"

_HOME = {
    "Group": "rm.groups",
    "RewardModel": "rm.model",
    "Rubric": "rm.rubric",
    "TraceLiftReward": "rm.reward.scorer",
    "load_groups": "rm.groups",
    "score_rows": "rm.evaluate.score",
}

__all__ = ["Group", "RewardModel", "Rubric", "TraceLiftReward", "__version__", "load_groups", "score_rows"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
