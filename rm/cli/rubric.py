"""`tracelift-rm rubric show|check`: look at a rubric, or check files that are meant to be one."""

from __future__ import annotations

import argparse
import json
import textwrap

from rm.errors import ConfigError
from rm.rubric import Rubric, shipped_rubrics

_WIDTH = 100


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `rubric`."""
    parser = subparsers.add_parser("rubric", help="show or check a rubric", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    show = verbs.add_parser("show", help="print a rubric: dimensions, weights, levels, judge instructions")
    show.add_argument("rubric", metavar="NAME|FILE", help=f"{', '.join(shipped_rubrics())}, or a YAML file")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(run=_show)

    check = verbs.add_parser("check", help="check rubric files; tells every problem of every file at once")
    check.add_argument("files", metavar="FILE", nargs="+", help="a YAML file, or the name of a shipped rubric")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(run=_check)


def _show(args: argparse.Namespace) -> int:
    rubric = Rubric.load(args.rubric)
    if args.json:
        print(json.dumps({**rubric.to_dict(), "fingerprint": rubric.fingerprint}, indent=2))
    else:
        print(_page(rubric))
    return 0


def _check(args: argparse.Namespace) -> int:
    problems: list[str] = []
    rubrics: dict[str, Rubric] = {}
    for file in args.files:
        try:
            rubrics[file] = Rubric.load(file)
        except ConfigError as error:
            problems += error.problems
    if args.json:
        valid = {file: {"name": r.name, "fingerprint": r.fingerprint} for file, r in rubrics.items()}
        print(json.dumps({"ok": not problems, "rubrics": valid, "errors": problems}, indent=2))
    else:
        for file, rubric in rubrics.items():
            print(f"{file}: {_headline(rubric)}")
    if problems:
        raise ConfigError(problems)
    return 0


def _headline(rubric: Rubric) -> str:
    return f"rubric {rubric.name}, {len(rubric.dimensions)} dimensions, levels 0-{rubric.num_levels - 1}"


def _page(rubric: Rubric) -> str:
    lines = [f"{_headline(rubric)}, fingerprint {rubric.fingerprint}", *_wrapped(rubric.description, "")]
    for dimension in rubric.dimensions:
        lines += [
            "",
            f"{dimension.name}  (weight {dimension.weight:.4g})",
            *_wrapped(dimension.description, "  "),
        ]
        for level, description in enumerate(dimension.levels):
            lines += _wrapped(description, "     ", f"  {level}  ")
    if rubric.judge_instructions:
        lines += ["", "judge instructions", *textwrap.indent(rubric.judge_instructions, "  ").splitlines()]
    return "\n".join(lines)


def _wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    first = indent if first is None else first
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=indent)
