"""A language model on loopback: the scripted one behind a real HTTP server, in good and bad health."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_test_module() -> Callable[[str, str], ModuleType]:
    """A module of another folder of tests, by its name and its folder's."""
    return lambda name, folder: _load(name, HERE.parents[1] / folder / f"{name}.py")


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module `scripted.py` of this folder."""
    return _load("scripted_model", HERE / "scripted.py")


@pytest.fixture(scope="session")
def serving(load_test_module: Callable[[str, str], ModuleType]) -> ModuleType:
    """The server of the executors' tests."""
    return load_test_module("openai_server", "uplift")


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight problems with solutions."""
    return _load("llm_seeds", HERE / "seeds.py").write(tmp_path_factory.mktemp("seeds") / "seeds.jsonl", 8)


OWN_RUBRIC = """
name: tutor
description: For a tutor who wants pupils to be able to follow.
levels: 3
judge_instructions: Grade as a patient tutor would.
dimensions:
  - name: sums
    weight: 0.5
    description: Are the calculations right?
    levels: [A result that matters is wrong., A slip that changes nothing., Every calculation is right.]
  - name: order
    weight: 0.3
    description: Does each step come after what it needs?
    levels: [Steps hang in the air., One link is missing., Every step follows.]
  - name: plainness
    weight: 0.2
    description: Could a pupil say it in these words?
    levels: [Jargon throughout., A hard word or two., Plain words.]
"""


@pytest.fixture(scope="session")
def own_rubric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rubric of the user's own: a YAML file of three dimensions with three levels."""
    path = tmp_path_factory.mktemp("rubric") / "tutor.yaml"
    path.write_text(OWN_RUBRIC)
    return path


@pytest.fixture
def serve(serving: ModuleType, scripted: ModuleType) -> Iterator[Callable[..., Any]]:
    """Start a server: `serve(fault)`, where `fault(number, body)` gives text, an `Answer`, or None for the script's."""
    with ExitStack() as stack:

        def start(fault: Callable[[int, dict[str, Any]], Any] = lambda number, body: None) -> Any:
            def answer(number: int, body: dict[str, Any]) -> Any:
                wanted = fault(number, body)
                if isinstance(wanted, serving.Answer):
                    return wanted
                return serving.as_json(scripted.completion(scripted.write(body) if wanted is None else wanted))

            return stack.enter_context(serving.served(fault=answer))

        yield start


def server_of(server: Any, **settings: Any) -> dict[str, Any]:
    """The section `server` of a configuration, impatient."""
    quick = {"retries": 1, "backoff_s": 0.01, "backoff_max_s": 0.02, "breaker_pause_s": 0.02, "timeout_s": 5.0}
    return {"endpoints": [server.address], "model": "served-1", **quick, **settings}


@pytest.fixture(scope="session")
def section() -> Callable[..., dict[str, Any]]:
    """`server_of`."""
    return server_of
