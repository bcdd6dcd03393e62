"""OpenRLHF: a `reward_func`, for `--reward.remote_url FILE.py`. A file of two lines is enough:

    from rm.adapters.openrlhf import make_reward_func
    reward_func = make_reward_func("http://127.0.0.1:8001")       # or a bundle's directory

Without any file, `--reward.remote_url http://127.0.0.1:8001/get_reward` asks the server itself. The labels carry the
problem row as JSON text. OpenRLHF has no form for a reward that could not be measured: it is asked for again, then
raised. OpenRLHF itself logs what a reward function raises and goes on without that reward. The contract is that of
openrlhf 0.11.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rm.adapters.source import RewardSource, open_source_async, parts_of, score_all
from rm.errors import ConfigError
from rm.serve.messages import OpenRLHFRequest
from rm.serve.openrlhf import rows_of_request
from rm.serve.refusals import Refusal
from rm.uplift.loop import LoopThread

RewardFunc = Callable[..., dict[str, Any]]


def make_reward_func(
    source: str | Path | RewardSource, *, substitute: float | None = None, **options: Any
) -> RewardFunc:
    """A reward function.

    Args:
        source: a server's address, a bundle's directory, or a reward that is open already.
        substitute: see `rm.adapters.source.score_all`.
        options: see `rm.adapters.source.open_source`.

    Returns:
        `reward_func(queries, prompts, labels, **kwargs)`, which gives `rewards` and `scores` (the rewards within
        [0, 1]), and in `extra_logs` the parts, each a float32 tensor of one value a query. A batch of one and an empty
        one are fine.

    Raises:
        ConfigError: from the function: queries that do not hold their prompts, labels that are no problem rows.
        RunError: from the function: a reward that could not be measured, and no substitute.
    """
    loop = LoopThread("tracelift-openrlhf")

    def reward_func(
        queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        import torch

        items = rows_of_call(queries, prompts, labels)
        results, rewards = loop.wait(_scored(items)) if items else ([], [])
        values = torch.tensor(rewards, dtype=torch.float32)
        rows = [parts_of(result) for result in results]
        logs = {
            part: torch.tensor([row[part] for row in rows], dtype=torch.float32) for part in (rows[0] if rows else ())
        }
        return {"rewards": values, "scores": values.clamp(0, 1), "extra_logs": logs}

    async def _scored(items: Sequence[dict[str, Any]]) -> Any:
        opened = await open_source_async(source, **options)
        return await score_all(opened, items, substitute)

    return reward_func


def rows_of_call(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Problem rows with `completion`, as the server's `/get_reward` reads them. Raises: ConfigError."""
    request = OpenRLHFRequest.model_construct(
        query=list(queries), prompts=list(prompts), labels=None if labels is None else list(labels)
    )
    try:
        return rows_of_request(request)
    except Refusal as refusal:
        raise ConfigError([str(field) for field in refusal.fields]) from None
