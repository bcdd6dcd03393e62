"""Who may ask: a key in the Authorization header, and no open server on a public address by accident."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable

from rm.errors import ConfigError
from rm.uplift.executors.api_key import ApiKey

DOCS_ASSETS = "/docs-assets"
OPEN_PATHS = frozenset(
    {
        "/health",
        "/ready",
        "/docs",
        "/openapi.json",
        *(f"{DOCS_ASSETS}/{name}" for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")),
    }
)
"""Answered without a key: they tell nothing about a model or its texts."""


class KeyCheck:
    """Compares keys in constant time. Without a variable everybody may ask.

    Args:
        variable: the environment variable that holds the key; empty for none.

    Raises:
        ConfigError: it is not set, or holds what is no key.
    """

    def __init__(self, variable: str = "") -> None:
        expected = ApiKey(variable).headers.get("Authorization")
        self._expected = _digest(expected.partition(" ")[2].encode()) if expected else None

    @property
    def required(self) -> bool:
        return self._expected is not None

    def admits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether raw request headers carry the key, as `Authorization: Bearer KEY`."""
        if self._expected is None:
            return True
        given = [value for name, value in headers if name.lower() == b"authorization"]
        scheme, _, key = given[0].strip().partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Digests have one length, so the time says nothing about the key's either.
        return hmac.compare_digest(_digest(key.strip()), self._expected) and scheme.lower() == b"bearer"


def check_exposure(host: str, key: KeyCheck, force_open: bool) -> None:
    """Raises: ConfigError for an address that others can reach, without a key and unforced."""
    if not (key.required or force_open or is_loopback(host)):
        raise ConfigError(
            f"--host {host} can be reached from other machines, and there is no key: anybody could use this server. "
            "Name an environment variable that holds a key with --api-key-env, or say --force-open."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address. A name other than `localhost` may mean anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
