"""Everything that decides what a measurement finds, apart from the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rm.uplift.cache import BaselineKey, problem_hash, sampling_text
from rm.uplift.executors.base import Executor, Prompt, Sampling
from rm.uplift.plans import AnyPlan, Calibrated, Likelihood
from rm.uplift.problems import Problem, Task
from rm.uplift.prompts import PROMPT_VERSION, executor_prompt, known_answer
from rm.uplift.runs import Arm, first_seed
from rm.uplift.verifiers.base import Verifier


@dataclass(frozen=True)
class Prompts:
    """What the executor is asked.

    Args:
        make: problem, and reasoning or None for the baseline, -> prompt.
        version: changes whenever a prompt could; part of the key under which baselines are cached.
    """

    make: Callable[[Problem, str | None], Prompt] = executor_prompt
    version: str = PROMPT_VERSION


@dataclass(frozen=True)
class Setup:
    """How uplift is measured.

    Args:
        executor: open; whoever made it closes it.
        verifiers: open too; one for each task of the problems, none where nothing is sampled.
        plan: how many runs a trace gets, and how they become an estimate; or likelihoods.
        prompts: what the executor is asked.
        sampling: how completions are drawn; at temperature 0 an arm has one run, since all would be the same.
        partial: whether a success is the share of tests passed rather than all or nothing.
        seed: of every draw.
    """

    executor: Executor
    verifiers: Mapping[Task, Verifier]
    plan: AnyPlan
    prompts: Prompts = field(default_factory=Prompts)
    sampling: Sampling = field(default_factory=Sampling)
    partial: bool = False
    seed: int = 0

    def arm(self, problem: Problem, trace: int | None) -> Arm:
        """The arm of a trace, by its place among the problem's; None for the baseline."""
        own = None if trace is None else problem.traces[trace]
        reasoning, first_run = (None, 0) if own is None else (own.reasoning, own.first_run)
        return Arm(
            name="baseline" if trace is None else "with_trace",
            problem=problem,
            prompt=self.prompts.make(problem, reasoning),
            first_seed=first_seed(self.seed, problem_hash(problem), reasoning) + first_run,
        )

    def key(self, problem: Problem) -> BaselineKey:
        """Under which the problem's baseline is cached. The seed is not in it: any run will do."""
        return BaselineKey(
            problem=problem_hash(problem),
            executor=self.executor.fingerprint,
            prompts=self.prompts.version,
            sampling=sampling_text(self.sampling),
            verifier=self.verifiers[problem.task].version,
        )

    def identity(self, problems: Sequence[Problem]) -> dict[str, Any]:
        """What tells this measurement of `problems` from others, as JSON values."""
        content = [[each.problem_id, problem_hash(each), [asdict(trace) for trace in each.traces]] for each in problems]
        if isinstance(self.plan, Likelihood | Calibrated):  # which read of a code problem what runs do not: a program
            content.append([known_answer(each) for each in problems])
        return {
            "data": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
            "executor": self.executor.fingerprint,
            "verifiers": {task: verifier.version for task, verifier in sorted(self.verifiers.items())},
            "prompts": self.prompts.version,
            "plan": repr(self.plan),
            "sampling": asdict(self.sampling),
            "partial": self.partial,
            "seed": self.seed,
        }
