"""What every request goes through before a route sees it: the key, the size and the pace of its body, the clock.

Plain ASGI, so that a route still learns when its client hangs up. The key is checked before the body is read; a body
is read as a whole, within the limits, before the route is called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pydantic_core import to_json

from rm.serve.access import OPEN_PATHS, KeyCheck
from rm.serve.limits import Limits
from rm.serve.metrics import Metrics
from rm.serve.refusals import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientGone(Exception):
    """The client has hung up: nobody reads what is answered."""


class Guard:
    """See the module.

    Args:
        app: what is guarded.
        key: who may ask.
        limits: of bodies.
        metrics: gets number and duration of requests.
        paths: those that metrics name; any other is `other`.
    """

    def __init__(self, app: App, key: KeyCheck, limits: Limits, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._key = key
        self._limits = limits
        self._metrics = metrics
        self._paths = paths
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        path = scope["path"] if scope["path"] in self._paths else "other"
        status = 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._guarded(scope, receive, send_counted)
        except ClientGone:
            status = 499  # nobody reads it; the metrics do
        finally:
            self._metrics.add("requests_total", path=path, status=str(status))
            self._metrics.observe("request_seconds", time.monotonic() - started, path=path)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        try:
            if scope["path"] not in OPEN_PATHS and not self._key.admits(scope["headers"]):
                advice = "expected the server's key: Authorization: Bearer KEY"
                raise Refusal.of(401, advice, "Authorization", {"WWW-Authenticate": "Bearer"})
            if scope["method"] == "POST":
                await self._fill(body, scope, receive)
                receive = _replayed(bytes(body), receive)
            await self._app(scope, receive, send)
        except Refusal as refusal:
            await send_refusal(refusal, send)
        finally:
            self._held -= len(body)

    async def _fill(self, body: bytearray, scope: Scope, receive: Receive) -> None:
        """Read a body. Raises: Refusal where it breaks a limit, ClientGone."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise Refusal.of(415, "expected application/json", "Content-Type")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refusal.of(415, "expected a body that is not compressed", "Content-Encoding")
        stated = headers.get(b"content-length", b"0")
        self._check_size(int(stated) if stated.isdigit() else 0, 0)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    self._check_size(len(body) + len(piece), len(body))
                    body += piece
                    self._held += len(piece)
        except TimeoutError:
            raise Refusal.of(408, f"expected the whole body within {self._limits.body_seconds} s", "body") from None

    def _check_size(self, size: int, held: int) -> None:
        """Of one body, of which `held` bytes are counted already."""
        if size > self._limits.body_bytes:
            raise Refusal.of(413, f"expected at most {self._limits.body_bytes} bytes", "body")
        if self._held + size - held > self._limits.bodies_bytes:
            raise Refusal.of(429, "too many large requests at the same time; try again", "body", {"Retry-After": "1"})


async def while_connected(receive: Receive, work: Awaitable[Any]) -> Any:
    """The result of `work`, which is cancelled when the client hangs up. Raises: ClientGone, and what `work` raises."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def send_refusal(refusal: Refusal, send: Send) -> None:
    """Answer with a refusal."""
    headers = {"Content-Type": "application/json", **refusal.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    content = to_json(refusal.to_dict())
    raw.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first, and then what comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
