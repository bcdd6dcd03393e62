"""A server on an address: it listens, says so, and on SIGTERM or SIGINT finishes what it has taken."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable

from rm.errors import MissingExtra, RunError
from rm.serve.guard import App
from rm.serve.limits import Limits

try:
    import uvicorn
except ModuleNotFoundError:
    raise MissingExtra("uvicorn", "serve", "The server") from None

KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that they close them, and not the server under a request."""
BACKLOG = 2048


class _Announced(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], object]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises: RunError where the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # The protocol is named: asyncio turns Nagle's algorithm off (40 ms a request) only for sockets that say TCP.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise RunError(f"--host {host}: {error.strerror or error}.") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        why = error.strerror or error
        raise RunError(f"{host}:{port} cannot be listened on: {why}. Choose another with --host, --port.") from None
    return bound


def run(app: App, bound: socket.socket, limits: Limits, announce: Callable[[str], object] = print) -> None:
    """Serve until SIGTERM or SIGINT; requests that have arrived by then are answered first.

    Args:
        app: of `rm.serve.app.create_app`.
        bound: of `listen`.
        limits: of connections.
        announce: told the address once it listens.

    Raises:
        RunError: the server could not start.
        KeyboardInterrupt: after SIGINT.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=limits.connections,
        backlog=BACKLOG,
    )
    server = _Announced(config, lambda: announce(address_of(bound)))
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it is done
    try:
        asyncio.run(server.serve(sockets=[bound]))
    finally:
        signal.signal(signal.SIGTERM, before)
        bound.close()
    if not server.started:
        raise RunError("The server could not start; the lines above say why.")


def address_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"
