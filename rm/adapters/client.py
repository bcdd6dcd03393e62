"""Rewards from a server: `POST /reward`, sent again where a failure passes, else an error.

    reward = ServerReward("http://127.0.0.1:8001", api_key_env="TRACELIFT_KEY")
    results = await reward.score(items)            # or reward.score_sync(items)

Large batches go as several requests at the same time, the completions of one problem in one of them, so that the
server computes their prefix and their baseline once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

from rm.adapters.source import is_address
from rm.errors import ConfigError, MissingExtra, RunError
from rm.reward.parts import RewardResult
from rm.uplift.executors.api_key import ApiKey
from rm.uplift.loop import LoopThread

try:
    import httpx
except ModuleNotFoundError:
    raise MissingExtra("httpx", "rl", "A reward behind a server") from None

LOG = logging.getLogger("rm.adapters")
ITEMS_A_REQUEST = 128
BYTES_A_REQUEST = 4 * 2**20
"""Half of what a server takes by default; an item that is larger goes alone."""
REQUESTS_AT_ONCE = 16
LONGEST_WAIT_S = 30.0
_CONNECT_S = 10.0
_WORDS_SHOWN = 500
_PASSING = {408, 425, 429}


class ServerReward:
    """See the module. Safe for any thread and any event loop, forked processes included.

    Args:
        url: of the server, without a path.
        api_key_env: environment variable that holds the key.
        timeout_s: of one request; an executor may take minutes.
        retries: after the first attempt.
        backoff_s: the first wait is drawn from [0, this], later ones from twice as much each, up to 30 s.
        formula: that the rewards must be made by, such as `tracelift-math-v1`; empty takes the server's, which is
            logged with the first rewards.

    Raises:
        ConfigError: no address, or a key that is not there.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key_env: str = "",
        timeout_s: float = 900.0,
        retries: int = 6,
        backoff_s: float = 1.0,
        formula: str = "",
    ) -> None:
        if not is_address(url):
            raise ConfigError(f"server: expected an address such as http://127.0.0.1:8001, found {url!r}.")
        self.url = url.rstrip("/")
        self._key = ApiKey(api_key_env)
        self._timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))
        self._retries = retries
        self._backoff_s = backoff_s
        self._formula = formula
        self._told = False
        self._rng = random.Random()
        self._loop = LoopThread("tracelift-client")
        self._here: tuple[int, httpx.AsyncClient, asyncio.Semaphore] | None = None

    async def score(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """The rewards of problem rows with `completion`, in their order.

        Raises:
            ConfigError: the address, the key or the items are refused, in the server's words; or the rewards are made
                by another formula than the one expected.
            RunError: no answer after all attempts.
        """
        return await self._loop.join(self._score(items))

    def score_sync(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        """`score`, from code that is not asynchronous, within a running event loop or not."""
        return self._loop.wait(self._score(items))

    def close(self) -> None:
        """Gives back connections and the thread. It may be used again afterwards."""
        if self._here is not None and self._here[0] == os.getpid():
            self._loop.wait(self._here[1].aclose())
        self._here = None
        self._loop.stop()

    # What follows runs in the loop's thread.

    async def _score(self, items: Sequence[Mapping[str, Any]]) -> list[RewardResult]:
        results: list[RewardResult | None] = [None] * len(items)
        texts = [json.dumps(item, allow_nan=False).encode() for item in items]

        async def part(indices: Sequence[int]) -> None:
            found = await self._request([texts[index] for index in indices])
            for index, result in zip(indices, found, strict=True):
                results[index] = result

        try:
            async with asyncio.TaskGroup() as group:
                for indices in requests_of(items, [len(text) for text in texts]):
                    group.create_task(part(indices))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [result for result in results if result is not None]

    async def _request(self, items: Sequence[bytes]) -> list[RewardResult]:
        """Rewards of items in JSON."""
        body = b'{"items": [' + b", ".join(items) + b"]}"
        _, http, at_once = self._mine()
        why = ""
        for attempt in range(self._retries + 1):
            pause = 0.0
            async with at_once:
                try:
                    reply = await http.post("/reward", content=body, headers={"Content-Type": "application/json"})
                    if reply.status_code == 200:
                        return self._of_formula(read_rewards(reply.content, len(items)))
                    why, pause = self._refused(reply)
                except httpx.TransportError as error:
                    why = f"{type(error).__name__}: {error}".rstrip(": ")
                except BrokenAnswer as error:
                    why = str(error)
            if attempt < self._retries:
                wait = self._rng.uniform(0.0, min(LONGEST_WAIT_S, self._backoff_s * 2.0**attempt))
                LOG.info("%s: %s; attempt %d of %d", self.url, why, attempt + 1, self._retries + 1)
                await asyncio.sleep(min(max(wait, pause), LONGEST_WAIT_S))
        raise RunError(f"{self.url}/reward: no rewards after {self._retries + 1} attempts. The last one: {why}")

    def _of_formula(self, results: list[RewardResult]) -> list[RewardResult]:
        """The results, if they are made as expected. Raises: ConfigError."""
        found = {result.formula for result in results}
        if self._formula and found - {self._formula}:
            raise ConfigError(
                f"{self.url} rewards by {', '.join(sorted(found))}, expected {self._formula} (formula). Serve another "
                "bundle, or expect its formula."
            )
        if found and not self._told:
            LOG.info("%s rewards by %s", self.url, ", ".join(sorted(found)))
            self._told = True
        return results

    def _refused(self, reply: httpx.Response) -> tuple[str, float]:
        """What is told of a refusal that may pass, and how long to wait. Raises: ConfigError for one that does not."""
        status, words = reply.status_code, self._key.strike_out(_words(reply))
        if status >= 500 or status in _PASSING:
            try:
                pause = float(reply.headers.get("Retry-After") or 0)
            except ValueError:
                pause = 0.0
            return f"HTTP {status}: {words}", pause
        if status in (401, 403):
            raise ConfigError(f"{self.url} refuses the key. {self._key.advice}")
        if status in (404, 405):
            raise ConfigError(f"{self.url} gives no rewards ({words}). Start it with: tracelift-rm serve BUNDLE")
        raise ConfigError(f"{self.url}/reward refuses the items (HTTP {status}): {words}")

    def _mine(self) -> tuple[int, httpx.AsyncClient, asyncio.Semaphore]:
        """What belongs to this process; made anew in a forked one."""
        if self._here is None or self._here[0] != os.getpid():
            client = httpx.AsyncClient(
                base_url=self.url,
                headers=self._key.headers,
                timeout=self._timeout,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                follow_redirects=False,
            )
            self._here = os.getpid(), client, asyncio.Semaphore(REQUESTS_AT_ONCE)
        return self._here


class BrokenAnswer(Exception):
    """A 200 whose body is not what was asked for."""


def requests_of(
    items: Sequence[Mapping[str, Any]],
    sizes: Sequence[int],
    most_items: int = ITEMS_A_REQUEST,
    most_bytes: int = BYTES_A_REQUEST,
) -> list[list[int]]:
    """Items by index in requests within both bounds, those of one problem together as far as they fit.

    Args:
        items: with their `problem`.
        sizes: bytes of each.
        most_items, most_bytes: of a request; an item that has more bytes goes alone.
    """
    problems: dict[Any, list[int]] = {}
    for index, item in enumerate(items):
        problems.setdefault(item.get("problem"), []).append(index)
    requests: list[list[int]] = []
    room = -1
    for members in problems.values():
        if sum(sizes[index] for index in members) > room or len(requests[-1]) + len(members) > most_items:
            room = -1  # a new request, where more of it stays together
        for index in members:
            if sizes[index] > room or len(requests[-1]) == most_items:
                requests.append([])
                room = most_bytes
            requests[-1].append(index)
            room -= sizes[index]
    return requests


def read_rewards(content: bytes, count: int) -> list[RewardResult]:
    """The results in an answer's body. Raises: BrokenAnswer where there are not `count`, or one has another form."""
    try:
        rows = json.loads(content)["rewards"]
        results = [RewardResult.from_row(row) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenAnswer(f"no reward results in the answer ({type(error).__name__}: {error})") from None
    if len(results) != count:
        raise BrokenAnswer(f"{len(results)} reward results for {count} items")
    return results


def _words(reply: httpx.Response) -> str:
    try:
        said = str(reply.json()["error"])
    except (ValueError, KeyError, TypeError):
        said = reply.text
    return " ".join(said.split())[:_WORDS_SHOWN]
