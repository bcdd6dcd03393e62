"""What holds for every ranking loss in the table, whatever the group."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rm.losses import LOSSES, plackett_luce

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

GRADES = [0.0, 0.25, 0.5, 1.0, 1.1]


def as_function(name: str) -> Loss:
    """The loss of `(z, relevance, mask)`; a relevance of at least 1 marks the positives."""
    entry = LOSSES[name]
    return lambda z, relevance, mask: entry(
        logit=z, score=z, relevance=relevance, positive=relevance >= 1, mask=mask,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip


ALL: dict[str, Loss] = {name: as_function(name) for name in LOSSES} | {
    "plackett_luce_efron": lambda z, relevance, mask: plackett_luce(z, relevance, mask, ties="efron")
}
every_loss = pytest.mark.parametrize("loss", [pytest.param(f, id=name) for name, f in ALL.items()])


@st.composite
def groups(draw: st.DrawFn, distinct: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, relevance and mask of 1-3 groups with 1-6 real candidates each, padded on the right."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    z, relevance = (
        torch.zeros(len(sizes), 6, dtype=torch.float64),
        torch.zeros(len(sizes), 6, dtype=torch.float64),
    )
    for g, size in enumerate(sizes):
        numbers = st.lists(st.floats(-30, 30), min_size=size, max_size=size, unique=True)
        z[g, :size] = torch.tensor(draw(numbers))
        if distinct:
            grades = draw(st.permutations(range(size)))
            relevance[g, :size] = torch.tensor(grades, dtype=torch.float64) / 2
        else:
            grades = draw(st.lists(st.sampled_from(GRADES), min_size=size, max_size=size))
            relevance[g, :size] = torch.tensor(grades, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor(sizes).unsqueeze(1)
    return z, relevance, mask


def with_gradient(loss: Loss, z: torch.Tensor, relevance: torch.Tensor, mask: torch.Tensor):
    z = z.clone().requires_grad_()
    value = loss(z, relevance, mask)
    value.sum().backward()
    return value.detach(), z.grad


@every_loss
@settings(max_examples=25, deadline=None)
@given(batch=groups(), garbage=st.sampled_from([float("nan"), float("inf"), -1e30, 3.0]), width=st.integers(0, 3))
def test_padding_changes_neither_value_nor_gradient(loss, batch, garbage, width):
    z, relevance, mask = batch
    value, gradient = with_gradient(loss, z, relevance, mask)
    more = torch.full((len(z), width), garbage, dtype=z.dtype)
    padded = [torch.cat([x.masked_fill(~mask, garbage), more], dim=1) for x in (z, relevance)]
    padded_mask = torch.nn.functional.pad(mask, (0, width), value=False)
    padded_value, padded_gradient = with_gradient(loss, *padded, padded_mask)
    torch.testing.assert_close(padded_value, value)
    torch.testing.assert_close(padded_gradient[:, :6], gradient)
    assert torch.all(padded_gradient[:, 6:] == 0)
    assert torch.all(gradient[~mask] == 0)


@every_loss
@settings(max_examples=25, deadline=None)
@given(batch=groups(distinct=True), order=st.permutations(range(6)))
def test_order_of_the_candidates_does_not_matter(loss, batch, order):
    value, gradient = with_gradient(loss, *batch)
    moved_value, moved_gradient = with_gradient(loss, *(x[:, order] for x in batch))
    torch.testing.assert_close(moved_value, value)
    torch.testing.assert_close(moved_gradient, gradient[:, order])


@pytest.mark.parametrize("name", [name for name in ALL if name != "list_mle"])
@settings(max_examples=25, deadline=None)
@given(batch=groups(), order=st.permutations(range(6)))
def test_order_of_tied_candidates_does_not_matter_either(name, batch, order):
    torch.testing.assert_close(ALL[name](*(x[:, order] for x in batch)), ALL[name](*batch))


@every_loss
@settings(max_examples=25, deadline=None)
@given(batch=groups(), shift=st.floats(-50, 50))
def test_a_constant_added_to_all_scores_changes_nothing(loss, batch, shift):
    z, relevance, mask = batch
    exact = torch.round(z)  # so that the shift itself rounds nothing and no tie appears
    torch.testing.assert_close(loss(exact + round(shift), relevance, mask), loss(exact, relevance, mask))


@every_loss
@settings(max_examples=25, deadline=None)
@given(batch=groups())
def test_a_group_does_not_depend_on_its_neighbours(loss, batch):
    z, relevance, mask = batch
    relevance = relevance + torch.arange(6) / 100  # no ties: list_mle draws from one stream for the batch
    alone = torch.cat([loss(z[g : g + 1], relevance[g : g + 1], mask[g : g + 1]) for g in range(len(z))])
    torch.testing.assert_close(loss(z, relevance, mask), alone)


@every_loss
@pytest.mark.parametrize(
    ("real", "grades"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([2], [1.0], id="single"),
        pytest.param([0, 1, 3], [1.0, 1.0, 1.0], id="all tied"),
        pytest.param([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.0], id="all zero"),
    ],
)
def test_a_group_without_order_adds_exactly_zero(loss, real, grades):
    z = torch.tensor([[3.0, -1.0, 0.5, 8.0], [3.0, -1.0, 0.5, 8.0]])
    relevance, mask = torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool)
    relevance[0, real], mask[0, real] = torch.tensor(grades), True
    relevance[1], mask[1] = torch.tensor([0.0, 1.0, 0.0, 0.5]), True  # an ordinary group beside it
    value, gradient = with_gradient(loss, z, relevance, mask)
    assert value[0] == 0
    assert torch.all(gradient[0] == 0)
    assert value[1] > 0
    assert torch.any(gradient[1] != 0)


@every_loss
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_a_batch_without_candidates_has_a_gradient(loss, shape):
    value, gradient = with_gradient(loss, torch.zeros(shape), torch.zeros(shape), torch.zeros(shape, dtype=torch.bool))
    assert value.tolist() == [0.0] * shape[0]
    assert gradient.shape == shape


@every_loss
@pytest.mark.parametrize("relevance", [[1.0, 0.0, 0.5, 0.0, 0.5], [0.0, 1.1, 1.1, 1.1, 0.3]])
@pytest.mark.parametrize("z", [[1e4, -1e4, 0.0, 1e4, -1e4], [-1e4, 1e4, 1e4, 0.0, -1e4], [1e4, 1e4, 1e4, 1e4, 1e4]])
def test_extreme_scores_give_finite_values_and_gradients(loss, z, relevance):
    value, gradient = with_gradient(loss, torch.tensor([z]), torch.tensor([relevance]), torch.ones(1, 5) > 0)
    assert value.dtype == torch.float32
    assert torch.isfinite(value).all()
    assert value >= 0
    assert torch.isfinite(gradient).all()


@every_loss
def test_a_step_along_the_gradient_lowers_the_loss(loss):
    z = torch.tensor([[0.1, 0.0, -0.2, 0.3]])
    relevance, mask = torch.tensor([[0.5, 1.1, 0.0, 0.0]]), torch.ones(1, 4, dtype=torch.bool)
    value, gradient = with_gradient(loss, z, relevance, mask)
    assert gradient[0, 1] < 0  # the best candidate is pushed up
    assert loss(z - 0.01 * gradient, relevance, mask) < value


@every_loss
def test_gradients_are_those_of_finite_differences(loss):
    relevance = torch.tensor([[0.5, 1.1, 0.0, 0.5, 1.1, 0.0], [1.0, 0.0, 0.3, 0.0, 0.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True] * 6, [True, True, True, False, False, False]])
    z = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, relevance, mask), (z,))


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    z = torch.tensor([[0.5, -1.25, 2.0, 0.25]], dtype=dtype)  # exact in both
    relevance, mask = torch.tensor([[1.0, 0.0, 0.5, 0.0]], dtype=dtype), torch.ones(1, 4, dtype=torch.bool)
    value = loss(z, relevance, mask)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(z.float(), relevance.float(), mask), rtol=0, atol=0)


@every_loss
def test_different_shapes_are_refused_with_both(loss):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        loss(torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(2, 4, dtype=torch.bool))


@every_loss
def test_a_mask_of_numbers_is_refused(loss):
    with pytest.raises(ValueError, match=r"mask must be a boolean tensor, got torch\.int64"):
        loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.int64))
