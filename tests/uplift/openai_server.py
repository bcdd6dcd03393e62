"""An OpenAI-compatible server on loopback, for tests and benchmarks: honest, or misbehaving as servers do."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What goes over the wire instead of completions.

    `cut`: bytes of the body after which the connection is reset; `drip`: seconds between the body's bytes.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None
    hang: bool = False
    drip: float = 0.0


Fault = Callable[[int, dict[str, Any]], Answer | None]
"""(0-based number of the request, its body) -> what to do instead of answering well; None answers well."""


def as_json(data: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(data).encode())


def always(answer: Answer) -> Fault:
    return lambda number, body: answer


def first(answer: Answer, times: int = 1) -> Fault:
    return lambda number, body: answer if number < times else None


class Server:
    """Serves completions and chat; each text is a number decided by prompt and seed.

    Args:
        fault: see `Fault`.
        most: completions that one request gets at most.
        ignores: parameters without effect.
        scores: `echo`, `prompt_logprobs`, or nothing.
        delay: seconds a completion takes to write.
        slots: completions written at once; the others wait.
        text: every text, where given.
        write: (prompt or messages as text, seed of the completion) -> text, where given.
    """

    def __init__(
        self,
        fault: Fault = lambda number, body: None,
        most: int = 100,
        ignores: tuple[str, ...] = (),
        scores: str = "",
        delay: float = 0.0,
        text: str | None = None,
        usage: bool = True,
        finish: str = "stop",
        slots: int = 10_000,
        write: Callable[[str, int], str] | None = None,
    ) -> None:
        self.fault, self.most, self.ignores, self.scores = fault, most, ignores, scores
        self.delay, self.text, self.usage, self.finish = delay, text, usage, finish
        self.write = write
        self._slots = asyncio.Semaphore(slots)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.paths: list[str] = []
        self.under_way = self.peak = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        raw = await reader.readexactly(int(length[1]) if length else 0)
        path = head.split(" ")[1]
        self.paths.append(path)
        if path.endswith("/models"):
            answer: Answer | None = as_json({"data": [{"id": "served-1"}, {"id": "served-2"}]})
        else:
            body = json.loads(raw)
            self.headers.append(head)
            self.bodies.append(body)
            answer = self.fault(len(self.bodies) - 1, body)
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            try:
                if answer and answer.hang:
                    await asyncio.sleep(3600)
                await asyncio.gather(*(self._take_time() for _ in range(body.get("n", 1))))
            finally:
                self.under_way -= 1
            answer = answer or self._good(path, body)
        lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        for piece in [answer.body[i : i + 1] for i in range(len(answer.body))] if answer.drip else []:
            writer.write(piece)
            await asyncio.sleep(answer.drip)
        writer.write(b"" if answer.drip else answer.body[: answer.cut])
        await writer.drain()
        return answer.cut is None

    async def _take_time(self) -> None:
        async with self._slots:
            await asyncio.sleep(self.delay)

    def _good(self, path: str, body: dict[str, Any]) -> Answer:
        chat = path.endswith("/chat/completions")
        count = 1 if "n" in self.ignores else min(self.most, body.get("n", 1))
        choices: list[dict[str, Any]] = []
        for index in range(count):
            text = self._text(body, index)
            holder: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices.append({"index": index, "finish_reason": self.finish, **holder})
        if self.scores and self.scores in body:
            choices[0] |= scored(self.scores, body["prompt"])
        data: dict[str, Any] = {"choices": choices}
        if self.usage:
            data["usage"] = {"prompt_tokens": 10, "completion_tokens": 3 * count}
        return as_json(data)

    def _text(self, body: dict[str, Any], index: int) -> str:
        if self.text is not None:
            return self.text
        shown = str(body.get("prompt", body.get("messages")))
        seed = random.random() if "seed" in self.ignores else body.get("seed", 0) + index
        if "temperature" in self.ignores or body["temperature"] == 0:
            seed = 0
        if "freshness" in self.ignores:  # the same choices for every request
            seed = index
        if self.write is not None:
            return self.write(shown, int(seed))
        return str(random.Random(f"{shown} {seed}").randrange(10**9))


def scored(way: str, prompt: str) -> dict[str, Any]:
    """Words as tokens; the word of index i has log probability -i/4."""
    words = re.findall(r"\s*\S+", prompt)
    values = [None, *(-i / 4 for i in range(1, len(words)))]
    if way == "echo":
        return {"logprobs": {"tokens": ["<s>", *words, "!"], "token_logprobs": [None, -9.0, *values[1:], -5.0]}}
    entries = [{"7": {"logprob": value, "decoded_token": word}} for word, value in zip(words, values, strict=True)]
    return {"prompt_logprobs": [None, *entries[1:]]}


@contextmanager
def served(**options: Any) -> Iterator[Server]:
    """A server in a thread of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    server, stop = Server(**options), asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.close()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
