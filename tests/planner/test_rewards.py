"""Named rewards over a bundle and a server: the formulas of `rm.reward.combine`, from the same parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rm.config import build_config
from rm.errors import ConfigError, RunError
from rm.planner.config import RewardChoice
from rm.planner.data import columns_of, problem_row, training_order
from rm.planner.rewards import Recombined, check_scores, opened, recipe_of
from rm.planner.samples import Intake
from rm.reward.combine import combine
from rm.reward.parts import Parts, RewardResult, UpliftPart
from rm.reward.scorer import TraceLiftReward
from rm.uplift.meter import FailureLimit
from rm.uplift.read import load_problems, parse_problem

Row = dict[str, Any]
PARTS = Parts(end_to_end=1.0, rm=0.8, dimensions={"a": 2.0}, uplift=UpliftPart(0.5, 0.1, 0.9, 3, 4, 1, 4))


class Given:
    """Gives one result for every item."""

    def __init__(self, result: RewardResult) -> None:
        self.result = result

    def score_sync(self, items: Any) -> list[RewardResult]:
        return [self.result for _ in items]

    async def score(self, items: Any) -> list[RewardResult]:
        return self.score_sync(items)

    def close(self) -> None:
        pass


def choice(**keys: Any) -> RewardChoice:
    return build_config(RewardChoice, keys)


@pytest.mark.parametrize(
    ("name", "weights", "reward"),
    [
        ("exec-only", {}, 1.0),
        ("rm-only", {}, 0.8),
        ("uplift-only", {}, 0.5),
        ("tracelift-math-v1", {}, 0.5 + 0.5 * 0.8 * 0.5),
        ("product-v1", {"end_to_end": 1.0}, 0.8 * 0.5 + 0.75),
    ],
)
def test_a_name_picks_a_formula(name, weights, reward):
    recipe = recipe_of(choice(name=name, weights=weights))
    [result] = Recombined(Given(RewardResult(0.1, "f", PARTS, notes=("n",))), recipe).score_sync([{}])
    assert result.reward == pytest.approx(reward)
    assert result.notes == ("n",)
    assert result.parts.rm == 0.8


def test_a_part_that_the_formula_does_not_need_may_be_lost():
    lost = RewardResult(None, "f", Parts(rm=0.8), failures=("uplift: lost: timeout", "end_to_end: lost: timeout"))
    [rm] = Recombined(Given(lost), recipe_of(choice(name="rm-only"))).score_sync([{}])
    assert (rm.reward, rm.failures) == (0.8, ())
    [executed] = Recombined(Given(lost), recipe_of(choice(name="exec-only"))).score_sync([{}])
    assert executed.reward is None
    assert executed.failures == ("end_to_end: lost: timeout",)


@pytest.fixture(scope="module")
def items(taught_groups: list[Row]) -> list[Row]:
    return [
        {
            **{key: group[key] for key in ("problem", "reference_solution", "task_type")},
            "completion": f"<reasoning>{each['reasoning']}</reasoning>",
        }
        for group in taught_groups[:2]
        for each in (group["positive_pool"][0], group["negative_bank"][0])
    ]


@pytest.mark.parametrize("name", ["tracelift", "exec-only", "rm-only", "uplift-only"])
def test_bundle_and_server_give_the_same_rewards(bundle, serve, items, name):
    formula = {"tracelift": "tracelift-math-v1"}.get(name, f"{name}-v1")
    with opened(choice(source=str(bundle), name=name)) as reward:
        here = reward.source.score_sync(items)
        assert reward.formula["name"] == formula
    with serve(TraceLiftReward.from_pretrained(bundle)) as url, opened(choice(source=url, name=name)) as reward:
        served = reward.source.score_sync(items)
    with TraceLiftReward.from_pretrained(bundle) as whole:
        parts = whole.score_sync(items)
    for mine, theirs, all_parts in zip(here, served, parts, strict=True):
        assert mine.reward == pytest.approx(theirs.reward, abs=1e-5)
        assert mine.reward == pytest.approx(combine(formula, all_parts.parts).reward, abs=1e-5)
        assert mine.formula == formula


def test_a_bundle_that_lacks_the_part_is_refused(bundle):
    few = {"formula": "exec-only-v1", "weights": {}}
    with (
        pytest.raises(ConfigError, match=r"rm-only needs rm, which .* \(exec-only-v1\) does not measure"),
        opened(choice(source=str(bundle), name="rm-only", all_parts=True, overrides=few)),
    ):
        pass


def test_a_first_completion_without_a_reward_is_an_error():
    class Open:
        source = Given(RewardResult(None, "f", Parts(), failures=("rm: out of memory",)))

    with pytest.raises(RunError, match="no reward could be measured for a first completion: rm: out of memory"):
        check_scores(Open(), {})  # type: ignore[arg-type]


def test_too_much_that_is_not_measured_stops_with_the_reasons():
    intake = Intake(FailureLimit(rate=0.5, window=4, least=4))
    lost = RewardResult(None, "f", Parts(), failures=("uplift: lost: connection",))
    found = RewardResult(0.5, "f", Parts())
    intake.add([{}] * 3, [lost, found, lost])
    with pytest.raises(RunError, match=r"3 of the last 4 rewards could not be measured.*3 uplift: lost: connection"):
        intake.add([{}], [lost])
    assert len(intake.take()) == 4
    assert intake.take() == []


def test_rows_of_every_form_are_carried_whole(write, taught_groups: list[Row]):
    io = [{"input": "1", "output": "2"}]
    files = [
        write({"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}, name="gsm.jsonl"),
        write(
            {"problem_id": "p", "problem": "Double.", "tests": io, "traces": ["x"], "metadata": {"a": [1]}},
            name="io.jsonl",
        ),
        write(taught_groups[0], name="group.jsonl"),
        write(
            {"problem_id": "o", "problem": "Twice.", "task_type": "code", "tests": [{"input": "", "output": "0"}]},
            name="c.jsonl",
        ),
        write(
            {
                "problem_id": "o",
                "oracle_source": "print(0)",
                "tests": [
                    {"input": "5", "output": "10", "source": "x", "is_feedback_test": False, "is_reward_test": True}
                ],
            },
            name="oracle.jsonl",
        ),
    ]
    problems = load_problems(files, traces="none")
    rows = [problem_row(problem) for problem in problems]
    again = [json.loads(json.dumps(row)) for row in rows]
    for problem, row in zip(problems, again, strict=True):
        read, wrong = parse_problem(row, "row")
        assert not wrong
        assert (read.problem, read.answer, read.io_tests, read.asserts) == (
            problem.problem,
            problem.answer,
            problem.io_tests,
            problem.asserts,
        )
        assert not {"traces", "positive_pool", "negative_bank"} & row.keys()
    assert rows[1]["metadata"] == {"a": [1]}
    assert rows[3]["tests"] == [{"input": "5", "output": "10"}]
    columns = columns_of([json.dumps(row) for row in rows])
    assert columns["metadata"][0] is None
    assert columns["problem"] == [problem.problem for problem in problems]


def test_the_order_passes_over_all_problems_again_and_again():
    order = training_order(5, 12, seed=3)
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert order[:5] != order[5:10]
    assert training_order(5, 20, seed=3)[:12] == order
    assert training_order(5, 12, seed=4) != order


def test_places_are_those_of_the_files(problems: Path):
    assert [problem.line for problem in load_problems(str(problems))] == [1, 2, 3, 4]
