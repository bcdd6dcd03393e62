"""Prefixes that come again: the same states, fewer tokens, bounded memory."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModel, PreTrainedModel, Qwen2Config

from rm.prefix import HotPrefixes, pack, packed_states, prepare

pytestmark = pytest.mark.usefixtures("cutting")

PLENTY = 2**30
TOKEN_BYTES = 2 * 2 * 2 * 8 * 4
"""Of the model below: keys and values, layers, key-value heads, head size, float32."""


@pytest.fixture(scope="module")
def backbone() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = AutoModel.from_config(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    assert prepare(model, longest=512).path == "segments"
    return model


def tokens(length: int, seed: int) -> list[int]:
    return [random.Random(f"{seed}:{place}").randrange(64) for place in range(length)]


def states(backbone: PreTrainedModel, hot: HotPrefixes, rows: list[list[int]]) -> tuple[torch.Tensor, int]:
    """States of the last tokens, and how many tokens were computed for them."""
    packed = hot.pack(rows)
    found = packed_states(backbone, packed)[packed.last]
    hot.keep(packed)
    return found, packed.input_ids.shape[1]


def alone(backbone: PreTrainedModel, rows: list[list[int]]) -> torch.Tensor:
    packed = pack([[row] for row in rows])
    return packed_states(backbone, packed)[packed.last]


PROMPT, OTHER = tokens(100, 1), tokens(90, 2)


def test_a_prefix_of_two_rows_of_one_call_is_known_in_the_next(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY)
    _, first = states(backbone, hot, [[*PROMPT, 1, 2, 3], [*PROMPT, 4, 5]])
    _, second = states(backbone, hot, [[*PROMPT, 6, 7]])
    assert (first, second) == (105, 2)


def test_a_prompt_that_comes_one_row_a_call_is_kept_from_its_second_time_on(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY)
    computed = [states(backbone, hot, [PROMPT + [token] * 4])[1] for token in (1, 2, 3, 4)]
    assert computed == [104, 104, 4, 4]


@pytest.mark.parametrize("rows", [1, 2])
def test_what_all_prompts_begin_with_keeps_no_longer_prefix_out(backbone: PreTrainedModel, rows: int) -> None:
    hot = HotPrefixes(PLENTY)
    start, rest = PROMPT[:70], tokens(200, 3)
    states(backbone, hot, [[*PROMPT, 1], [*start, *OTHER, 2]])
    assert hot.bytes == 70 * TOKEN_BYTES
    for call in range(3):
        computed = states(backbone, hot, [[*start, *rest, 4 + call, row] for row in range(rows)])[1]
    assert computed == 2 * rows


def test_a_prefix_is_used_as_far_as_it_agrees(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY)
    states(backbone, hot, [[*PROMPT, 1], [*PROMPT, 2]])
    found, computed = states(backbone, hot, [[*PROMPT[:80], 63, 62]])
    assert computed == 2
    torch.testing.assert_close(found, alone(backbone, [[*PROMPT[:80], 63, 62]]), rtol=0, atol=1e-5)


def test_a_row_that_is_a_known_prefix_still_gets_a_state(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY)
    states(backbone, hot, [[*PROMPT, 1], [*PROMPT, 2]])
    found, computed = states(backbone, hot, [PROMPT])
    assert computed == 1
    torch.testing.assert_close(found, alone(backbone, [PROMPT]), rtol=0, atol=1e-5)


def test_states_are_those_of_every_row_alone_whatever_came_before(backbone: PreTrainedModel) -> None:
    draw = random.Random(3)
    prompts = [tokens(length, 10 + length) for length in (70, 90, 120, 30)]
    hot = HotPrefixes(150 * TOKEN_BYTES)  # room for one or two of them, so that some go
    for _ in range(30):
        chosen = [draw.choice(prompts) for _ in range(draw.randrange(1, 4))]
        rows = [prompt + tokens(draw.randrange(1, 20), draw.random()) for prompt in chosen for _ in range(2)]  # type: ignore[arg-type]
        draw.shuffle(rows)
        found, _ = states(backbone, hot, rows)
        torch.testing.assert_close(found, alone(backbone, rows), rtol=0, atol=2e-5)
    assert hot.reused_tokens > 500


def test_what_is_kept_stays_within_the_bound_and_the_least_used_goes(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(200 * TOKEN_BYTES)
    states(backbone, hot, [[*PROMPT, 1], [*PROMPT, 2]])
    assert hot.bytes == 100 * TOKEN_BYTES
    states(backbone, hot, [[*OTHER, 1], [*OTHER, 2]])
    assert (len(hot), hot.bytes) == (2, 190 * TOKEN_BYTES)
    states(backbone, hot, [[*PROMPT, 3]])
    third = tokens(80, 5)
    states(backbone, hot, [[*third, 1], [*third, 2]])
    assert (len(hot), hot.bytes) == (2, 180 * TOKEN_BYTES)
    assert states(backbone, hot, [[*PROMPT, 9]])[1] == 1  # used after OTHER, so OTHER went
    assert states(backbone, hot, [[*OTHER, 9]])[1] == 91


def test_a_prefix_above_the_bound_is_not_kept(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(99 * TOKEN_BYTES)
    states(backbone, hot, [[*PROMPT, 1], [*PROMPT, 2]])
    assert (len(hot), hot.bytes) == (0, 0)


def test_short_prefixes_are_not_worth_keeping(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY, min_length=64)
    states(backbone, hot, [[*PROMPT[:63], 1], [*PROMPT[:63], 2]])
    assert len(hot) == 0


def test_clear_forgets_everything(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY)
    states(backbone, hot, [[*PROMPT, 1], [*PROMPT, 2]])
    hot.clear()
    assert (len(hot), hot.bytes) == (0, 0)
    assert states(backbone, hot, [[*PROMPT, 3]])[1] == 101


def test_only_so_many_sequences_are_remembered(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY, remembered=1)
    states(backbone, hot, [[*PROMPT, 1]])
    states(backbone, hot, [[*OTHER, 1]])
    assert states(backbone, hot, [[*PROMPT, 2]])[1] == 101
    assert len(hot) == 0


def test_equal_rows_have_equal_states_to_the_last_bit(backbone: PreTrainedModel) -> None:
    hot = HotPrefixes(PLENTY)
    for _ in range(3):  # new, kept, known
        found, _ = states(backbone, hot, [PROMPT] * 5)
        assert all(torch.equal(found[0], other) for other in found)
        assert hot.pack([PROMPT] * 5).input_ids.shape[1] <= len(PROMPT)
