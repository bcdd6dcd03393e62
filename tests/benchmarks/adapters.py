"""What an adapter costs by itself, and one GRPO step's rewards against the official order of calls.

    python tests/benchmarks/adapters.py [--latency 0.2] [--problems 16] [--completions 8]

The first table gives a completion's cost without any measuring: TRL's function on a source that knows its results, and
on a loopback server that does; verl's, one completion a call. The second: rewards of a step by tracelift-math-v1, a
reward model on the shipped base and an executor on loopback that takes `latency` seconds a call. The official order:
for each completion 1 attempt, 3 runs with the trace, 3 without, and the reward model, one after another. Ours draws the
same number of runs with a trace, and a baseline of 16 runs a problem. The tables are Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import torch

from rm.adapters.client import ServerReward
from rm.adapters.trl import make_reward_function
from rm.adapters.verl import compute_score
from rm.config import build_config
from rm.evaluate.score import Scorer, row_of
from rm.lab import SAMPLE_DEV, TINY_BASE
from rm.model import LoadedModel, load_reward_model, save_reward_model
from rm.model.create import Recipe, create_model
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
from rm.reward.parts import Parts, RewardResult
from rm.reward.reasoning import extract_reasoning
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric
from rm.uplift.executors.arithmetic import answer_to, written
from rm.uplift.executors.base import Prompt
from rm.uplift.problems import Problem
from rm.uplift.prompts import executor_prompt, read_prompt

RESULT = RewardResult(0.5, "tracelift-math-v1", Parts(1.0, 0.7, {"plan": 3.0}, None, 0.5), {"rm": 0.3})


class Known:
    """A source that knows its results."""

    async def score(self, items: Sequence[Any]) -> list[RewardResult]:
        return [RESULT] * len(items)

    def score_sync(self, items: Sequence[Any]) -> list[RewardResult]:
        return [RESULT] * len(items)

    def close(self) -> None:
        pass


@contextmanager
def serving(what: str, latency: float = 0.0) -> Iterator[str]:
    """The address of a server in a process of its own; see `serve`."""
    command = [sys.executable, __file__, "--serve", what, "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def serve(answer: Callable[[Any], Any], latency: float) -> None:
    """Answers every POST after `latency` seconds, as many at a time as are asked for."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(latency)
            body = json.dumps(answer(asked)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 1024
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def known_rewards(asked: Any) -> Any:
    return {"rewards": [RESULT.as_row()] * len(asked["items"])}


def completion(asked: Any) -> Any:
    """What an executor says that carries out the calculations of the trace in its prompt."""
    statement, _, user = asked["prompt"].partition("\n\n")
    first = asked.get("seed", 0)  # the probe's prompts want another text for another seed
    texts = [
        f" {written(answer_to(*read_prompt(Prompt(statement, user))))}"
        if user.startswith("Problem:")
        else f"{each} times"
        for each in range(first, first + asked.get("n", 1))
    ]
    choices = [{"index": i, "text": text, "finish_reason": "stop"} for i, text in enumerate(texts)]
    return {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": len(texts)}}


def step_of(problems: int, completions: int) -> list[dict[str, Any]]:
    """Problem rows with completions."""
    groups = [json.loads(line) for line in SAMPLE_DEV.read_text(encoding="utf-8").splitlines()[:problems]]
    rows = []
    for group in groups:
        traces = [each["reasoning"] for each in (*group["positive_pool"], *group["negative_bank"])]
        traces = [f"Attempt {i}.\n{traces[i % len(traces)]}" for i in range(completions)]  # none equal
        fields = {key: group[key] for key in ("problem_id", "problem", "reference_solution", "task_type")}
        rows += [{**fields, "completion": f"<reasoning>\n{trace}\n</reasoning>"} for trace in traces]
    return rows


def overhead(items: list[dict[str, Any]], repeats: int) -> None:
    columns = {key: [item[key] for item in items] for key in items[0] if key != "completion"}
    completions = [[{"role": "assistant", "content": item["completion"]}] for item in items]
    logs: dict[str, Any] = {"log_extra": lambda name, values: None, "log_metric": lambda name, value: None}

    def trl(source: Any) -> str:
        function = make_reward_function(source)
        return timed(lambda: function([""] * len(items), completions, **columns, **logs))

    async def one_by_one(url: str) -> None:
        await asyncio.gather(
            *(compute_score("", item["completion"], item["reference_solution"], item, server=url) for item in items)
        )

    def timed(work: Callable[[], Any]) -> str:
        times = []

        async def run() -> None:
            for _ in range(repeats + 1):
                start = time.perf_counter(), time.process_time()
                await work()
                times.append((time.perf_counter() - start[0], time.process_time() - start[1]))

        asyncio.run(run())
        wall, cpu = (statistics.median(each) / len(items) * 1e3 for each in zip(*times[1:], strict=True))
        return f"{wall:.3f} | {cpu:.3f}"

    print("| adapter | ms a completion | of that this process's CPU |\n|---|---|---|")
    print(f"| TRL, results known | {trl(Known())} |")
    with serving("rewards") as url:
        with closing(ServerReward(url)) as source:
            print(f"| TRL, a server that knows them | {trl(source)} |")
        print(f"| verl, the same server, one completion a call, all at once | {timed(lambda: one_by_one(url))} |")


def official_step(
    items: list[dict[str, Any]], loaded: LoadedModel, ask: Callable[[dict[str, Any], str | None], None]
) -> float:
    """Seconds for the official order: everything one after another, every baseline again."""
    judge = Scorer(loaded, prefix_sharing="plain", hot_prefix_bytes=0)
    start = time.perf_counter()
    for item in items:
        trace = extract_reasoning(item["completion"]).text
        for _ in range(1 + 3):
            ask(item, trace)
        for _ in range(3):
            ask(item, None)
        judge.rows([row_of({**item, "reasoning": trace}, judge.rubric)])
    return time.perf_counter() - start


def step(items: list[dict[str, Any]], latency: float) -> None:
    recipe = Recipe(backbone=str(TINY_BASE), rubric=Rubric.load("math"), dtype="float32", lora_rank=0)
    made = create_model(recipe, torch.device("cpu"), seed=0)
    with tempfile.TemporaryDirectory() as folder, serving("completions", latency) as url:
        save_reward_model(made.model, made.tokenizer, Path(folder) / "model")
        loaded = load_reward_model(Path(folder) / "model", dtype="float32", device="cpu")
        uplift = {
            "executor": {"kind": "openai", "endpoints": [f"{url}/v1"], "model": "arithmetic", "concurrency": 256},
            "plan": {"kind": "sampled", "runs": 3, "baseline_runs": 16},
            "cache": "none",
        }
        config = build_config(RewardConfig, {"formula": "tracelift-math-v1", "uplift": uplift})
        with TraceLiftReward(config, RewardScorer(loaded)) as reward:
            start = time.perf_counter()
            function = make_reward_function(reward)
            columns = {key: [item[key] for item in items] for key in items[0] if key != "completion"}
            rewards = asyncio.run(function([""] * len(items), [item["completion"] for item in items], **columns))
            ours = time.perf_counter() - start
            calls = reward.stats().executor
        with httpx.Client(base_url=url) as http:

            def ask(item: dict[str, Any], trace: str | None) -> None:
                problem = Problem(
                    item["problem_id"], item["problem"], "math", reference_solution=item["reference_solution"]
                )
                prompt = executor_prompt(problem, trace)
                body = {"prompt": f"{prompt.system}\n\n{prompt.user}", "n": 1}
                http.post("/v1/completions", json=body).raise_for_status()

            theirs = official_step(items, loaded, ask)
    print(f"\n| {len(items)} completions, executor {latency:g} s a call | s |\n|---|---|")
    print(f"| official order, {7 * len(items)} calls | {theirs:.2f} |")
    print(f"| adapter and facade | {ours:.2f} |\n\nratio {theirs / ours:.1f}; {calls}")
    measured = [each for each in rewards if each is not None]
    print(f"rewards: {len(measured)} measured, {len(set(measured))} different, mean {statistics.mean(measured):.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--completions", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--serve", choices=("rewards", "completions"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(known_rewards if args.serve == "rewards" else completion, args.latency)
    items = step_of(args.problems, args.completions)
    overhead(items, args.repeats)
    step(items, args.latency)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
