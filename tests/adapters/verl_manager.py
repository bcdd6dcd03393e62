"""verl's own naive reward manager, built from a configuration as its trainer does, calls the adapter.

    python tests/adapters/verl_manager.py http://127.0.0.1:8001 items.json

Run by `test_verl.py` with the Python in VERL_PYTHON, whose environment has verl and httpx. Prints the manager's
answers as JSON.
"""

import asyncio
import json
import sys

import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from transformers import PreTrainedTokenizerFast
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager

from rm.lab import TINY_BASE


def data_of(item: dict, tokenizer) -> DataProto:
    """One rollout, as verl's agent loop hands it over."""
    import numpy as np

    response = tokenizer(item["completion"], return_tensors="pt", add_special_tokens=False)["input_ids"]
    prompt = torch.zeros((1, 4), dtype=torch.long)
    padding = torch.zeros((1, 7), dtype=torch.long)
    responses = torch.cat([response, padding], dim=1)
    mask = torch.cat([torch.ones_like(prompt), torch.ones_like(response), torch.zeros_like(padding)], dim=1)
    row = {key: value for key, value in item.items() if key not in ("completion", "reference_solution")}
    plain = {
        "data_source": "stories",
        "reward_model": {"style": "rule", "ground_truth": item["reference_solution"]},
        "extra_info": row,
        "__num_turns__": 2,
    }
    values = {name: np.array([value], dtype=object) for name, value in plain.items()}
    batch = TensorDict({"prompts": prompt, "responses": responses, "attention_mask": mask}, batch_size=[1])
    return DataProto(batch=batch, non_tensor_batch=values)


async def main(server: str, items: list[dict]) -> list[dict]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(TINY_BASE)
    config = OmegaConf.create(
        {
            "reward": {
                "custom_reward_function": {
                    "path": "pkg://rm.adapters.verl",
                    "name": "compute_score",
                    "reward_kwargs": {"server": server},
                },
                "reward_manager": {"source": "register", "name": "naive"},
            }
        }
    )
    manager = load_reward_manager(config, tokenizer)
    if not manager.is_async_reward_score:
        raise SystemExit("verl does not see an async function")
    return await asyncio.gather(*(manager.run_single(data_of(item, tokenizer)) for item in items))


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        print(json.dumps(asyncio.run(main(sys.argv[1], json.load(file)))))
