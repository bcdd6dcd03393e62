"""The reward model: backbone, pooling, heads, adapters, checkpoints."""

from rm.model.checkpoint import LoadedModel, as_loaded, load_reward_model, save_reward_model
from rm.model.heads import RewardOutput, combine_heads
from rm.model.reward_model import RewardModel, RewardModelConfig

__all__ = [
    "LoadedModel",
    "RewardModel",
    "RewardModelConfig",
    "RewardOutput",
    "as_loaded",
    "combine_heads",
    "load_reward_model",
    "save_reward_model",
]
