"""wandb without credentials: told before anything is loaded, and only where wandb would need them."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rm.config import TrainConfig
from rm.errors import ConfigError, MissingExtra
from rm.train import train
from rm.train.tracking import set_up_wandb

needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="wandb is not installed (extra: tracking)"
)
ignore_its_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine that has never seen wandb: no settings, no key, nobody at the terminal."""
    import wandb

    for name in [*os.environ, "WANDB_PROJECT", "WANDB_DIR", "WANDB_LOG_MODEL", "WANDB_MODE"]:
        if name.startswith("WANDB_"):
            monkeypatch.setenv(name, "")  # remembered, so that what `set_up_wandb` sets is taken back
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    wandb.teardown()  # what earlier tests left in this process
    yield
    wandb.teardown()


@needs_wandb
@ignore_its_warnings
@pytest.mark.usefixtures("stranger")
def test_a_run_without_a_key_is_refused_before_it_starts(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"wandb login.*WANDB_MODE=offline.*--tracking.wandb false"):
        train(config(**{"tracking.wandb": True}))
    assert not (tmp_path / "run").exists()


@needs_wandb
@ignore_its_warnings
@pytest.mark.usefixtures("stranger")
def test_a_key_that_cannot_be_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    with pytest.raises(ConfigError, match="WANDB_API_KEY invalid"):
        set_up_wandb("project", "online", tmp_path)


@needs_wandb
@ignore_its_warnings
@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(
    ("mode", "environment"),
    [
        ("offline", {}),
        ("online", {"WANDB_MODE": "offline"}),
        ("online", {"WANDB_MODE": "disabled"}),
        ("online", {"RANK": "1"}),  # the first process does the logging
    ],
)
def test_no_key_is_needed_where_nothing_is_sent(
    mode: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    set_up_wandb("project", mode, tmp_path)
    assert os.environ["WANDB_PROJECT"] == "project"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"tracelift-rm\[tracking\]"):
        set_up_wandb("project", "online", tmp_path)
