"""`tracelift-rm serve`: a reward model or a bundle behind HTTP, for many clients."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

from rm.cli.overrides import read_overrides
from rm.cli.scoring import add_model_options, non_negative, positive
from rm.errors import ConfigError

if TYPE_CHECKING:
    from rm.reward.judge import RewardScorer
    from rm.reward.scorer import TraceLiftReward

ALONE = (
    "This is a reward model alone: /score and /get_reward answer with its score. /reward needs a bundle, see "
    "tracelift-rm reward export."
)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="scores and rewards over HTTP",
        description=__doc__,
        epilog="POST /score speaks the official contract, /get_reward OpenRLHF's, /reward gives the full reward of a "
        "bundle; GET /health, /ready, /metrics (Prometheus), /docs. Any key of a bundle's configuration is an option, "
        "for this machine: --uplift.executor.endpoints http://10.0.0.2:8000/v1. SIGTERM finishes what was accepted.",
    )
    parser.add_argument("model", metavar="BUNDLE_OR_MODEL", help="a bundle, or a reward model's directory")
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=non_negative, default=8001, help="0 takes a free one (8001)")
    parser.add_argument("--api-key-env", metavar="NAME", default="", help="environment variable that holds the key")
    parser.add_argument("--force-open", action="store_true", help="listen to other machines without a key")
    parser.add_argument("--max-items", metavar="N", type=positive, default=1024, help="items of one request (1024)")
    parser.add_argument(
        "--max-text",
        metavar="N",
        type=positive,
        default=200_000,
        help="characters of a problem or its tests (200000); of a completion, what a request may have",
    )
    parser.add_argument(
        "--max-body", metavar="BYTES", type=positive, default=8 * 2**20, help="bytes of one request (8 MiB)"
    )
    parser.add_argument(
        "--queue", metavar="N", type=positive, default=4096, help="texts that may wait; then 429 (4096)"
    )
    parser.add_argument(
        "--wait-ms", metavar="MS", type=_milliseconds, default=2.0, help="how long a text waits for company (2)"
    )
    parser.add_argument(
        "--cache", metavar="N", type=non_negative, default=8192, help="results kept for identical texts (8192)"
    )
    parser.add_argument(
        "--substitute",
        metavar="X",
        type=_number,
        help="for /get_reward alone: what a reward that could not be measured counts as; default: such a request "
        "is answered 503",
    )
    add_model_options(parser)
    parser.set_defaults(run=_serve, takes_overrides=True)


def _serve(args: argparse.Namespace) -> int:
    from rm.serve.access import KeyCheck, check_exposure
    from rm.serve.limits import Limits
    from rm.serve.run import listen, run

    key = KeyCheck(args.api_key_env)
    check_exposure(args.host, key, args.force_open)
    limits = Limits(
        items=args.max_items,
        text=args.max_text,
        body_bytes=args.max_body,
        queue=args.queue,
        tokens_per_batch=args.tokens_per_batch,
        wait_ms=args.wait_ms,
        cache=args.cache,
    )
    if args.port > 65535:
        raise ConfigError(f"--port {args.port}: ports end at 65535.")
    bound = listen(args.host, args.port)
    try:
        from rm.reward.scorer import TraceLiftReward
        from rm.serve.app import create_app
        from rm.serve.service import Service

        reward = _reward(args)
        for note in (*reward.notes, *([] if isinstance(reward, TraceLiftReward) else [ALONE])):
            print(note, file=sys.stderr)
        app = create_app(Service(reward, limits, args.substitute), key)
        run(app, bound, limits, lambda url: print(f"Serving {args.model} on {url} (docs: {url}/docs)", flush=True))
    finally:
        bound.close()
    print("All accepted requests are answered.", file=sys.stderr)
    return 0


def _reward(args: argparse.Namespace) -> TraceLiftReward | RewardScorer:
    """What is served: a bundle's reward, or a reward model alone.

    Raises:
        ConfigError: as their loading does, and for options that belong to the other one.
    """
    from rm.cli.scoring import load_model
    from rm.reward.config import RewardConfig
    from rm.reward.judge import RewardScorer
    from rm.reward.scorer import TraceLiftReward

    overrides = read_overrides(RewardConfig, args.rest)
    if not _is_bundle(args.model):
        if overrides:
            raise ConfigError(f"{args.model} is a reward model; --{next(iter(overrides))} is an option of bundles.")
        return RewardScorer(
            load_model(args, args.model),
            max_length=args.max_length,
            tokens_per_batch=args.tokens_per_batch,
            prefix_sharing=args.prefix_sharing,
        )
    usual = {"rubric": None, "dtype": "auto", "max_length": None, "prefix_sharing": "auto"}
    wrong = [f"--{name.replace('_', '-')}" for name, value in usual.items() if getattr(args, name) != value]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)}: {args.model} is a bundle, which says so itself. See --rm.dtype and so on."
        )
    return TraceLiftReward.from_pretrained(args.model, overrides=overrides, device=args.device, base=args.base)


def _is_bundle(path: str) -> bool:
    """Whether a directory, or a repository of the hub, is a bundle, or what is left of one."""
    from rm.sources import find_source

    source = find_source(path, "serve")
    return bool(source.read_json("reward.json") or source.read_json("bundle.json"))


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 to 1000, found {text}")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, found {text}")
    return value
