"""Traces that come one by one get what a measurement of all at once gives them."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest

from rm.config import build_config
from rm.errors import ConfigError
from rm.lab import SAMPLE_DEV
from rm.uplift.config import UpliftConfig
from rm.uplift.executors.config import make_executor
from rm.uplift.live import LiveUplift
from rm.uplift.problems import Problem
from rm.uplift.read import load_problems
from rm.uplift.setup import Setup
from rm.uplift.trials import measure
from rm.uplift.verifiers.table import make_verifier


def config(**keys) -> UpliftConfig:
    plan = {"kind": "sampled", "runs": 5, "baseline_runs": 7}
    executor = {"kind": "arithmetic", "error_rate": 0.4}
    return build_config(UpliftConfig, {"executor": executor, "plan": plan, "cache": "none", **keys})


@pytest.fixture(scope="module")
def problems() -> tuple[Problem, ...]:
    return load_problems([SAMPLE_DEV], limit=3)


async def one_by_one(problems, how: UpliftConfig, **options):
    async with LiveUplift(how, **options) as live:
        pairs = [(problem, trace.reasoning) for problem in problems for trace in problem.traces]
        results = {(p.problem_id, text): await live.uplift(p, text) for p, text in reversed(pairs)}
        return [results[p.problem_id, text] for p, text in pairs], live.totals()


@pytest.mark.parametrize("plan", [{"kind": "sampled", "runs": 5, "baseline_runs": 7}, {"kind": "adaptive", "runs": 16}])
def test_the_same_as_all_at_once(problems, plan):
    how = config(plan=plan)

    async def at_once():
        verifiers = {"math": make_verifier("math")}
        setup = Setup(make_executor(how.executor), verifiers, how.plan.make(), sampling=how.sampling.make(), seed=18)
        return (await measure(problems, setup)).results

    live, _ = asyncio.run(one_by_one(problems, how))
    expected = asyncio.run(at_once())
    # Which trace of its problem it was, what it is called, and what the others say, nobody knows here.
    unknown = {"trace": 0, "kind": "", "shrunken": None, "rm_score": None, "total": None}
    assert live == [replace(each, **unknown) for each in expected]


def test_few_problems_in_memory_cost_runs_and_change_nothing(problems):
    many, thrifty = asyncio.run(one_by_one(problems, config()))
    assert thrifty.samples_baseline == 7 * len(problems)

    async def alternating():
        async with LiveUplift(config(), problems_kept=1) as live:
            return [await live.uplift(p, p.traces[0].reasoning) for p in (*problems, *problems)], live.totals()

    results, totals = asyncio.run(alternating())
    assert totals.samples_baseline == 2 * 7 * len(problems)
    first = {each.problem_id: each for each in reversed(many)}
    assert results == [first[problem.problem_id] for problem in (*problems, *problems)]


def test_the_cache_is_shared_with_others(problems, tmp_path):
    how = config(cache=str(tmp_path / "baselines.sqlite"))
    first, paid = asyncio.run(one_by_one(problems, how))
    again, free = asyncio.run(one_by_one(problems, how))
    assert first == again
    assert (paid.samples_baseline, free.samples_baseline, free.cache_hits) == (21, 0, 21)


def test_an_attempt_is_none_of_the_runs(problems):
    """With half of the answers wrong, attempts at many problems do not follow the first of their runs."""

    async def attempts():
        exact = config(executor={"kind": "arithmetic", "error_rate": 0.5}, plan={"kind": "sampled", "runs": 1})
        async with LiveUplift(exact) as live:
            pairs = [(p, p.traces[0].reasoning) for p in load_problems([SAMPLE_DEV], limit=40)]
            values = [(await live.attempt(*pair)).value for pair in pairs]
            runs = [(await live.uplift(*pair)).successes for pair in pairs]
            assert values == [(await live.attempt(*pair)).value for pair in pairs]  # the same whenever it comes
            return values, runs

    values, runs = asyncio.run(attempts())
    assert 8 < sum(values) < 32
    assert 8 < sum(value != run for value, run in zip(values, runs, strict=True)) < 32


def test_it_opens_again_after_a_failure(problems, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no database")

    async def twice():
        live = LiveUplift(config(cache=str(blocked)))
        with pytest.raises(Exception, match="file"):
            await live.open()
        blocked.unlink()
        async with live:
            return await live.uplift(problems[0], "1 + 1 = 2")

    assert asyncio.run(twice()).runs == 5


def test_an_unknown_style_is_refused():
    with pytest.raises(ConfigError, match="style 'best'"):
        LiveUplift(config(), style="best")


def test_the_cache_file_is_closed(problems, tmp_path: Path):
    how = config(cache=str(tmp_path / "baselines.sqlite"))
    asyncio.run(one_by_one(problems[:1], how))
    assert [path.name for path in tmp_path.iterdir()] == ["baselines.sqlite"]  # no -wal, no -shm


def test_by_likelihood_it_is_the_difference_of_probabilities(problems):
    """As the batch measures them in nats; a problem's baseline is asked for once, and no run is drawn."""
    how = config(plan={"kind": "likelihood"}, executor={"kind": "transformers", "path": "tiny", "dtype": "float32"})
    few = [replace(problems[0], traces=problems[0].traces[:2])]

    async def at_once():
        executor = make_executor(how.executor)
        try:
            return (await measure(few, Setup(executor, {}, how.plan.make()))).results
        finally:
            await executor.close()

    live, totals = asyncio.run(one_by_one(few, how))
    for found, nats in zip(live, asyncio.run(at_once()), strict=True):
        base, gain = nats.likelihood.baseline_nats, nats.likelihood.value_nats
        assert found.likelihood.value_nats == pytest.approx(gain, abs=1e-4)
        assert found.value == pytest.approx(math.exp(base + gain) - math.exp(base), abs=1e-5)
        assert (found.successes - found.baseline_successes, found.runs, found.baseline_runs) == (found.value, 1, 1)
    assert live[0].value > 0.9  # the sound trace, and an executor that copies its last result
    assert totals.samples == 0
    masked = sum(found.likelihood.leaks > 0 for found in live)
    assert totals.likelihoods == len(live) + masked + 1


def test_by_likelihood_problems_with_other_reference_programs_have_baselines_of_their_own():
    how = config(plan={"kind": "likelihood"}, executor={"kind": "transformers", "path": "tiny", "dtype": "float32"})
    one = Problem("p", "What is 1 + 1 ?", "code", asserts="assert f() == 2", reference_solution="1 + 1 = 2")
    other = replace(one, reference_solution="2 = 1 + 1 . So it is 2 .")

    async def baselines(*asked):
        async with LiveUplift(how) as live:
            return [(await live.uplift(each, "Add both.")).likelihood.baseline_nats for each in asked]

    first, second = asyncio.run(baselines(one, other))
    assert first != second
    assert asyncio.run(baselines(other)) == [pytest.approx(second, abs=1e-4)]


def test_by_likelihood_no_verifier_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no sandbox
    how = config(plan={"kind": "likelihood"}, executor={"kind": "transformers", "path": "tiny", "dtype": "float32"})
    problem = Problem("p", "What is 1 + 1 ?", "code", asserts="assert f() == 2", reference_solution="1 + 1 = 2")

    async def value():
        async with LiveUplift(how) as live:
            return (await live.uplift(problem, "Add both.")).value

    assert asyncio.run(value()) is not None


def test_a_calibration_needs_all_traces_at_once():
    with pytest.raises(ConfigError, match="all traces at once"):
        LiveUplift(config(plan={"kind": "calibrated"}, executor={"kind": "transformers", "path": "tiny"}))
