"""A bundle, a taught planner and its server, as the adapters' tests have them; files of problems; training commands."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

Row = dict[str, Any]
TESTS = Path(__file__).resolve().parents[1]


def load(file: Path) -> ModuleType:
    """A module of the tests by its place."""
    name = f"planner_{file.parent.name}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


adapters, rewards, commands = (load(TESTS / folder / "conftest.py") for folder in ("adapters", "reward", "cli"))
_closed_at_the_end = adapters._closed_at_the_end
bundle, serve, teach, planner = adapters.bundle, adapters.serve, adapters.teach, adapters.planner
prompt_of, taught_groups = adapters.prompt_of, adapters.taught_groups
executor_server = pytest.fixture(rewards.server.__wrapped__, name="executor_server")
run = commands.run
train = load(TESTS / "train" / "conftest.py")
run_processes, same_weights = train.run_processes, train.same_weights

USER = "<task>math</task>\n<type>math</type>\n<problem>\n{problem}\n</problem>\n<reasoning>\n"
"""What the tiny base goes on with."""


@pytest.fixture(scope="session")
def problems(tmp_path_factory: pytest.TempPathFactory, taught_groups: list[Row]) -> Path:
    """The problems that the planner was taught, as problem rows of mixed form."""
    rows = [{key: group[key] for key in ("problem_id", "problem", "reference_solution")} for group in taught_groups]
    rows = [
        {**row, "task_type": "math", "metadata": {"n": [index] if index else "one"}} for index, row in enumerate(rows)
    ]
    file = tmp_path_factory.mktemp("problems") / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def train_argv(
    tmp_path_factory: pytest.TempPathFactory, planner: Path, bundle: Path, problems: Path
) -> Callable[..., list[str]]:
    """A training command of four small steps; further arguments come last."""
    config = {
        "planner": {"base": str(planner), "dtype": "float32"},
        "lora": {"rank": 0},
        "prompt": {"format": "plain", "system": "", "user": USER},
        "data": {"train": [str(problems)]},
        "reward": {"source": str(bundle)},
        "grpo": {
            "steps": 4,
            "num_generations": 4,
            "per_device_batch_size": 8,
            "max_completion_length": 64,
            "learning_rate": 3e-4,
            "temperature": 1.0,
            "autocast": "none",
            "save_every": 2,
        },
    }
    file = tmp_path_factory.mktemp("config") / "planner.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")

    def make(output: Path, *more: object) -> list[str]:
        return ["planner", "train", "--config", str(file), "--output", str(output), *map(str, more)]

    return make


@pytest.fixture(scope="session")
def lines() -> Callable[[Path], list[Row]]:
    """The rows of a JSON Lines file."""
    return lambda file: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
