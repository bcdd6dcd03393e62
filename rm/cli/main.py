"""Entry point: finds the verb, runs it, and turns every foreseen failure into one message and an exit code.

Exit codes: 0 done, 1 the data or the run failed, 2 wrong usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from rm import __version__
from rm.cli import (
    bench,
    compare,
    demo,
    evaluate,
    export,
    groups,
    lab,
    planner,
    reward,
    rubric,
    score,
    serve,
    train,
    uplift,
)
from rm.errors import TraceLiftError

VERBS = (groups, rubric, train, evaluate, compare, score, export, uplift, reward, serve, planner, lab, bench, demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    parser = _parser()
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:2] == ["uplift", "cache"]:  # a verb of its own, since `uplift` itself takes files
        argv[:2] = ["uplift-cache"]
    args, rest = parser.parse_known_args(argv)
    if rest and not getattr(args, "takes_overrides", False):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.rest = rest
    debug = args.debug
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if not sys.stderr.isatty():  # what libraries show while they load: in a log each step would be a line
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not debug:
        warnings.filterwarnings("ignore", category=FutureWarning)
        # On some processors it asks at import for a package that nothing here computes with.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        return int(args.run(args))
    except TraceLiftError as error:
        notes: list[str] = getattr(error, "__notes__", [])
        return _failed(error, debug, error.exit_code, "\n".join([str(error), *notes]))
    except KeyboardInterrupt as error:
        return _failed(error, debug, 130, f"Interrupted. {error}".rstrip())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(error, debug, 1, _of_system(error))
    except Exception as error:  # noqa: BLE001 - the last resort: a user gets a sentence, `--debug` the traceback
        what = f"{type(error).__name__}: {error}"
        return _failed(error, debug, 1, f"Unexpected failure: {what}\nRun the same command with --debug to see where.")


class _Parser(argparse.ArgumentParser):
    """Options in full only: with abbreviations a new option could change what an old command means."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="tracelift-rm",
        description="Train, evaluate and export rubric reward models for reasoning traces.",
        epilog="tracelift-rm demo shows the whole way on a small model in a few minutes.",
    )
    parser.add_argument("--version", action="version", version=f"tracelift-rm {__version__}")
    parser.set_defaults(debug=False)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb in VERBS:
        verb.add(verbs)
    uplift.add_cache(verbs)
    for sub in _leaves(verbs):
        sub.add_argument("--debug", action="store_true", default=False, help="show tracebacks")
    return parser


def _leaves(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """The parsers of the verbs, and of verbs below verbs."""
    found: list[argparse.ArgumentParser] = []
    for parser in verbs.choices.values():
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        found += [leaf for action in below for leaf in _leaves(action)] if below else [parser]
    return found


def _failed(error: BaseException, debug: bool, code: int, message: str) -> int:
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    print(message, file=sys.stderr)
    return code


def _of_system(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"No space left on the disk{f' of {error.filename}' if error.filename else ''}."
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
