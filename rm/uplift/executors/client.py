"""JSON requests to several servers that may fail: retries, back-pressure, budgets. Knows no completions.

    client = Client(config)
    reply = await client.post("/completions", body, read_completions)

A request that fails for a reason that passes (a reset connection, a time-out, 429, 5xx, a body that cannot be read)
is sent again, to another endpoint where there is one, after an exponential wait with full jitter. When the retries
are used up the call is `Lost`. What only a person can mend raises at once.

The key is read from the environment here and leaves in the Authorization header only: redirects are not followed,
and server's words are shown with the key struck out.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rm.errors import ConfigError, MissingExtra, RunError
from rm.uplift.executors.api_key import ApiKey
from rm.uplift.executors.base import PROMPT_TOO_LONG, Lost, Usage
from rm.uplift.executors.config import OpenAIConfig
from rm.uplift.executors.endpoints import Endpoint, EndpointPool, Health, Shut
from rm.uplift.executors.replies import (
    BrokenReply,
    error_code,
    is_too_long,
    is_transient,
    read_models,
    retry_after,
    server_words,
)

try:
    import httpx
except ModuleNotFoundError:
    raise MissingExtra("httpx", "uplift", "An executor behind a server") from None

MAX_REPLY_BYTES = 64 << 20
_CONNECT_S = 10.0
_LONGEST_PAUSE = 4.0
"""In units of `backoff_max_s`."""
T = TypeVar("T")


@dataclass(frozen=True)
class Failed:
    """One attempt that failed.

    Args:
        reason: as in `Lost`.
        detail: for a reader.
        again: whether sending it again may help.
        pause: seconds for which the server asked to be left alone.
        health: what it says of the server.
    """

    reason: str
    detail: str = ""
    again: bool = True
    pause: float = 0.0
    health: Health = "failed"


def backoff(attempt: int, first: float, longest: float, rng: random.Random) -> float:
    """Seconds to wait after the failed attempt of this 0-based number: uniform in [0, min(longest, first * 2^attempt)].

    Full jitter: M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """
    return rng.uniform(0.0, min(longest, first * 2.0 ** min(attempt, 64)))


class Client:
    """Sends to the endpoints of a configuration. Lives in one event loop.

    Args:
        config: addresses, limits, budgets, retries.
        sleep: waits between attempts.

    Raises:
        ConfigError: the key is not there.
    """

    def __init__(self, config: OpenAIConfig, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.usage = Usage()
        self._config = config
        self._sleep = sleep
        self._key = ApiKey(config.api_key_env)
        self._rng = random.Random()
        self._pool = EndpointPool(
            [_base(address) for address in config.endpoints],
            config.concurrency,
            config.breaker_failures,
            config.breaker_pause_s,
        )
        self._ssl = httpx.create_ssl_context()
        self._idle: list[httpx.AsyncClient] = []

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return self._pool.endpoints

    async def post(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], T]) -> T | Lost:
        """POST `body` to some endpoint until `read` accepts the reply or the retries are used up.

        Args:
            path: below the base address.
            body: JSON object.
            read: makes a value of the body of a 200; a `BrokenReply` of it is a failed attempt.

        Raises:
            ConfigError: the server refuses the key, the model or the address.
            RunError: a budget is spent.
        """
        failed, avoid = Failed("connection"), None
        for attempt in range(self._config.retries + 1):
            if attempt:
                await self._sleep(backoff(attempt - 1, self._config.backoff_s, self._config.backoff_max_s, self._rng))
            endpoint = await self._pool.acquire(avoid)
            if isinstance(endpoint, Shut):
                failed = Failed(endpoint.reason, failed.detail or "no endpoint is fit for use")
                continue
            result = await self._attempt(endpoint, path, body, read, repeated=attempt > 0)
            if not isinstance(result, Failed):
                return result
            failed, avoid = result, endpoint
            if not failed.again:
                break
        return Lost(failed.reason, failed.detail)

    async def post_once(
        self, endpoint: Endpoint, path: str, body: Mapping[str, Any], read: Callable[[bytes], T]
    ) -> T | Failed:
        """One attempt at one endpoint, outside of slots and breakers: to learn what that server can do."""
        return await self._exchange(endpoint, path, body, read, repeated=False)

    def shut(self, endpoint: Endpoint) -> None:
        """Leave an endpoint alone for a while."""
        self._pool.shut(endpoint)

    def count_samples(self, samples: int, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Add what a reply brought."""
        self.usage = replace(
            self.usage,
            samples=self.usage.samples + samples,
            prompt_tokens=self.usage.prompt_tokens + (prompt_tokens or 0),
            completion_tokens=self.usage.completion_tokens + (completion_tokens or 0),
        )

    async def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        while self._idle:
            await self._idle.pop().aclose()

    async def _attempt(
        self, endpoint: Endpoint, path: str, body: Mapping[str, Any], read: Callable[[bytes], T], repeated: bool
    ) -> T | Failed:
        health: Health = "unknown"
        reason, pause = "", 0.0
        try:
            result = await self._exchange(endpoint, path, body, read, repeated)
            health = "answered"
            if isinstance(result, Failed):
                health, reason, pause = result.health, result.reason, result.pause
            return result
        finally:
            self._pool.release(endpoint, health, reason, pause)

    async def _exchange(
        self, endpoint: Endpoint, path: str, body: Mapping[str, Any], read: Callable[[bytes], T], repeated: bool
    ) -> T | Failed:
        """Send once and read. Raises: as `post`."""
        self._spend_call(repeated)
        try:
            async with asyncio.timeout(self._config.timeout_s):
                response, content = await self._send(endpoint.address + path, body)
        except (TimeoutError, httpx.TimeoutException):
            return Failed("timeout", f"{endpoint.address}: no answer in {self._config.timeout_s:g} s")
        except httpx.TransportError as error:
            return Failed("connection", self._key.strike_out(f"{endpoint.address}: {error or type(error).__name__}"))
        except (httpx.DecodingError, BrokenReply) as error:
            return Failed("broken reply", self._key.strike_out(f"{endpoint.address}: {error}"))
        if response.status_code != 200:
            return await self._judge(endpoint, response, content)
        try:
            return read(content)
        except BrokenReply as broken:
            return Failed(broken.reason, self._key.strike_out(f"{endpoint.address}: {broken.detail}"))

    async def _send(self, url: str, body: Mapping[str, Any] | None) -> tuple[httpx.Response, bytes]:
        """A reply and its body. Raises: BrokenReply where the body is endless."""
        method = "GET" if body is None else "POST"
        # One request at a time each: in a shared client every request looks at all of the others' connections.
        http = self._idle.pop() if self._idle else self._http()
        try:
            async with http.stream(method, url, json=body) as response:
                content = bytearray()
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_REPLY_BYTES:
                        raise BrokenReply("broken reply", f"more than {MAX_REPLY_BYTES} bytes")
                return response, bytes(content)
        finally:
            self._idle.append(http)

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            headers=self._key.headers,
            timeout=httpx.Timeout(self._config.timeout_s, connect=min(self._config.timeout_s, _CONNECT_S)),
            follow_redirects=False,
            verify=self._ssl,
        )

    async def _judge(self, endpoint: Endpoint, response: httpx.Response, content: bytes) -> Failed:
        """What a status other than 200 means. Raises: ConfigError, RunError where sending again is no use."""
        status, address = response.status_code, endpoint.address
        words = self._key.strike_out(server_words(content)).removesuffix(".")
        if status in {401, 403}:
            raise ConfigError(f"{address} refuses access (HTTP {status}): {words}. {self._key.advice}")
        if status in {404, 405}:
            raise ConfigError(await self._not_found(endpoint, status, words))
        if status == 402 or error_code(content) == "insufficient_quota":
            raise RunError(f"{address}: the account's means are spent (HTTP {status}): {words}.")
        if 300 <= status < 400:
            target = response.headers.get("location", "nowhere").partition("?")[0]
            where = self._key.strike_out(target)
            raise ConfigError(
                f"{address} redirects to {where}, and keys do not follow redirects. "
                "Put the final address into endpoints."
            )
        if not is_transient(status):
            reason = PROMPT_TOO_LONG if is_too_long(status, words) else f"http {status}"
            return Failed(reason, f"{address}: {words}", again=False, health="answered")
        pause = min(retry_after(response.headers.get("retry-after")), _LONGEST_PAUSE * self._config.backoff_max_s)
        health: Health = "unknown" if status == 429 else "failed"
        return Failed(f"http {status}", f"{address}: {words}", pause=pause, health=health)

    async def _not_found(self, endpoint: Endpoint, status: int, words: str) -> str:
        """A message for 404 and 405, with the models that the server has, where it tells."""
        unknown = f"the model {self._config.model!r} or the address (HTTP {status}): {words}."
        start = f"{endpoint.address} does not know {unknown}"
        names = await self._models(endpoint)
        if names:
            return f"{start} It serves: {', '.join(names)}. Put one of them into model."
        return f"{start} Check model, and that the address ends in what comes before /completions, mostly /v1."

    async def _models(self, endpoint: Endpoint) -> list[str]:
        try:
            async with asyncio.timeout(_CONNECT_S):
                response, content = await self._send(f"{endpoint.address}/models", None)
            data = read_models(content) if response.status_code == 200 else []
        except (TimeoutError, httpx.HTTPError, BrokenReply):
            return []
        return [self._key.strike_out(name) for name in data]

    def _spend_call(self, repeated: bool) -> None:
        """Count a request. Raises: RunError where a budget is spent."""
        used, config = self.usage, self._config
        if config.budget_calls and used.calls >= config.budget_calls:
            raise RunError(
                f"The budget of {config.budget_calls} calls is spent ({used.retries} of them were retries). "
                "Raise budget_calls to go on."
            )
        tokens = used.prompt_tokens + used.completion_tokens
        if config.budget_tokens and tokens >= config.budget_tokens:
            raise RunError(
                f"The budget of {config.budget_tokens} tokens is spent ({tokens} used in {used.calls} calls). "
                "Raise budget_tokens to go on."
            )
        self.usage = replace(used, calls=used.calls + 1, retries=used.retries + repeated)


def _base(address: str) -> str:
    """The address that paths are added to: `/v1` where it has no path, no slash at its end."""
    plain = address.rstrip("/")
    return plain if "/" in plain.partition("://")[2] else f"{plain}/v1"
