"""The program of one worker process: math-verify behind two pipes, one JSON line in, one out.

Run as a file, outside the package (a module named `math` lies next to it, so its folder must not be on the path).
Asked `{"gold": ...}` it says whether that parses, asked `{"gold": ..., "answer": ...}` whether they are equal. It has
no time-out of its own: whoever started it kills it. Should that one be killed first, the worker ends when its input
does, and its limits on memory and on CPU time a question end whatever it is stuck in.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

MEMORY_BYTES = 2 * 2**30
CPU_SECONDS = 60


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    logging.disable(logging.CRITICAL)
    compare = _comparison()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        _limit_cpu()
        print(json.dumps(compare(**json.loads(line))), file=answers, flush=True)


def _limit_cpu() -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + CPU_SECONDS, hard))


def _comparison() -> Any:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]

    def parsed(text: str) -> list[Any]:
        options: dict[str, Any] = {"fallback_mode": "no_fallback", "parsing_timeout": None}
        return parse(f"\\boxed{{{text}}}", configs, **options) or parse(text, configs, **options)

    def compare(gold: str, answer: str | None = None) -> str:
        """`parsed`, `unparsable`, `equal`, `different`, or `error` for what the answer made math-verify do."""
        try:
            gold_values = parsed(gold)
            if answer is None or not gold_values:
                return "parsed" if gold_values else "unparsable"
            answer_values = parsed(answer)
            equal = bool(answer_values) and verify(gold_values, answer_values, timeout_seconds=None)
            return "equal" if equal else "different"
        except (RecursionError, MemoryError, ValueError, TypeError, ArithmeticError, AttributeError):
            return "unparsable" if answer is None else "error"

    return compare


if __name__ == "__main__":
    main()
