"""A real server on loopback, on the shipped tiny base with random heads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import uvicorn

from rm.lab import SAMPLE_DEV, TINY_BASE
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.model.create import Recipe, create_model
from rm.reward.judge import RewardScorer
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric
from rm.serve.access import KeyCheck
from rm.serve.app import create_app
from rm.serve.limits import Limits
from rm.serve.run import address_of, listen
from rm.serve.service import Service

Row = dict[str, Any]


@dataclass(frozen=True)
class Running:
    """A server that runs, and a client of it."""

    url: str
    service: Service
    client: httpx.Client

    def score(self, items: Any, **fields: Any) -> httpx.Response:
        return self.client.post("/score", json={"items": items, **fields})

    def metric(self, line: str) -> float:
        """The value of one line of /metrics; 0 where it is not there."""
        page = self.client.get("/metrics").text
        found = [each for each in page.splitlines() if each.startswith(f"tracelift_{line} ")]
        return float(found[0].split()[-1]) if found else 0.0


@contextmanager
def serving(service: Service, key: KeyCheck) -> Iterator[str]:
    """The address of a server in a thread; at the end it finishes what it has accepted."""
    bound = listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(service, key), lifespan="on", log_config=None, ws="none")
    server = uvicorn.Server(config)
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(server, bound, ready)))
    thread.start()
    if not ready.wait(30):
        raise RuntimeError("the server did not start")
    try:
        yield address_of(bound)
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


async def _serve(server: uvicorn.Server, bound: Any, ready: threading.Event) -> None:
    task = asyncio.ensure_future(server.serve(sockets=[bound]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    ready.set()
    await task


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a reward model on the shipped base."""
    recipe = Recipe(backbone=str(TINY_BASE), rubric=Rubric.load("math"), dtype="float32", lora_rank=0)
    made = create_model(recipe, torch.device("cpu"), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in made.model.named_parameters():
            if "dimension_heads" in name or "total_head" in name:
                value.normal_(generator=generator)
    directory = tmp_path_factory.mktemp("served") / "model"
    save_reward_model(made.model, made.tokenizer, directory)
    return directory


@pytest.fixture(scope="session")
def loaded(reward_model: Path) -> LoadedModel:
    return load_reward_model(reward_model, dtype="float32", device="cpu")


@contextmanager
def starter(loaded: LoadedModel) -> Iterator[Callable[..., Running]]:
    """See `start`."""
    with ExitStack() as stack:

        def run(
            key: str = "",
            judge: dict[str, Any] | None = None,
            reward: TraceLiftReward | None = None,
            substitute: float | None = None,
            **limits: Any,
        ) -> Running:
            service = Service(reward or RewardScorer(loaded, **(judge or {})), Limits(**limits), substitute)
            url = stack.enter_context(serving(service, KeyCheck(key)))
            return Running(url, service, stack.enter_context(httpx.Client(base_url=url, timeout=60)))

        yield run


@pytest.fixture
def start(loaded: LoadedModel) -> Iterator[Callable[..., Running]]:
    """Start a server of the model, or of another reward; further keywords are limits.

    `key`: an environment variable; `judge`: options of `RewardScorer`; `reward`: instead of the model alone.
    """
    with starter(loaded) as run:
        yield run


@pytest.fixture(scope="module")
def start_once(loaded: LoadedModel) -> Iterator[Callable[..., Running]]:
    """`start` for a server that the tests of a module share."""
    with starter(loaded) as run:
        yield run


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """Score rows of the first 12 shipped groups, those of one problem one after another."""
    from rm.groups import load_groups

    return [
        {"problem": group.problem, "reasoning": candidate.reasoning, "task_type": group.task_type}
        for group in load_groups(SAMPLE_DEV)[:12]
        for candidate in group.candidates
    ]
