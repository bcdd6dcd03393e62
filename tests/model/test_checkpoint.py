"""What a checkpoint must have: each lack is one clear error, and nothing is ever made up in its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from rm.errors import ConfigError
from rm.model import LoadedModel, RewardModel, as_loaded, load_reward_model, save_reward_model
from rm.model.checkpoint import OTHER_BASE, model_directory, read_metadata
from rm.rubric import Rubric
from rm.sources import Source
from rm.text.tokenizer import load_tokenizer


@pytest.fixture
def saved(fresh: Callable[..., LoadedModel], tmp_path: Path) -> Path:
    made = fresh()
    save_reward_model(made.model, made.tokenizer, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def adapter(fresh: Callable[..., LoadedModel], tmp_path: Path) -> Path:
    made = fresh(lora_rank=4)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "adapter")
    return tmp_path / "adapter"


def refused(path: Path | str, message: str, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError, match=message) as caught:
        load_reward_model(path, device="cpu", dtype="float32", **options)
    assert not isinstance(caught.value.__cause__, KeyError | AttributeError | TypeError)
    return caught.value


def without(directory: Path, stem: str, part: str) -> None:
    file = directory / f"{stem}.safetensors"
    state = {name: value for name, value in load_file(file).items() if part not in name}
    assert len(state) < len(load_file(file)), f"no weight is named {part}"
    save_file(state, file, metadata={"format": "pt"})


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text())
    for key, value in changes.items():
        content.pop(key, None) if value is None else content.update({key: value})
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("dimension_heads.2.", "4 dimension heads, its rubric names 5"),
        ("dimension_heads.2.bias", "lack dimension_heads.2.bias"),
        ("total_head.", "lack total_head"),
        ("layers.1.mlp.down_proj", "lack model.layers.1.mlp.down_proj.weight"),
    ],
)
def test_a_missing_weight_is_refused(saved, part, message):
    without(saved, "model", part)
    refused(saved, message)


def test_heads_of_another_size_are_refused_by_name(saved):
    state = load_file(saved / "model.safetensors")
    state["total_head.weight"] = torch.zeros(1, 8)
    save_file(state, saved / "model.safetensors", metadata={"format": "pt"})
    refused(saved, "total_head.weight")


def test_more_dimensions_in_the_configuration_than_heads_are_refused(saved):
    names = [f"d{index}" for index in range(6)]
    edit(saved / "config.json", rm_rubric=None, rm_dimension_names=names, rm_dimension_weights=[1 / 6] * 6)
    refused(saved, "5 dimension heads, its rubric names 6")


def test_more_heads_than_dimensions_in_the_configuration_are_refused(saved):
    edit(saved / "config.json", rm_rubric=None, rm_dimension_names=["a", "b"], rm_dimension_weights=[0.5, 0.5])
    refused(saved, "5 dimension heads, its rubric names 2")


def test_more_weights_than_names_are_refused(saved):
    edit(saved / "config.json", rm_rubric=None, rm_dimension_weights=[0.5, 0.5])
    refused(saved, "2 entries for 5")


def test_a_weight_without_a_name_in_the_metadata_is_refused(adapter):
    edit(adapter / "config.json", rm_rubric=None, rm_dimension_names=None, rm_dimension_weights=None)
    metadata = {"dimension_names": list("abcde"), "dimension_weights": {"a": 1.0}}
    (adapter / "rm_metadata.json").write_text(json.dumps(metadata))
    refused(adapter, "weight")


@pytest.mark.parametrize("stem", ["saved/model", "adapter/adapter_model"])
def test_a_cut_off_weights_file_is_refused(stem, request, tmp_path):
    directory = request.getfixturevalue(stem.split("/")[0])
    file = tmp_path / f"{stem}.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    refused(directory, "not a whole safetensors file")


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"])
def test_a_file_that_is_no_safetensors_is_refused(saved, content):
    (saved / "model.safetensors").write_bytes(content)
    refused(saved, "not a whole safetensors file")


def test_a_directory_without_weights_is_refused(saved):
    (saved / "model.safetensors").unlink()
    refused(saved, "no model.safetensors")


def test_pickled_weights_are_never_read(saved):
    state = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    torch.save(state, saved / "pytorch_model.bin")
    refused(saved, "safetensors only")


def test_a_pickled_adapter_is_never_read(adapter):
    state = load_file(adapter / "adapter_model.safetensors")
    (adapter / "adapter_model.safetensors").unlink()
    torch.save(state, adapter / "adapter_model.bin")
    refused(adapter, "safetensors only")


def test_a_pickled_base_is_never_read(adapter, tmp_path):
    base = tmp_path / "base-qwen2"
    state = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    torch.save(state, base / "pytorch_model.bin")
    refused(adapter, "safetensors")


def test_a_missing_tokenizer_is_refused(saved):
    for file in saved.glob("tokenizer*"):
        file.unlink()
    refused(saved, "tokenizer")


def test_an_adapter_without_a_tokenizer_takes_its_base_s(adapter, rows, outputs):
    expected = outputs(load_reward_model(adapter, device="cpu", dtype="float32"))
    for file in adapter.glob("tokenizer*"):
        file.unlink()
    torch.testing.assert_close(outputs(load_reward_model(adapter, device="cpu", dtype="float32")), expected)


def test_a_missing_base_is_refused_and_base_is_the_way_out(adapter, tmp_path):
    (tmp_path / "base-qwen2").rename(tmp_path / "moved")
    assert "--base" in str(refused(adapter, "base-qwen2"))
    assert load_reward_model(adapter, base=str(tmp_path / "moved"), device="cpu").peft is not None


def test_an_adapter_that_names_no_base_is_refused(adapter):
    edit(adapter / "adapter_config.json", base_model_name_or_path=None)
    refused(adapter, "names no base")


def test_an_adapter_as_a_base_is_refused(adapter):
    refused(adapter, "is itself an adapter", base=str(adapter))


def test_a_base_of_another_size_is_refused(adapter, backbone, tmp_path):
    other = backbone("gpt2")
    refused(adapter, "base", base=str(other))


def test_another_base_of_the_same_shapes_is_told(adapter, tmp_path):
    moved, other = tmp_path / "moved", tmp_path / "other"
    shutil.copytree(tmp_path / "base-qwen2", moved)
    shutil.copytree(moved, other)
    state = load_file(other / "model.safetensors")
    next(iter(state.values())).add_(1)
    save_file(state, other / "model.safetensors", metadata={"format": "pt"})
    assert load_reward_model(adapter, device="cpu").notes == ()
    assert load_reward_model(adapter, base=str(moved), device="cpu").notes == ()
    assert load_reward_model(adapter, base=str(other), device="cpu").notes == (OTHER_BASE,)
    edit(adapter / "config.json", rm_base_fingerprint=None)
    assert load_reward_model(adapter, base=str(other), device="cpu").notes == ()


def test_an_adapter_without_heads_is_refused(adapter):
    without(adapter, "adapter_model", "_head")
    refused(adapter, "no reward heads")


@pytest.mark.parametrize("part", ["dimension_heads.3.", "total_head."])
def test_an_adapter_that_lacks_one_head_is_refused(adapter, part):
    without(adapter, "adapter_model", part)
    refused(adapter, "head")


def test_an_adapter_that_lacks_low_rank_weights_is_refused(adapter):
    without(adapter, "adapter_model", "layers.1.self_attn.q_proj.lora_B")
    refused(adapter, "lora_B")


def test_another_rubric_is_refused(saved):
    message = str(refused(saved, "rubric has the dimensions", rubric=Rubric.load("code")))
    assert "model.init_from" in message


def test_the_same_rubric_is_accepted(saved):
    assert load_reward_model(saved, rubric=Rubric.load("math"), device="cpu").rubric == Rubric.load("math")


def test_quantising_a_merged_model_is_refused(saved):
    refused(saved, "merged", quantization="nf4")


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "/nowhere/at/all"])
def test_a_path_that_is_not_there_is_refused(name, monkeypatch):
    monkeypatch.setattr("rm.sources.hub_reachable", lambda: False)
    refused(name, "no such directory")


def test_an_empty_path_is_refused():
    refused("", "no name")


def test_a_hub_name_without_a_network_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("rm.sources.hub_reachable", lambda: False)
    refused("some-org/some-model", "hub cannot be reached")


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").touch()
    refused(tmp_path / "model.safetensors", "is a file")


def test_an_empty_directory_is_no_model(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no reward model here")


def test_a_plain_language_model_is_no_reward_model(backbone):
    refused(backbone(), "without reward heads")


def test_a_causal_language_model_is_no_reward_model(backbone, tmp_path):
    directory = backbone()
    config = AutoModelForCausalLM.from_pretrained(directory).config
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    refused(directory, "without reward heads")


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_broken_configuration_is_refused(saved, content):
    (saved / "config.json").write_bytes(content.encode("latin-1"))
    refused(saved, "config.json")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("rm_rubric", "math", "a mapping"),
        ("rm_dimension_names", "step_coherence", "a list of names"),
        ("rm_dimension_weights", ["0.5", "0.5"], "a list of numbers"),
        ("rm_num_labels", "5", "an integer of at least 2"),
        ("rm_use_total_head", "no", "true or false"),
        ("rm_template_version", "tracelift-99", "tracelift-1"),
        ("rm_pooling", "foo", "last or mean"),
        ("rm_head_dropout", 1.5, r"a number in \[0, 1\)"),
        ("rm_include_tests", 1, "true or false"),
        ("rm_max_length", "abc", "an integer of at least 1"),
        ("rm_quantization", "int3", "none or nf4 or int8"),
        ("rm_base_fingerprint", 7, "a string"),
    ],
)
def test_a_fact_that_is_not_of_its_kind_is_refused(key, value, expected, saved):
    edit(saved / "config.json", **{key: value})
    assert json.dumps(value) in str(refused(saved, rf"saved/config\.json: {key} = .*, expected {expected}"))


def test_all_wrong_facts_are_told_at_once(saved):
    edit(saved / "config.json", rm_pooling="foo", rm_max_length=0)
    assert len(refused(saved, "rm_pooling").problems) == 2


def test_wrong_facts_in_the_metadata_are_refused(adapter):
    (adapter / "rm_metadata.json").write_text(json.dumps({"dimension_names": 5}))
    refused(adapter, r"rm_metadata\.json: dimension_names = 5")


def test_a_fact_that_is_null_is_not_stated(saved):
    content = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**content, "rm_pooling": None, "rm_max_length": None}))
    assert load_reward_model(saved, device="cpu").model.config.text_max_length == 3072


@pytest.mark.parametrize("path", ["saved", "adapter"])
def test_an_attention_that_cannot_be_had_is_refused(path, request):
    refused(request.getfixturevalue(path), "no_such_attention", attn_implementation="no_such_attention")


def test_weights_may_be_read_by_whom_the_configuration_may(saved, adapter):
    for directory in (saved, adapter):
        modes = {file.stat().st_mode for file in directory.iterdir() if file.suffix in (".json", ".safetensors")}
        assert len(modes) == 1


def test_an_unknown_backbone_is_refused(saved):
    edit(saved / "config.json", model_type="no_such_model")
    refused(saved, "no_such_model")


def test_a_checkpoint_s_own_code_is_not_run(saved, tmp_path):
    witness = tmp_path / "ran"
    (saved / "evil.py").write_text(f"open({str(witness)!r}, 'w')")
    edit(saved / "config.json", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    load_reward_model(saved, device="cpu")
    assert not witness.exists()


def test_a_run_s_output_directory_stands_for_the_model_in_it(saved, tmp_path):
    (tmp_path / "run").mkdir()
    saved.rename(tmp_path / "run" / "model")
    assert model_directory(tmp_path / "run") == tmp_path / "run" / "model"
    assert load_reward_model(tmp_path / "run", device="cpu").rubric.name == "math"


def test_the_facts_of_a_checkpoint_are_read_without_its_weights(saved):
    (saved / "model.safetensors").unlink()
    assert read_metadata(saved)["rm_num_labels"] == 5


def test_a_generic_tokenizer_keeps_its_own_splitting(saved, byte_tokenizer):
    """AutoTokenizer of transformers 5 replaces it by the model type's own, and so gives other tokens."""
    text = "<reasoning>\n12 + 345 = 357."
    expected = byte_tokenizer()(text)["input_ids"]
    assert load_tokenizer(Source(str(saved), "", True))(text)["input_ids"] == expected


