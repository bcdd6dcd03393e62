"""What planners write for a benchmark's problems: sampled, and on disk at once, so that a stopped run goes on.

`traces.jsonl` has a line a planner and problem, with all completions of it. Planners are run as executors are: by
transformers or vLLM in this process, or behind a server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rm.errors import ConfigError
from rm.planner.config import EvaluationConfig
from rm.planner.model import no_language_model
from rm.planner.prompts import planner_prompt
from rm.reward.reasoning import extract_reasoning
from rm.sources import SHIPPED, TINY, TINY_BASE
from rm.train.tracking import whole_rows
from rm.uplift.cache import problem_hash
from rm.uplift.executors.base import Completion, Executor, Lost
from rm.uplift.executors.config import ArithmeticConfig, OpenAIConfig, make_executor
from rm.uplift.meter import FailureLimit, Watch
from rm.uplift.problems import Problem
from rm.uplift.runs import first_error, first_seed

ALONE = "none"
"""The executor without traces, in the place of a planner."""
Written = Mapping[tuple[str, str], tuple[Completion, ...]]
"""(planner, problem id) -> its completions; fewer than asked for where some were lost."""


@dataclass(frozen=True)
class Planner:
    """A planner to try.

    Args:
        label: as it is called in results.
        path: directory, hub name, or name at a server.
    """

    label: str
    path: str


def planners_of(names: Sequence[str]) -> tuple[Planner, ...]:
    """Planners with labels of their own: the last part of the path, or all of it where two have the same.

    `ALONE` is left out.

    Raises:
        ConfigError: one that stands there twice, a directory without a language model.
    """
    paths = [name for name in names if name != ALONE]
    if len(set(paths)) < len(paths):
        raise ConfigError("--planner: the same planner twice.")
    if problems := [f"--planner: {problem}" for path in paths if (problem := no_language_model(Path(path)))]:
        raise ConfigError(problems)
    short = [Path(path).name if Path(path).name != "model" else Path(path).parent.name for path in paths]
    labels = [name if short.count(name) == 1 and name else path for name, path in zip(short, paths, strict=True)]
    return tuple(Planner(label, path) for label, path in zip(labels, paths, strict=True))


def engine_of(planner: Planner, config: EvaluationConfig) -> Executor:
    """What runs a planner. Raises: ConfigError where there is no such model, or an engine without models."""
    engine = config.engine
    if isinstance(engine, ArithmeticConfig):
        raise ConfigError("engine.kind: arithmetic runs no model. Take transformers, vllm or openai.")
    if isinstance(engine, OpenAIConfig):
        return make_executor(replace(engine, model=planner.path))
    template = engine.template if config.prompt.format == "auto" else config.prompt.format
    try:
        path = str(SHIPPED / TINY_BASE) if planner.path == TINY else planner.path  # to an executor it means another
        return make_executor(replace(engine, path=path, template=template))
    except ConfigError as error:
        raise ConfigError([each.replace("executor.", "planner: ") for each in error.problems]) from None


async def write_traces(
    planners: Sequence[Planner],
    problems: Sequence[Problem],
    config: EvaluationConfig,
    file: Path,
    on_note: Callable[[str], None],
    on_problem: Callable[[], None],
) -> Written:
    """The completions of every planner for every problem.

    Args:
        planners: tried one after the other.
        problems: with distinct ids.
        config: how they are sampled.
        file: gets what is done, and what is in it already is not done again.
        on_note: told what a user should know of an engine.
        on_problem: called as problems are done, those of the file first.

    Raises:
        ConfigError: no such planner.
        RunError: too many completions are lost; what is done is kept.
    """
    done = _read(file)
    for planner in planners:
        missing = [problem for problem in problems if (planner.label, problem.problem_id) not in done]
        for _ in range(len(problems) - len(missing)):
            on_problem()
        if missing:
            done |= await _write(planner, missing, config, file, on_note, on_problem)
    return done


async def _write(
    planner: Planner,
    problems: Sequence[Problem],
    config: EvaluationConfig,
    file: Path,
    on_note: Callable[[str], None],
    on_problem: Callable[[], None],
) -> dict[tuple[str, str], tuple[Completion, ...]]:
    engine = engine_of(planner, config)
    watch = Watch(f"completions of the planner {planner.label} were lost", FailureLimit())
    gate = asyncio.Semaphore(config.at_once)
    written = {}

    async def one(problem: Problem) -> None:
        async with gate:
            completions = await _sample(engine, problem, config, watch)
        written[planner.label, problem.problem_id] = completions
        line = {"planner": planner.label, "problem_id": problem.problem_id}
        _append(file, {**line, "completions": [asdict(each) for each in completions]})
        on_problem()

    try:
        await engine.start()
        for note in engine.notes:
            on_note(note)
        async with asyncio.TaskGroup() as group:
            for problem in problems:
                group.create_task(one(problem))
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    finally:
        await engine.close()
    return written


async def _sample(engine: Executor, problem: Problem, config: EvaluationConfig, watch: Watch) -> tuple[Completion, ...]:
    """All that came; what is lost is asked for again, under its own seed."""
    prompt, sampling = planner_prompt(problem, config.prompt), config.planner_sampling.make()
    greedy = sampling.temperature == 0
    seed = first_seed(config.seed, problem_hash(problem), None)
    found: dict[int, Completion] = {}
    missing = [0] if greedy else list(range(config.samples))
    for _ in range(config.attempts):
        if not missing:
            break
        whole = len(missing) == config.samples
        answers = (
            await engine.sample(prompt, config.samples, sampling, seed)
            if whole
            else [answer for place in missing for answer in await engine.sample(prompt, 1, sampling, seed + place)]
        )
        for place, answer in zip(tuple(missing), answers, strict=True):
            if isinstance(answer, Lost):
                watch.came_to_nothing(answer.reason, answer.detail)
            else:
                watch.came()
                found[place] = answer
        missing = [place for place in missing if place not in found]
    completions = [found[place] for place in sorted(found)]
    return tuple(completions * config.samples if greedy else completions)


def reasoning_of(completion: Completion) -> str:
    """The trace in it, as the reward finds it."""
    return extract_reasoning(completion.text).text


def _read(file: Path) -> dict[tuple[str, str], tuple[Completion, ...]]:
    """What an earlier run left; half a line at the end is dropped."""
    rows = whole_rows(file)
    if file.is_file():
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {
        (row["planner"], row["problem_id"]): tuple(Completion(**each) for each in row["completions"]) for row in rows
    }


def _append(file: Path, row: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
