"""What a planner of the tiny world writes for held-out problems, and what is true of it.

A row a trace: what it says, what each executor makes of it (runs and successes), what the reward model thinks, and the
truth (`rm.lab.world`). Nothing here trains, and nothing here is a reward.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rm.lab import WORLD_READER, WORLD_STRICT
from rm.lab.pretrain_world import PROMPT
from rm.lab.stories import Story
from rm.lab.world import Truth, judge_trace, uplift_problem
from rm.planner.prompts import planner_prompt
from rm.reward.judge import RewardScorer
from rm.reward.reasoning import extract_reasoning
from rm.uplift.estimate import Sampled
from rm.uplift.executors.base import Completion, Lost, Sampling
from rm.uplift.executors.config import TransformersConfig
from rm.uplift.executors.transformers import TransformersExecutor
from rm.uplift.loop import LoopThread
from rm.uplift.problems import Problem, Trace
from rm.uplift.results import TraceResult
from rm.uplift.setup import Setup
from rm.uplift.trials import measure
from rm.uplift.verifiers.table import make_verifier

EXECUTORS: Mapping[str, Path] = {"reader": WORLD_READER, "strict": WORLD_STRICT}
"""The executor that planners are trained with, and another one."""
EXECUTOR_SAMPLING = Sampling(temperature=1.0, max_tokens=8)
"""As the experiment's reward samples: at temperature 1 an executor errs as often as it has learnt to."""
MAX_TOKENS = 72
"""Of a completion: twice the longest sound one."""


@dataclass(frozen=True)
class Protocol:
    """How a planner is measured.

    Args:
        samples: traces of each problem.
        runs: of each executor with each trace.
        temperature: of the planner.
        seed: of every draw.
    """

    samples: int = 1
    runs: int = 4
    temperature: float = 1.0
    seed: int = 18


def measure_planner(
    planner: str | Path, stories: Sequence[Story], protocol: Protocol, judge: RewardScorer | None = None
) -> list[dict[str, Any]]:
    """Rows of all traces: by problem, `samples` each.

    Args:
        planner: directory of a causal language model.
        stories: held-out problems.
        protocol: how.
        judge: gives `rm`; None leaves it None.

    Raises:
        ConfigError: no such model.
        RunError: an executor or a verifier cannot go on.
    """
    with LoopThread("planner and executors") as loop:  # not the caller's: a notebook's runs already
        completions = loop.wait(_write(planner, stories, protocol))
        traces = [[extract_reasoning(each.text).text for each in row] for row in completions]
        problems = [
            replace(uplift_problem(story, str(number)), traces=tuple(Trace(text) for text in texts))
            for number, (story, texts) in enumerate(zip(stories, traces, strict=True))
        ]
        read = {name: loop.wait(_read(path, problems, protocol)) for name, path in EXECUTORS.items()}
    judged = iter(_scores(judge, problems))
    rows = []
    for number, story in enumerate(stories):
        for sample, completion in enumerate(completions[number]):
            rows.append(
                {
                    "problem": number,
                    "steps": len(story.lines),
                    "sample": sample,
                    "completion": completion.text,
                    "tokens": completion.tokens,
                    "rm": next(judged),
                    **truth_row(judge_trace(story, traces[number][sample])),
                    **{name: _rate(results[number, sample]) for name, results in read.items()},
                }
            )
    return rows


def measure_alone(stories: Sequence[Story], protocol: Protocol) -> dict[str, float]:
    """Each executor's success rate without a trace."""
    problems = [uplift_problem(story, str(number)) for number, story in enumerate(stories)]
    rates = {}
    with LoopThread("executors") as loop:
        for name, path in EXECUTORS.items():
            results = loop.wait(_read(path, problems, protocol)).values()
            rates[name] = sum(each.baseline_successes for each in results) / sum(each.baseline_runs for each in results)
    return rates


def truth_row(truth: Truth) -> dict[str, Any]:
    """What is kept of a truth."""
    return {
        "soundness": truth.soundness,
        "sound": truth.sound,
        "answer_right": truth.answer_right,
        "skips": truth.skips,
        "leaks": truth.leaks,
        "lines": len(truth.lines),
    }


async def _write(planner: str | Path, stories: Sequence[Story], protocol: Protocol) -> list[list[Completion]]:
    executor = TransformersExecutor(TransformersConfig(path=str(planner), template="plain", dtype="float32"))
    sampling = Sampling(temperature=protocol.temperature, max_tokens=MAX_TOKENS)
    try:
        await executor.start()
        prompts = [planner_prompt(uplift_problem(story), PROMPT) for story in stories]
        drawn: list[list[Completion | Lost]] = await asyncio.gather(
            *(
                executor.sample(prompt, protocol.samples, sampling, protocol.seed + protocol.samples * number)
                for number, prompt in enumerate(prompts)
            )
        )
    finally:
        await executor.close()
    return [cast(list[Completion], row) for row in drawn]  # a model in this process loses nothing that fits


async def _read(
    path: Path, problems: Sequence[Problem], protocol: Protocol
) -> dict[tuple[int, int | None], TraceResult]:
    executor = TransformersExecutor(TransformersConfig(path=str(path), template="plain", dtype="float32"))
    verifier = make_verifier("math", {})
    plan = Sampled(runs=protocol.runs, baseline_runs=protocol.runs)
    try:
        await executor.start()
        setup = Setup(executor, {"math": verifier}, plan, sampling=EXECUTOR_SAMPLING, seed=protocol.seed)
        found = await measure(problems, setup)
    finally:
        await verifier.close()
        await executor.close()
    return {(int(each.problem_id), each.trace): each for each in found.results}


def _scores(judge: RewardScorer | None, problems: Sequence[Problem]) -> list[float | None]:
    """In the order of problems and traces; an empty trace has the lowest score, as in the reward."""
    rows = [{"problem": each.problem, "reasoning": trace.reasoning} for each in problems for trace in each.traces]
    if judge is None:
        return [None] * len(rows)
    scored = iter(judge.score([row for row in rows if row["reasoning"]]))
    return [next(scored)["score"] if row["reasoning"] else 0.0 for row in rows]


def _rate(result: TraceResult) -> float | None:
    return result.successes / result.runs if result.runs else None
