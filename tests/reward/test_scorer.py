"""The facade with a real reward model and real executors: parts, sharing, failures, loops and threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rm.errors import ConfigError, DataError, RunError
from rm.reward.scorer import TraceLiftReward


def same(one, other, tolerance=1e-5):
    """Equal in all that the executor did, and to a tolerance in what the reward model says."""
    plain = [replace(each, reward=0.0, terms={}, parts=replace(each.parts, rm=0.0, dimensions=None)) for each in one]
    other_plain = [
        replace(each, reward=0.0, terms={}, parts=replace(each.parts, rm=0.0, dimensions=None)) for each in other
    ]
    assert plain == other_plain
    assert [each.reward for each in one] == pytest.approx([each.reward for each in other], abs=tolerance)
    assert [each.parts.rm for each in one] == pytest.approx([each.parts.rm for each in other], abs=tolerance)


def test_a_reward_is_the_sum_of_its_visible_parts(reward, judge, items):
    rows = items(2)
    results = reward().score_sync(rows)
    traces = [row["completion"].removeprefix("<reasoning>\n").removesuffix("\n</reasoning>") for row in rows]
    scored = judge.score([{**row, "reasoning": trace} for row, trace in zip(rows, traces, strict=True)])
    for result, said in zip(results, scored, strict=True):
        parts = result.parts
        assert (result.formula, result.failures) == ("tracelift-math-v1", ())
        assert parts.rm == pytest.approx(said["score"], abs=1e-5)
        assert parts.dimensions == pytest.approx(said["dimensions"], abs=1e-4)
        assert (parts.uplift.runs, parts.uplift.baseline_runs) == (4, 6)
        assert parts.coefficient == parts.uplift.value
        assert parts.end_to_end in (0.0, 1.0)
        assert result.reward == pytest.approx(0.5 * parts.end_to_end + 0.5 * parts.rm * parts.uplift.value)


def test_what_helps_earns_more_than_what_does_not(reward, items):
    row = items(1)[0]
    rows = [row, {**row, "completion": "I do not know how."}]
    helps, idle = reward(uplift={"executor": {"kind": "arithmetic"}}).score_sync(rows)
    assert (helps.parts.uplift.value, idle.parts.uplift.value) == (1.0, 0.0)
    assert (helps.parts.end_to_end, idle.reward) == (1.0, 0.0)
    assert helps.reward > 0.5


def test_the_baseline_is_measured_once_a_problem_for_all_calls(reward, items):
    rewards = reward()
    rows = items(3)
    problems = {row["problem"] for row in rows}
    rewards.score_sync(rows[:-1])
    rewards.score_sync(rows[-1:])
    totals = rewards.stats().executor
    assert totals.samples_baseline == 6 * len(problems)
    assert totals.samples_with_trace == (4 + 1) * len(rows)  # one run for end_to_end


def test_calls_at_the_same_time_share_a_baseline(reward, items):
    rewards = reward()

    async def one_by_one():
        return await asyncio.gather(*(rewards.score([row]) for row in items(1)))

    asyncio.run(one_by_one())
    assert rewards.stats().executor.samples_baseline == 6


def test_neither_batch_nor_order_nor_loop_nor_thread_makes_a_difference(reward, items):
    rows = items(3)
    expected = reward().score_sync(rows)
    rewards = reward()

    async def apart():
        back = [(await rewards.score([row]))[0] for row in reversed(rows)]
        within = rewards.score_sync(rows)  # in a running loop
        return back[::-1], within

    back, within = asyncio.run(apart())
    same(back, expected)
    same(within, expected)
    same(asyncio.run(rewards.score(rows)), expected)  # another loop
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(rewards.score_sync, [rows] * 4):
            same(found, expected)


def test_equal_completions_are_computed_once(reward, items):
    rewards = reward()
    row = items(1)[0]
    one, other = rewards.score_sync([row, {**row, "problem_id": "another"}])
    assert one is other
    assert (rewards.stats().items, rewards.stats().computed) == (2, 1)


def test_reward_model_and_executor_are_at_work_at_the_same_time(reward, items, server, judge, monkeypatch):
    """Each waits for the other to have begun: one after the other, neither would end."""
    server.gate.clear()
    asked = threading.Event()
    server.write = lambda prompt, seed: asked.set() or str(seed)
    plainly = type(judge).score_checked

    def score_checked(self, rows):
        server.gate.set()
        assert asked.wait(20)
        return plainly(self, rows)

    monkeypatch.setattr(type(judge), "score_checked", score_checked)
    rewards = reward(uplift={"executor": server.executor(probe=False)})
    assert all(result.reward is not None for result in rewards.score_sync(items(1)))


def test_a_lost_call_is_none_with_its_reason_and_measured_when_it_comes_back(reward, items, server):
    rewards = reward(uplift={"executor": server.executor(probe=False), "attempts": 1})
    server.fault = 503
    for result in rewards.score_sync(items(1)):
        assert (result.reward, result.parts.uplift.value, result.parts.end_to_end) == (None, None, None)
        assert result.parts.rm is not None
        assert {"end_to_end: lost: http 503", "uplift: lost: http 503", "uplift: baseline lost: http 503"} == set(
            result.failures
        )
    assert rewards.stats().unmeasured == len(items(1))
    server.fault = 0
    assert all(result.failures == () for result in rewards.score_sync(items(1)))


def test_a_server_gives_the_same_rewards_as_the_same_executor_here(reward, items, server):
    exact = {"kind": "arithmetic", "error_rate": 0.0}
    here = reward(uplift={"executor": exact}).score_sync(items(2))
    same(reward(uplift={"executor": server.executor()}).score_sync(items(2)), here)


def test_too_many_unmeasured_rewards_stop_the_run(reward, items, server):
    limits = {"failure_rate": 0.5, "window": 10, "least": 4}
    rewards = reward(uplift={"executor": server.executor(probe=False), "attempts": 1}, limits=limits)
    rewards.score_sync(items(1)[:3])
    server.fault = 503
    with pytest.raises(RunError, match=r"4 of the last 7 rewards could not be measured, .*lost: http 503"):
        rewards.score_sync(items(1, first=1)[:4])


def test_what_takes_too_long_is_not_measured(reward, items, server):
    server.gate.clear()
    rewards = reward(uplift={"executor": server.executor(probe=False)}, limits={"timeout_s": 0.3})
    [result] = rewards.score_sync(items(1)[:1])
    assert result.failures == ("end_to_end: no result within 0.3 s", "uplift: no result within 0.3 s")


def test_a_reward_model_that_fails_on_one_row_loses_that_row(reward, items, judge, monkeypatch):
    rows = items(1)
    plainly = type(judge).score_checked

    def score_checked(self, given):
        if any(f"<reasoning>\n{row['reasoning']}\n</reasoning>" == rows[1]["completion"] for row in given):
            raise RuntimeError("out of memory")
        return plainly(self, given)

    monkeypatch.setattr(type(judge), "score_checked", score_checked)
    results = reward().score_sync(rows)
    assert results[1].failures == ("rm: RuntimeError: out of memory",)
    assert [result.reward is None for result in results] == [index == 1 for index in range(len(rows))]


def test_an_executor_that_is_down_at_the_start_says_so_and_may_come_later(reward, items, server):
    server.fault = 503
    rewards = reward(uplift={"executor": server.executor()})
    with pytest.raises(RunError):
        rewards.start_sync()
    server.fault = 0
    rewards.start_sync()
    rewards.check_sync()
    server.fault = 503
    with pytest.raises(RunError, match="no completion: http 503"):
        rewards.check_sync()


def test_unusual_completions_are_noted(reward, items):
    row = items(1)[0]
    trace = row["completion"].removeprefix("<reasoning>").removesuffix("</reasoning>")
    forms = [row["completion"], trace, f"<reasoning>{trace}", f"{trace}</reasoning> 3"]
    exact = {"executor": {"kind": "arithmetic", "error_rate": 0.0}}  # a slip would be noted, too
    results = reward(uplift=exact).score_sync([{**row, "completion": form} for form in forms])
    assert len({result.reward for result in results}) == 1  # the trace is the same
    assert results[0].notes == ()
    assert [len(result.notes) for result in results[1:]] == [1, 1, 1]


def test_an_empty_trace_is_an_attempt_that_the_reward_model_rates_lowest(reward, items):
    [result] = reward().score_sync([{**items(1)[0], "completion": "<reasoning></reasoning> 12"}])
    assert (result.parts.rm, result.failures) == (0.0, ())
    assert set(result.parts.dimensions.values()) == {0.0}
    assert result.reward == 0.5 * result.parts.end_to_end


def test_a_trace_too_long_for_the_reward_model(reward, items, model_dir):
    from rm.reward.judge import RewardScorer

    short = RewardScorer.from_pretrained(model_dir, dtype="float32", max_length=120)
    row = {**items(1)[0], "completion": "1 + 1 = 2 " * 100}
    for overlong, rm in (("lowest", 0.0), ("none", None)):
        config = reward(overlong=overlong).config
        with TraceLiftReward(config, short) as rewards:
            [result] = rewards.score_sync([row])
        assert result.parts.rm == rm
        assert (result.reward is None) == (rm is None)
        assert any("too long" in line for line in (*result.failures, *result.notes))


def test_only_what_the_formula_needs_is_measured(reward, items):
    rows = items(1)
    rm_only = reward(formula="rm-only-v1")
    found = rm_only.score_sync([{"problem": row["problem"], "completion": row["completion"]} for row in rows])
    assert all(result.reward == result.parts.rm and result.parts.uplift is None for result in found)
    assert rm_only.stats().executor is None
    exec_only = reward(formula="exec-only-v1", with_judge=False)
    assert all(result.parts.rm is None and result.reward in (0.0, 1.0) for result in exec_only.score_sync(rows))
    assert exec_only.stats().executor.samples_baseline == 0
    with pytest.raises(ConfigError, match="needs a reward model"):
        reward(with_judge=False)


def test_the_official_plan(reward, items):
    [result] = reward(uplift={"plan": {"kind": "official"}}).score_sync(items(1)[:1])
    assert (result.parts.uplift.runs, result.parts.uplift.baseline_runs) == (3, 3)


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"completion": None}, "completion", "text"),
        ({"completion": ["a"]}, "completion", "text"),
        ({"problem": " "}, "problem", "text that is not blank"),
        ({"reference_solution": ""}, "reference_solution", "a reference answer"),
        ({"task_type": 3}, "task_type", "text"),
        ({"completion": "\ud800"}, "completion", "UTF-8"),
        ({"task_type": "code", "tests": []}, "tests", "assertions"),
    ],
)
def test_an_item_that_cannot_be_rewarded_is_named(reward, items, change, field, expected):
    good, bad = items(1)[0], {**items(1)[1], **change}
    with pytest.raises(DataError) as error:
        reward().score_sync([good, bad, "no object"])
    first, second = error.value.problems
    assert (first.file, first.field, second.file) == ("items[1]", field, "items[2]")
    assert expected in f"{first.expected} {first.fix}" or expected in str(first)


def test_nothing_to_score_is_fine(reward):
    assert reward().score_sync([]) == []


def test_closed_it_may_be_used_again(reward, items):
    rewards = reward()
    first = rewards.score_sync(items(1))
    rewards.close()
    rewards.close()
    same(rewards.score_sync(items(1)), first)


def test_it_is_a_context_manager_of_both_kinds(reward, items):
    async def within():
        async with reward() as rewards:
            return await rewards.score(items(1))

    with reward() as rewards:
        same(rewards.score_sync(items(1)), asyncio.run(within()))


def test_a_caller_that_goes_away_ends_its_work(reward, items, server):
    server.gate.clear()
    rewards = reward(uplift={"executor": server.executor(probe=False)})

    async def hang_up():
        task = asyncio.create_task(rewards.score(items(1)))
        while not server.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hang_up())
    server.gate.set()
    assert all(result.reward is not None for result in rewards.score_sync(items(1)))


def test_the_reward_model_alone(reward, items):
    row = items(1)[0]
    rewards = reward()
    [said] = rewards.score_rows([{"problem": row["problem"], "reasoning": "1 + 1 = 2"}])
    assert set(said) == {"score", "dimensions"}
    with pytest.raises(RunError, match="no reward model"):
        reward(formula="exec-only-v1", with_judge=False).score_rows([])
