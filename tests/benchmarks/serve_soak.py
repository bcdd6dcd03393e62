"""Hours of a server's life: good, hostile and vanishing clients at once, and an executor that dies and comes back.

    python tests/benchmarks/serve_soak.py MODEL --work DIR [--minutes 30] [--clients 64] [--kills 2]

MODEL becomes a bundle in DIR whose executor is an arithmetic one behind HTTP, a process of its own, which is killed
(SIGKILL) and started again. Every score is compared with that of the model in this process (1e-5), every full reward
with that of the facade; a reward that lost runs to the dead executor must say so. A request that was taken must be
answered by 200; hostile ones by 4xx. The server's memory is read every ten seconds. Ends with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Row = dict[str, Any]
KEY = "soak-key-0123456789"
DOWN_S = 8.0
PROBLEMS, VARIANTS, REWARDED = 60, 6, 40
HOSTILE: dict[str, bytes] = {
    "no JSON": b"{",
    "NaN": b'{"items": [], "max_length": NaN}',
    "invalid UTF-8": b'{"items": [{"problem": "\xff", "reasoning": "x"}]}',
    "a lone surrogate": b'{"items": [{"problem": "\\ud83d", "reasoning": "x"}]}',
    "too deep": b"[" * 50_000,
    "wrong types": b'{"items": [{"problem": 3, "reasoning": []}]}',
    "10 MB": json.dumps({"items": [{"problem": "x" * 10_000_000, "reasoning": "x"}]}).encode(),
    "5 MB": json.dumps({"items": [{"problem": "x" * 5_000_000, "reasoning": "x"}]}).encode(),
    "thousands": json.dumps({"items": [{"problem": "p", "reasoning": "r"}] * 5000}).encode(),
    "blanks": b'{"items": [{"problem": " ", "reasoning": "x"}]}',
}


def executor_main(port: int) -> None:
    """An OpenAI-compatible server of the arithmetic executor: the same answer to the same prompt and seed."""
    from rm.uplift.executors.arithmetic import ArithmeticExecutor
    from rm.uplift.executors.base import Prompt, Sampling
    from rm.uplift.executors.config import ArithmeticConfig

    executor = ArithmeticExecutor(ArithmeticConfig(error_rate=0.2))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            system, user = (message["content"] for message in body["messages"])
            sampling = Sampling(body["temperature"], max_tokens=body["max_tokens"])
            drawn = asyncio.run(executor.sample(Prompt(system, user), body.get("n", 1), sampling, body.get("seed", 0)))
            choices = [
                {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": each.text}}
                for index, each in enumerate(drawn)
            ]
            content = json.dumps({"choices": choices}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class Executor:
    """The executor's process."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, "--executor", str(self.port)])
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Soak:
    """What the clients share: what to send, what must come, what came."""

    def __init__(
        self, port: int, rows: Sequence[Row], scores: Sequence[float], rewards: Sequence[tuple[Row, Row]]
    ) -> None:
        self.port, self.rows, self.scores, self.rewards = port, rows, scores, rewards
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.latencies: list[float] = []
        self._lock = threading.Lock()

    def client(self, seed: int) -> None:
        """One client's life."""
        draw = random.Random(seed)
        kinds = [self.good, self.reward, self.openrlhf, self.hostile, self.no_key, self.hang_up, self.half]
        while not self.stop.is_set():
            [kind] = draw.choices(kinds, [60, 8, 4, 14, 4, 5, 5])
            try:
                kind(draw)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                self.tell(f"{kind.__name__}: {type(error).__name__}: {error}")

    def tell(self, what: str) -> None:
        with self._lock:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {what}")

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def post(self, path: str, body: bytes, key: str = KEY) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
                connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def taken(self, path: str, message: Row) -> Any:
        """The answer to a good request, sent again as long as the queue is full."""
        body = json.dumps(message).encode()
        while True:
            started = time.perf_counter()
            status, content = self.post(path, body)
            if status == 429:
                self.count("429")
                time.sleep(random.random())
                continue
            if status == 503 and path == "/get_reward":
                self.count("get_reward without a measurement, told")
                return None
            if status != 200:
                self.tell(f"{path}: {status} {content[:200]!r}")
                return None
            with self._lock:
                self.latencies.append(time.perf_counter() - started)
            return json.loads(content)

    def good(self, draw: random.Random) -> None:
        start = draw.randrange(len(self.rows))
        picked = [(start + i) % len(self.rows) for i in range(draw.choice([1, 1, 1, 2, 8]))]
        answer = self.taken("/score", {"items": [self.rows[i] for i in picked], "max_length": 100_000})
        if answer is None:
            return
        for index, found in zip(picked, answer["scores"], strict=True):
            self.count("scores")
            if found["score"] is None or abs(found["score"] - self.scores[index]) > 1e-5:
                self.tell(f"/score: {found['score']}, expected {self.scores[index]}")

    def reward(self, draw: random.Random) -> None:
        picked = draw.sample(self.rewards, 2)
        answer = self.taken("/reward", {"items": [row for row, _ in picked]})
        if answer is not None:
            for (_, expected), found in zip(picked, answer["rewards"], strict=True):
                self.compare(found, expected)

    def compare(self, found: Row, expected: Row) -> None:
        """A whole measurement must be the expected one; one that lost runs must have fewer, or say why it is none."""
        if found["reward"] is None:
            self.count("rewards null, with the reason")
            if not found["failures"]:
                self.tell("/reward: null without a reason")
            return
        sizes = [
            (each["parts"]["uplift"]["runs"], each["parts"]["uplift"]["baseline_runs"]) for each in (found, expected)
        ]
        if sizes[0] != sizes[1]:
            self.count("rewards of fewer runs")
            return
        self.count("rewards")
        if abs(found["reward"] - expected["reward"]) > 1e-5:
            self.tell(f"/reward: {found['reward']}, expected {expected['reward']}")

    def openrlhf(self, draw: random.Random) -> None:
        row, expected = draw.choice(self.rewards)
        label = json.dumps({key: value for key, value in row.items() if key != "completion"})
        message = {"query": [row["problem"] + row["completion"]], "prompts": [row["problem"]], "labels": [label]}
        answer = self.taken("/get_reward", message)
        if answer is not None:
            self.count("get_reward")
            if len(answer["rewards"]) != 1 or not -1 <= answer["rewards"][0] <= 1:
                self.tell(f"/get_reward: {answer}")
            if abs(answer["rewards"][0] - expected["reward"]) > 1e-5:
                self.count("get_reward other than measured before (of fewer runs)")

    def hostile(self, draw: random.Random) -> None:
        name = draw.choice(list(HOSTILE))
        status, content = self.post(draw.choice(["/score", "/score", "/reward", "/get_reward"]), HOSTILE[name])
        self.count("hostile")
        # Too much text at once is a reason for 429, whoever sends it.
        if not 400 <= status < 500 or b"Traceback" in content:
            self.tell(f"hostile {name}: {status} {content[:200]!r}")

    def no_key(self, draw: random.Random) -> None:
        status, _ = self.post("/score", b"{}", draw.choice(["", "wrong", KEY[:-1]]))
        self.count("no key")
        if status != 401:
            self.tell(f"no key: {status}")

    def hang_up(self, draw: random.Random) -> None:
        rows = [{**self.rows[0], "reasoning": f"never seen {draw.random()}"} for _ in range(20)]
        self.send_and_go("/score", json.dumps({"items": rows}).encode(), draw.uniform(0, 0.05))
        self.count("hung up")

    def half(self, draw: random.Random) -> None:
        self.send_and_go("/score", b" " * draw.randrange(1, 10_000), draw.uniform(0, 0.3), missing=1000)
        self.count("half a body")

    def send_and_go(self, path: str, body: bytes, seconds: float, missing: int = 0) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 300) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body) + missing}\r\n\r\n".encode()
            )
            connection.sendall(body)
            time.sleep(seconds)


