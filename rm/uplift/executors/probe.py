"""What a server does with the parameters it accepts: several answer 200 and ignore `n`, `seed` or `temperature`.

A few short requests at a high temperature tell. Equal texts are a hint and no proof, since a model may be sure of
its answer; so what is refused is refused only when two different prompts agree on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rm.uplift.executors.base import Prompt, Sampling
from rm.uplift.executors.replies import Reply

PROMPTS = (
    Prompt("", "Write a long line of letters, digits and words that nobody could guess:"),
    Prompt("", "Once there was"),
)
SAMPLING = Sampling(temperature=1.5, max_tokens=24)
_SEED, _OTHER_SEED = 71, 72

Ask = Callable[[Prompt, int, int], Awaitable[Reply]]
"""(prompt, n, seed) -> reply of the server under test, drawn with `SAMPLING`."""


@dataclass(frozen=True)
class Honours:
    """What a server does.

    Args:
        n: gives as many completions as asked for, each its own.
        seed: the same seed gives the same text; None where that could not be told.
        fresh: another request with another seed gives another text.
        written: there was any text.
        varied: texts differ at all. Where `fresh` or `varied` is False, samples are copies of one.
        usage: tells how many tokens were used.
        max_tokens: keeps to the limit, as far as it tells.
    """

    n: bool = True
    seed: bool | None = None
    fresh: bool = True
    varied: bool = True
    written: bool = True
    usage: bool = True
    max_tokens: bool = True


async def probe(ask: Ask) -> Honours:
    """Four short requests; four more where their texts were all alike."""
    found = await _probe_with(PROMPTS[0], ask)
    if found.fresh:
        return found
    again = await _probe_with(PROMPTS[1], ask)
    return Honours(
        n=found.n and again.n,
        seed=again.seed,
        fresh=again.fresh,
        varied=found.varied or again.varied,
        written=found.written or again.written,
        usage=found.usage,
        max_tokens=found.max_tokens and again.max_tokens,
    )


def _reply(found: Reply | BaseException) -> Reply:
    if isinstance(found, BaseException):
        raise found
    return found


async def _probe_with(prompt: Prompt, ask: Ask) -> Honours:
    pair = await ask(prompt, 2, _SEED)  # alone: a server that refuses is asked once
    seeds = (_SEED, _SEED, _OTHER_SEED)
    replies = await asyncio.gather(*(ask(prompt, 1, seed) for seed in seeds), return_exceptions=True)
    first, same, other = [_reply(each) for each in replies]
    alone = [reply.completions[0].text for reply in (first, same, other)]
    together = [completion.text for completion in pair.completions]
    fresh = len(set(alone)) > 1
    used = [reply.completion_tokens for reply in (first, same, other)]
    return Honours(
        n=len(together) >= 2 and (len(set(together)) > 1 or not fresh),
        seed=alone[0] == alone[1] if fresh else None,
        fresh=fresh,
        varied=fresh or len(set(together)) > 1,
        written=any(text.strip() for text in (*alone, *together)),
        usage=all(tokens is not None for tokens in used),
        max_tokens=all(tokens is None or tokens <= SAMPLING.max_tokens for tokens in used),
    )
