"""Likelihoods against sampling, on a model in this process: what a trace costs, and how well uplift is ranked.

    python tests/benchmarks/likelihood.py [--executor tiny] [--data GROUPS] [--problems 60] [--runs 64] [--seed 0]

In one run, on the same traces: (1) the plan `likelihood`; (2) the plan `sampled` with as many runs with each trace and
of each baseline; (3) the plan `calibrated` with as many runs for a fifth of the problems. Cost: seconds of wall clock,
and tokens that went through the executor, a prompt counted once a call (a call has up to 8 samples). Ranks: Spearman's
correlation of each value with the sampled uplift, over the traces of all problems; for `calibrated` over those that it
predicted, which its fit has not seen. Sampled uplift has noise of its own, which bounds every correlation. The tables
are Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from rm.config import build_config
from rm.lab import TINY_BASE
from rm.uplift.config import UpliftConfig
from rm.uplift.executors.config import TransformersConfig, make_executor
from rm.uplift.plans import AnyPlan
from rm.uplift.problems import Problem
from rm.uplift.read import load_problems
from rm.uplift.results import Measurement, TraceResult
from rm.uplift.setup import Setup
from rm.uplift.summary import calibration_lines, summarize_uplift
from rm.uplift.trials import measure
from rm.uplift.verifiers.table import make_verifier


@dataclass(frozen=True)
class Measured:
    """A measurement, with the tokens that it took and its seconds."""

    found: Measurement
    tokens: int
    seconds: float


async def measured(problems: Sequence[Problem], executor: str, plan: AnyPlan, seed: int) -> Measured:
    model = make_executor(TransformersConfig(path=executor))
    verifier = make_verifier("math", {})
    try:
        setup = Setup(model, {"math": verifier}, plan, sampling=UpliftConfig().sampling.make(), seed=seed)
        start = time.perf_counter()
        found = await measure(problems, setup)
        seconds = time.perf_counter() - start
    finally:
        await verifier.close()
        await model.close()
    return Measured(found, model.usage.prompt_tokens + model.usage.completion_tokens, seconds)


def rank(
    results: Sequence[TraceResult], value: Callable[[TraceResult], float | None], uplift: dict[tuple[str, int], float]
) -> str:
    pairs = [
        (found, uplift[each.problem_id, each.trace])
        for each in results
        if each.trace is not None and (found := value(each)) is not None
    ]
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:+.3f} | {len(pairs)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executor", default="tiny")
    parser.add_argument("--data", default=str(TINY_BASE.parent / "data" / "groups_dev.jsonl"))
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    problems = load_problems(args.data, limit=args.problems)
    plans: dict[str, Measured] = {}
    for kind in ("likelihood", "sampled", "calibrated"):
        tree = {"kind": kind, "runs": args.runs, "baseline_runs": args.runs}
        config = build_config(UpliftConfig, {"plan": tree, "executor": {"kind": "transformers", "path": args.executor}})
        plans[kind] = asyncio.run(measured(problems, args.executor, config.plan.make(), args.seed))
    traces = sum(len(problem.traces) for problem in problems)
    sampled = plans["sampled"]
    print(f"{traces} traces of {len(problems)} problems, {args.runs} runs an arm\n")
    print("| plan | seconds | tokens a trace | times quicker | times fewer tokens |")
    print("|---|---|---|---|---|")
    for kind, each in plans.items():
        print(
            f"| {kind} | {each.seconds:.1f} | {each.tokens / traces:.0f} | {sampled.seconds / each.seconds:.1f} "
            f"| {sampled.tokens / each.tokens:.1f} |"
        )
    uplift = {
        (each.problem_id, each.trace): each.value
        for each in sampled.found.results
        if each.trace is not None and each.value is not None
    }
    scored, predicted = plans["likelihood"].found.results, plans["calibrated"].found
    print("\n| value | Spearman with sampled uplift | traces |\n|---|---|---|")
    print(f"| likelihood | {rank(scored, lambda each: each.likelihood and each.likelihood.value_nats, uplift)} |")
    print(
        f"| likelihood, answer masked | {rank(scored, lambda e: e.likelihood and e.likelihood.masked_nats, uplift)} |"
    )
    unseen = [each for each in predicted.results if each.method == "calibrated"]
    places = {(each.problem_id, each.trace) for each in unseen if each.value is not None}
    same = [each for each in scored if (each.problem_id, each.trace) in places]
    print(f"| calibrated, predicted traces | {rank(unseen, lambda each: each.value, uplift)} |")
    print(f"| likelihood, the same traces | {rank(same, lambda e: e.likelihood and e.likelihood.value_nats, uplift)} |")
    print(f"\n{len(unseen) - len(places)} traces lay outside the range of the fit.")
    print("\n".join(calibration_lines(summarize_uplift(predicted.results, predicted.totals, 0, predicted.calibration))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
