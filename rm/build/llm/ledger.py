"""What language models were asked in a build, what came of it, and what it cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rm.build.llm.cache import Replied
from rm.errors import ConfigError, RunError

_MILLION = 1e6


class BudgetSpent(RunError):
    """`max_tokens_total` is used up. What was answered is in the cache."""


@dataclass
class Account:
    """One model in one role. Counts grow while the build runs.

    Args:
        prompt_price, completion_price: for a million tokens.

    Attributes:
        asked: replies that came from a server.
        cached: replies that came from the cache.
        prompt_tokens, completion_tokens: of both, as far as told.
        paid_prompt_tokens, paid_completion_tokens: of `asked` alone.
        untold: replies whose server does not tell.
        again: questions that were put a second time, with what was wrong.
        dropped: reason -> questions that came to nothing.
    """

    prompt_price: float = 0.0
    completion_price: float = 0.0
    asked: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    paid_prompt_tokens: int = 0
    paid_completion_tokens: int = 0
    untold: int = 0
    again: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def take(self, reply: Replied, from_cache: bool) -> None:
        """Counts a reply."""
        prompt, completion = reply.prompt_tokens or 0, reply.completion_tokens or 0
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.untold += reply.prompt_tokens is None or reply.completion_tokens is None
        if from_cache:
            self.cached += 1
            return
        self.asked += 1
        self.paid_prompt_tokens += prompt
        self.paid_completion_tokens += completion

    @property
    def tokens(self) -> int:
        """Prompts and completions, from servers and cache."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float:
        """Of everything that this set is made of, whenever it was paid; 0 without prices."""
        return self._priced(self.prompt_tokens, self.completion_tokens)

    @property
    def paid(self) -> float:
        """Of what servers answered in this run."""
        return self._priced(self.paid_prompt_tokens, self.paid_completion_tokens)

    def to_dict(self) -> dict[str, Any]:
        """For the card."""
        return {
            "asked": self.asked,
            "cached": self.cached,
            "asked_again": self.again,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            **({"replies_without_token_counts": self.untold} if self.untold else {}),
            "cost": round(self.cost, 6),
            "paid_in_this_run": round(self.paid, 6),
            "dropped": dict(sorted(self.dropped.items())),
        }

    def _priced(self, prompt: int, completion: int) -> float:
        return (prompt * self.prompt_price + completion * self.completion_price) / _MILLION


class Ledger:
    """All accounts of a build, by role and model, and the limit that they share.

    Args:
        max_tokens_total: 0 for none.
    """

    def __init__(self, max_tokens_total: int = 0) -> None:
        self._limit = max_tokens_total
        self.accounts: dict[str, Account] = {}

    def open(self, name: str, prompt_price: float, completion_price: float) -> Account:
        """A new account."""
        account = self.accounts[name] = Account(prompt_price, completion_price)
        return account

    @property
    def tokens(self) -> int:
        """Of all accounts."""
        return sum(account.tokens for account in self.accounts.values())

    def allow(self) -> None:
        """Called before a server is asked.

        Raises:
            BudgetSpent: the limit is reached.
            ConfigError: there is a limit, and a server does not tell how many tokens it used.
        """
        if not self._limit:
            return
        if any(account.untold for account in self.accounts.values()):
            raise ConfigError(
                "llm.max_tokens_total: a server does not tell how many tokens it used. Set server.budget_calls instead."
            )
        if self.tokens >= self._limit:
            raise BudgetSpent(
                f"llm.max_tokens_total = {self._limit:,} is reached: {self.tokens:,} tokens are used. What was "
                "answered is kept. Raise the limit and run the same command again to go on."
            )

    def line(self) -> str:
        """In a few words, for a progress bar."""
        asked = sum(account.asked for account in self.accounts.values())
        dropped = sum(account.dropped.total() for account in self.accounts.values())
        cost = sum(account.cost for account in self.accounts.values())
        priced = f", cost {cost:.2f}" if cost else ""
        return f"{asked:,} asked, {self.tokens:,} tokens{priced}, {dropped:,} dropped"

    def to_dict(self) -> dict[str, Any]:
        """For the card."""
        accounts = {name: account.to_dict() for name, account in self.accounts.items()}
        total = sum(account.cost for account in self.accounts.values())
        return {"tokens": self.tokens, "cost": round(total, 6), "models": accounts}
