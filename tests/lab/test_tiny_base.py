"""The shipped base: small, plain, loadable, and better than chance at what it was trained for."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from rm.lab import SAMPLE_DEV, TINY_BASE
from rm.text.render import Row, render


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(TINY_BASE, dtype=torch.float32).eval()


@torch.inference_mode()
def nats_a_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> float:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    return float(model(input_ids=ids, labels=ids).loss)


def test_size(model: PreTrainedModel) -> None:
    assert model.num_parameters() <= 8_000_000
    assert sum(file.stat().st_size for file in TINY_BASE.iterdir()) <= 16_000_000
    assert not list(TINY_BASE.glob("*.bin")) + list(TINY_BASE.glob("*.py"))


def test_shape(model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerBase) -> None:
    assert model.config.model_type == "qwen2"
    assert model.config.max_position_embeddings == 4096
    assert model.config.tie_word_embeddings
    assert model.config.vocab_size == len(tiny_tokenizer)
    assert model.config.pad_token_id == tiny_tokenizer.pad_token_id
    assert model.config.eos_token_id == tiny_tokenizer.eos_token_id


def test_stories_are_likelier_than_chance_and_than_shuffled_ones(
    model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerBase
) -> None:
    rows = [json.loads(line) for line in SAMPLE_DEV.read_text(encoding="utf-8").splitlines()[:8]]
    for row in rows:
        trace = row["positive_pool"][0]["reasoning"]
        text = render(Row(row["problem"], trace, "math", "math"))
        nats = nats_a_token(model, tiny_tokenizer, text)
        # Guessing evenly costs log 2048 = 7.6 nats.
        assert nats < 3
        assert nats < nats_a_token(model, tiny_tokenizer, " ".join(reversed(text.split(" ")))) - 1


def test_it_generates_text(model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerBase) -> None:
    row = Row("Ann has 3 pens and buys 4 more. How many pens are there?", "", "math", "math")
    ids = torch.tensor([tiny_tokenizer(render(row).removesuffix("\n</reasoning>"))["input_ids"]])
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False)
    assert made.shape[1] > ids.shape[1]


def test_the_recipe_is_told_without_paths() -> None:
    recipe = json.loads((TINY_BASE / "recipe.json").read_text(encoding="utf-8"))
    assert {"what", "recipe", "data", "done", "held_out", "versions"} <= set(recipe)
    assert "step-check" in recipe["what"]
    assert "/" not in json.dumps({key: recipe[key] for key in ("recipe", "data", "done")})


def test_knowing_where_things_lie_loads_no_torch() -> None:
    code = "import sys, rm.lab; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
