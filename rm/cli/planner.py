"""`tracelift-rm planner`: train planners by GRPO on a reward, and see what their traces do for an executor."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from rm.cli.overrides import read_overrides
from rm.cli.scoring import positive
from rm.cli.training import add_run_options, interruption_told, run_overrides
from rm.errors import ConfigError

if TYPE_CHECKING:
    from rm.planner.check import PlannerCheck
    from rm.planner.run import PlannerResult

SEED = "grpo.seed"


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `planner`, with verbs of its own."""
    parser = subparsers.add_parser("planner", help="train and evaluate planners", description=__doc__)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_rows(verbs)


def _add_train(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = verbs.add_parser(
        "train",
        help="train a planner on a bundle's reward, by TRL's GRPO",
        epilog="Any key of the configuration is an option: --planner.base Qwen/Qwen2.5-7B-Instruct --reward.name "
        "exec-only --grpo.steps 600 --lora.rank 0. See rm/planner/config.py. Several GPUs: accelerate launch -m "
        "rm.cli.main planner train --config FILE.",
    )
    add_run_options(
        train, configs="configs/planner-*.yaml", check="check all of it, score one completion, then stop", seed=SEED
    )
    train.set_defaults(run=_train, takes_overrides=True)


def _add_evaluate(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = verbs.add_parser(
        "evaluate",
        help="accuracy and pass@k of an executor with a planner's traces, and without",
        epilog="Any key of the configuration is an option: --executor.kind openai --executor.model NAME "
        "--executor.endpoints http://127.0.0.1:8000/v1 --samples 8 --k 1 4 8. See rm/planner/config.py. A run that was "
        "stopped goes on with the same command.",
    )
    evaluate.add_argument(
        "--planner",
        metavar="PLANNER",
        nargs="+",
        required=True,
        help="directories or hub names, side by side; none for the executor alone, which is always measured",
    )
    evaluate.add_argument(
        "--benchmark", metavar="NAME|FILE", required=True, help="gsm8k, math500, humaneval, mbpp, or a file of problems"
    )
    evaluate.add_argument("--out", metavar="DIR", help="gets traces, results, metrics.json and report.html")
    evaluate.add_argument("--config", metavar="FILE", help="YAML file; see configs/planner-evaluate.yaml")
    evaluate.add_argument("--limit", metavar="N", type=positive, help="the first N problems alone")
    evaluate.add_argument("--check", action="store_true", help="check benchmark and configuration, then stop")
    evaluate.add_argument("--force", action="store_true", help="replace the output")
    evaluate.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    evaluate.set_defaults(run=_evaluate, takes_overrides=True)


def _add_rows(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    rows = verbs.add_parser(
        "rows",
        help="problems with their prompts as a Parquet file for verl",
        epilog="The prompts and the data are those of planner train's configuration; see configs/planner-verl.yaml.",
    )
    rows.add_argument("--config", metavar="FILE", help="YAML file; see configs/planner-*.yaml")
    rows.add_argument("--out", metavar="FILE", required=True, help="the Parquet file")
    rows.add_argument("--force", action="store_true", help="replace the output")
    rows.set_defaults(run=_rows, takes_overrides=True)


def _rows(args: argparse.Namespace) -> int:
    from rm.config import load_config
    from rm.files import check_file
    from rm.planner.config import PlannerConfig
    from rm.planner.rows import write_verl_rows
    from rm.uplift.read import load_problems

    config = load_config(PlannerConfig, args.config, read_overrides(PlannerConfig, args.rest))
    if not config.data.train:
        raise ConfigError("data.train: no file. Give one or more: --data.train problems.jsonl")
    check_file(args.out, args.force, config.data.train)
    problems = load_problems(config.data.train, traces="none", limit=config.data.limit or None)
    write_verl_rows(problems, config.prompt, args.out, args.force)
    print(f"{len(problems)} problems are in {args.out}")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from rm.cli.uplift import UpliftBar
    from rm.config import load_config
    from rm.planner.benchmarks import load_benchmark
    from rm.planner.config import EvaluationConfig
    from rm.planner.evaluate import Watching, check_evaluation, evaluate, prepare_directory
    from rm.planner.summary import format_systems
    from rm.uplift.trials import KEPT

    config = load_config(EvaluationConfig, args.config, read_overrides(EvaluationConfig, args.rest))
    planners = check_evaluation(args.planner, config)
    if not args.out and not args.check:
        raise ConfigError("--out: no directory. Say where the results go: --out runs/evaluation")
    benchmark = load_benchmark(args.benchmark, args.limit)
    if args.check:
        print(f"problems         {len(benchmark.problems)}\nBenchmark and configuration are sound.")
        return 0
    directory = prepare_directory(args.out, planners, benchmark, config, args.force)

    def tell(note: str) -> None:
        print(note, file=sys.stderr)

    from tqdm import tqdm

    count = len(planners) * len(benchmark.problems)
    bar = tqdm(total=count, desc="traces", unit="problem", file=sys.stderr, disable=None if count else True)
    try:
        with bar, UpliftBar() as runs:
            metrics = evaluate(planners, benchmark, config, directory, Watching(tell, bar.update, runs))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(KEPT) from None
    if args.json:
        print(json.dumps(metrics, indent=2))
    else:
        print(format_systems(metrics))
        print(f"\nFigures: {directory / 'metrics.json'}\nPage: {directory / 'report.html'}", file=sys.stderr)
    return 0


def _train(args: argparse.Namespace) -> int:
    from rm.config import load_config
    from rm.planner.config import PlannerConfig

    config = load_config(PlannerConfig, args.config, run_overrides(PlannerConfig, args, SEED))
    if args.check:
        from rm.planner.check import check_planner

        report = check_planner(config, resume=args.resume, force=args.force)
        print(json.dumps(dataclasses.asdict(report), indent=2) if args.json else _check_page(report))
        return 0
    from rm.planner.run import train
    from rm.train.directory import process_rank

    with interruption_told(config.output):
        result = train(config, resume=args.resume, force=args.force)
    if process_rank() == 0:  # one of the processes that a launcher started speaks for all
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