def prepare(model: str, work: Path, executor: Executor) -> tuple[Path, list[Row], list[float], list[tuple[Row, Row]]]:
    """The bundle; score rows and their scores; rewarded rows and their rewards, all computed in this process."""
    from rm import TraceLiftReward
    from rm.cli.main import main as command
    from rm.evaluate.score import score_rows
    from rm.groups import load_groups
    from rm.lab import SAMPLE_TRAIN
    from rm.model import load_reward_model

    bundle = work / "bundle"
    options = {
        "formula": "tracelift-math-v1",
        "uplift.executor.kind": "openai",
        "uplift.executor.endpoints": f"http://127.0.0.1:{executor.port}/v1",
        "uplift.executor.model": "arithmetic",
        "uplift.executor.api": "chat",
        "uplift.executor.probe": "false",
        "uplift.executor.backoff_max_s": "4",
        "uplift.plan.kind": "sampled",
        "uplift.plan.runs": "4",
        "uplift.plan.baseline_runs": "8",
        "uplift.cache": "none",
    }
    argv = ["reward", "export", "--model", model, str(bundle), "--force"]
    if command([*argv, *(part for key, value in options.items() for part in (f"--{key}", value))]) != 0:
        raise SystemExit("no bundle")
    groups = load_groups(SAMPLE_TRAIN)[:PROBLEMS]
    rows = [
        {"problem": group.problem, "task_type": "math", "reasoning": each.reasoning + ("\nSo it is." * variant)}
        for group in groups
        for each in group.candidates
        for variant in range(VARIANTS)
    ]
    scores = [row["score"] for row in score_rows(load_reward_model(bundle / "model", dtype="float32"), rows)]
    rewarded = [
        {
            "problem": group.problem,
            "task_type": "math",
            "reference_solution": group.reference_solution,
            "completion": f"<reasoning>{each.reasoning}</reasoning>",
        }
        for group in groups
        for each in group.candidates[:2]
    ][:REWARDED]
    with TraceLiftReward.from_pretrained(bundle) as reward:
        results = [result.as_row() for result in reward.score_sync(rewarded)]
    return bundle, rows, scores, list(zip(rewarded, results, strict=True))


