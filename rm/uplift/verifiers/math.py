"""Is the final answer of a completion the reference's? Plain numbers exactly and at once, the rest by math-verify.

How an answer is found: `rm.uplift.verifiers.answers`. When plain numbers are equal: `rm.uplift.verifiers.numbers`.
Where either side is no plain number (LaTeX, roots, tuples, intervals, variables) math-verify decides, in a process
that is killed on its time limit; references in words ("Tuesday", "(C)") are compared as words.

Limits: number words ("five") are not numbers. Units are not converted. Under a heavily loaded machine a slow but
honest comparison may meet the wall-clock limit and count as failed; raise `seconds` there.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from rm.errors import MissingExtra
from rm.uplift.problems import Problem
from rm.uplift.verifiers.answers import completion_answer, reference_answer
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.math_pool import MathPool, Reply
from rm.uplift.verifiers.numbers import clean, parse_number, same_number

MAX_ANSWER = 1000
"""A longer answer than this is none: no honest one is, and math-verify is slow on long text."""

_WORDS = re.compile(r"\(?[A-Za-z][A-Za-z .,'’()-]*")
_LONG_WORD = re.compile(r"[A-Za-z]{2}")
_CHOICE = re.compile(r"\((\w+)\)")
_NUMBER_WORDS = frozenset(("pi", "inf", "infty", "infinity", "oo"))
_SEVERAL = re.compile(r"\s(?:or|and)\s|[;\n]")

_VERDICTS: dict[Reply, Verdict] = {
    "equal": Verdict.passed(),
    "different": Verdict.failed("wrong answer"),
    "error": Verdict.failed("verifier error"),
    "timeout": Verdict.failed("verifier time-out"),
    "died": Verdict.failed("verifier died"),
    "unavailable": Verdict.unjudged("no math-verify process"),
}


class MathVerifier:
    """Judges the final answer of completions. Any thread, any event loop; several loops one after another, too.

    Verdicts: failed `empty`, `no answer`, `wrong answer`, `verifier time-out` (the answer hangs math-verify),
    `verifier died` (it kills its process: memory, recursion), `verifier error`; unjudged `no reference answer`,
    `unparsable reference`, `no math-verify process`.

    Args:
        workers: processes of math-verify at most; none is started before an answer needs one.
        seconds: wall-clock limit of one comparison.

    Raises:
        MissingExtra: math-verify is not installed.
    """

    def __init__(self, workers: int = 2, seconds: float = 5.0) -> None:
        try:
            library = importlib.metadata.version("math-verify")
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtra("math-verify", "uplift", "Judging mathematical answers") from None
        self._version = f"math-v1+math-verify-{library}+{seconds:g}s"
        self._pool = MathPool(workers, seconds)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="math-verify")
        self._gold_reply = lru_cache(maxsize=10_000)(self._ask_gold)

    @property
    def version(self) -> str:
        """Names the rules, the release of math-verify and the time limit."""
        return self._version

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Of the math-verify processes that run now."""
        return self._pool.process_ids

    async def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion by `problem.answer`."""
        quick = self._without_process(completion, problem.answer)
        if isinstance(quick, Verdict):
            return quick
        if self._pool.closed:
            return _VERDICTS["unavailable"]
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._by_process, *quick)

    async def close(self) -> None:
        """Kill the processes; answers still waiting for one become unjudged."""
        self._pool.close()
        self._threads.shutdown(wait=False)

    def _without_process(self, completion: str, reference: str) -> Verdict | tuple[str, str]:
        """The verdict where plain numbers or words suffice, else reference and answer for math-verify."""
        gold = _gold(reference)
        if not gold.text:
            return Verdict.unjudged("no reference answer")
        if not completion.strip():
            return Verdict.failed("empty")
        answer = completion_answer(completion)
        if gold.is_words and (not answer or parse_number(answer) is not None):
            answer = completion.strip()  # the last number of a text is no answer in words
        if not answer:
            return Verdict.failed("no answer")
        number = parse_number(answer)
        if number is not None and gold.number is not None:
            return Verdict.passed() if same_number(gold.number, number) else Verdict.failed("wrong answer")
        if _as_words(answer) == gold.words:
            return Verdict.passed()
        hedged = _SEVERAL.search(answer) and not _SEVERAL.search(gold.text)
        if gold.is_words or hedged or len(answer) > MAX_ANSWER:
            return Verdict.failed("wrong answer")
        return gold.text, clean(answer)

    def _by_process(self, gold: str, answer: str) -> Verdict:
        reply = self._gold_reply(gold)
        if reply == "unavailable":
            self._gold_reply.cache_clear()  # of the machine, not of the reference
            return _VERDICTS["unavailable"]
        if reply != "parsed":
            return Verdict.unjudged("unparsable reference")
        return _VERDICTS[self._pool.ask(gold, answer)]

    def _ask_gold(self, gold: str) -> Reply:
        return self._pool.ask(gold)


class _Gold:
    """A reference answer, looked at once."""

    def __init__(self, reference: str) -> None:
        answer = reference_answer(reference)
        self.text = clean(answer)
        self.number = parse_number(answer)
        self.words = _as_words(answer)
        word = bool(_WORDS.fullmatch(self.text) and _LONG_WORD.search(self.text))
        self.is_words = word and self.text.casefold() not in _NUMBER_WORDS and self.number is None


_gold = lru_cache(maxsize=10_000)(_Gold)


def _as_words(answer: str) -> str:
    """Case, spacing, quotes and the brackets around one word taken away: `(C)` is `c`."""
    return _CHOICE.sub(r"\1", " ".join(clean(answer).strip("\"' ").casefold().split()))
