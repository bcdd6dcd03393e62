"""What language models were asked in a build, what came of it, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rm.build.llm.cache import Replied
from rm.errors import ConfigError, RunError

_MILLION = 1e6
_COUNTS = ("replies", "prompt_tokens", "completion_tokens", "untold", "again")


class BudgetSpent(RunError):
    """`max_tokens_total` is used up. What was answered is in the cache."""


@dataclass(frozen=True)
class Prices:
    """For a million tokens, in any currency."""

    prompt: float = 0.0
    completion: float = 0.0


@dataclass
class Account:
    """What one model was asked in one role, for a seed or for the whole build.

    Attributes:
        replies: read, from servers and from the cache.
        prompt_tokens, completion_tokens: of them, as far as told.
        untold: replies whose server does not tell.
        again: questions that were put a second time, with what was wrong.
        dropped: reason -> questions that came to nothing.
    """

    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    untold: int = 0
    again: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def take(self, reply: Replied) -> None:
        """Counts a reply."""
        self.replies += 1
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0
        self.untold += reply.prompt_tokens is None or reply.completion_tokens is None

    def add(self, counted: Mapping[str, Any]) -> None:
        """Another account in the form of `to_dict`."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + counted[name])
        self.dropped.update(counted["dropped"])

    @property
    def tokens(self) -> int:
        """Prompts and completions."""
        return self.prompt_tokens + self.completion_tokens

    def cost(self, prices: Prices) -> float:
        """0 without prices."""
        return (self.prompt_tokens * prices.prompt + self.completion_tokens * prices.completion) / _MILLION

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `add` reads it back."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return {**counts, "dropped": dict(sorted(self.dropped.items()))}


Bill = dict[str, Account]
"""Name of a model in its role -> what a seed has asked of it, whether it was paid now or comes from the cache."""


class Ledger:
    """What servers were asked in this run, and the limit that all models share.

    Args:
        max_tokens_total: 0 for none.

    Attributes:
        paid: name -> what came from servers.
        prices: name -> its prices.
        cached: replies that came from the cache.
        dropped: questions that came to nothing.
    """

    def __init__(self, max_tokens_total: int = 0) -> None:
        self._limit = max_tokens_total
        self.paid: Bill = {}
        self.prices: dict[str, Prices] = {}
        self.cached = 0
        self.dropped = 0

    def open(self, name: str, prices: Prices) -> Account:
        """The account of a model in its role."""
        self.prices[name] = prices
        return self.paid.setdefault(name, Account())

    @property
    def tokens(self) -> int:
        """Paid in this run."""
        return sum(account.tokens for account in self.paid.values())

    def allow(self) -> None:
        """Called before a server is asked.

        Raises:
            BudgetSpent: the limit is reached.
            ConfigError: there is a limit, and a server does not tell how many tokens it used.
        """
        if not self._limit:
            return
        if any(account.untold for account in self.paid.values()):
            raise ConfigError(
                "llm.max_tokens_total: a server does not tell how many tokens it used. Set server.budget_calls instead."
            )
        if self.tokens >= self._limit:
            raise BudgetSpent(
                f"llm.max_tokens_total = {self._limit:,} is reached: {self.tokens:,} tokens in this run. What was "
                "answered is kept; the same command goes on from there, with as many tokens again."
            )

    def line(self) -> str:
        """In a few words, for a progress bar."""
        asked = sum(account.replies for account in self.paid.values())
        cost = sum(account.cost(self.prices[name]) for name, account in self.paid.items())
        cached = f", {self.cached:,} cached" if self.cached else ""
        priced = f", cost {cost:.2f}" if cost else ""
        return f"{asked:,} asked{cached}, {self.tokens:,} tokens{priced}, {self.dropped:,} dropped"
