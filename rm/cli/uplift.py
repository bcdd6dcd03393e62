"""`tracelift-rm uplift`: how much each trace raises a frozen executor's success, with an error bar."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rm.cli.caches import Kept, add_verbs
from rm.cli.overrides import read_overrides
from rm.cli.scoring import positive
from rm.errors import ConfigError

if TYPE_CHECKING:
    from rm.uplift.cache import BaselineCache, CacheInfo
    from rm.uplift.config import UpliftConfig
    from rm.uplift.meter import Progress
    from rm.uplift.problems import Problem
    from rm.uplift.results import Measurement


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `uplift`."""
    parser = subparsers.add_parser(
        "uplift",
        help="how much each trace helps a frozen executor",
        description=__doc__,
        epilog="Any key of the configuration is an option: --executor.kind openai --executor.model NAME "
        "--executor.endpoints http://127.0.0.1:8000/v1 --plan.kind sampled --plan.runs 8. See rm/uplift/config.py and "
        "rm/uplift/executors/config.py. A run that was stopped goes on with the same command. "
        "`tracelift-rm uplift-cache` looks after the stored baselines.",
    )
    parser.add_argument("data", metavar="DATA", nargs="+", help="groups, problem rows, GSM8K or MBPP rows")
    parser.add_argument("--config", metavar="FILE", help="YAML file; see configs/uplift-*.yaml")
    parser.add_argument("--out", metavar="FILE", help="gets a row a trace; beside it FILE's .summary.json and .html")
    parser.add_argument(
        "--trace", choices=("own", "reference", "none"), default="own", help="which traces are tried (own)"
    )
    parser.add_argument("--limit", metavar="N", type=positive, help="the first N problems alone")
    parser.add_argument("--check", action="store_true", help="check data and configuration, then stop")
    parser.add_argument("--force", action="store_true", help="replace the output")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=_uplift, takes_overrides=True)


def add_cache(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `uplift-cache`, which `uplift cache` stands for."""
    add_verbs(subparsers.add_parser("uplift-cache", help="the stored baselines; also: uplift cache"), _BASELINES)


def _uplift(args: argparse.Namespace) -> int:
    from rm.config import load_config
    from rm.files import check_file
    from rm.uplift.config import UpliftConfig
    from rm.uplift.plans import Calibrated
    from rm.uplift.read import guessed_task, load_problems
    from rm.uplift.trials import KEPT
    from rm.workfile import path_beside

    config = load_config(UpliftConfig, args.config, read_overrides(UpliftConfig, args.rest))
    plan = config.plan.make()
    if not args.out and not args.check:
        raise ConfigError("--out: no file. Say where the results go: --out runs/uplift.jsonl")
    outputs = _outputs(args.out) if args.out else []
    for output in outputs:
        check_file(output, args.force, args.data)
    problems = load_problems(args.data, traces=args.trace, limit=args.limit)
    for note, count in Counter(filter(None, map(guessed_task, problems))).items():
        print(f"Warning: {count} problems: {note}", file=sys.stderr)
    if isinstance(plan, Calibrated):
        plan.chosen(problems, config.seed)
        if note := plan.note(problems):
            print(note, file=sys.stderr)
    if args.check:
        print(_check_page(problems))
        return 0
    try:
        measurement = asyncio.run(_measure(config, problems, args))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(KEPT if path_beside(outputs[0].resolve()).exists() else "") from None
    return _report(measurement, outputs, args, config.seed)


def _outputs(out: str) -> list[Path]:
    """Rows, summary, page."""
    path = Path(out)
    return [path, path.with_suffix(".summary.json"), path.with_suffix(".html")]


async def _measure(config: UpliftConfig, problems: Sequence[Problem], args: argparse.Namespace) -> Measurement:
    from rm.uplift.session import measure_as

    def tell(note: str) -> None:
        print(note, file=sys.stderr)

    with UpliftBar() as bar:
        return await measure_as(config, problems, out=args.out, force=args.force, on_note=tell, on_progress=bar)


class UpliftBar:
    """A progress bar of traces, with samples a second."""

    def __enter__(self) -> UpliftBar:
        from tqdm import tqdm

        self._bar = tqdm(desc="uplift", unit="trace", file=sys.stderr, disable=None)
        return self

    def __call__(self, progress: Progress) -> None:
        self._bar.total = progress.of
        totals = progress.totals
        rates = [(totals.samples_per_second, "samples"), (totals.likelihoods_per_second, "likelihoods")]
        told = ", ".join(f"{rate:.1f} {what}/s" for rate, what in rates if rate)
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _report(measurement: Measurement, outputs: Sequence[Path], args: argparse.Namespace, seed: int) -> int:
    from rm.files import write_text_whole
    from rm.uplift.page import render_page
    from rm.uplift.summary import format_summary, summarize_uplift

    rows, summary_file, page = outputs
    summary = summarize_uplift(measurement.results, measurement.totals, seed, measurement.calibration)
    text = json.dumps(summary, indent=2) + "\n"
    write_text_whole(summary_file, text, args.force)
    write_text_whole(page, render_page(measurement.results, summary), args.force)
    if args.json:
        print(text, end="")
    else:
        print(format_summary(summary))
        print(f"\nResults: {rows}\nPicture: {page}", file=sys.stderr)
    measured = any(result.measured or result.trace is None for result in measurement.results)
    return 0 if measured or not measurement.results else 1


def _check_page(problems: Sequence[Problem]) -> str:
    by_task = {task: sum(problem.task == task for problem in problems) for task in ("math", "code")}
    traces = sum(len(problem.traces) for problem in problems)
    counted = ", ".join(f"{count} {task}" for task, count in by_task.items() if count)
    return f"problems         {len(problems)} ({counted})\ntraces           {traces}\nData and configuration are sound."


def _cache_page(info: CacheInfo) -> list[str]:
    shares = (f"  {each.executor}: {each.runs} runs of {each.baselines} baselines" for each in info.executors)
    total = f"{info.file}: {info.runs} runs of {info.baselines} baselines, {info.size_bytes / 2**20:.1f} MiB"
    return [total, *shares]


def _default_cache() -> Path:
    from rm.uplift.config import default_cache

    return default_cache()


def _open_cache(path: Path) -> BaselineCache:
    from rm.uplift.cache import BaselineCache

    return BaselineCache(path)


_BASELINES = Kept("uplift", "stored baselines", "runs", "executor", _default_cache, _open_cache, _cache_page)
