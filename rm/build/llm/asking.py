"""One language model asked for JSON: from the cache or a server, read strictly, asked a second time at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from rm.build.llm.cache import Question, Replied, ReplyCache
from rm.build.llm.config import ModelConfig
from rm.build.llm.ledger import Account, Bill, Ledger, Prices
from rm.build.llm.objects import Unreadable
from rm.errors import RunError
from rm.uplift.executors.base import PROMPT_TOO_LONG, Lost, Prompt
from rm.uplift.executors.openai import OpenAIExecutor
from rm.uplift.executors.replies import Reply, is_transient
from rm.uplift.meter import FailureLimit, Watch

ATTEMPTS = 4
"""How often a lost question is put in all, each time with the client's own retries."""
LOST_LIMIT = FailureLimit(rate=0.5, window=12, least=4)
"""Of the latest attempts with a model; more that are lost stop the build, before a seed is done with less for it."""
_AGAIN = """{user}

Your reply to this was:
{reply}

It cannot be used. {told} Reply once more, with the JSON object alone."""
_REPEATED = 4000
"""Characters of an unusable reply that are shown to its model."""
T = TypeVar("T")


@dataclass(frozen=True)
class Dropped:
    """A question that came to nothing.

    Args:
        reason: short and stable; it is counted.
        detail: for a reader.
    """

    reason: str
    detail: str = ""


class Model:
    """See the module. Lives in one event loop; safe for any number of concurrent calls.

    Args:
        name: for the card and for messages: role and model.
        key: of its section in the configuration, for messages.
        config: where it is and how it is asked.
        cache: of replies; shared.
        ledger: shared; gets an account of this name.

    Raises:
        ConfigError: the key's variable is not set.
        MissingExtra: httpx is not installed.
    """

    def __init__(self, name: str, key: str, config: ModelConfig, cache: ReplyCache, ledger: Ledger) -> None:
        self.name = name
        self.model = config.server.model
        self._paid = ledger.open(name, Prices(config.prompt_price, config.completion_price))
        self._key = key
        self._sampling = config.sampling()
        self._fingerprint = config.server.fingerprint()
        self._executor = OpenAIExecutor(config.server)
        self._slots = asyncio.Semaphore(config.server.concurrency * len(config.server.endpoints))
        self._cache = cache
        self._ledger = ledger
        self._watch = Watch(f"questions to the {name} were lost", LOST_LIMIT)

    async def ask(self, prompt: Prompt, version: str, seed: int, read: Callable[[str], T], bill: Bill) -> T | Dropped:
        """What `read` makes of the reply, or of a second one.

        Args:
            prompt: ends with what is to be replied.
            version: of the template.
            seed: of the draw.
            read: raises `Unreadable`; where that tells the model something, it is asked once more.
            bill: gets an account of this model's name, or has it.

        Returns:
            The value; or why there is none, which has been counted.

        Raises:
            BudgetSpent: the limit on tokens is reached.
            ConfigError: the server refuses the key, the model or the address.
            RunError: too many questions are lost.
        """
        account = bill.setdefault(self.name, Account())
        question = Question(self._fingerprint, version, prompt, self._sampling, seed)
        found = await self._once(question, read, account, again=True)
        if isinstance(found, Dropped):
            self.count(found, bill)
        return found

    def count(self, dropped: Dropped, bill: Bill) -> None:
        """Notes a question that came to nothing after its reply was read."""
        bill[self.name].dropped[dropped.reason] += 1
        self._ledger.dropped += 1

    async def close(self) -> None:
        """Close every connection."""
        await self._executor.close()

    async def _once(self, question: Question, read: Callable[[str], T], account: Account, again: bool) -> T | Dropped:
        reply = await self._reply(question)
        if isinstance(reply, Lost):
            return Dropped(f"lost: {reply.reason}", reply.detail)
        account.take(reply)
        if not reply.finished:
            return Dropped("cut off", f"after {reply.completion_tokens or self._sampling.max_tokens} tokens")
        try:
            return read(reply.text)
        except Unreadable as unreadable:
            if not again or not unreadable.told:
                return Dropped(unreadable.reason, unreadable.told)
            told = unreadable.told
        account.again += 1
        user = _AGAIN.format(user=question.prompt.user, reply=reply.text[:_REPEATED], told=told)
        second = replace(question, prompt=replace(question.prompt, user=user))
        return await self._once(second, read, account, again=False)

    async def _reply(self, question: Question) -> Replied | Lost:
        cached = self._cache.get(question)
        if cached is not None:
            self._ledger.cached += 1
            return cached
        answer = await self._served(question)
        if isinstance(answer, Lost):
            return answer
        completion = answer.completions[0]
        reply = Replied(completion.text, completion.finished, answer.prompt_tokens, answer.completion_tokens)
        self._cache.put(question, reply)
        self._paid.take(reply)
        return reply

    async def _served(self, question: Question) -> Reply | Lost:
        """From a server, in several attempts; the last one's loss."""
        lost = Lost("connection")
        for _ in range(ATTEMPTS):
            async with self._slots:  # what waits for a server has not passed the budget yet
                self._ledger.allow()
                answer = await self._executor.ask(question.prompt, 1, question.sampling, question.seed)
            if not isinstance(answer, Lost):
                self._watch.came()
                return answer
            lost = answer
            self._lost(lost)
            if _is_refused(lost):
                break
        return lost

    def _lost(self, lost: Lost) -> None:
        try:
            self._watch.came_to_nothing(lost.reason, lost.detail)
        except RunError as error:
            raise RunError(
                f"{error} Start the server, or mend {self._key}.server. What was answered is kept in "
                f"{self._cache.path}; the same command goes on from there."
            ) from None


def _is_refused(lost: Lost) -> bool:
    """The server answers, and will not answer this: a prompt that is too long, a parameter that it does not know."""
    kind, _, status = lost.reason.partition(" ")
    return lost.reason == PROMPT_TOO_LONG or (kind == "http" and status.isdigit() and not is_transient(int(status)))
