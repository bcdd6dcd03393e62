"""A reward model on the shipped tiny base, the arithmetic executor, and a server on loopback that speaks for one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from rm.config import build_config
from rm.lab import SAMPLE_DEV
from rm.model.checkpoint import save_reward_model
from rm.model.create import Recipe, create_model
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric
from rm.uplift.executors.arithmetic import answer_to, written
from rm.uplift.executors.base import Prompt
from rm.uplift.prompts import read_prompt

Row = dict[str, Any]
ARITHMETIC = {
    "executor": {"kind": "arithmetic", "error_rate": 0.2},
    "plan": {"kind": "sampled", "runs": 4, "baseline_runs": 6},
    "cache": "none",
}


def _reward_model(directory: Path, lora_rank: int) -> Path:
    recipe = Recipe(backbone="tiny", rubric=Rubric.load("math"), dtype="float32", lora_rank=lora_rank)
    made = create_model(recipe, torch.device("cpu"), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in made.model.named_parameters():
            if "lora_B" in name or "head" in name:
                value.normal_(std=0.05, generator=generator)
    save_reward_model(made.peft or made.model, made.tokenizer, directory)
    return directory


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merged reward model on the shipped base, its heads drawn at random."""
    return _reward_model(tmp_path_factory.mktemp("model") / "merged", 0)


@pytest.fixture(scope="session")
def adapter_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as an adapter of the base `tiny`."""
    return _reward_model(tmp_path_factory.mktemp("model") / "adapter", 4)


@pytest.fixture(scope="session")
def judge(model_dir: Path) -> RewardScorer:
    """That model, loaded."""
    return RewardScorer.from_pretrained(model_dir, dtype="float32")


@pytest.fixture(scope="session")
def items() -> Callable[..., list[Row]]:
    """Completions of the first shipped problems: of each the right trace, then the flawed ones."""

    def make(problems: int = 3, first: int = 0) -> list[Row]:
        groups = [json.loads(line) for line in SAMPLE_DEV.read_text(encoding="utf-8").splitlines()]
        return [
            {
                **{key: group[key] for key in ("problem_id", "problem", "reference_solution", "task_type")},
                "completion": f"<reasoning>\n{each['reasoning']}\n</reasoning>",
            }
            for group in groups[first : first + problems]
            for each in (*group["positive_pool"], *group["negative_bank"])
        ]

    return make


@pytest.fixture
def reward(judge: RewardScorer) -> Iterator[Callable[..., TraceLiftReward]]:
    """Makes rewards by keys of their configuration; closes them at the end."""
    made: list[TraceLiftReward] = []

    def make(with_judge: bool = True, **keys: Any) -> TraceLiftReward:
        uplift = {**ARITHMETIC, **keys.pop("uplift", {})}
        config = build_config(RewardConfig, {"uplift": uplift, **keys})
        made.append(TraceLiftReward(config, judge if with_judge else None))
        return made[-1]

    yield make
    for each in made:
        each.close()


class Server:
    """An OpenAI-compatible server whose texts are what `write` makes of (prompt, seed).

    `fault` is a status to answer with instead; `gate` holds every request back until it is set.
    """

    def __init__(self) -> None:
        self.fault = 0
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.write: Callable[[str, int], str] = _arithmetic
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked += 1
                server.gate.wait(20)
                texts = [server.write(body["prompt"], body["seed"] + i) for i in range(body.get("n", 1))]
                choices = [{"index": i, "text": text, "finish_reason": "stop"} for i, text in enumerate(texts)]
                usage = {"prompt_tokens": 9, "completion_tokens": len(texts)}
                reply = {"choices": choices, "usage": usage} if not server.fault else {"error": {"message": "busy"}}
                raw = json.dumps(reply).encode()
                self.send_response(server.fault or 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # by default 5 connections may wait: of a burst the rest is reset

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def executor(self, **keys: Any) -> Row:
        """Its section in a configuration: quick to give up."""
        quick = {"retries": 0, "backoff_s": 0.01, "breaker_failures": 1000, "timeout_s": 20.0}
        address = f"http://127.0.0.1:{self.port}/v1"
        return {"kind": "openai", "endpoints": [address], "model": "m", **quick, **keys}

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def _arithmetic(prompt: str, seed: int) -> str:
    statement, found, _ = prompt.partition("\n\n")
    user = prompt.removeprefix(f"{statement}\n\n") if found else prompt
    if not user.startswith("Problem:"):
        return f"{seed} times"  # the probe's prompts: another text for another seed
    return f" {written(answer_to(*read_prompt(Prompt(statement, user))))}"


@pytest.fixture
def server() -> Iterator[Server]:
    """Open on a free port of loopback."""
    opened = Server()
    yield opened
    opened.close()
