"""Which backbones run packed rows, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    JambaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    RobertaConfig,
)

from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.prefix import CHOICES, PATHS, Packed, Sharing, pack, packed_states, prepare, why_not
from rm.prefix.attention import NAME
from rm.text import pad

Fresh = Callable[..., LoadedModel]

SHAPE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MIXED = {**SHAPE, "intermediate_size": 48, "num_key_value_heads": 2, "initializer_range": 0.2}
NARROW = {"head_dim": 8, "query_pre_attn_scalar": 40}
ROWS = [tuple(range(5, 17)), (*range(5, 14), 40, 41, 42), tuple(range(60, 65))]


def build(config: PreTrainedConfig, **options: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModel.from_config(config, **options).eval()


def mistral(window: int | None) -> MistralConfig:
    return MistralConfig(**MIXED, sliding_window=window)


# ---- what is ruled out by the configuration ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (mistral(12), "its attention has a window of 12 tokens, and texts may have up to 13"),
        (Gemma3TextConfig(**MIXED, **NARROW, sliding_window=12), "a window of 12 tokens"),
        (
            Qwen2Config(**MIXED, use_sliding_window=True, sliding_window=12, max_window_layers=1),
            "a window of 12 tokens",
        ),
        (BertConfig(**SHAPE, intermediate_size=48), "it is an encoder"),
        (RobertaConfig(**SHAPE, intermediate_size=48), "it is an encoder"),
        (
            JambaConfig(**MIXED, mamba_d_state=4, mamba_dt_rank=4, attn_layer_period=2, attn_layer_offset=1),
            "it has layers that are no attention (full_attention, ",
        ),
        (
            MambaConfig(vocab_size=300, hidden_size=32, state_size=4, num_hidden_layers=1),
            "it has layers that are no attention (",
        ),
    ],
    ids=["mistral", "gemma3", "qwen2", "bert", "roberta", "jamba", "mamba"],
)
def test_a_backbone_that_cannot_share_says_why_and_stays_as_it_is(config: PreTrainedConfig, reason: str) -> None:
    backbone = build(config)
    before = backbone.config._attn_implementation
    found = prepare(backbone, "auto", longest=13)
    assert found.path is None
    assert reason in found.reason
    assert backbone.config._attn_implementation == before != NAME


@pytest.mark.parametrize(
    "config",
    [
        mistral(12),
        mistral(None),
        Gemma3TextConfig(**MIXED, **NARROW, sliding_window=12),
        Qwen2Config(**MIXED, use_sliding_window=True, sliding_window=12, max_window_layers=1),
        Qwen2Config(**MIXED, use_sliding_window=False, sliding_window=2),
    ],
    ids=["mistral", "no-window", "gemma3", "qwen2", "qwen2-off"],
)
@pytest.mark.parametrize("path", ["segments", "tree_mask"])
@torch.no_grad()
def test_a_window_as_long_as_the_longest_sequence_hides_nothing(config: PreTrainedConfig, path: Any) -> None:
    backbone = build(config)
    expected = torch.cat([backbone(input_ids=torch.tensor([row])).last_hidden_state[:, -1] for row in ROWS])
    assert max(map(len, ROWS)) == 12
    assert prepare(backbone, path, longest=12) == Sharing(path)
    packed = pack([ROWS], path)
    torch.testing.assert_close(packed_states(backbone, packed)[packed.last], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "flex_attention"])
def test_an_attention_that_was_asked_for_is_kept(attention: str) -> None:
    backbone = build(mistral(None), attn_implementation=attention)
    found = prepare(backbone, "auto", longest=10)
    assert found == Sharing(None, f"its attention is {attention}, and packed rows need sdpa")
    assert backbone.config._attn_implementation == attention


def test_capped_logits_are_ruled_out() -> None:
    config = Gemma2Config(**MIXED, **NARROW, attn_logit_softcapping=50.0)
    config._attn_implementation = "sdpa"
    assert "caps logits" in why_not(config, 10)


def pretend_to_be_on_the_registry(backbone: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(backbone), "_can_set_attn_implementation", classmethod(lambda cls: True))


# ---- what the trial finds ---------------------------------------------------------------------------------------


def test_a_backbone_off_the_attention_registry_is_known_as_such() -> None:
    found = prepare(build(FalconConfig(**SHAPE, alibi=False)), "segments", longest=10)
    assert found == Sharing(None, "its attention does not come from transformers' registry")


def test_a_backbone_that_only_seems_to_share_is_found_by_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build(FalconConfig(**SHAPE, alibi=False))
    pretend_to_be_on_the_registry(backbone, monkeypatch)
    found = prepare(backbone, "segments", longest=10)
    assert found.path is None
    assert "gave other states than the plain way (relative difference 0." in found.reason
    assert backbone.config._attn_implementation == "sdpa"


def test_a_trial_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build(FalconConfig(**SHAPE, alibi=True))
    pretend_to_be_on_the_registry(backbone, monkeypatch)
    found = prepare(backbone, "segments", longest=10)
    assert found.path is None
    assert found.reason.startswith("a trial of packed rows failed (")
    assert backbone.config._attn_implementation == "sdpa"


def test_states_that_are_no_numbers_fail_the_trial() -> None:
    backbone = build(mistral(None))
    with torch.no_grad():
        backbone.norm.weight.fill_(float("nan"))
    assert "relative difference nan" in prepare(backbone, longest=10).reason
    assert backbone.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("path", ["segments", "tree_mask"])
def test_the_trial_has_prefixes_within_prefixes_and_two_groups(path: Any) -> None:
    """A trial of sequences that share nothing would let wrong sharing pass."""
    backbone = build(mistral(None))
    tried: list[Packed] = []
    backbone.register_forward_pre_hook(
        lambda _, args, kwargs: tried.append(kwargs["packed"]) if "packed" in kwargs else None, with_kwargs=True
    )
    assert prepare(backbone, path, longest=10) == Sharing(path)
    [packed] = tried
    assert packed.path == path
    assert {len(each.ancestors) for each in packed.forest.segments} == {0, 1, 2}
    assert sum(not each.ancestors for each in packed.forest.segments) == 2


@pytest.mark.parametrize("path", ["segments", "tree_mask"])
def test_a_layer_that_forgets_positions_fails_the_trial(path: Any) -> None:
    """It counts along the packed row, as an attention with its own positions would."""
    backbone = build(mistral(None))
    rotary = backbone.rotary_emb.forward
    backbone.rotary_emb.forward = lambda states, position_ids: rotary(
        states, torch.arange(states.shape[1]).expand_as(position_ids)
    )
    found = prepare(backbone, path, longest=10)
    assert found.path is None
    assert "gave other states" in found.reason


# ---- what is left as it was -------------------------------------------------------------------------------------


def test_plain_changes_nothing() -> None:
    backbone = build(mistral(None))
    assert prepare(backbone, "plain", longest=10) == Sharing(None)
    assert backbone.config._attn_implementation == "sdpa"


def test_flex_is_for_cuda() -> None:
    backbone = build(mistral(None))
    assert prepare(backbone, "flex", longest=10) == Sharing(None, "FlexAttention has no backward pass on a CPU")
    assert backbone.config._attn_implementation == "sdpa"


def test_auto_picks_segments() -> None:
    assert prepare(build(mistral(None)), longest=10) == Sharing("segments")


def test_the_choices_are_auto_plain_and_every_path() -> None:
    assert set(CHOICES) - set(PATHS) == {"auto", "plain"}
    assert set(PATHS) < set(CHOICES)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("config", [mistral(None), FalconConfig(**SHAPE)], ids=["shares", "does-not"])
def test_the_trial_leaves_the_mode_and_no_gradients(config: PreTrainedConfig, training: bool) -> None:
    backbone = build(config).train(training)
    prepare(backbone, longest=10)
    assert {module.training for module in backbone.modules()} == {training}
    assert all(parameter.grad is None for parameter in backbone.parameters())


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "mistral", "gemma", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padded_rows_score_bit_for_bit_as_before(family: str, side: Any, fresh: Fresh) -> None:
    model = fresh(family).model
    batches = [pad(ROWS, 0, side), pad(ROWS[:2], 0), pad(ROWS[2:], 0)]  # with padding, without, a single row
    before = [model(*batch) for batch in batches]
    assert prepare(model.model, longest=512) == Sharing("segments")
    for batch, expected in zip(batches, before, strict=True):
        found = model(*batch)
        assert torch.equal(found.logit, expected.logit)
        assert torch.equal(found.dimension_logits, expected.dimension_logits)


def test_preparing_twice_is_preparing_once(fresh: Fresh) -> None:
    backbone = fresh().model.model
    assert prepare(backbone, "segments", longest=10) == Sharing("segments")
    assert prepare(backbone, "tree_mask", longest=10) == Sharing("tree_mask")
    assert backbone.config._attn_implementation == NAME


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_saved_model_knows_nothing_of_it(lora_rank: int, fresh: Fresh, tmp_path: Path) -> None:
    """Its attention is known to this process alone; another must be able to load the model."""
    made = fresh(lora_rank=lora_rank)
    assert prepare(made.model.model, longest=10) == Sharing("segments")
    save_reward_model(made.peft or made.model, made.tokenizer, tmp_path / "saved")
    assert not [file.name for file in (tmp_path / "saved").glob("*.json") if NAME in file.read_text(encoding="utf-8")]
    again = load_reward_model(tmp_path / "saved", dtype="float32", device="cpu").model
    assert again.model.config._attn_implementation == "sdpa"
