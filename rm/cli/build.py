"""`tracelift-rm groups build`: from seed problems to groups, with a data card."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rm.cli.overrides import read_overrides
from rm.cli.scoring import non_negative
from rm.errors import PRINTED, ConfigError

if TYPE_CHECKING:
    from rm.build.card import Card
    from rm.build.config import BuildConfig
    from rm.build.read_seeds import Refused


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `build` below `groups`."""
    parser = verbs.add_parser(
        "build",
        help="from problems with sound solutions to groups",
        description=__doc__,
        epilog="Any key of the configuration is an option: --group.negatives_most 8 --rebalance.enabled true. See "
        "rm/build/config.py. A run that was stopped goes on with the same command.",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file; see configs/build-*.yaml")
    parser.add_argument("--task", choices=("math", "code"), help="what is built (math)")
    parser.add_argument(
        "--seeds",
        metavar="FILE",
        nargs="+",
        action="extend",
        required=True,
        help="problems with solutions: GSM8K, MBPP or problem rows, groups; JSON Lines or one JSON array, plain or "
        ".gz, Parquet, a folder of them, or ORG/NAME:path/inside on the hub",
    )
    parser.add_argument(
        "--field",
        metavar="WHAT=KEY",
        action="append",
        default=[],
        help="which key of a row holds what, e.g. --field problem=task --field answer=gold",
    )
    parser.add_argument("--out", metavar="FILE", help="gets the groups; beside it FILE's .card.json and .card.md")
    parser.add_argument("--seed", metavar="N", help="another seed, other flaws (18)")
    parser.add_argument("--workers", metavar="N", type=non_negative, help="processes (one a core)")
    parser.add_argument("--check", action="store_true", help="check the seeds and the configuration, then stop")
    parser.add_argument("--force", action="store_true", help="replace the output")
    parser.add_argument("--json", action="store_true", help="print the card as one JSON object")
    parser.set_defaults(run=_build, takes_overrides=True)


def _build(args: argparse.Namespace) -> int:
    from rm.build.pipeline import build_groups, maker_of
    from rm.build.read_seeds import file_rows
    from rm.files import check_file

    config = read_config(args)
    if args.check:
        return _check(config, args.seeds, args.json)
    if not args.out:
        raise ConfigError("--out: no file. Say where the groups go: --out groups.jsonl")
    check_file(args.out, args.force, args.seeds)
    try:
        with Bar(args.seeds) as bar:
            report = build_groups(
                config,
                lambda refused: file_rows(args.seeds, refused),
                args.out,
                files=args.seeds,
                maker=maker_of(config, bar.say),
                force=args.force,
                on_progress=bar,
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("What is done is kept: the same command goes on from there.") from None
    _print_refused(report.refused)
    for why, places in report.card.places.items():
        count = report.card.seeds["unusable"][why]
        print(f"{', '.join(places)}: no group: {why} ({count:,} in all).", file=sys.stderr)
    print(json.dumps(report.card.to_dict(), indent=2, ensure_ascii=False) if args.json else page(report.card, args.out))
    return 0


def read_config(args: argparse.Namespace) -> BuildConfig:
    """The configuration of file, dotted options and plain ones. Raises: ConfigError."""
    from rm.build.config import BuildConfig
    from rm.config import build_config, config_to_dict, load_config

    tree = config_to_dict(load_config(BuildConfig, args.config, read_overrides(BuildConfig, args.rest)))
    given = {"task": args.task, "workers": args.workers, "seed": None if args.seed is None else _number(args.seed)}
    tree |= {name: value for name, value in given.items() if value is not None}
    for each in args.field:
        what, equals, key = each.partition("=")
        if not equals or not key:
            raise ConfigError(f"--field {each}: expected WHAT=KEY, such as problem=question.")
        tree["seeds"]["fields"][what] = key
    return build_config(BuildConfig, tree)


def _number(text: str) -> int:
    try:
        return non_negative(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"--seed: {error}.") from None


def _check(config: BuildConfig, files: Sequence[str], as_json: bool) -> int:
    """Reads every seed, and builds nothing."""
    from collections import Counter

    from rm.build.draft import Setup
    from rm.build.pipeline import check_build, distinct_seeds, held_out_problems, read_seeds_of, rule_labels
    from rm.build.read_seeds import Refused, file_rows, seed_files

    check_build(config)
    seed_files(files)
    refused, repeated = Refused(), Counter[str]()
    rows = file_rows(files, refused)
    seeds = read_seeds_of(config, rows, refused)
    held_out = held_out_problems(config)
    count = sum(1 for _ in distinct_seeds(seeds, config.gates.near_duplicate, repeated, held_out))
    _print_refused(refused)
    found = {
        "seeds": count,
        "repeated": repeated["problems"],
        "held_out": repeated["held_out"],
        "refused": dict(refused.counts),
        "labels": "by language models" if config.llm.used else rule_labels(Setup.of(config)),
    }
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print(
            f"{count:,} seeds, {repeated['problems']:,} repeated problems, {repeated['held_out']:,} held out, "
            f"{refused.total:,} rows refused. Labels: {found['labels']}."
        )
    return 0 if count else 1


def _print_refused(refused: Refused) -> None:
    for problem in refused.first:
        print(problem, file=sys.stderr)
    if refused.total > PRINTED:
        print(f"... and {refused.total - PRINTED:,} more; the card counts them.", file=sys.stderr)
    if refused.total:
        print(f"{refused.total:,} rows refused and left out.", file=sys.stderr)


def page(card: Card, out: str | Path) -> str:
    """What the terminal shows of a card."""
    from rm.build.card import card_files, tests_told

    tally, seeds = card.tally, card.seeds
    unusable = sum(seeds["unusable"].values())
    rows = [
        ("groups", f"{tally.groups:,} in {out}"),
        (
            "seeds",
            f"{seeds['read']:,}, {seeds['repeated']:,} repeated, {seeds['held_out']:,} held out, {unusable:,} unusable",
        ),
        ("sound traces", f"{sum(tally.retold.values()):,}"),
        ("flawed traces", f"{sum(tally.kinds.values()):,}"),
        ("kinds", ", ".join(f"{kind}: {count:,}" for kind, count in tally.kinds.most_common())),
        ("left out", f"{sum(card.dropped.values()):,} traces"),
        ("labels", card.labels),
    ]
    if card.config["task"] == "code":
        rows.append(("tests", tests_told(card)))
    if card.audit is not None:
        macro = card.audit["macro"]
        rows.append(
            ("surface", f"pairs right by words {macro['words']:.3f}, by length {macro['length']:.3f} (.5: chance)")
        )
        flagged = [kind for kind, each in card.audit["kinds"].items() if each["flagged"]]
        if flagged:
            fix = "--rebalance.enabled true" if card.before is None else "a lower --rebalance.bound"
            rows.append(("flagged", f"{', '.join(flagged)}: above {card.audit['flag']:g}; try {fix}"))
    if card.llm is not None:
        dropped = sum(sum(each["dropped"].values()) for each in card.llm["models"].values())
        cost = f", cost {card.llm['cost']:,.2f}" if card.llm["cost"] else ""
        rows.append(("models", f"{card.llm['tokens']:,} tokens{cost}; {dropped:,} questions came to nothing"))
    rows.append(("card", str(card_files(out)[1])))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


class Bar:
    """A progress bar of seeds."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files

    def __enter__(self) -> Bar:
        from tqdm import tqdm

        shown = sys.stderr.isatty()
        self._bar = tqdm(desc="build", unit="seed", total=_lines(self._files) if shown else None, disable=not shown)
        return self

    def __call__(self, count: int) -> None:
        self._bar.update(count)

    def say(self, words: str) -> None:
        """Words beside the bar."""
        self._bar.set_postfix_str(words)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _lines(files: Sequence[str]) -> int | None:
    """Lines of plain JSON Lines, which are rows; None where they are not."""
    if not all(Path(file).suffix == ".jsonl" and Path(file).is_file() for file in files):
        return None
    count = 0
    for file in files:
        with Path(file).open("rb") as stream:
            count += sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
    return count
