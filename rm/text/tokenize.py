"""Tokens of rendered rows, and what happens to a text that is too long.

The policy: the *reasoning and the closing tags are never cut*. First the middle of the problem goes, then the
middle of the tests; each cut leaves a visible mark. A row whose reasoning alone does not fit is unscorable:
it is reported, and the caller drops it or refuses the run. What happens to a row depends on that row alone,
never on its batch or its group, so that a score is the same wherever it is computed.

A text of more than `CHARACTERS_A_TOKEN` characters for each token allowed counts as too long without being tokenized,
which for megabytes would take minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rm.text.render import Row, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT_MARK = "\n[...]\n"
BATCH = 512
CHARACTERS_A_TOKEN = 128
"""More than a token of the usual vocabularies stands for (their longest are runs of as many spaces)."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of one rendered row.

    Args:
        input_ids: the tokens; empty where the row cannot fit.
        truncated: the problem or the tests were cut.
        overlong: how many tokens the row would have needed at least, where it cannot fit (of a text that was not
            tokenized: a lower bound); else 0.
    """

    input_ids: tuple[int, ...]
    truncated: bool = False
    overlong: int = 0

    @property
    def fits(self) -> bool:
        return not self.overlong


@dataclass(frozen=True)
class OverflowReport:
    """What the length limit did to a set of rows."""

    rows: int
    truncated: int
    unscorable: int
    max_length: int

    @staticmethod
    def of(encoded: Iterable[Encoded], max_length: int) -> OverflowReport:
        items = list(encoded)
        return OverflowReport(
            rows=len(items),
            truncated=sum(item.truncated for item in items),
            unscorable=sum(not item.fits for item in items),
            max_length=max_length,
        )

    def __str__(self) -> str:
        return (
            f"{self.rows} rows within {self.max_length} tokens: {self.truncated} with the middle of the problem "
            f"cut, {self.unscorable} whose reasoning alone does not fit"
        )


class Encoder:
    """Renders and tokenizes rows under one length limit.

    Args:
        tokenizer: any Hugging Face tokenizer; special tokens are added as it does by default. A pad token is
            not needed: padding is told apart by the attention mask alone.
        max_length: tokens a row may have, special tokens included.
        include_tests: show tests to the judge.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, include_tests: bool = True) -> None:
        if max_length < 1:
            raise ValueError(f"max_length must be positive, found {max_length}")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.include_tests = include_tests

    @property
    def pad_id(self) -> int:
        """What fills a batch up. Any id will do, since the mask hides it."""
        for token_id in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token_id is not None:
                return int(token_id)
        return 0

    def encode(self, rows: Sequence[Row]) -> list[Encoded]:
        """Tokens of each row, in order."""
        shown = [row if self.include_tests else row.with_tests("") for row in rows]
        encoded: list[Encoded] = []
        for start in range(0, len(shown), BATCH):
            part = shown[start : start + BATCH]
            texts = [render(row) for row in part]
            tokens = iter(self._ids([text for text in texts if len(text) <= self._most_characters]))
            for row, text in zip(part, texts, strict=True):
                ids = next(tokens) if len(text) <= self._most_characters else None
                encoded.append(Encoded(ids) if ids is not None and len(ids) <= self.max_length else self._shorten(row))
        return encoded

    @property
    def _most_characters(self) -> int:
        """Of a rendered row; more do not fit."""
        return self.max_length * CHARACTERS_A_TOKEN

    def _ids(self, texts: list[str]) -> list[tuple[int, ...]]:
        if not texts:  # which tokenizers refuse
            return []
        # verbose=False: the limit is ours, so the tokenizer's own length warning would mislead.
        batch = self.tokenizer(texts, padding=False, truncation=False, verbose=False)
        return [tuple(ids) for ids in batch["input_ids"]]

    def _shorten(self, row: Row) -> Encoded:
        without_problem = row.with_problem(_least(row.problem))
        bare = without_problem.with_tests(_least(row.tests))
        text = render(bare)
        if len(text) > self._most_characters:
            return Encoded((), overlong=math.ceil(len(text) / CHARACTERS_A_TOKEN))
        least = len(self._ids([text])[0])
        if least > self.max_length:
            return Encoded((), overlong=least)
        ids = self._fit(row.problem.strip(), row.with_problem)
        if ids is None:
            ids = self._fit(row.tests.strip(), without_problem.with_tests)
        if ids is None:  # nothing but marks is left
            ids = self._ids([render(bare)])[0]
        return Encoded(ids, truncated=True)

    def _fit(self, text: str, put: Callable[[str], Row]) -> tuple[int, ...] | None:
        """The longest cut of `text` (by bisection over characters kept) with which the row fits, or None."""
        best: tuple[int, ...] | None = None
        low, high = 1, min(len(text) - len(CUT_MARK) - 1, self._most_characters)  # a cut that saves nothing is none
        while low <= high:
            keep = (low + high) // 2
            ids = self._ids([render(put(cut_middle(text, keep)))])[0]
            if len(ids) <= self.max_length:
                best, low = ids, keep + 1
            else:
                high = keep - 1
        return best


def cut_middle(text: str, keep: int) -> str:
    """`text` with its middle replaced by a mark; `keep` characters stay, the odd one at the head."""
    head, tail = (keep + 1) // 2, keep // 2
    return text[:head] + CUT_MARK + text[len(text) - tail :]


def _least(text: str) -> str:
    """The most that cutting may take: all but the mark, or nothing of a text that is no longer than the mark."""
    text = text.strip()
    return CUT_MARK.strip() if len(text) > len(CUT_MARK) else text
