"""A packed row gives what its sequences give one by one: states, scores, gradients."""

from __future__ import annotations

import importlib.util
import math
import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rm.model import LoadedModel, RewardModel, RewardOutput
from rm.prefix import Packed, Path, grow, pack, pack_forest, packed_states, prepare
from rm.prefix.blocks import cut
from rm.text import pad

Fresh = Callable[..., LoadedModel]
Groups = Sequence[Sequence[Sequence[int]]]

FAMILIES = ("qwen2", "qwen3", "llama", "mistral", "gemma", "gpt2")
TRAINED: tuple[Path, ...] = ("segments", "tree_mask")
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed (extra qlora)"
)


def sample_groups() -> Groups:
    """Two problems: members that fork twice, end inside one another, are equal; and a third of one member."""
    draw = random.Random(18)

    def tokens(count: int) -> list[int]:
        return [draw.randrange(2, 250) for _ in range(count)]

    first, second = tokens(20), tokens(13)
    fork = [*first, *tokens(9)]
    return [
        [[*first, *tokens(1)], [*fork, *tokens(4)], [*first, *tokens(7)], [*fork, *tokens(2)]],
        [[*second, *tokens(11)], second, second, [*second, *tokens(3)]],
        [tokens(6)],
    ]


GROUPS = sample_groups()
FLAT = [sequence for group in GROUPS for sequence in group]


