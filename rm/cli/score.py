"""`tracelift-rm score`: scores for rows of problem and reasoning, in their order."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rm.errors import ConfigError, DataError, Problem


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `score`."""
    from rm.cli.scoring import add_model_options

    parser = subparsers.add_parser("score", help="scores for rows of problem and reasoning", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="a reward model's directory, or a run's output")
    parser.add_argument(
        "--input", metavar="F", required=True, help="JSON Lines with problem and reasoning; - reads them from stdin"
    )
    parser.add_argument("--output", metavar="F", required=True, help="the rows with score and dimensions; - prints")
    parser.add_argument("--force", action="store_true", help="replace the output")
    parser.add_argument("--json", action="store_true", help="print a summary as one JSON object")
    add_model_options(parser)
    parser.set_defaults(run=_score)


def _score(args: argparse.Namespace) -> int:
    to_stdout = args.output == "-"
    if to_stdout and args.json:
        raise ConfigError("--output - and --json both print to stdout. Give the output a file, or leave --json out.")
    from tqdm import tqdm

    from rm.cli.scoring import inputs_of, make_scorer
    from rm.evaluate.score import check_score_rows
    from rm.files import check_file, write_text_whole
    from rm.groups.rows import read_rows

    source = "/dev/stdin" if args.input == "-" else args.input
    if not to_stdout:
        check_file(args.output, args.force, inputs_of(args, args.model, source))
    problems: list[Problem] = []
    read = [(row.line, row.value) for row in read_rows(source, problems.append, what="row")]
    if problems:
        raise DataError(problems)
    rows = check_score_rows(read, source)
    scorer = make_scorer(args, args.model)
    _warn_of_missing_tests(scorer, rows)
    with tqdm(total=len(rows), desc="score", unit="trace", file=sys.stderr, disable=None) as bar:
        results = scorer.results(rows, bar.update)
    text = "".join(json.dumps(result, ensure_ascii=False) + "\n" for result in results)
    if to_stdout:
        sys.stdout.write(text)
    else:
        write_text_whole(args.output, text, args.force)
    left_out = sum(result["score"] is None for result in results)
    if args.json:
        print(json.dumps({"rows": len(rows), "unscorable": left_out, "output": args.output}))
    elif not to_stdout:
        print(f"{len(rows) - left_out} rows scored, {left_out} too long: {Path(args.output)}")
    if left_out:
        print(f"Warning: {left_out} of {len(rows)} rows are too long and have no score.", file=sys.stderr)
    return 0 if left_out < len(rows) else 1


def _warn_of_missing_tests(scorer: Any, rows: list[Any]) -> None:
    """A judge of code that was trained to see tests meets another kind of text without them."""
    from rm.text import tests_of

    if "code" in scorer.rubric.name and scorer.encoder.include_tests:
        without = sum(not tests_of(row) for row in rows)
        if without:
            print(
                f"Warning: {without} of {len(rows)} rows have no tests, and this model was trained on text that shows "
                "them. Add `tests`, or train with --text.include_tests false.",
                file=sys.stderr,
            )
