"""`tracelift-rm serve`: a reward model or a bundle behind HTTP, for many clients."""

from __future__ import annotations

import argparse
import sys

from rm.cli.scoring import add_model_options, non_negative, positive
from rm.errors import ConfigError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="scores and rewards over HTTP",
        description=__doc__,
        epilog="POST /score speaks the official contract, /get_reward OpenRLHF's, /reward gives the full reward of a "
        "bundle; GET /health, /ready, /metrics (Prometheus), /docs. SIGTERM finishes what was accepted.",
    )
    parser.add_argument("model", metavar="BUNDLE_OR_MODEL", help="a bundle, or a reward model's directory")
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=non_negative, default=8001, help="0 takes a free one (8001)")
    parser.add_argument("--api-key-env", metavar="NAME", default="", help="environment variable that holds the key")
    parser.add_argument("--force-open", action="store_true", help="listen to other machines without a key")
    parser.add_argument("--max-items", metavar="N", type=positive, default=1024, help="items of one request (1024)")
    parser.add_argument(
        "--max-text", metavar="N", type=positive, default=200_000, help="characters of one text (200000)"
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
    add_model_options(parser)
    parser.set_defaults(run=_serve)


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
        from rm.cli.scoring import make_scorer
        from rm.serve.app import create_app
        from rm.serve.service import Service

        app = create_app(Service(make_scorer(args, args.model), limits), key)
        run(app, bound, limits, lambda url: print(f"Serving {args.model} on {url} (docs: {url}/docs)", flush=True))
    finally:
        bound.close()
    print("All accepted requests are answered.", file=sys.stderr)
    return 0


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 to 1000, found {text}")
    return value