def resident(pid: int) -> float:
    """MiB in RAM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--executor", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.executor:
        executor_main(args.executor)
        return 0
    if args.model is None or args.work is None:
        parser.error("MODEL and --work are needed")
    args.work.mkdir(parents=True, exist_ok=True)
    executor = Executor()
    try:
        return soak_with(args, executor)
    finally:
        executor.kill()


def soak_with(args: argparse.Namespace, executor: Executor) -> int:
    """The whole of it. Returns the exit code."""
    bundle, rows, scores, rewards = prepare(args.model, args.work, executor)
    command = [sys.executable, "-m", "rm.cli.main", "serve", str(bundle), "--port", "0", "--cache", "500"]
    environment = {**os.environ, "SOAK_KEY": KEY}
    server = subprocess.Popen(
        [*command, "--api-key-env", "SOAK_KEY"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert server.stdout is not None
    soak = Soak(int(server.stdout.readline().split("127.0.0.1:")[1].split()[0]), rows, scores, rewards)
    print(f"{len(rows)} rows, {len(rewards)} rewards; server {server.pid}: {resident(server.pid):.0f} MiB", flush=True)
    threads = [threading.Thread(target=soak.client, args=(seed,)) for seed in range(args.clients)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    kills = [begun + args.minutes * 60 * (n + 1) / (args.kills + 1) for n in range(args.kills)]
    memory: list[float] = []
    while (now := time.monotonic()) < begun + args.minutes * 60 and server.poll() is None:
        if kills and now > kills[0]:
            kills.pop(0)
            executor.kill()
            print(f"{now - begun:.0f} s: executor killed", flush=True)
            time.sleep(DOWN_S)
            executor.start()
            print(f"{time.monotonic() - begun:.0f} s: executor up again", flush=True)
        memory.append(resident(server.pid))
        if len(memory) % 6 == 1:
            print(
                f"{now - begun:.0f} s: {memory[-1]:.0f} MiB, {dict(soak.counts)}, {len(soak.wrong)} wrong", flush=True
            )
        time.sleep(10)
    soak.stop.set()
    for thread in threads:
        thread.join()
    server.terminate()
    code = server.wait(120)
    latencies = sorted(soak.latencies)
    tenth = max(1, len(memory) // 10)
    print(
        f"\n{args.minutes:g} minutes, {args.clients} clients, {sum(soak.counts.values())} events: {dict(soak.counts)}"
    )
    print(f"answered: p50 {latencies[len(latencies) // 2]:.3f} s, p99 {latencies[int(len(latencies) * 0.99)]:.3f} s")
    print("MiB, mean of each tenth:", [round(sum(memory[i : i + tenth]) / tenth) for i in range(0, tenth * 10, tenth)])
    print(f"server ended with {code}; {len(soak.wrong)} wrong")
    print(*soak.wrong[:20], sep="\n")
    return 1 if soak.wrong or code else 0


if __name__ == "__main__":
    sys.exit(main())
