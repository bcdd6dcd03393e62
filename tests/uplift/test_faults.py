"""30% of calls lost at random, through the real executor and HTTP: they change what an estimate costs, not its mean.

Were a lost call a failed run, as officially, then traces that help by 0.5 would seem to help by 0.35 here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rm.uplift.estimate import Sampled
from rm.uplift.executors.config import OpenAIConfig
from rm.uplift.executors.openai import OpenAIExecutor
from rm.uplift.meter import FailureLimit
from rm.uplift.setup import Setup
from rm.uplift.trials import TrialLimits, measure
from rm.uplift.verifiers.exact import ExactVerifier

spec = importlib.util.spec_from_file_location("openai_server", Path(__file__).with_name("openai_server.py"))
serving = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serving)

SHARE = 0.3
FAULTS = (
    ("http 500", serving.Answer(500, b"Internal Server Error")),
    ("http 503", serving.Answer(503, b'{"error": {"message": "overloaded"}}')),
    ("connection", serving.Answer(body=b'{"choices": [{"text": "right"}]}', cut=12)),
    ("timeout", serving.Answer(hang=True)),
    ("html page", serving.Answer(body=b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>")),
    ("broken json", serving.Answer(body=b'{"choices": [{"text": "right"')),
    ("broken json", serving.Answer(body=b"\x00\xff\xfe\x01")),
    ("broken reply", serving.Answer(body=b"[1, 2]")),
    ("no choices", serving.as_json({"choices": []})),
)


def at_random(seed: int):
    """Each request is lost with the same probability, whatever would have been written."""
    rng = random.Random(seed)
    return lambda number, body: rng.choice(FAULTS)[1] if rng.random() < SHARE else None


def measured(simulated, problems, fault=None, *, attempts, **options):
    """The measurement, and how many requests the server had."""

    async def main():
        async with serving.Server(fault or (lambda number, body: None), write=simulated.written) as server:
            settings = {"timeout_s": 1.0, "backoff_s": 0.001, "backoff_max_s": 0.01, "breaker_pause_s": 0.01}
            config = OpenAIConfig([server.address], "served-1", probe=False, **settings, **options)
            executor = OpenAIExecutor(config)
            setup = Setup(executor, {"math": ExactVerifier()}, Sampled(4, 8))
            limits = TrialLimits(attempts=attempts, samples_per_call=2, failures=FailureLimit(rate=1.0))
            try:
                return await measure(problems, setup, limits=limits), len(server.bodies)
            finally:
                await executor.close()

    return asyncio.run(main())


def without_costs(measurement):
    return [replace(each, samples=0, failures={}, baseline_failures={}) for each in measurement.results]


def test_what_is_asked_for_again_gives_the_same_results_at_a_higher_cost(simulated):
    problems = simulated.problems(12)
    whole, requests = measured(simulated, problems, attempts=10, retries=1)
    lossy, more = measured(simulated, problems, at_random(1), attempts=10, retries=1)
    assert without_costs(lossy) == without_costs(whole)
    assert more > 1.2 * requests
    assert whole.totals.lost == {}
    assert 0 < sum(lossy.totals.lost.values()) == lossy.totals.samples - whole.totals.samples


def test_what_is_lost_for_good_leaves_the_expectation_at_the_truth(simulated):
    """No retries, no second attempts, no breaker; a plan that still misses runs asks for others."""
    options = {"attempts": 1, "retries": 0, "breaker_failures": 10_000}
    found, _ = measured(simulated, simulated.problems(130), at_random(2), **options)
    with_trace, without = simulated.WITH, simulated.WITHOUT
    truths = {"positive": with_trace - without, "bad": -without / 2, "idle": 0.0}
    for kind, truth in truths.items():
        values = [each.value for each in found.results if each.kind == kind and each.value is not None]
        mean = sum(values) / len(values)
        error = math.sqrt(sum((each - mean) ** 2 for each in values)) / len(values)
        assert len(values) > 0.97 * 130
        assert mean == pytest.approx(truth, abs=4 * error), kind
        assert error < 0.03
    reasons = sum((Counter(each.failures) for each in found.results), Counter())
    assert {reason.removeprefix("lost: ") for reason in reasons} == {reason for reason, _ in FAULTS}
    assert sum(found.totals.lost.values()) > 0.25 * found.totals.samples
