"""Every kind of backbone is saved, loaded again and scores the same."""

from __future__ import annotations

import pytest
import torch
from transformers import T5Config, T5Model

from rm.errors import ConfigError
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.model.lora import merge_lora

DECODERS = ("qwen2", "qwen3", "llama", "mistral", "gemma", "gpt2")
ENCODERS = ("bert", "roberta", "distilbert")


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_a_fully_trained_model_scores_the_same_after_saving_and_loading(family, fresh, outputs, tmp_path):
    made = fresh(family)
    save_reward_model(made.model, made.tokenizer, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved", dtype="float32", device="cpu")
    expected, found = outputs(made), outputs(again)
    assert expected.score.std() > 1e-3, "a test on equal scores would prove nothing"
    torch.testing.assert_close(found.dimension_logits, expected.dimension_logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.total_logit, expected.total_logit, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_an_adapter_scores_the_same_after_saving_and_loading(family, fresh, outputs, tmp_path):
    made = fresh(family, lora_rank=4)
    save_reward_model(made.peft, made.tokenizer, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved", dtype="float32", device="cpu")
    torch.testing.assert_close(outputs(again).logit, outputs(made).logit, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_a_merged_adapter_scores_as_the_adapter(family, fresh, outputs):
    made = fresh(family, lora_rank=4)
    before = outputs(made).logit
    merged = LoadedModel(merge_lora(made.peft), made.tokenizer)
    torch.testing.assert_close(outputs(merged).logit, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", [*DECODERS, *ENCODERS])
def test_the_padding_side_changes_no_score(family, fresh, outputs):
    made = fresh(family)
    torch.testing.assert_close(outputs(made, "left").logit, outputs(made, "right").logit, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "bert"])
def test_a_row_scores_the_same_alone_as_beside_longer_ones(family, fresh, outputs, rows):
    made = fresh(family)
    alone = torch.cat([outputs(made, of=[row]).logit for row in rows])
    torch.testing.assert_close(alone, outputs(made).logit, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("families", "pooling"), [(DECODERS, "last"), (ENCODERS, "mean")])
def test_decoders_pool_the_last_token_and_encoders_the_mean(families, pooling, fresh):
    assert {fresh(family).model.config.pooling for family in families} == {pooling}


@pytest.mark.parametrize("pooling", ["auto", "mean"])
def test_an_encoder_decoder_is_refused(pooling, fresh, tmp_path, byte_tokenizer):
    config = T5Config(vocab_size=300, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path / "t5")
    byte_tokenizer().save_pretrained(tmp_path / "t5")
    with pytest.raises(ConfigError, match="encoder-decoder"):
        fresh(backbone=str(tmp_path / "t5"), pooling=pooling)
