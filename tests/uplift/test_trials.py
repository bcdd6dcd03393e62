"""All runs of a batch: counts, seeds, losses, overlap, and when to stop."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import pytest

from rm.errors import ConfigError, RunError
from rm.uplift.cache import BaselineCache
from rm.uplift.estimate import Adaptive, Sampled
from rm.uplift.executors.arithmetic import ArithmeticExecutor
from rm.uplift.executors.base import PROMPT_TOO_LONG, Completion, Executor, Lost, Sampling
from rm.uplift.meter import FailureLimit
from rm.uplift.problems import Problem, Trace
from rm.uplift.runs import LONGEST_PROMPT
from rm.uplift.setup import Setup
from rm.uplift.trials import GREEDY, TrialLimits, measure
from rm.uplift.verifiers.base import Verdict
from rm.uplift.verifiers.exact import ExactVerifier

FEW = Sampled(4, 8)
NEVER = FailureLimit(rate=1.0)


class Scripted(Executor):
    """Gives the same answer every time: a completion, or a loss."""

    fingerprint = "scripted"

    def __init__(self, answer):
        self.answer = answer
        self.calls = 0

    async def sample(self, prompt, n, sampling, seed):
        self.calls += n
        return [self.answer] * n


class Throws:
    version = "throws"

    def __init__(self, error):
        self.error = error

    async def verify(self, completion, problem):
        raise self.error


def run(problems, executor, verifier, plan=FEW, **options):
    setup_options = {name: options.pop(name) for name in ("seed", "partial", "sampling") if name in options}
    return asyncio.run(measure(problems, Setup(executor, {"math": verifier}, plan, **setup_options), **options))


def comparable(measurement):
    return [replace(result, samples=0, failures={}, baseline_failures={}) for result in measurement.results]


def test_a_real_executor_and_verifier_find_that_the_right_trace_helps():
    problem = Problem(
        "p",
        "Ann has 3 bags of 4 apples and eats 2. How many are left?",
        "math",
        answer="10",
        traces=(Trace("3 * 4 = 12, then 12 - 2 = 10.", "positive"), Trace("3 * 4 = 12, then 12 + 2 = 14.", "sign")),
    )
    right, wrong = run([problem], ArithmeticExecutor(), ExactVerifier()).results
    assert (right.value, right.successes, right.runs, right.baseline_successes, right.baseline_runs) == (1, 4, 4, 0, 8)
    assert right.low > 0
    assert (wrong.value, wrong.kind, wrong.failed_runs) == (0, "sign", {"wrong answer": 4})


def test_counts_reach_their_numbers_and_the_baseline_is_measured_once_a_problem(simulated):
    executor = simulated.Simulated()
    measurement = run(simulated.problems(5), executor, simulated.Says())
    assert {(each.runs, each.baseline_runs) for each in measurement.results} == {(4, 8)}
    assert [(each.problem_id, each.trace) for each in measurement.results] == [
        (f"p{i}", k) for i in range(5) for k in range(3)
    ]
    totals = measurement.totals
    assert (totals.samples_with_trace, totals.samples_baseline, totals.samples) == (5 * 3 * 4, 5 * 8, 100)
    assert totals.calls == 5 * (3 + 1)  # 8 completions a call
    assert len(executor.asked) == len(set(executor.asked)) == 100


class Short(Scripted):
    """Has no room for prompts of more characters."""

    async def sample(self, prompt, n, sampling, seed):
        self.calls += n
        return [self.answer if len(prompt.user) < 2000 else Lost(PROMPT_TOO_LONG)] * n


@pytest.mark.parametrize("length", [3000, LONGEST_PROMPT])
def test_a_trace_that_leaves_no_room_is_a_failed_attempt(length):
    executor = Short(Completion("10"))
    traces = (Trace("10"), Trace("x" * length))
    problem = Problem("p", "3 + 7?", "math", answer="10", traces=traces)
    fair, monstrous = run([problem], executor, ExactVerifier()).results
    assert (fair.successes, fair.value) == (4, 0)
    assert (monstrous.successes, monstrous.runs, monstrous.value, monstrous.failures) == (0, 4, -1, {})
    assert monstrous.failed_runs == {PROMPT_TOO_LONG: 4}
    assert executor.calls == 8 + 4 + (4 if length < LONGEST_PROMPT else 0)


def test_a_problem_that_leaves_no_room_is_not_measured():
    problem = Problem("p", "x" * 3000, "math", answer="10", traces=(Trace("10"),))
    [result] = run([problem], Short(Completion("10")), ExactVerifier(), limits=TrialLimits(failures=NEVER)).results
    assert result.value is None
    assert set(result.baseline_failures) == {f"lost: {PROMPT_TOO_LONG}"}


def test_every_run_of_an_arm_has_a_seed_of_its_own_and_arms_differ(simulated):
    executor = simulated.Simulated()
    run(simulated.problems(2, ["good", "bad"]), executor, simulated.Says(), limits=TrialLimits(samples_per_call=1))
    assert len({seed for _, seed in executor.asked}) == 2 * (2 * 4 + 8)


def test_the_seed_decides_and_order_concurrency_and_call_size_do_not(simulated):
    problems = simulated.problems(6)

    def results(order=problems, slots=1000, seed=0, **limits):
        executor = simulated.Simulated(slots=slots)
        found = run(order, executor, simulated.Says(), seed=seed, limits=TrialLimits(**limits))
        return {(each.problem_id, each.trace): each for each in found.results}

    expected = results()
    assert results(order=problems[::-1]) == expected
    assert results(slots=1, verifications=1, traces_at_once=1) == expected
    assert results(samples_per_call=1) == expected
    assert results(seed=1) != expected


def test_an_adaptive_plan_spends_less_on_clear_cases_and_depends_on_no_order_either(simulated, tmp_path):
    problems = simulated.problems(6, ["good", "idle"])
    plan = Adaptive(looks=(4, 8, 16, 32), baseline_runs=8)

    def results(order=problems, **limits):
        found = run(order, simulated.Simulated(), simulated.Says(), plan, limits=TrialLimits(**limits))
        return {(each.problem_id, each.trace): each for each in found.results}

    expected = results()
    runs = {kind: [each.runs for each in expected.values() if each.kind == kind] for kind in ("positive", "idle")}
    assert sum(runs["positive"]) < sum(runs["idle"]) <= 6 * 32
    assert {each.method for each in expected.values()} == {"adaptive"}
    assert results(order=problems[::-1], traces_at_once=2) == expected
    with BaselineCache(tmp_path / "cache.sqlite") as cache:
        cold = run(problems, simulated.Simulated(), simulated.Says(), plan, cache=cache)
        warm = run(problems, simulated.Simulated(), simulated.Says(), plan, cache=cache)
    assert list(expected.values()) == list(cold.results) == list(warm.results)
    assert warm.totals.samples_baseline == 0


def test_losses_at_random_change_the_cost_and_nothing_else(simulated):
    problems = simulated.problems(20)
    whole = run(problems, simulated.Simulated(), simulated.Says())
    lossy = run(problems, simulated.Simulated(lost=0.3), simulated.Says())
    assert comparable(lossy) == comparable(whole)
    assert lossy.totals.lost["http 503"] == lossy.totals.samples - whole.totals.samples
    assert lossy.totals.samples == pytest.approx(whole.totals.samples / 0.7, rel=0.15)


def test_losses_for_good_leave_the_expectation_at_the_truth(simulated):
    """No second attempt here: runs are lost for good, the plan asks for others, and the mean stays at the truth."""
    problems = simulated.problems(150)
    limits = TrialLimits(attempts=1, failures=NEVER)
    found = run(problems, simulated.Simulated(lost=0.3), simulated.Says(), limits=limits)
    for kind, truth in (("positive", 0.5), ("bad", -0.15), ("idle", 0.0)):
        values = [each.value for each in found.results if each.kind == kind]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((each - mean) ** 2 for each in values) / len(values) ** 2)
        assert mean == pytest.approx(truth, abs=4 * spread), kind
        assert spread < 0.03
    assert sum(each.runs == 4 for each in found.results) > 0.9 * len(found.results)
    assert all(each.failures.keys() <= {"lost: http 503"} for each in found.results)


def test_the_calls_of_a_batch_are_open_at_once_and_verdicts_run_beside_them(simulated):
    executor, verifier = simulated.Simulated(seconds=0.05, slots=16), simulated.Says(seconds=0.05)
    limits = TrialLimits(samples_per_call=1, verifications=16)
    totals = run(simulated.problems(6), executor, verifier, limits=limits).totals
    assert executor.most_at_once == 16
    assert verifier.most_at_once == 16
    assert (
        totals.executor_busy_seconds + totals.verifier_busy_seconds > 1.2 * totals.seconds
    )  # 1 at most without overlap
    assert totals.executor_seconds > 8 * totals.executor_busy_seconds
    one_after_another = 120 * 0.1
    assert totals.seconds < one_after_another / 6


def test_verdicts_at_once_are_limited(simulated):
    verifier = simulated.Says(seconds=0.002)
    run(simulated.problems(4), simulated.Simulated(), verifier, limits=TrialLimits(verifications=3))
    assert verifier.most_at_once == 3


@pytest.mark.parametrize(
    ("completion", "reason"),
    [(Completion(" \n"), "empty completion"), (Completion("right", finished=False), "cut off")],
)
def test_empty_and_cut_off_completions_are_failed_attempts(simulated, completion, reason):
    verifier = simulated.Says()
    [result] = run(simulated.problems(1, ["good"]), Scripted(completion), verifier).results
    assert (result.value, result.successes, result.runs, result.failed_runs) == (0, 0, 4, {reason: 4})
    assert result.baseline_failed_runs == {reason: 8}
    assert verifier.judged == 0


def test_what_cannot_be_judged_counts_in_neither_direction(simulated):
    executor = Scripted(Completion("right"))
    [result] = run(
        simulated.problems(1, ["good"]),
        executor,
        Throws(KeyError("tests")),
        limits=TrialLimits(failures=NEVER),
    ).results
    assert (result.value, result.runs, result.baseline_runs) == (None, 0, 0)
    assert result.failures == {"unjudged: verifier raised KeyError": 8}
    assert result.samples == 4  # a completion is judged twice, not drawn again
    assert result.notes == ("no judged runs with the trace",)


def test_an_error_meant_for_the_user_ends_the_measurement_as_it_is(simulated):
    with pytest.raises(ConfigError, match="no bubblewrap"):
        run(simulated.problems(2), simulated.Simulated(), Throws(ConfigError("no bubblewrap")))


def test_lost_calls_are_asked_for_again_up_to_a_bound(simulated):
    executor = Scripted(Lost("timeout"))
    limits = TrialLimits(attempts=3, failures=NEVER)
    [result] = run(simulated.problems(1, ["good"]), executor, simulated.Says(), limits=limits).results
    assert (result.value, result.low, result.high, result.runs) == (None, None, None, 0)
    assert result.failures == {"lost: timeout": 12}
    assert result.baseline_failures == {"lost: timeout": 24}
    assert executor.calls == (4 + 8) * 3


def test_too_many_losses_stop_the_measurement_and_say_why(simulated, tmp_path):
    executor = simulated.Simulated(lost=0.8, slots=4)
    out = tmp_path / "uplift.jsonl"
    with pytest.raises(RunError, match=r"of the last \d+ completions were lost.* http 503 \(the server is busy\)"):
        run(simulated.problems(50), executor, simulated.Says(), out=out)
    assert len(executor.asked) < 500
    assert not out.exists()
    resumed = run(simulated.problems(50), simulated.Simulated(), simulated.Says(), out=out)
    assert resumed.totals.resumed_runs > 0
    assert resumed.totals.samples + resumed.totals.resumed_runs == 50 * (3 * 4 + 8)
    assert comparable(resumed) == comparable(run(simulated.problems(50), simulated.Simulated(), simulated.Says()))


def test_a_few_losses_early_do_not_stop_it(simulated):
    limits = TrialLimits(attempts=1, failures=FailureLimit(least=50))
    run(simulated.problems(1, ["good"]), Scripted(Lost("timeout")), simulated.Says(), limits=limits)


def test_a_problem_without_traces_gets_its_baseline(simulated):
    [result] = run(simulated.problems(1, []), simulated.Simulated(), simulated.Says()).results
    assert (result.trace, result.kind, result.value, result.runs, result.baseline_runs) == (
        None,
        "baseline",
        None,
        0,
        8,
    )


def test_greedy_samples_are_one_sample(simulated):
    executor = simulated.Simulated()
    sampling = Sampling(temperature=0.0)
    [result] = run(simulated.problems(1, ["good"]), executor, simulated.Says(), sampling=sampling).results
    assert (result.runs, result.baseline_runs, len(executor.asked)) == (1, 1, 2)
    assert GREEDY in result.notes


def test_partial_scores_are_successes_where_asked_for(simulated):
    problems = simulated.problems(1, ["good"])
    [whole] = run(problems, Scripted(Completion("half")), simulated.Says()).results
    [partial] = run(problems, Scripted(Completion("half")), simulated.Says(), partial=True).results
    assert (whole.successes, whole.score_mean, whole.baseline_score_mean) == (0, 0.5, 0.5)
    assert (partial.successes, partial.runs, partial.baseline_successes) == (2, 4, 4)
    assert partial.failed_runs == {"failed test": 4}


def test_a_warm_cache_saves_the_baseline_and_changes_nothing(simulated, tmp_path):
    problems = simulated.problems(3)
    alone = run(problems, simulated.Simulated(), simulated.Says())
    with BaselineCache(tmp_path / "cache.sqlite") as cache:
        cold = run(problems, simulated.Simulated(), simulated.Says(), cache=cache)
        warm = run(problems, simulated.Simulated(), simulated.Says(), cache=cache)
        more = run(problems, simulated.Simulated(), simulated.Says(), Sampled(4, 12), cache=cache)
        again = run(problems, simulated.Simulated(), simulated.Says(), cache=cache)
    assert alone.results == cold.results == warm.results == again.results
    assert (cold.totals.samples_baseline, warm.totals.samples_baseline, warm.totals.cache_hits) == (24, 0, 24)
    assert (more.totals.samples_baseline, more.totals.cache_hits) == (12, 24)
    assert {each.baseline_runs for each in more.results} == {12}


@pytest.mark.parametrize("change", ["executor", "verifier", "sampling", "answer"])
def test_what_could_change_a_baseline_has_one_of_its_own(simulated, tmp_path, change):
    executor, verifier, sampling = simulated.Simulated(), simulated.Says(), Sampling()
    problems = simulated.problems(1)
    with BaselineCache(tmp_path / "cache.sqlite") as cache:
        run(problems, executor, verifier, cache=cache)
        match change:
            case "executor":
                executor.fingerprint = "another"
            case "verifier":
                verifier.version = "another"
            case "sampling":
                sampling = Sampling(top_p=0.9)
            case "answer":
                problems = [replace(problems[0], answer="12")]
        assert run(problems, executor, verifier, sampling=sampling, cache=cache).totals.cache_hits == 0


def test_results_are_written_in_the_order_of_the_input(simulated, tmp_path):
    out = tmp_path / "uplift.jsonl"
    measurement = run(simulated.problems(3), simulated.Simulated(), simulated.Says(), out=out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["problem_id"], row["trace"]) for row in rows] == [(f"p{i}", k) for i in range(3) for k in range(3)]
    assert [row["value"] for row in rows] == [each.value for each in measurement.results]
    assert [path.name for path in tmp_path.iterdir()] == ["uplift.jsonl"]
    with pytest.raises(ConfigError, match="exists already"):
        run(simulated.problems(3), simulated.Simulated(), simulated.Says(), out=out)


def test_progress_is_told(simulated):
    told = []
    run(simulated.problems(2), simulated.Simulated(), simulated.Says(), on_progress=told.append)
    assert (told[-1].done, told[-1].of, told[-1].totals.samples) == (6, 6, 40)
    assert told[0].done == 0


def test_two_measurements_at_once_share_the_baselines(simulated, tmp_path):
    """Two caches on one file, as two processes have them: each run is made by one and read by the other."""
    problems = simulated.problems(4, ["good"])
    executors = simulated.Simulated(seconds=0.02), simulated.Simulated(seconds=0.02)

    async def both(*caches):
        setups = [Setup(executor, {"math": simulated.Says()}, FEW) for executor in executors]
        return await asyncio.gather(
            *(measure(problems, setup, cache=cache) for setup, cache in zip(setups, caches, strict=True))
        )

    path = tmp_path / "cache.sqlite"
    with BaselineCache(path) as one, BaselineCache(path) as other:
        found = asyncio.run(both(one, other))
    assert found[0].results == found[1].results
    assert sum(each.totals.samples_baseline for each in found) == sum(each.totals.cache_hits for each in found) == 32


def test_a_baseline_that_another_gives_up_is_taken_over(simulated, tmp_path):
    problems = simulated.problems(1, ["good"])
    path = tmp_path / "cache.sqlite"
    limits = TrialLimits(attempts=1, failures=NEVER)
    with BaselineCache(path) as one, BaselineCache(path) as other:
        run(problems, Scripted(Lost("timeout")), simulated.Says(), cache=one, limits=limits)
        scripted = run(problems, Scripted(Completion("right")), simulated.Says(), cache=other, limits=limits)
    assert scripted.totals.samples_baseline == 8


def test_each_task_has_its_verifier_and_none_goes_without(simulated):
    math, code = simulated.Says(), simulated.Says()
    problems = simulated.problems(2)
    problems[1] = replace(problems[1], task="code")
    asyncio.run(measure(problems, Setup(simulated.Simulated(), {"math": math, "code": code}, FEW)))
    assert (math.judged, code.judged) == (20, 20)
    with pytest.raises(ValueError, match="code"):
        asyncio.run(measure(problems, Setup(simulated.Simulated(), {"math": math}, FEW)))


def test_two_problems_of_one_id_are_refused(simulated):
    with pytest.raises(ValueError, match="distinct"):
        run(simulated.problems(1) * 2, simulated.Simulated(), simulated.Says())


def test_verdicts_are_asked_twice_before_a_run_is_given_up(simulated):
    class Flaky(simulated.Says):
        async def verify(self, completion, problem):
            self.judged += 1
            return Verdict.unjudged("dead worker") if self.judged % 2 else Verdict.passed()

    limits = TrialLimits(verifications=1, samples_per_call=1, failures=NEVER)
    [result] = run(simulated.problems(1, ["good"]), simulated.Simulated(), Flaky(), limits=limits).results
    assert result.runs + result.baseline_runs > 0
    assert "unjudged: dead worker" in {*result.failures, *result.baseline_failures}
