"""`tracelift-rm planner`: train planners by GRPO on a reward, and see what their traces do for an executor."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING

from rm.cli.overrides import read_overrides
from rm.errors import ConfigError

if TYPE_CHECKING:
    from rm.planner.check import PlannerCheck
    from rm.planner.run import PlannerResult


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `planner`, with verbs of its own."""
    parser = subparsers.add_parser("planner", help="train and evaluate planners", description=__doc__)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(verbs)


def _add_train(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = verbs.add_parser(
        "train",
        help="train a planner on a bundle's reward, by TRL's GRPO",
        epilog="Any key of the configuration is an option: --planner.base Qwen/Qwen2.5-7B-Instruct --reward.name "
        "exec-only --grpo.steps 600 --lora.rank 0. See rm/planner/config.py. Several GPUs: accelerate launch -m "
        "rm.cli.main planner train --config FILE.",
    )
    train.add_argument("--config", metavar="FILE", help="YAML file; see configs/planner-*.yaml")
    train.add_argument("--check", action="store_true", help="check all of it, score one completion, then stop")
    train.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in the output, if there is one"
    )
    train.add_argument("--force", action="store_true", help="replace what is in the output")
    train.add_argument("--seed", metavar="N", help="short for --grpo.seed")
    train.add_argument("--json", action="store_true", help="print the result as one JSON object")
    train.set_defaults(run=_train, takes_overrides=True)


def _train(args: argparse.Namespace) -> int:
    from rm.config import load_config
    from rm.planner.config import PlannerConfig

    overrides = read_overrides(PlannerConfig, args.rest)
    if args.seed is not None:
        if "grpo.seed" in overrides:
            raise ConfigError("--seed is short for --grpo.seed: give one of them.")
        overrides["grpo.seed"] = [args.seed]
    config = load_config(PlannerConfig, args.config, overrides)
    if args.check:
        from rm.planner.check import check_planner

        report = check_planner(config, resume=args.resume, force=args.force)
        print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else _check_page(report))
        return 0
    from rm.planner.run import train

    try:
        result = train(config, resume=args.resume, force=args.force)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("The run goes on from its last checkpoint with --resume.") from None
    if os.environ.get("RANK", "0") == "0":  # one of the processes that a launcher started speaks for all
        plain = {**dataclasses.asdict(result), "model": str(result.model)}
        print(json.dumps(plain, indent=2) if args.json else _result_page(result))
    return 0


def _result_page(result: PlannerResult) -> str:
    for note in result.notes:
        print(note, file=sys.stderr)
    first, last = ("none" if each is None else f"{each:.3f}" for each in result.rewards)
    run = result.model.parent
    return "\n".join(
        [
            f"Trained {result.steps} steps. The planner is in {result.model}",
            f"Mean reward: {first} in the first tenth of the steps, {last} in the last.",
            f"Curves and traces: {run / 'samples.html'}",
            f"Next: tracelift-rm planner evaluate --planner none {result.model} --benchmark FILE --out "
            f"{run / 'evaluation'}",
        ]
    )


def _check_page(report: PlannerCheck) -> str:
    for note in report.notes:
        print(note, file=sys.stderr)
    lines = [
        f"problems         {report.problems}",
        f"steps            {report.steps}, {report.completions_a_step} completions each, of "
        f"{report.problems_a_step} problems, in {report.processes} processes",
        f"reward           {report.reward}: {report.formula}",
        f"a first reward   {report.first_reward:.3f}",
    ]
    if report.longest_prompt is not None:
        lines.append(f"longest prompt   {report.longest_prompt} tokens, {report.prompt_form}")
    if report.parameters is not None:
        lines.append(f"parameters       {report.parameters:,}, of which {report.trainable:,} train")
    lines += [f"not checked      {reason}" for reason in report.skipped]
    return "\n".join([*lines, "The configuration is sound."])