def test_the_trap_that_the_tokenizer_loader_avoids_is_still_there(saved):
    letters = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(saved)
    edit(saved / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert load_tokenizer(Source(str(saved), "", True))("ab")["input_ids"] == [0, 1]
    replaced = AutoTokenizer.from_pretrained(saved)("ab")["input_ids"]
    assert replaced == [2], "transformers keeps the splitting now: the loader's special case may go"


@pytest.mark.parametrize("name", [None, "PreTrainedTokenizerFast", "Qwen2TokenizerFast", "Qwen2Tokenizer"])
@pytest.mark.parametrize("content", [None, "{}", '{"model": {}}', "{", '{"added_tokens": [], "model": {"type": "no"}}'])
def test_a_damaged_tokenizer_is_refused(name, content, saved):
    edit(saved / "tokenizer_config.json", tokenizer_class=name)
    (saved / "tokenizer.json").unlink()
    if content is not None:
        (saved / "tokenizer.json").write_text(content)
    with pytest.raises(ConfigError, match="tokenizer"):
        load_tokenizer(Source(str(saved), "", True))


def test_loading_says_nothing_and_warns_of_nothing(saved, adapter, capfd):
    load_reward_model(saved, device="cpu")
    load_reward_model(adapter, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_a_loaded_model_is_in_evaluation_mode(saved, adapter):
    for path in (saved, adapter):
        assert not load_reward_model(path, device="cpu").model.training


def test_a_loaded_adapter_is_frozen_unless_it_is_to_be_trained(adapter):
    frozen = load_reward_model(adapter, device="cpu").peft
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    trained = load_reward_model(adapter, device="cpu", trainable=True).peft
    names = {name for name, parameter in trained.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "modules_to_save" in name for name in names)
    assert any("lora_A" in name for name in names)


def test_the_model_class_loads_what_the_function_loads(adapter, outputs):
    loaded = load_reward_model(adapter, device="cpu", dtype="float32")
    model = RewardModel.from_pretrained(adapter, device="cpu", dtype="float32")
    torch.testing.assert_close(outputs(LoadedModel(model, loaded.tokenizer)).logit, outputs(loaded).logit)


def test_a_model_from_the_class_brings_its_tokenizer(saved, adapter, outputs):
    for path in (saved, adapter):
        model = RewardModel.from_pretrained(path, device="cpu", dtype="float32")
        again = as_loaded(model)
        assert again.model is model
        torch.testing.assert_close(outputs(again), outputs(load_reward_model(path, device="cpu", dtype="float32")))
        assert as_loaded(again) is again
    assert as_loaded(saved).rubric.name == as_loaded(str(saved)).rubric.name == "math"


def test_a_model_without_a_tokenizer_cannot_score_text(fresh):
    with pytest.raises(ConfigError, match="has no tokenizer"):
        as_loaded(RewardModel(fresh().model.config))
