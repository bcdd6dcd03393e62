"""The table of losses: names, what each ranks on, and what importing it costs."""

import subprocess
import sys

import pytest
import torch

from rm.errors import ConfigError
from rm.losses import (
    DIMENSION_LOSSES,
    LOSSES,
    get_dimension_loss,
    get_loss,
    pairwise_bounded,
    pairwise_logistic,
)


def test_names_are_those_of_the_configuration():
    assert set(LOSSES) == {
        "list_net", "list_mle", "plackett_luce", "lambda_rank", "pairwise_logistic", "pairwise_bounded",
    }  # fmt: skip
    assert set(DIMENSION_LOSSES) == {"cross_entropy", "ordinal"}


@pytest.mark.parametrize("name", LOSSES)
def test_every_entry_is_found_and_says_where_it_comes_from(name):
    entry = get_loss(name)
    assert entry.function.__name__ == name
    assert entry.reference
    assert entry.description


@pytest.mark.parametrize(
    ("look_up", "choice"), [(get_loss, "list_net, list_mle"), (get_dimension_loss, "cross_entropy, ordinal")]
)
def test_an_unknown_name_lists_the_choices(look_up, choice):
    with pytest.raises(ConfigError, match=f"'listnet'; choose one of: {choice}"):
        look_up("listnet")


def test_an_entry_hands_its_function_what_that_ranks_on():
    logit, score = torch.tensor([[4.0, -2.0]]), torch.tensor([[0.9, 0.2]])
    relevance, positive = torch.tensor([[0.1, 0.8]]), torch.tensor([[True, False]])
    mask, generator = torch.ones(1, 2, dtype=torch.bool), torch.Generator()
    given = {"logit": logit, "score": score, "relevance": relevance, "positive": positive}
    bounded = get_loss("pairwise_bounded")(**given, mask=mask, generator=generator)
    assert torch.equal(bounded, pairwise_bounded(score, positive, mask))
    logistic = get_loss("pairwise_logistic")(**given, mask=mask, generator=generator)
    assert torch.equal(logistic, pairwise_logistic(logit, relevance, mask))


def test_the_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        LOSSES["mine"] = LOSSES["list_net"]


def test_importing_the_losses_loads_nothing_heavier_than_torch():
    heavy = ["transformers", "sklearn", "scipy", "pandas", "datasets", "peft"]
    code = f"import sys, rm.losses; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
