"""verl's own composition, checks and data set on configs/planner-verl.yaml and the rows of `planner rows`.

    python tests/planner/verl_config.py configs rows.parquet

Run by `test_rows.py` with the Python in VERL_PYTHON, whose environment has verl. Prints what verl reads as JSON.
"""

import json
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerFast
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.dataset.rl_dataset import RLHFDataset

from rm.lab import TINY_BASE

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


def main(configs: str, rows: str) -> dict:
    with initialize_config_dir(config_dir=str(Path(configs).resolve()), version_base=None):
        here = [f"data.train_files={rows}", "data.dataloader_num_workers=0"]
        config = compose("planner-verl", overrides=here)
        # With adapters its last check asks vLLM, which is not installed here.
        plain = compose("planner-verl", overrides=[*here, "actor_rollout_ref.model.lora_rank=0"])
    OmegaConf.resolve(config)
    validate_config(plain, use_reference_policy=False, use_critic=False)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(TINY_BASE)
    tokenizer.chat_template = TEMPLATE
    dataset = RLHFDataset(data_files=rows, tokenizer=tokenizer, config=config.data)
    first = dataset[0]
    return {
        "lr": actor.optim.lr,
        "n": rollout.n,
        "steps": config.trainer.total_training_steps,
        "completions": config.data.train_batch_size * rollout.n,
        "reward": OmegaConf.to_container(config.reward.custom_reward_function),
        "rows": len(dataset),
        "prompt": first["raw_prompt"],
        "extra_info": first["extra_info"],
        "ground_truth": first["reward_model"]["ground_truth"],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2]), default=list))
