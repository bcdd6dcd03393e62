"""The starting weights do what they say before any training: look back, and recognise a number seen before."""

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from rm.lab.start import LOOK_BACK, LOOK_BACK_LAYERS, initialise


@pytest.fixture(scope="module")
def attentions() -> tuple[torch.Tensor, ...]:
    """Attention of a fresh model over 24 different tokens, the fourth to the sixth of which come again at the end."""
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="eager",
    )
    model = Qwen2ForCausalLM(config).eval()
    initialise(model, seed=1)
    ids = torch.tensor([[*range(24), 3, 4, 5]])
    with torch.inference_mode():
        return model(ids, output_attentions=True).attentions


@pytest.mark.parametrize("layer", range(LOOK_BACK_LAYERS))
@pytest.mark.parametrize(("head", "distance"), list(enumerate(LOOK_BACK)))
def test_heads_look_back(attentions: tuple[torch.Tensor, ...], layer: int, head: int, distance: int) -> None:
    """From every token but the first few, attention peaks at the token at that distance."""
    weights = attentions[layer][0, head]
    looked = weights[range(8, 27), range(8 - distance, 27 - distance)]
    assert looked.mean() > 0.8
    assert looked.min() > 0.4


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("head", [2, 3])
def test_heads_recognise(attentions: tuple[torch.Tensor, ...], layer: int, head: int) -> None:
    """The last token attends most to its like, 21 tokens before, and not to itself."""
    assert attentions[layer][0, head, -1].argmax() == 5


def test_a_seed_decides_the_weights() -> None:
    config = Qwen2Config(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    first, second = Qwen2ForCausalLM(config), Qwen2ForCausalLM(config)
    initialise(first, seed=3)
    initialise(second, seed=3)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
