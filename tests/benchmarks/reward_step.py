"""The reward of one GRPO step, 16 problems x 8 completions: this project's order of calls against the official one.

    python tests/benchmarks/reward_step.py [--latency 0.1] [--model DIR]

The executor is a server on loopback that takes `--latency` seconds a request and serves any number at once, as an
engine with continuous batching does. The official order: for each completion by itself one end-to-end call, three
calls with the trace, three without, and one call of the reward model, each waiting for the one before. Both sides use
the same reward model, server, client and verifier. Prints one JSON object; writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from rm.config import build_config
from rm.lab import SAMPLE_TRAIN
from rm.model.checkpoint import save_reward_model
from rm.model.create import Recipe, create_model
from rm.reward.config import RewardConfig
from rm.reward.items import Item, check_items
from rm.reward.judge import RewardScorer
from rm.reward.parts import RewardResult
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric
from rm.uplift.executors.arithmetic import answer_to, written
from rm.uplift.executors.base import Completion, Prompt, Sampling
from rm.uplift.executors.config import make_executor
from rm.uplift.prompts import executor_prompt, read_prompt
from rm.uplift.verifiers.table import make_verifier

PROBLEMS, COMPLETIONS, REPEATS = 16, 8, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that a request takes")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--model", help="a reward model's directory; default: random heads on the shipped base")
    args = parser.parse_args()
    if args.serve:
        _serve(args.latency)
    torch.set_num_threads(1)
    command = [sys.executable, __file__, "--serve", "--latency", str(args.latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # a process of its own, as an engine is
    try:
        _measure(args.model, int(server.stdout.readline()) if server.stdout else 0)
    finally:
        server.kill()


def _measure(given: str | None, port: int) -> None:
    address = f"http://127.0.0.1:{port}/v1"
    executor = {"kind": "openai", "endpoints": [address], "model": "m", "probe": False, "concurrency": 48}
    tree = {"uplift": {"executor": executor, "plan": {"kind": "official"}, "cache": "none"}}
    config = build_config(RewardConfig, tree)
    with tempfile.TemporaryDirectory() as folder:
        model = given or _random_model(Path(folder))
        rows = _rows()
        with TraceLiftReward(config, RewardScorer.from_pretrained(model, dtype="float32")) as reward:
            start = time.perf_counter()
            ours = reward.score_sync(rows)
            seconds = time.perf_counter() - start
            stats = reward.stats()
        checking = time.perf_counter()
        items = check_items(rows, checkable=True)
        checking = time.perf_counter() - checking
        judge = RewardScorer.from_pretrained(model, dtype="float32", prefix_sharing="plain", hot_prefix_bytes=0)
        start = time.perf_counter()
        theirs = asyncio.run(_official(config, items, judge))
        official_seconds = time.perf_counter() - start
    differences = [abs(_rm(a) - b) for a, b in zip(ours, theirs, strict=True)]
    result = {
        "completions": len(rows),
        "seconds": round(seconds, 3),
        "seconds_official_order": round(official_seconds, 3),
        "speedup": round(official_seconds / seconds, 1),
        "executor_samples": stats.executor.samples if stats.executor else 0,
        "executor_samples_official": len(rows) * (1 + 2 * REPEATS),
        "rm_busy_seconds": round(stats.rm_seconds, 3),
        "executor_busy_seconds": round(stats.uplift_seconds, 3),
        "checking_ms_per_completion": round(1000 * checking / len(rows), 3),
        "largest_rm_difference": max(differences),
    }
    print(json.dumps(result, indent=2))


def _rm(result: RewardResult) -> float:
    return result.parts.rm if result.parts.rm is not None else float("nan")


async def _official(config: RewardConfig, items: list[Item], judge: RewardScorer) -> list[float]:
    """One completion after another, one call after another; the baseline anew each time."""
    executor = make_executor(config.uplift.executor)
    verifier = make_verifier("math")
    sampling = Sampling(temperature=0.5, max_tokens=512)
    scores = []
    for number, item in enumerate(items):
        assert item.problem is not None
        arms = [item.reasoning.text] * (1 + REPEATS) + [None] * REPEATS
        for call, reasoning in enumerate(arms):
            [answer] = await executor.sample(executor_prompt(item.problem, reasoning), 1, sampling, 10 * number + call)
            assert isinstance(answer, Completion)
            await verifier.verify(answer.text, item.problem)
        scores.append(judge.score_checked([item.row])[0]["score"])
    await executor.close()
    await verifier.close()
    return scores


def _rows() -> list[dict[str, Any]]:
    """Completions of the first problems; where a group has fewer than eight, its traces with a remark more."""
    groups = [json.loads(line) for line in SAMPLE_TRAIN.read_text(encoding="utf-8").splitlines()[:PROBLEMS]]
    rows = []
    for group in groups:
        traces = [each["reasoning"] for each in (*group["positive_pool"], *group["negative_bank"])]
        for i in range(COMPLETIONS):
            trace = traces[i % len(traces)] + "\nLet us go on." * (i // len(traces))
            problem = {key: group[key] for key in ("problem_id", "problem", "reference_solution", "task_type")}
            rows.append({**problem, "completion": f"<reasoning>{trace}</reasoning>"})
    return rows


def _random_model(folder: Path) -> Path:
    recipe = Recipe(backbone="tiny", rubric=Rubric.load("math"), dtype="float32", lora_rank=0)
    made = create_model(recipe, torch.device("cpu"), seed=0)
    save_reward_model(made.model, made.tokenizer, folder / "model")
    return folder / "model"


def _serve(latency: float) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(latency)
            system, _, user = body["prompt"].partition("\n\n")
            text = f" {written(answer_to(*read_prompt(Prompt(system, user))))}"
            choices = [{"index": i, "text": text, "finish_reason": "stop"} for i in range(body.get("n", 1))]
            raw = json.dumps({"choices": choices}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
