"""Models to train: fresh, adapted, quantised, and going on from a trained one."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rm.errors import ConfigError, MissingExtra
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.model.checkpoint import OTHER_BASE
from rm.model.create import position_limit
from rm.model.lora import head_states, linear_names, lora_state
from rm.rubric import Dimension, Rubric

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (extra qlora)"
)


def rubric_of(*names: str, levels: int = 5) -> Rubric:
    return Rubric("other", "", tuple(Dimension(name, "", 1 / len(names)) for name in names), num_levels=levels)


@pytest.fixture
def trained(fresh: Callable[..., LoadedModel], tmp_path: Path) -> Callable[..., tuple[LoadedModel, Path]]:
    """A saved reward model that is not at its start."""

    def save(**recipe) -> tuple[LoadedModel, Path]:
        made = fresh(**recipe)
        save_reward_model(made.peft or made.model, made.tokenizer, tmp_path / "trained")
        return made, tmp_path / "trained"

    return save


def go_on(fresh, path: Path, **recipe) -> LoadedModel:
    """`init_from`, its heads as it gives them."""
    from rm.model.create import Recipe, create_model

    settings = {"dtype": "float32", "lora_rank": 0, **recipe}
    recipe_ = Recipe("unused", settings.pop("rubric", Rubric.load("math")), init_from=str(path), **settings)
    return create_model(recipe_, torch.device("cpu"), seed=7)


# Adapters


def test_an_adapter_trains_low_rank_weights_and_heads_only(fresh):
    model = fresh(lora_rank=4).model
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {"lora_A" in name or "lora_B" in name or "modules_to_save" in name for name in trainable} == {True}
    assert sum("modules_to_save" in name for name in trainable) == 12, "weight and bias of five heads and the total"


@pytest.mark.parametrize(
    ("family", "layers"),
    [
        ("qwen2", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("gpt2", {"c_attn", "c_proj", "c_fc"}),
        ("bert", {"query", "key", "value", "dense"}),
    ],
)
def test_all_linear_means_every_linear_layer_of_the_backbone(family, layers, fresh):
    made = fresh(family, lora_rank=2)
    assert set(linear_names(fresh(family).model.model)) == layers
    assert set(made.peft.peft_config["default"].target_modules) == layers
    assert not any("lora" in name for name, _ in made.model.dimension_heads.named_parameters())


def test_named_targets_alone_are_adapted(fresh):
    model = fresh(lora_rank=2, lora_targets=["q_proj", "layers.1.mlp.up_proj"]).model
    adapted = {name.split(".lora_A")[0] for name, _ in model.named_parameters() if "lora_A" in name}
    assert adapted == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
    }


@pytest.mark.parametrize("options", [{"use_dora": True}, {"use_rslora": True}, {"init_lora_weights": "pissa"}])
def test_what_peft_offers_is_saved_and_loaded(options, fresh, outputs, tmp_path):
    made = fresh(lora_rank=4, lora_options=options)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved", dtype="float32", device="cpu")
    torch.testing.assert_close(outputs(again).logit, outputs(made).logit, rtol=0, atol=1e-4)


def test_an_unknown_target_lists_what_the_backbone_has(fresh):
    with pytest.raises(ConfigError, match=r"no linear module 'query'.*q_proj"):
        fresh(lora_rank=2, lora_targets=["q_proj", "query"])


def test_unknown_options_are_refused_all_at_once(fresh):
    with pytest.raises(ConfigError) as caught:
        fresh(lora_rank=2, lora_options={"use_magic": 1, "r": 4}, lora_targets=["query"])
    assert len(caught.value.problems) == 3
    assert "use_magic" in str(caught.value)
    assert "lora.rank" in str(caught.value)


def test_an_option_that_peft_refuses_is_a_config_error(fresh):
    with pytest.raises(ConfigError, match="init_lora_weights"):
        fresh(lora_rank=2, lora_options={"init_lora_weights": "magic"})


def test_a_bias_that_trains_is_saved_too(fresh, train_briefly, outputs, tmp_path):
    made = fresh(lora_rank=2, lora_options={"bias": "lora_only"})
    train_briefly(made)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved", dtype="float32", device="cpu")
    torch.testing.assert_close(outputs(again).logit, outputs(made).logit, rtol=0, atol=1e-5)


# Backbones


def test_a_backbone_that_lacks_weights_is_refused(backbone, fresh):
    directory = backbone()
    state = load_file(directory / "model.safetensors")
    state.pop("layers.1.mlp.up_proj.weight")
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack layers.1.mlp.up_proj.weight"):
        fresh(backbone=str(directory))


def test_a_pickled_backbone_is_refused(backbone, fresh):
    directory = backbone()
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="safetensors only"):
        fresh(backbone=str(directory))


def test_a_directory_without_a_configuration_is_refused(tmp_path, fresh):
    with pytest.raises(ConfigError, match=r"no config.json"):
        fresh(backbone=str(tmp_path))


@pytest.mark.parametrize(("family", "limit"), [("qwen2", 512), ("gpt2", 512), ("bert", 512), ("roberta", 510)])
def test_the_number_of_positions_is_what_the_backbone_can_read(family, limit, fresh):
    model = fresh(family).model
    assert position_limit(model) == limit
    ids = torch.full((1, limit), 5)
    assert torch.isfinite(model(ids, torch.ones_like(ids)).logit).all()


def test_the_shipped_tiny_base_is_a_backbone(fresh):
    made = fresh(backbone="tiny", lora_rank=2)
    assert made.peft.peft_config["default"].base_model_name_or_path == "tiny"


def test_an_adapter_records_its_base_as_an_absolute_path(fresh, backbone, tmp_path, monkeypatch):
    backbone()
    monkeypatch.chdir(tmp_path)
    made = fresh(backbone="base-qwen2", lora_rank=2)
    assert made.peft.peft_config["default"].base_model_name_or_path == str(tmp_path / "base-qwen2")


# Quantisation


@needs_bitsandbytes
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_quantised_adapter_is_saved_and_loaded(kind, fresh, outputs, tmp_path):
    made = fresh(lora_rank=4, quantization=kind)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved", dtype="float32", device="cpu")
    assert again.model.config.quantization == kind
    torch.testing.assert_close(outputs(again).logit, outputs(made).logit, rtol=0, atol=1e-3)


@needs_bitsandbytes
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantisation_spares_the_heads(kind, fresh):
    model = fresh(lora_rank=4, quantization=kind).model
    heads = {name: value.dtype for name, value in model.named_parameters() if "_head" in name}
    assert len(heads) > 11
    assert set(heads.values()) == {torch.float32}
    assert {value.dtype for name, value in model.named_parameters() if "base_layer.weight" in name} <= {
        torch.uint8,
        torch.int8,
    }


@needs_bitsandbytes
def test_a_quantised_adapter_learns(fresh, train_briefly):
    gradients = train_briefly(fresh(lora_rank=4, quantization="nf4"))
    assert any("lora_A" in name and value.abs().sum() > 0 for name, value in gradients.items())
    assert any("total_head" in name and value.abs().sum() > 0 for name, value in gradients.items())


def test_quantised_full_fine_tuning_is_refused(fresh):
    with pytest.raises(ConfigError, match=r"Set lora.rank, or quantization: none"):
        fresh(quantization="nf4", lora_rank=0)


def test_quantisation_without_its_package_names_the_extra(fresh, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"tracelift-rm\[qlora\]"):
        fresh(quantization="nf4", lora_rank=2)


# Going on from a trained model


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("new_rank", [0, 4])
def test_with_the_same_rubric_nothing_changes_at_first(rank, new_rank, trained, fresh, outputs):
    made, path = trained(lora_rank=rank)
    again = go_on(fresh, path, lora_rank=new_rank)
    torch.testing.assert_close(outputs(again).logit, outputs(made).logit, rtol=0, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("new_rank", [0, 4])
def test_with_another_rubric_shared_heads_are_kept_exactly(rank, new_rank, trained, fresh):
    made, path = trained(lora_rank=rank)
    again = go_on(fresh, path, lora_rank=new_rank, rubric=rubric_of("brevity", "step_coherence", "answer_support"))
    old, new = head_states(made.model), head_states(again.model)
    assert list(new) == ["brevity", "step_coherence", "answer_support", "total"]
    for name in ("step_coherence", "answer_support", "total"):
        assert torch.equal(new[name]["weight"], old[name]["weight"])
        assert torch.equal(new[name]["bias"], old[name]["bias"])
    assert new["brevity"]["weight"].std() < 0.1, "a new head starts small"


def test_it_says_which_heads_are_kept_and_which_are_new(trained, fresh):
    _, path = trained()
    notes = " ".join(go_on(fresh, path, rubric=rubric_of("brevity", "step_coherence")).notes)
    assert "Heads kept: step_coherence and the total" in notes
    assert "New heads: brevity" in notes


def test_heads_of_another_number_of_levels_are_new(trained, fresh):
    _, path = trained()
    again = go_on(fresh, path, rubric=rubric_of("step_coherence", levels=3))
    assert "Heads kept: none" in " ".join(again.notes)
    assert again.model.dimension_heads[0].out_features == 3


@pytest.mark.parametrize("rank", [0, 4])
def test_full_fine_tuning_trains_every_weight(rank, trained, fresh, train_briefly):
    _, path = trained(lora_rank=rank)
    again = go_on(fresh, path, lora_rank=0)
    assert again.peft is None
    assert all(parameter.requires_grad for parameter in again.model.parameters())
    assert not any("lora" in name for name, _ in again.model.named_parameters())
    unread = {"model.embed_tokens.weight"}
    assert {name for name, _ in again.model.named_parameters()} - set(train_briefly(again)) <= unread


def test_an_adapter_is_trained_on(trained, fresh, train_briefly):
    made, path = trained(lora_rank=4)
    again = go_on(fresh, path, lora_rank=8)
    assert again.peft.peft_config["default"].r == 4
    assert "rank 4" in " ".join(again.notes)
    for name, value in lora_state(made.peft).items():
        assert torch.equal(lora_state(again.peft)[name], value)
    assert any("lora_A" in name for name in train_briefly(again))


def test_an_adapter_that_was_trained_on_is_saved_and_loaded(trained, fresh, train_briefly, outputs, tmp_path):
    _, path = trained(lora_rank=4)
    again = go_on(fresh, path, lora_rank=4, rubric=rubric_of("brevity", "step_coherence"))
    train_briefly(again)
    save_reward_model(again.peft, again.tokenizer, tmp_path / "second")
    loaded = load_reward_model(tmp_path / "second", dtype="float32", device="cpu")
    assert loaded.rubric.dimension_names == ("brevity", "step_coherence")
    torch.testing.assert_close(outputs(loaded).logit, outputs(again).logit, rtol=0, atol=1e-5)


def test_a_fresh_adapter_on_a_merged_model_finds_its_base_again(trained, fresh, train_briefly, outputs, tmp_path):
    _, path = trained()
    again = go_on(fresh, path, lora_rank=4)
    train_briefly(again)
    save_reward_model(again.peft, again.tokenizer, tmp_path / "second")
    loaded = load_reward_model(tmp_path / "second", dtype="float32", device="cpu")
    torch.testing.assert_close(outputs(loaded).logit, outputs(again).logit, rtol=0, atol=1e-5)


def test_a_fresh_adapter_on_a_run_s_output_finds_its_base_again(trained, fresh, tmp_path):
    _, path = trained()
    (tmp_path / "run").mkdir()
    path.rename(tmp_path / "run" / "model")
    made = go_on(fresh, tmp_path / "run", lora_rank=2)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "again")
    assert load_reward_model(tmp_path / "again", device="cpu").notes == ()


def test_an_adapter_that_goes_on_from_another_base_records_that_one(trained, fresh, tmp_path):
    _, path = trained(lora_rank=2)
    file = tmp_path / "base-qwen2" / "model.safetensors"
    state = load_file(file)
    next(iter(state.values())).add_(1)
    save_file(state, file, metadata={"format": "pt"})
    made = go_on(fresh, path, lora_rank=2)
    assert OTHER_BASE in made.notes
    save_reward_model(made.peft, made.tokenizer, tmp_path / "again")
    assert load_reward_model(tmp_path / "again", device="cpu").notes == ()


def test_the_base_of_a_saved_adapter_is_not_looked_up_on_the_hub(trained, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *args: pytest.fail("looked up"))
    _, path = trained(backbone="tiny", lora_rank=2)
    made = go_on(fresh, path, lora_rank=2)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_a_plain_backbone_is_nothing_to_go_on_from(backbone, fresh):
    with pytest.raises(ConfigError, match="without reward heads"):
        go_on(fresh, backbone())
