"""A bundle on the shipped tiny base with the arithmetic executor, and a real server of it on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from transformers import AutoModelForCausalLM

from rm.adapters.source import close_sources
from rm.config import build_config
from rm.lab import SAMPLE_DEV, TINY_BASE
from rm.model import save_reward_model
from rm.model.create import Recipe, create_model
from rm.reward.config import RewardConfig
from rm.reward.export import export_bundle
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric
from rm.serve.access import KeyCheck
from rm.serve.app import create_app
from rm.serve.limits import Limits
from rm.serve.run import address_of, listen
from rm.serve.service import Service
from rm.sources import Source
from rm.text import Row as Text
from rm.text import render
from rm.text.tokenizer import load_tokenizer

Row = dict[str, Any]


@pytest.fixture(scope="session", autouse=True)
def _closed_at_the_end() -> Iterator[None]:
    yield
    close_sources()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an exported bundle: a reward model with random heads, and an executor that needs no server."""
    root = tmp_path_factory.mktemp("bundle")
    recipe = Recipe(backbone=str(TINY_BASE), rubric=Rubric.load("math"), dtype="float32", lora_rank=0)
    made = create_model(recipe, torch.device("cpu"), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in made.model.named_parameters():
            if "_head" in name:
                value.normal_(std=0.1, generator=generator)
    save_reward_model(made.model, made.tokenizer, root / "model")
    config = build_config(
        RewardConfig,
        {
            "formula": "tracelift-math-v1",
            "uplift": {
                "executor": {"kind": "arithmetic", "error_rate": 0.2},
                "plan": {"kind": "sampled", "runs": 4, "baseline_runs": 6},
                "cache": "none",
            },
        },
    )
    probes = [[Text("1 + 1?", "1 + 1 = 2", "math"), Text("1 + 1?", "1 + 1 = 3", "math")]]
    export_bundle(root / "model", config, root / "bundle", lambda rubric: probes)
    return root / "bundle"


def _prompt_of(group: Row) -> str:
    return render(Text(group["problem"], "", "math", group["task_type"])).removesuffix("\n</reasoning>")


@pytest.fixture(scope="session")
def prompt_of() -> Callable[[Row], str]:
    """What the tiny base goes on with: the reward model's text, up to the trace."""
    return _prompt_of


@pytest.fixture(scope="session")
def taught_groups() -> list[Row]:
    """The four shipped groups with the shortest traces: a planner that is taught them ends its own before it is cut."""
    groups = [json.loads(line) for line in SAMPLE_DEV.read_text(encoding="utf-8").splitlines()]
    return sorted(groups, key=lambda group: len(group["positive_pool"][0]["reasoning"]))[:4]


@pytest.fixture(scope="session")
def teach(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Path]:
    """Makes a planner of the tiny base by a few steps on texts; gives its directory."""

    def make(texts: list[str], steps: int = 16) -> Path:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(TINY_BASE, dtype=torch.float32)
        tokenizer = load_tokenizer(Source(str(TINY_BASE), "", True))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        for _ in range(steps):
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        directory = tmp_path_factory.mktemp("planner")
        model.save_pretrained(directory)
        tokenizer.save_pretrained(str(directory))
        return directory

    return make


@pytest.fixture(scope="session")
def planner(teach: Callable[[list[str]], Path], taught_groups: list[Row]) -> Path:
    """Taught a little of these problems, so that some of its traces help and some do not."""
    return teach(
        [
            f"{_prompt_of(group)}{group['positive_pool'][0]['reasoning']}\n</reasoning><|endoftext|>"
            for group in taught_groups
        ]
    )


@contextmanager
def serving(reward: TraceLiftReward, key: str = "") -> Iterator[str]:
    """The address of a server in a thread."""
    bound = listen("127.0.0.1", 0)
    app = create_app(Service(reward, Limits()), KeyCheck(key))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield address_of(bound)
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


@pytest.fixture(scope="session")
def server(bundle: Path) -> Iterator[str]:
    """The address of a server of the bundle."""
    with serving(TraceLiftReward.from_pretrained(bundle)) as url:
        yield url


@pytest.fixture
def serve() -> Callable[..., Any]:
    """See `serving`."""
    return serving


@pytest.fixture(scope="session")
def reward(bundle: Path) -> Iterator[TraceLiftReward]:
    """The bundle, loaded in this process."""
    with TraceLiftReward.from_pretrained(bundle) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def items() -> list[Row]:
    """Completions of three shipped problems: of each the right trace, then the flawed ones."""
    groups = [json.loads(line) for line in SAMPLE_DEV.read_text(encoding="utf-8").splitlines()[:3]]
    return [
        {
            **{key: group[key] for key in ("problem_id", "problem", "reference_solution", "task_type")},
            "completion": f"<reasoning>\n{each['reasoning']}\n</reasoning>",
        }
        for group in groups
        for each in (*group["positive_pool"], *group["negative_bank"])
    ]
