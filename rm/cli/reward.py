"""`tracelift-rm reward`: one reward as a directory: export it, show it, check it, score with it, publish it."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rm.cli.overrides import read_overrides
from rm.cli.scoring import probe_rows
from rm.errors import ConfigError, DataError, Problem, TraceLiftError

if TYPE_CHECKING:
    from rm.reward.bundle import Bundle
    from rm.reward.config import RewardConfig
    from rm.reward.parts import RewardResult
    from rm.reward.scorer import RewardStats, TraceLiftReward
    from rm.workfile import WorkFile

PROBE_GROUPS = 8
BATCH = 256
"""Completions scored at once: those of one problem stand together in most files."""
ELSEWHERE = frozenset({"executor", "cache", "attempts", "traces_at_once"})
"""Keys of `uplift` that another run of the same work may have otherwise; the executor counts by its fingerprint."""
_MADE_WITH = ({"bundle.json", "reward.json"},)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `reward`."""
    parser = subparsers.add_parser(
        "reward", help="one reward of reward model and uplift: export, show, score, check, push", description=__doc__
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_export(verbs)
    for name, what, run in (
        ("show", "what a bundle rewards, and with what", _show),
        ("check", "its files, its scores, and whether its executor answers", _check),
        ("score", "rewards of problem rows with completions", _score),
    ):
        verb = verbs.add_parser(
            name,
            help=what,
            epilog="Any key of the reward's configuration is an option, for this machine: "
            "--uplift.executor.endpoints http://10.0.0.2:8000/v1. See rm/reward/config.py.",
        )
        verb.add_argument("bundle", metavar="BUNDLE", help="a directory that `reward export` wrote, or a hub name")
        verb.add_argument("--json", action="store_true", help="print one JSON object")
        if name != "show":
            verb.add_argument("--base", metavar="PATH", help="where an adapter's base lies, if not where it says")
            verb.add_argument("--device", metavar="NAME", help="default: the first GPU, else the CPU")
        if name == "check":
            verb.add_argument("--no-executor", action="store_true", help="leave the executor out")
        if name == "score":
            verb.add_argument("--input", metavar="F", required=True, help="JSON Lines; - reads stdin")
            verb.add_argument("--output", metavar="F", required=True, help="a result a row; - prints")
            verb.add_argument("--explain", action="store_true", help="print every reward part by part")
            verb.add_argument(
                "--force", action="store_true", help="replace the output, and what is left of other work on it"
            )
        verb.set_defaults(run=run, takes_overrides=True)
    push = verbs.add_parser("push", help="upload a bundle to the hub")
    push.add_argument("bundle", metavar="BUNDLE", help="a directory that `reward export` wrote")
    push.add_argument("name", metavar="NAME", help="of the repository, ORG/NAME")
    push.add_argument("--public", action="store_true", help="make a new repository public")
    push.add_argument("--json", action="store_true", help="print one JSON object")
    push.set_defaults(run=_push)


def _add_export(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "export",
        help="write a bundle, load it again, compare",
        epilog="Any key of the configuration is an option: --formula product-v1 --weights '{end_to_end: 0.2}' "
        "--rubric_floor 0.4 --uplift.executor.model NAME. See rm/reward/config.py and rm/reward/combine.py.",
    )
    parser.add_argument("out", metavar="OUT", help="a new directory")
    parser.add_argument("--model", metavar="RM", help="a reward model's directory, or a run's output")
    parser.add_argument("--config", metavar="C", help="YAML file; see configs/reward-*.yaml")
    parser.add_argument("--adapter", action="store_true", help="keep an adapter apart; its base must be on the hub")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--base", metavar="PATH", help="where an adapter's base lies, if not where it says")
    parser.add_argument("--probes", metavar="F", nargs="+", help="groups to compare on (default: shipped ones)")
    parser.add_argument("--metrics", metavar="F", help="metrics.json of an evaluation, for the card")
    parser.add_argument("--include-baselines", action="store_true", help="copy this executor's cached baselines")
    parser.add_argument("--include-executor", action="store_true", help="copy an executor that is a directory here")
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.set_defaults(run=_export, takes_overrides=True)


def _export(args: argparse.Namespace) -> int:
    from rm.config import load_config
    from rm.files import check_directory
    from rm.reward.config import RewardConfig
    from rm.reward.export import export_bundle

    config = load_config(RewardConfig, args.config, read_overrides(RewardConfig, args.rest))
    config.recipe()
    inputs = [path for path in (args.model, args.config, args.base, args.metrics, *(args.probes or ())) if path]
    check_directory(args.out, args.force, inputs, made_with=_MADE_WITH)
    report = export_bundle(
        args.model,
        config,
        args.out,
        probe_rows(args.probes, PROBE_GROUPS),
        merge=not args.adapter,
        dtype=args.dtype,
        base=args.base,
        metrics=_metrics(args.metrics) if args.metrics else None,
        include_baselines=args.include_baselines,
        include_executor=args.include_executor,
        force=args.force,
    )
    for note in report.notes:
        print(note, file=sys.stderr)
    if args.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
        return 0
    print(f"Bundle of {report.formula} written to {report.out} (reward model: {report.model}).")
    if report.probes:
        print(f"Loaded again and scored on {report.probes} texts: largest difference {report.largest_difference:.1e}.")
    if report.baselines:
        print(f"With {report.baselines:,} cached baseline runs.")
    return 0


def _metrics(file: str) -> dict[str, float]:
    """The numbers at top level of a `metrics.json`."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--metrics: {file} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"--metrics: {file}: expected a JSON object, as `evaluate` writes it.")
    return {key: value for key, value in content.items() if type(value) in (int, float)}


def _load(args: argparse.Namespace) -> Bundle:
    from rm.reward.bundle import load_bundle
    from rm.reward.config import RewardConfig

    bundle = load_bundle(args.bundle, overrides=read_overrides(RewardConfig, args.rest))
    for note in bundle.notes:
        print(note, file=sys.stderr)
    return bundle


def _open(args: argparse.Namespace, bundle: Bundle) -> TraceLiftReward:
    from rm.reward.scorer import TraceLiftReward

    judge = bundle.load_judge(device=args.device, base=args.base) if bundle.model is not None else None
    for note in judge.notes if judge else ():
        print(note, file=sys.stderr)
    return TraceLiftReward(bundle.config, judge)


def _show(args: argparse.Namespace) -> int:
    from rm.config import config_to_dict
    from rm.reward.card import formula_text

    bundle = _load(args)
    if args.json:
        print(json.dumps({**bundle.manifest, "config": config_to_dict(bundle.config)}, indent=2))
        return 0
    manifest = bundle.manifest
    rows: dict[str, Any] = {
        "formula": f"{manifest['formula']['name']}: {formula_text(manifest)}",
        "made by": f"{manifest['made_by']}, schema version {manifest['schema_version']}",
        "files": f"{len(manifest['files'])}, unaltered",
    }
    if bundle.rubric is not None:
        model = manifest["model"]
        rows["reward model"] = f"{model['backbone']}, {model['form']}, weights {model['weights']}"
        rows["rubric"] = f"{bundle.rubric.name}: {', '.join(bundle.rubric.dimension_names)}"
    if manifest["uplift"]:
        uplift = manifest["uplift"]
        rows["executor"] = " ".join(filter(None, (uplift["executor"], uplift.get("executor_model", ""))))
        rows["runs"] = f"{uplift['plan']}: {uplift['runs']} with a trace, {uplift['baseline_runs']} without"
        rows["cached baselines"] = f"{uplift['cached_runs']} runs"
    for name, value in manifest["provenance"]["metrics"].items():
        if isinstance(value, float):
            rows[name] = f"{value:.4f}"
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))
    return 0


def _check(args: argparse.Namespace) -> int:
    bundle = _load(args)
    done: dict[str, Any] = {"files": len(bundle.manifest["files"]), "probes": 0, "largest_difference": 0.0}
    with closing(_open(args, bundle)) as reward:
        if reward.judge is not None:
            done["probes"] = len(bundle.probes)
            done["largest_difference"] = bundle.rescore(reward.judge)
        executor = bool(bundle.manifest["uplift"]) and not args.no_executor
        if executor:
            reward.start_sync()
            reward.check_sync()
        done["executor"] = "answers" if executor else "not asked" if bundle.manifest["uplift"] else "none needed"
    if args.json:
        print(json.dumps(done))
        return 0
    print(f"{done['files']} files as they were written.")
    if done["probes"]:
        print(f"{done['probes']} probe texts score as at the export: difference {done['largest_difference']:.1e}.")
    print(f"Executor: {done['executor']}.")
    return 0


def _score(args: argparse.Namespace) -> int:
    to_stdout = args.output == "-"
    if to_stdout + args.json + args.explain > 1:
        raise ConfigError("--output -, --json and --explain all print to stdout. Choose one of them.")
    from rm.files import check_file, write_text_whole
    from rm.reward.parts import RewardResult
    from rm.workfile import WorkFile

    source = "/dev/stdin" if args.input == "-" else args.input
    if not to_stdout:
        check_file(args.output, args.force, [source, *([args.bundle] if Path(args.bundle).exists() else [])])
    rows, lines = _read(source)
    bundle = _load(args)
    _check_rows(bundle.config, rows, lines, source)
    done: dict[int, RewardResult] = {}

    def take(line: Mapping[str, Any]) -> None:
        done[line["index"]] = RewardResult.from_row(line["result"])

    with (
        nullcontext()
        if to_stdout
        else WorkFile(Path(args.output), _identity(bundle, rows), take, afresh=args.force) as work
    ):
        if work is not None and done:
            print(f"{len(done):,} of {len(rows):,} rows are done already: {work.path}", file=sys.stderr)
        with closing(_open(args, bundle)) as reward:
            stats = _score_rest(reward, rows, done, work)
        results = [done[index] for index in range(len(rows))]
        text = "".join(
            json.dumps({**row, **result.as_row()}, ensure_ascii=False) + "\n"
            for row, result in zip(rows, results, strict=True)
        )
        if to_stdout:
            sys.stdout.write(text)
        else:
            write_text_whole(args.output, text, args.force)
        if work is not None:
            work.remove()
    if args.explain:
        from rm.reward.explain import explain

        print("\n\n".join(explain(result, reward.recipe) for result in results))
    unmeasured = sum(result.reward is None for result in results)
    _tell(args, stats, len(rows), unmeasured, to_stdout or args.explain)
    return 0 if unmeasured < len(rows) or not rows else 1


def _score_rest(
    reward: TraceLiftReward, rows: Sequence[Mapping[str, Any]], done: dict[int, RewardResult], work: WorkFile | None
) -> RewardStats:
    """Score what is not done, or was not measured, and put it there. Raises: KeyboardInterrupt and TraceLiftError,
    which say what is kept."""
    from tqdm import tqdm

    rest = [index for index in range(len(rows)) if index not in done or done[index].reward is None]
    reward.start_sync()
    try:
        with tqdm(total=len(rows), initial=len(rows) - len(rest), desc="reward", unit="trace", disable=None) as bar:
            for start in range(0, len(rest), BATCH):
                part = rest[start : start + BATCH]
                for index, result in zip(part, reward.score_sync([rows[index] for index in part]), strict=True):
                    done[index] = result
                    if work is not None:
                        work.append({"index": index, "result": result.as_row()})
                if work is not None:
                    work.sync()
                bar.update(len(part))
    except (KeyboardInterrupt, TraceLiftError) as error:
        if work is None or not work.holds_work:
            raise
        kept = f"{len(done):,} of {len(rows):,} rows are done and kept; the same command goes on from there."
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(kept) from None
        error.add_note(kept)
        raise
    return reward.stats()


def _identity(bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What decides the rewards; not where the executor is, and how much is asked of it at once."""
    from rm.config import config_to_dict

    config = config_to_dict(bundle.config)
    uplift = {key: value for key, value in config.pop("uplift").items() if key not in ELSEWHERE}
    config.pop("limits")
    return {
        "bundle": bundle.manifest["sha256"],
        "rows": hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest(),
        **config,
        "uplift": {**uplift, "executor": bundle.config.uplift.executor.fingerprint()},
    }


def _read(source: str) -> tuple[list[Mapping[str, Any]], list[int]]:
    from rm.groups.rows import read_rows

    problems: list[Problem] = []
    read = list(read_rows(source, problems.append, what="row"))
    if problems:
        raise DataError(problems)
    return [row.value for row in read], [row.line for row in read]


def _check_rows(config: RewardConfig, rows: Sequence[Any], lines: Sequence[int], source: str) -> None:
    """All rows before weights are loaded, with their lines. Raises: DataError."""
    from rm.reward.items import check_items

    try:
        items = check_items(rows, config.recipe().executes)
    except DataError as error:
        told = []
        for problem in error.problems:
            index = int(problem.file.removeprefix("items[").removesuffix("]"))
            told.append(dataclasses.replace(problem, file=source, line=lines[index]))
        raise DataError(told) from None
    for note, count in Counter(item.note for item in items if item.note).items():
        print(f"Warning: {count} rows: {note}", file=sys.stderr)


def _tell(args: argparse.Namespace, stats: RewardStats, rows: int, unmeasured: int, to_stdout: bool) -> None:
    if args.json:
        print(json.dumps({"output": args.output, "rows": rows, **dataclasses.asdict(stats)}))
    elif not to_stdout:
        print(
            f"{rows - unmeasured} rows rewarded, {unmeasured} not measured: {args.output}\n"
            f"{stats.seconds:.1f} s; the reward model was at work for {stats.rm_seconds:.1f} s, executor and verifiers "
            f"for {stats.uplift_seconds:.1f} s."
        )
    for reason, count in sorted(stats.failures.items(), key=lambda item: -item[1])[:8]:
        print(f"Warning: {count} rows: {reason}", file=sys.stderr)


def _push(args: argparse.Namespace) -> int:
    from rm.reward.bundle import push_bundle

    address = push_bundle(args.bundle, args.name, private=not args.public)
    print(json.dumps({"name": args.name, "commit": address}) if args.json else f"Uploaded: {address}")
    return 0
