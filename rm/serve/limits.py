"""How much a server takes on: from one request, and altogether."""

from __future__ import annotations

from dataclasses import dataclass

from rm.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server. Every one of them is a whole number from 1 on, but for `wait_ms` and `cache`.

    Args:
        items: items of one request.
        text: characters of one text that is given (a problem, its tests). What a planner wrote has the body's limit
            alone: one that is too long is answered as such, and costs the others nothing.
        body_bytes: of one request's body.
        body_seconds: in which a body must have arrived.
        bodies_bytes: of all bodies that are held at the same time.
        queue: distinct texts that wait for the model; a request that would exceed it is answered 429.
        queue_text: characters of all texts that wait.
        tokens_per_batch: tokens of one batch, as the network computes them.
        wait_ms: milliseconds that texts wait for company when the model is free; 0 for none.
        cache: results that are kept for identical texts that come later; 0 for none.
        connections: open at the same time; more are answered 503.

    Raises:
        ConfigError: every bound that cannot be.
    """

    items: int = 1024
    text: int = 200_000
    body_bytes: int = 8 * 2**20
    body_seconds: int = 30
    bodies_bytes: int = 256 * 2**20
    queue: int = 4096
    queue_text: int = 64 * 2**20
    tokens_per_batch: int = 16384
    wait_ms: float = 2.0
    cache: int = 8192
    connections: int = 1024

    def __post_init__(self) -> None:
        problems = [
            f"{name} = {value}, expected a number from {least} on."
            for name, value in vars(self).items()
            if value < (least := 0 if name in ("wait_ms", "cache") else 1)
        ]
        if self.items > self.queue:
            problems.append(
                f"items = {self.items} is more than the queue holds ({self.queue}): such a request could never be "
                "taken. Raise --queue or lower --max-items."
            )
        if self.text > self.queue_text:
            problems.append(f"text = {self.text} is more than all waiting texts may have ({self.queue_text}).")
        if self.body_bytes > self.bodies_bytes:
            problems.append(f"body_bytes = {self.body_bytes} is more than all bodies may have ({self.bodies_bytes}).")
        if problems:
            raise ConfigError(problems)
