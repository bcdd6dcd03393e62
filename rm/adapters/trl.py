"""TRL: a reward function for `GRPOTrainer` (and what calls reward functions as it does).

    from rm.adapters.trl import make_reward_function

    trainer = GRPOTrainer(model, reward_funcs=[make_reward_function("exports/reward")], train_dataset=dataset, ...)

The dataset carries the problem row as columns beside `prompt`: `problem`, `task_type`, `reference_solution` or
`tests`. What could not be measured is None, which TRL leaves out of the group's baseline from 1.8 on (before, it
counted as 0). Tested with trl 1.16.0.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rm.adapters.rows import rows_of_columns
from rm.adapters.source import RewardSource, open_source_async, parts_of
from rm.reward.parts import RewardResult

RewardFunction = Callable[..., Awaitable[list[float | None]]]
_NOT_COLUMNS = {"environments", "images"}


def make_reward_function(
    source: str | Path | RewardSource,
    *,
    name: str = "tracelift",
    on_results: Callable[[Sequence[Mapping[str, Any]], Sequence[RewardResult]], None] | None = None,
    **options: Any,
) -> RewardFunction:
    """A reward function: a plain `async def`, as TRL and others recognise it.

    Args:
        source: a bundle's directory, a server's address, or a reward that is open already. A directory is loaded with
            the first call.
        name: under which the trainer logs it.
        on_results: told the problem rows with `completion` of each call, and their results; what it raises ends the
            run.
        options: see `rm.adapters.source.open_source`.

    Returns:
        `f(prompts, completions, **columns) -> list[float | None]`. It logs the means of the measured parts through
        `log_metric` (`NAME/rm`, `NAME/uplift`, `NAME/end_to_end`, `NAME/coefficient`, `NAME/dimensions/D` for each
        dimension D of the rubric), the shares without a reward (`NAME/unmeasured`) and with anything that could not be
        measured (`NAME/failures`), and the parts and failures of each completion through `log_extra`, where the
        trainer offers them.

    Raises:
        ConfigError: from the function: no column `problem`, no bundle, a server that refuses.
        RunError: from the function: see `TraceLiftReward.score`.
    """

    async def reward(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Any = None,
        trainer_state: Any = None,
        log_extra: Callable[[str, list[Any]], object] | None = None,
        log_metric: Callable[[str, float], object] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        items = rows_of_columns({k: v for k, v in columns.items() if k not in _NOT_COLUMNS}, completions)
        opened = await open_source_async(source, **options)
        results = await opened.score(items)
        if on_results is not None:
            on_results(items, results)
        if log_metric is not None:
            for part, mean in _means(results).items():
                log_metric(f"{name}/{part}", mean)
        if log_extra is not None:
            for part, values in _columns(results).items():
                log_extra(f"{name}_{part}", values)
        return [result.reward for result in results]

    reward.__name__ = reward.__qualname__ = name
    return reward


def _means(results: Sequence[RewardResult]) -> dict[str, float]:
    """Means over what was measured; a part that no completion has is not there."""
    if not results:
        return {}
    measured: dict[str, list[float]] = {}
    for result in results:
        levels = {f"dimensions/{name}": level for name, level in (result.parts.dimensions or {}).items()}
        for part, value in {**parts_of(result), **levels}.items():
            if not math.isnan(value):
                measured.setdefault(part, []).append(value)
    means = {part: sum(values) / len(values) for part, values in measured.items()}
    unmeasured = sum(result.reward is None for result in results)
    failures = sum(bool(result.failures) for result in results)
    return {**means, "unmeasured": unmeasured / len(results), "failures": failures / len(results)}


def _columns(results: Sequence[RewardResult]) -> dict[str, list[Any]]:
    rows = [parts_of(result) for result in results]
    table: dict[str, list[Any]] = {
        part: [None if math.isnan(row[part]) else row[part] for row in rows] for part in ("rm", "uplift", "end_to_end")
    }
    return {**table, "failures": ["; ".join(result.failures) for result in results]}