def alone(backbone: nn.Module, sequences: Sequence[Sequence[int]] = FLAT) -> Tensor:
    """(N, H): each sequence through the backbone by itself."""
    rows = [torch.tensor([sequence]) for sequence in sequences]
    states = [backbone(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[:, -1] for row in rows]
    return torch.cat(states)


def together(backbone: nn.Module, path: Path, groups: Groups = GROUPS) -> Tensor:
    """(N, H): all of them in one row."""
    packed = pack(groups, path)
    return packed_states(backbone, packed)[packed.last]


def ready(fresh: Fresh, family: str = "qwen2", path: Path = "segments", **recipe: Any) -> LoadedModel:
    made = fresh(family, **recipe)
    assert prepare(made.model.model, path, longest=512).path == path
    return made


def test_the_three_ways_to_cut_differ(cutting: None) -> None:
    assert len(pack(GROUPS).blocks) in (1, 6, 10)


def loss_of(output: RewardOutput) -> Tensor:
    """Something to which every head, level and sequence matters differently."""
    generator = torch.Generator().manual_seed(3)
    levels = output.dimension_logits.float()
    total = output.total_logit.float()
    weights = torch.randn(levels.shape, generator=generator)
    return (levels.softmax(-1) * weights).sum() + (
        total.sigmoid() * torch.randn(total.shape, generator=generator)
    ).sum()


def gradients(network: nn.Module, **inputs: Any) -> dict[str, Tensor]:
    network.zero_grad()
    loss_of(network(**inputs)).backward()
    return {name: p.grad.detach().clone() for name, p in network.named_parameters() if p.grad is not None}


def padded_inputs(side: Any = "right") -> dict[str, Tensor]:
    ids, mask = pad(FLAT, 0, side)
    return {"input_ids": ids, "attention_mask": mask}


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """All together, and each parameter's that is not negligible, to within a share of its norm."""
    assert found.keys() == expected.keys()
    total = math.sqrt(sum(each.norm().item() ** 2 for each in expected.values()))
    error = math.sqrt(sum((found[name] - each).norm().item() ** 2 for name, each in expected.items()))
    assert 0 < total < math.inf
    assert error <= tolerance * total
    for name, each in expected.items():
        if each.norm() > 1e-3 * total:
            assert (found[name] - each).norm() <= tolerance * each.norm(), name


def apart(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference as a share of the norm."""
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


# ---- states and scores ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", TRAINED)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_last_states_are_those_of_each_sequence_alone(family: str, path: Path, fresh: Fresh) -> None:
    model = fresh(family).model
    expected = alone(model.model)
    assert prepare(model.model, path, longest=512).path == path
    assert expected.std() > 0.1, "a test on equal states would prove nothing"
    torch.testing.assert_close(together(model.model, path), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("path", TRAINED)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_scores_are_those_of_padded_rows(family: str, path: Path, side: str, fresh: Fresh) -> None:
    model = fresh(family).model
    expected = model(**padded_inputs(side))
    assert prepare(model.model, path, longest=512).path == path
    found = model(packed=pack(GROUPS, path))
    assert expected.score.std() > 1e-3
    torch.testing.assert_close(found.score, expected.score, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.dimension_logits, expected.dimension_logits, rtol=0, atol=5e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_wrong_position_or_a_wrong_sight_would_show(family: str, fresh: Fresh) -> None:
    """What keeps the tests above honest: the smallest mistake changes what it must, by far more than is let pass."""
    backbone = ready(fresh, family, "tree_mask").model.model
    packed = pack(GROUPS, "tree_mask")
    right = packed_states(backbone, packed)[packed.last]
    leaf = next(each for each in packed.forest.segments if len(each.ancestors) == 2)
    hit = (packed.last >= leaf.start) & (packed.last < leaf.end)
    assert hit.sum() == 1

    def changes(wrong: Packed) -> Tensor:
        return (packed_states(backbone, wrong)[packed.last] - right).abs().amax(dim=1)

    positions, root, above, sibling = (each.clone() for each in (packed.position_ids, *[packed.subtree_end] * 3))
    positions[0, leaf.start : leaf.end] += 1
    root[:4] = torch.arange(1, 5)  # four tokens of the root seen by nobody but themselves
    above[leaf.start - 4 : leaf.start] = leaf.start  # four tokens before the leaf hidden from it
    sibling[leaf.start : leaf.end] = packed.forest.segments[0].subtree_end  # the leaf shown to those after it
    assert changes(replace(packed, position_ids=positions))[hit] > 1e-3
    assert changes(replace(packed, position_ids=positions))[~hit].max() < 1e-5
    assert changes(replace(packed, subtree_end=root))[hit] > 1e-3
    assert changes(replace(packed, subtree_end=above))[hit] > 1e-3
    assert changes(replace(packed, subtree_end=sibling))[hit] < 1e-5
    assert changes(replace(packed, subtree_end=sibling))[~hit].max() > 1e-3


@pytest.mark.usefixtures("cutting")
@torch.no_grad()
def test_segments_are_attended_at_their_positions(fresh: Fresh) -> None:
    backbone = ready(fresh).model.model
    packed = pack(GROUPS, "segments")
    right = packed_states(backbone, packed)[packed.last]
    [start, *_] = [each.start for each in packed.forest.segments if each.ancestors]
    shifted = packed.position_ids + (torch.arange(packed.position_ids.shape[1]) >= start)
    assert (packed_states(backbone, replace(packed, position_ids=shifted))[packed.last] - right).abs().max() > 1e-2


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", TRAINED)
@torch.no_grad()
def test_every_token_has_its_state_and_not_only_the_last(path: Path, fresh: Fresh) -> None:
    backbone = ready(fresh, path=path).model.model
    packed = pack(GROUPS, path)
    states = packed_states(backbone, packed)
    assert states.shape == (len(packed.forest.tokens), 32)
    first = packed.forest.segments[0]
    expected = backbone(input_ids=torch.tensor([FLAT[0]])).last_hidden_state[0, : first.length]
    torch.testing.assert_close(states[: first.length], expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("path", TRAINED)
@torch.no_grad()
def test_how_much_is_merged_changes_no_state(path: Path, levels: int, fresh: Fresh) -> None:
    backbone = ready(fresh, path=path).model.model
    packed = pack_forest(grow(GROUPS, min_saving=1, levels=levels), path)
    torch.testing.assert_close(packed_states(backbone, packed)[packed.last], alone(backbone), rtol=0, atol=1e-5)


# ---- random groups ----------------------------------------------------------------------------------------------

letters = st.integers(2, 5)
branch = st.lists(letters, min_size=1, max_size=6)
group = st.builds(
    lambda prefix, ends: [[*prefix, *end] for end in ends],
    st.lists(letters, max_size=12),
    st.lists(branch, min_size=1, max_size=9),
)


@pytest.fixture
def prepared(fresh: Fresh) -> nn.Module:
    return ready(fresh).model.model


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.lists(group, min_size=1, max_size=3),
    min_saving=st.integers(1, 9),
    call_pairs=st.integers(0, 300),
    call_rows=st.integers(0, 9),
)
@torch.no_grad()
def test_any_groups_give_the_states_of_their_sequences(
    groups: list[list[list[int]]], min_saving: int, call_pairs: int, call_rows: int, prepared: nn.Module
) -> None:
    flat = [sequence for members in groups for sequence in members]
    expected = alone(prepared, flat)
    for path in TRAINED:
        forest = grow(groups, min_saving=min_saving)
        blocks = cut(forest, call_pairs=call_pairs, call_rows=call_rows)
        packed = replace(pack_forest(forest, path), blocks=blocks)
        torch.testing.assert_close(packed_states(prepared, packed)[packed.last], expected, rtol=0, atol=1e-5)


# ---- gradients --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", TRAINED)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_padded_rows(family: str, path: Path, fresh: Fresh) -> None:
    model = fresh(family).model
    expected = gradients(model, **padded_inputs())
    assert prepare(model.model, path, longest=512).path == path
    assert_same_gradients(gradients(model, packed=pack(GROUPS, path)), expected, 1e-4)


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", TRAINED)
def test_adapters_get_the_gradients_of_padded_rows(path: Path, fresh: Fresh) -> None:
    made = fresh(lora_rank=4, lora_dropout=0.0)
    made.peft.train()
    expected = gradients(made.peft, **padded_inputs())
    assert prepare(made.model.model, path, longest=512).path == path
    found = gradients(made.peft, packed=pack(GROUPS, path))
    assert sum("lora_" in name for name in expected) == 28, "two matrices for each of 14 layers"
    assert_same_gradients(found, expected, 1e-4)


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("lora_rank", [0, 4])
@pytest.mark.parametrize("path", TRAINED)
def test_recomputing_activations_changes_no_gradient(path: Path, lora_rank: int, fresh: Fresh) -> None:
    found = []
    for checkpointing in (False, True):
        made = ready(fresh, path=path, lora_rank=lora_rank, lora_dropout=0.0, gradient_checkpointing=checkpointing)
        network = made.peft or made.model
        network.train()
        runs = _count_runs(made.model)
        found.append(gradients(network, packed=pack(GROUPS, path)))
        assert runs == [2 if checkpointing else 1]
    assert_same_gradients(found[1], found[0], 1e-6)


def _count_runs(model: RewardModel) -> list[int]:
    """How often the last layer's attention has run, as a list that keeps counting."""
    runs = [0]

    def count(*_: Any) -> None:
        runs[0] += 1

    model.model.layers[-1].self_attn.register_forward_pre_hook(count)
    return runs


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", TRAINED)
@torch.no_grad()
def test_attention_dropout_is_for_training_alone(path: Path, fresh: Fresh) -> None:
    backbone = ready(fresh, path=path, dropout=0.5).model.model
    assert not torch.equal(together(backbone.train(), path), together(backbone, path))
    assert torch.equal(together(backbone.eval(), path), together(backbone, path))
    torch.testing.assert_close(together(backbone, path), alone(backbone), rtol=0, atol=1e-5)


# ---- low precision ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cutting")
@pytest.mark.parametrize("path", TRAINED)
def test_autocast_costs_packed_rows_no_more_than_padded_ones(path: Path, fresh: Fresh) -> None:
    """bfloat16 has 8 bits: a rounding is up to 0.4 %, and two layers add up some of them."""
    model = ready(fresh, path=path).model
    runs = {}
    for name, inputs in {"padded": padded_inputs(), "packed": {"packed": pack(GROUPS, path)}}.items():
        for precision in ("float32", "bfloat16"):
            low = precision == "bfloat16"
            with torch.autocast("cpu", torch.bfloat16) if low else nullcontext():
                output = model(**inputs)
            model.zero_grad()
            loss_of(output).backward()
            flat = torch.cat([p.grad.flatten() for p in model.parameters()])
            runs[name, precision] = (output.dimension_logits.detach(), flat.clone())
    for part in range(2):
        exact = runs["padded", "float32"][part]
        padded, packed = (apart(runs[name, "bfloat16"][part], exact) for name in ("padded", "packed"))
        assert padded > 1e-4, "autocast was on"
        assert packed < 1.5 * padded


@pytest.mark.parametrize("path", TRAINED)
@torch.no_grad()
def test_weights_of_16_bits_run_packed(path: Path, fresh: Fresh) -> None:
    model = fresh(dtype="bfloat16").model
    expected = model(**padded_inputs()).dimension_logits
    assert prepare(model.model, path, longest=512).path == path
    assert apart(model(packed=pack(GROUPS, path)).dimension_logits, expected) < 0.05


@needs_bitsandbytes
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("path", TRAINED)
def test_quantised_weights_run_packed(path: Path, quantization: str, fresh: Fresh) -> None:
    made = fresh(quantization=quantization, lora_rank=4, lora_dropout=0.0)
    made.peft.train()
    expected, plain = gradients(made.peft, **padded_inputs()), made.model(**padded_inputs()).dimension_logits.detach()
    assert prepare(made.model.model, path, longest=512).path == path
    packed = pack(GROUPS, path)
    found = gradients(made.peft, packed=packed)
    assert apart(made.model(packed=packed).dimension_logits.detach(), plain) < 1e-3
    assert_same_gradients(found, expected, 1e-3)


# ---- flex -------------------------------------------------------------------------------------------------------

torch_warns_of_itself = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")


@torch_warns_of_itself
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_flex_attention_gives_the_same_states_without_compiling(fresh: Fresh) -> None:
    backbone = ready(fresh).model.model
    with torch.compiler.set_stance("force_eager"):
        found = together(backbone, "flex")
    torch.testing.assert_close(found, alone(backbone), rtol=0, atol=1e-5)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="FlexAttention on a CPU is compiled with g++")
@torch_warns_of_itself
@torch.no_grad()
def test_compiled_flex_attention_gives_the_same_states(fresh: Fresh) -> None:
    backbone = ready(fresh).model.model
    torch.testing.assert_close(together(backbone, "flex"), alone(backbone), rtol=0, atol=1e-5)
