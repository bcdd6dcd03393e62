"""`planner evaluate`: what planners' traces do for a frozen executor on a benchmark, beside the executor alone.

Every trace gets one run of the executor, and every problem as many runs without a trace as it has traces: a sample of
the planner-executor system is a trace and a run. Planners that write the same trace get the same run, and equal traces
of one planner runs of their own.

A directory of results is worked in until it is whole: the same command goes on where it was stopped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rm.config import config_to_dict
from rm.errors import ConfigError, TraceLiftError
from rm.files import check_directory, write_text_whole
from rm.planner.benchmarks import Loaded
from rm.planner.config import EvaluationConfig
from rm.planner.model import no_language_model
from rm.planner.prompts import PROMPT_VERSION, check_prompt
from rm.planner.report import render_evaluation
from rm.planner.summary import compare_planners, outcomes_of, summarize_systems, summarize_traces
from rm.planner.traces import ALONE, Planner, Written, planners_of, reasoning_of, write_traces
from rm.provenance import versions
from rm.sources import TINY_EXECUTOR, find_source
from rm.uplift.config import PlanConfig, UpliftConfig
from rm.uplift.executors.config import OpenAIConfig, TransformersConfig, make_executor
from rm.uplift.meter import Progress
from rm.uplift.problems import Problem, Trace
from rm.uplift.results import TraceResult
from rm.uplift.session import measure_as
from rm.uplift.trials import KEPT

IDENTITY, TRACES, RESULTS, METRICS, PAGE = (
    "evaluation.json",
    "traces.jsonl",
    "results.jsonl",
    "metrics.json",
    "report.html",
)


@dataclass(frozen=True)
class Watching:
    """Who is told how an evaluation goes.

    Args:
        note: what a user should know, a sentence.
        problems: a planner's traces of one problem more are there.
        runs: how far the executor is.
    """

    note: Callable[[str], None] = lambda note: None
    problems: Callable[[], None] = lambda: None
    runs: Callable[[Progress], None] | None = None


def check_evaluation(names: Sequence[str], config: EvaluationConfig) -> tuple[Planner, ...]:
    """The planners.

    Raises:
        ConfigError: all that the configuration alone shows to be wrong; an executor that is not there.
        HubUnreachable: the executor is on the hub, and there is no network.
    """
    problems = []
    if not names:
        problems.append("--planner: none named. Give a directory, a hub name, or none for the executor alone.")
    if over := [k for k in config.k if k > config.samples]:
        problems.append(f"k: pass@{over[0]} needs at least {over[0]} samples, and samples is {config.samples}.")
    if config.sampling.temperature == 0 and config.samples > 1 and names and set(names) == {ALONE}:
        problems.append("sampling.temperature: at 0 all runs of the executor alone are one. Set samples: 1.")
    try:
        check_prompt(config.prompt)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    if isinstance(config.executor, TransformersConfig):  # traces may take hours, and the executor comes after them
        executor = config.executor
        source = find_source(executor.path, "executor.path", executor.revision, tiny=TINY_EXECUTOR)
        if problem := no_language_model(Path(source.path)):
            raise ConfigError(f"executor.path: {problem}")
    return planners_of(names)


def prepare_directory(
    out: str, planners: Sequence[Planner], benchmark: Loaded, config: EvaluationConfig, force: bool
) -> Path:
    """The directory, new or with what the same command has left in it unfinished.

    Raises:
        ConfigError: it holds other things, a finished evaluation, or an unfinished one of something else.
    """
    path = Path(out).expanduser().resolve()
    identity = {
        "benchmark": benchmark.data,
        "problems": [problem.problem_id for problem in benchmark.problems],
        "planners": [asdict(planner) for planner in planners],
        "prompts": PROMPT_VERSION,
        "config": {key: value for key, value in config_to_dict(config).items() if key not in ("k", "at_once")},
    }
    saved = path / IDENTITY
    going_on = saved.is_file() and not (path / METRICS).exists() and _read(saved) == json.loads(json.dumps(identity))
    if not going_on:
        if saved.is_file() and not (path / METRICS).exists() and not force:
            raise ConfigError(
                f"{out} holds an unfinished evaluation of something else. Repeat that command to finish it, choose "
                "another place, or add --force to replace it."
            )
        check_directory(path, force, [planner.path for planner in planners], made_with=[{IDENTITY}])
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
        write_text_whole(saved, json.dumps(identity, indent=2) + "\n")
    return path


def evaluate(
    planners: Sequence[Planner],
    benchmark: Loaded,
    config: EvaluationConfig,
    directory: Path,
    watching: Watching = Watching(),
) -> dict[str, Any]:
    """Write traces, run the executor, and put results, figures and page into the directory.

    Args:
        planners: of `check_evaluation`.
        benchmark: its problems.
        config: see `EvaluationConfig`.
        directory: of `prepare_directory`.
        watching: told how it goes.

    Returns:
        The figures, as they stand in `metrics.json`.

    Raises:
        ConfigError: no such planner or executor.
        RunError: too much is lost; what is done is kept.
    """
    try:
        written, results = asyncio.run(_measured(planners, benchmark.problems, config, directory, watching))
    except TraceLiftError as error:
        if {file.name for file in directory.iterdir()} <= {IDENTITY}:  # nothing is done: the place is free again
            shutil.rmtree(directory)
        elif KEPT not in getattr(error, "__notes__", []):
            error.add_note(KEPT)
        raise
    outcomes = outcomes_of(benchmark.problems, planners, results)
    metrics = {
        "benchmark": benchmark.name,
        "problems": len(benchmark.problems),
        "samples": config.samples,
        "systems": summarize_systems(outcomes, config.k, config.seed),
        "comparisons": compare_planners(outcomes, config.seed),
        "traces": {each.label: summarize_traces(each, benchmark.problems, written) for each in planners},
        "lost_runs": lost_runs(planners, results, config),
        "provenance": {
            "data": benchmark.data,
            "planners": {planner.label: planner.path for planner in planners},
            "prompts": PROMPT_VERSION,
            "config": config_to_dict(config),
            "versions": versions("vllm"),
        },
    }
    page = render_evaluation(metrics, benchmark.problems, outcomes, written, results)
    write_text_whole(directory / PAGE, page, force=True)
    write_text_whole(directory / METRICS, json.dumps(metrics, indent=2) + "\n", force=True)  # last: it is finished
    return metrics


async def _measured(
    planners: Sequence[Planner],
    problems: Sequence[Problem],
    config: EvaluationConfig,
    directory: Path,
    watching: Watching,
) -> tuple[Written, Sequence[TraceResult]]:
    if isinstance(config.executor, OpenAIConfig):
        await _reach(config.executor)
    written = await write_traces(planners, problems, config, directory / TRACES, watching.note, watching.problems)
    tried = [with_traces(problem, planners, written) for problem in problems]
    uplift = UpliftConfig(
        executor=config.executor,
        plan=PlanConfig(kind="sampled", runs=1, baseline_runs=config.samples),
        sampling=config.sampling,
        math=config.math,
        code=config.code,
        cache=config.cache,
        attempts=config.attempts,
        traces_at_once=config.at_once,
        seed=config.seed,
    )
    out = directory / RESULTS
    out.unlink(missing_ok=True)  # whole where only the page was missing; its runs are quickly made again
    measurement = await measure_as(uplift, tried, out=out, on_note=watching.note, on_progress=watching.runs)
    return written, measurement.results


async def _reach(config: OpenAIConfig) -> None:
    """Before traces are written. Raises: ConfigError, RunError where the executor's server cannot be used."""
    executor = make_executor(config)
    try:
        await executor.start()
    finally:
        await executor.close()


def with_traces(problem: Problem, planners: Sequence[Planner], written: Written) -> Problem:
    """A problem with the traces of all planners, each called by its planner."""
    traces: list[Trace] = []
    for planner in planners:
        seen: dict[str, int] = {}
        for completion in written[planner.label, problem.problem_id]:
            reasoning = reasoning_of(completion)
            place = seen.get(reasoning, 0)
            seen[reasoning] = place + 1
            traces.append(Trace(reasoning, planner.label, first_run=place))
    return replace(problem, traces=tuple(traces))


def lost_runs(planners: Sequence[Planner], results: Sequence[TraceResult], config: EvaluationConfig) -> int:
    """Runs that were asked for and came to nothing, those of traces that were lost included."""
    problems = {result.problem_id: result for result in results}
    alone = config.samples if config.sampling.temperature else 1  # greedy runs of one prompt would all be the same
    asked = len(problems) * (config.samples * len(planners) + alone)
    came = sum(result.runs for result in results if result.trace is not None)
    return asked - came - sum(result.baseline_runs for result in problems.values())


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
