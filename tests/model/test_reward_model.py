"""What the model promises beyond its formula: float32 heads, no buffers, a configuration that others can read."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoModel, Qwen2Config, Qwen2Model

from rm.model import RewardModel, RewardModelConfig, save_reward_model
from rm.model.lora import head_states
from rm.text import TEMPLATE_VERSION

HEADS = ("dimension_heads", "total_head")


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 250, (4, 20), generator=generator)
    mask = (torch.arange(20) < torch.tensor([[20], [13], [7], [1]])).long()
    return ids, mask


def test_heads_are_float32_on_a_bfloat16_backbone(fresh):
    model = fresh(dtype="bfloat16").model
    types = {name.split(".")[0]: value.dtype for name, value in model.named_parameters()}
    assert types == {"model": torch.bfloat16, "dimension_heads": torch.float32, "total_head": torch.float32}
    assert {value.dtype for value in model(*batch())} == {torch.float32}


def test_heads_stay_float32_when_a_bfloat16_backbone_is_loaded(fresh, tmp_path):
    made = fresh()
    save_reward_model(made.model, made.tokenizer, tmp_path / "saved")
    model = RewardModel.from_pretrained(tmp_path / "saved", dtype="bfloat16", device="cpu")
    assert model.model.dtype == torch.bfloat16
    for head in HEADS:
        assert {value.dtype for value in getattr(model, head).parameters()} == {torch.float32}
    for name, weights in head_states(model).items():
        torch.testing.assert_close(weights, head_states(made.model)[name], rtol=0, atol=0)


def test_heads_compute_in_float32_under_autocast(fresh):
    model = fresh().model
    pooled = torch.randn(3, model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.score_states(pooled)
    plain = torch.stack([pooled @ head.weight.T + head.bias for head in model.dimension_heads], dim=1)
    assert {value.dtype for value in found} == {torch.float32}
    torch.testing.assert_close(found.dimension_logits, plain, rtol=0, atol=1e-5)


def test_an_even_start_scores_every_trace_nearly_one_half(fresh):
    model = fresh(spread=0.0).model
    torch.testing.assert_close(model(*batch()).score, torch.full((4,), 0.5))


def test_new_heads_depend_on_the_seed_alone(backbone, proof_rubric):
    from rm.model.create import Recipe, create_model

    recipe = Recipe(str(backbone()), proof_rubric, lora_rank=0)
    first, _ = (head_states(create_model(recipe, torch.device("cpu"), seed=3).model), torch.rand(7))
    again = head_states(create_model(recipe, torch.device("cpu"), seed=3).model)
    other = head_states(create_model(recipe, torch.device("cpu"), seed=4).model)
    assert torch.equal(first["plan"]["weight"], again["plan"]["weight"])
    assert not torch.equal(first["plan"]["weight"], other["plan"]["weight"])


def test_making_a_model_leaves_the_global_generator_alone(fresh):
    torch.manual_seed(5)
    expected = torch.rand(3)
    made = fresh()
    torch.manual_seed(5)
    fresh(backbone=made.model.name_or_path)
    assert torch.equal(torch.rand(3), expected)


def test_there_are_no_buffers_but_the_backbone_s_own(fresh):
    model = fresh().model
    own = {name for name, _ in model.named_buffers()} - {f"model.{name}" for name, _ in model.model.named_buffers()}
    assert not own


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "bert"])
@pytest.mark.parametrize("rank", [0, 4])
def test_gradient_checkpointing_changes_no_gradient(family, rank, fresh, train_briefly):
    plain = train_briefly(fresh(family, lora_rank=rank, dropout=0.0, lora_dropout=0.0))
    made = fresh(family, lora_rank=rank, dropout=0.0, lora_dropout=0.0, gradient_checkpointing=True)
    assert any(getattr(module, "gradient_checkpointing", False) for module in made.model.modules())
    recomputed = train_briefly(made)
    assert plain.keys() == recomputed.keys()
    assert sum(value.abs().sum() for name, value in plain.items() if "layer" in name or ".h." in name) > 0
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, rtol=1e-4, atol=1e-6)


def test_dropout_can_be_switched_off_for_the_whole_backbone(fresh):
    model = fresh("bert", dropout=0.0).model.train()
    assert torch.equal(model(*batch()).logit, model(*batch()).logit)


def test_the_configuration_on_disk_is_flat_and_holds_rubric_and_template(fresh, tmp_path, proof_rubric):
    made = fresh(rubric=proof_rubric, max_length=77, include_tests=False)
    save_reward_model(made.model, made.tokenizer, tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["model_type"] == "qwen2"
    assert config["rm_dimension_names"] == ["plan", "sums"]
    assert config["rm_dimension_weights"] == [0.75, 0.25]
    assert config["rm_num_labels"] == 3
    assert config["rm_use_total_head"] is True
    assert config["rm_rubric"] == proof_rubric.to_dict()
    assert config["rm_template_version"] == TEMPLATE_VERSION
    assert (config["rm_max_length"], config["rm_include_tests"]) == (77, False)
    assert "tracelift_rm" not in json.dumps(config)


def test_transformers_reads_a_saved_model_as_its_backbone(fresh, tmp_path):
    made = fresh()
    save_reward_model(made.model, made.tokenizer, tmp_path / "saved")
    assert isinstance(AutoConfig.from_pretrained(tmp_path / "saved"), Qwen2Config)
    backbone = AutoModel.from_pretrained(tmp_path / "saved")
    assert isinstance(backbone, Qwen2Model)
    ids, mask = batch()
    with torch.no_grad():
        expected = made.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(backbone(input_ids=ids, attention_mask=mask).last_hidden_state, expected)


def test_save_pretrained_alone_writes_what_from_pretrained_reads(fresh, tmp_path):
    made = fresh()
    made.model.save_pretrained(tmp_path / "saved")
    made.tokenizer.save_pretrained(tmp_path / "saved")
    again = RewardModel.from_pretrained(tmp_path / "saved", dtype="float32", device="cpu")
    torch.testing.assert_close(again(*batch()).logit, made.model(*batch()).logit)


def test_weights_are_saved_under_the_official_names(fresh, tmp_path):
    from safetensors import safe_open

    made = fresh()
    save_reward_model(made.model, made.tokenizer, tmp_path / "saved")
    with safe_open(tmp_path / "saved" / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    heads = {f"dimension_heads.{index}.{part}" for index in range(5) for part in ("weight", "bias")}
    assert {name for name in names if not name.startswith("model.")} == {*heads, "total_head.weight", "total_head.bias"}


def test_a_configuration_reads_back_from_its_plain_form(fresh):
    config = fresh().model.config
    again = RewardModelConfig(**config.to_dict())
    assert again.to_flat_dict() == config.to_flat_dict()
