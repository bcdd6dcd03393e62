"""A measurement as a configuration says: executor, verifiers and cache opened, used, and closed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rm.uplift.cache import BaselineCache
from rm.uplift.config import UpliftConfig
from rm.uplift.executors.config import make_executor
from rm.uplift.meter import Progress
from rm.uplift.problems import Problem, Task
from rm.uplift.results import Measurement
from rm.uplift.trials import TrialLimits, measure
from rm.uplift.verifiers.base import Verifier


async def measure_as(
    config: UpliftConfig,
    problems: Sequence[Problem],
    *,
    out: str | Path | None = None,
    force: bool = False,
    on_note: Callable[[str], None] = lambda note: None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Measurement:
    """`rm.uplift.trials.measure` with all that a configuration names.

    Args:
        config: everything that decides the results.
        problems, out, force, on_progress: as there.
        on_note: told what a user should know of the executor.

    Raises:
        TraceLiftError: as there, and where an executor or a verifier cannot be had.
    """
    executor = make_executor(config.executor)
    verifiers: dict[Task, Verifier] = {}
    cache = None
    try:
        await executor.start(samples=config.plan.samples, likelihoods=config.plan.needs_likelihoods)
        for note in executor.notes:
            on_note(note)
        for task in sorted({problem.task for problem in problems}) if config.plan.samples else ():
            verifiers[task] = config.verifier(task)
        path = config.cache_path() if config.plan.samples else None
        if path is not None:
            cache = BaselineCache(path)
        setup = config.setup(executor, verifiers, config.plan.make())
        limits = TrialLimits(attempts=config.attempts, traces_at_once=config.traces_at_once)
        return await measure(problems, setup, cache=cache, out=out, force=force, limits=limits, on_progress=on_progress)
    finally:
        for verifier in verifiers.values():
            await verifier.close()
        await executor.close()
        if cache is not None:
            cache.close()
