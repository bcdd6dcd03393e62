"""/score from many clients that send single items, against the same model called with one item at a time, padded.

    python tests/benchmarks/serve.py MODEL [--groups FILE] [--clients 32] [--problems 60] [--seconds 30] [--soak 100000]

Both ways score the same distinct items, the completions of a problem one after another, in one run on one machine:
`alone` calls the model in this process, no HTTP in its way; the server is a process of its own, with its defaults, and the
clients are threads of this one. With --soak it is sent that many further small requests, and its memory is read at
each tenth. The tables are Markdown.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rm.evaluate.score import Scorer
from rm.groups import load_groups
from rm.lab import SAMPLE_TRAIN
from rm.model import load_reward_model

Row = dict[str, Any]


def items_of(file: str, problems: int, each: int) -> list[Row]:
    """`each` distinct completions a problem: those of its group, and what small changes make of them."""
    rows: list[Row] = []
    for group in load_groups(file)[:problems]:
        traces = itertools.cycle(group.candidates)
        for index in range(each):
            lines = next(traces).reasoning
            more = index // len(group.candidates)
            text = lines if not more else f"{lines}\nCheck {more}: the sum holds."
            rows.append({"problem": group.problem, "reasoning": text, "task_type": group.task_type})
    return rows


class Server:
    """`tracelift-rm serve` in a process of its own."""

    def __init__(self, *argv: str) -> None:
        command = [sys.executable, "-m", "rm.cli.main", "serve", *argv, "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.split("http://127.0.0.1:")[1].split()[0])

    def resident(self) -> float:
        """MiB in RAM."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def send(port: int, bodies: Iterator[bytes], lock: threading.Lock, seconds: list[float], scores: dict[bytes, float]) -> None:
    """One client: one request after another on one connection, until no body is left."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": "application/json"}
    while True:
        with lock:
            body = next(bodies, None)
        if body is None:
            return
        started = time.perf_counter()
        connection.request("POST", "/score", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(content)
        scores[body] = json.loads(content)["scores"][0]["score"]


def through_server(port: int, rows: Sequence[Row], clients: int) -> tuple[float, list[float], dict[bytes, float]]:
    """Seconds for all, seconds of each, score by body."""
    bodies = iter([json.dumps({"items": [row]}).encode() for row in rows])
    lock, seconds, scores = threading.Lock(), [], {}
    threads = [threading.Thread(target=send, args=(port, bodies, lock, seconds, scores)) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, seconds, scores


def alone(scorer: Scorer, rows: Sequence[Row], seconds: float) -> tuple[float, list[float]]:
    """Items a second, one a call; and the scores. Stops after `seconds`."""
    scorer.results(rows[:1])
    started, scores = time.perf_counter(), []
    for row in rows:
        scores.append(scorer.results([row])[0]["score"])
        if time.perf_counter() - started > seconds:
            break
    return len(scores) / (time.perf_counter() - started), scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--groups", default=str(SAMPLE_TRAIN))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--completions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0, help="at most, for the way without a server")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--soak", type=int, default=0)
    args = parser.parse_args()
    rows = items_of(args.groups, args.problems, args.completions)
    scorer = Scorer(load_reward_model(args.model, dtype="float32"), prefix_sharing="plain", hot_prefix_bytes=0)
    tokens = [len(item.input_ids) for item in scorer.rows(())[1]] or []
    del tokens
    ratios = []
    print("| pass | alone, items/s | server, items/s | ratio | p50 ms | p99 ms | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for number in range(args.repeats):
        server = Server(args.model, "--dtype", "float32")
        through_server(server.port, rows[:8], 8)  # warm
        speed, expected = alone(scorer, rows, args.seconds)
        took, seconds, scores = through_server(server.port, rows, args.clients)
        found = [scores[json.dumps({"items": [row]}).encode()] for row in rows[: len(expected)]]
        largest = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        cuts = statistics.quantiles(seconds, n=100)
        ratios.append(len(rows) / took / speed)
        print(
            f"| {number + 1} | {speed:.1f} | {len(rows) / took:.1f} | {ratios[-1]:.2f} | {cuts[49] * 1000:.0f} "
            f"| {cuts[98] * 1000:.0f} | {largest:.1e} |",
            flush=True,
        )
        server.stop()
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
