"""The experiment's table and sentences follow from the figures, whichever way they fall."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rm.errors import ConfigError
from rm.lab.arms import ARMS, BASE, FEW_SEEDS, JUDGES, MANY_SEEDS, RUNS, chosen_runs
from rm.lab.outcome import MEASURES, compare_arms, findings, format_results, result_of, table_json
from rm.losses import LOSSES
from rm.planner.rewards import NAMES
from rm.reward.combine import Options, Recipe, formula_of

PROBLEMS = 20


def rows(rng, **means):
    """Two traces of each problem, around these means."""
    told = {**dict.fromkeys(MEASURES, 0.5), "tokens": 30.0, **means}
    return [
        {"problem": problem, **{name: told[name] + 0.02 * rng.standard_normal() for name in MEASURES}}
        for problem in range(PROBLEMS)
        for _ in range(2)
    ]


def results(seeds=3, **arms):
    rng = np.random.default_rng(0)
    made = {BASE: result_of(BASE, {0: rows(rng)})}
    for arm, means in arms.items():
        name = arm.replace("_", "-")
        made[name] = result_of(name, {seed: rows(rng, **means) for seed in range(seeds)})
    return made


def told(found, start):
    return next(finding for finding in findings(found) if finding.text.startswith(start))


def test_a_result_holds_a_mean_a_run_and_problem():
    some = [{"problem": problem, **dict.fromkeys(MEASURES, value)} for problem, value in ((1, 1.0), (0, 0.0), (1, 0.5))]
    made = result_of("tracelift", {2: some})
    assert made.values["reader"].tolist() == [[0.0, 0.75]]
    assert made.seeds == (2,)


def test_what_was_not_measured_is_left_out_and_a_problem_without_anything_is_an_error():
    some = [{"problem": 0, **dict.fromkeys(MEASURES, value)} for value in (1.0, 1.0)]
    some[0]["reader"] = None
    assert result_of("sum", {0: some}).values["reader"].tolist() == [[1.0]]
    some[1]["reader"] = None
    with pytest.raises(ValueError, match="reader was not measured"):
        result_of("sum", {0: some})


def test_a_better_arm_is_called_better_and_a_worse_one_worse():
    better = told(results(exec_only={}, tracelift={"soundness": 0.8, "reader": 0.6}), "tracelift against exec-only")
    worse = told(results(exec_only={}, tracelift={"soundness": 0.3, "reader": 0.4}), "tracelift against exec-only")
    assert (better.bodes, worse.bodes) == ("well", "ill")
    assert "sound steps +" in better.text
    assert "sound steps -" in worse.text


def test_arms_alike_show_no_difference():
    alike = told(results(exec_only={}, tracelift={}), "tracelift against exec-only:")
    assert alike.text.count("shows no difference") == 4
    assert alike.bodes == "neutral"


def test_a_judge_that_is_pleased_while_the_truth_falls_is_told():
    hacked = told(results(exec_only={}, rm_only={"rm": 0.9, "soundness": 0.2}), "rm-only since the start")
    assert "score rose while the soundness of steps fell" in hacked.text
    assert hacked.bodes == "ill"
    assert "no sign" in told(results(exec_only={"soundness": 0.6, "rm": 0.6}), "exec-only since").text
    assert "not shown to be sounder" in told(results(exec_only={"reader": 0.9}), "exec-only since").text
    assert "no sign" in told(results(exec_only={"reader": 0.9, "soundness": 0.9}), "exec-only since").text
    longer = told(results(exec_only={"tokens": 60.0, "soundness": 0.9}), "exec-only since")
    assert "100% longer" in longer.text
    assert "more traces skip steps" in told(results(exec_only={"skips": 0.9}), "exec-only since").text
    assert "state an answer" in told(results(exec_only={"leaks": 0.9}), "exec-only since").text


def test_one_seed_is_called_too_few():
    assert "too narrow" in told(results(seeds=1, exec_only={}, tracelift={}), "One seed each").text
    assert not [each for each in findings(results(exec_only={})) if "One seed" in each.text]


def test_the_table_stands_in_json_and_on_the_terminal():
    made = results(exec_only={}, tracelift={"reader": 0.7})
    tabled = table_json(made)
    json.dumps(tabled, allow_nan=False)
    assert tabled["tracelift"]["reader"]["minus_exec-only"][0] == pytest.approx(0.2, abs=0.02)
    assert tabled["exec-only"]["reader"]["minus_exec-only"] is None
    assert tabled[BASE]["reader"]["interval"] is None
    assert len(tabled["tracelift"]["reader"]["by_seed"]) == 3
    assert compare_arms(made["tracelift"], made["exec-only"], "reader").shown
    assert "tracelift" in format_results(made)


def test_the_first_seeds_of_all_arms_come_first():
    runs = chosen_runs([], None)
    arms = [name for name, arm in ARMS.items() if arm.part != "extra"]
    assert runs[: len(arms)] == [(name, 0) for name in arms]
    assert sum(name == "tracelift" for name, _ in runs) == sum(name == "exec-only" for name, _ in runs) == MANY_SEEDS
    assert sum(name == "sum" for name, _ in runs) == FEW_SEEDS
    assert chosen_runs(["easy-kinds"], 2) == [("easy-kinds", 0), ("easy-kinds", 1)]


def test_an_unknown_arm_is_told_with_the_choices():
    with pytest.raises(ConfigError, match=r"no arm best.*tracelift"):
        chosen_runs(["best"], None)


def test_arms_name_rewards_and_judges_that_there_are():
    for arm in ARMS.values():
        assert arm.judge in JUDGES
        if arm.reward != "tracelift":
            Recipe(formula_of(NAMES.get(arm.reward, arm.reward)), arm.weights, Options())
    assert all(judge.ranking in LOSSES for judge in JUDGES.values())


def test_the_averaged_arm_spends_what_tracelift_does():
    assert ARMS["exec-only-averaged"].overrides == {"uplift.plan.runs": RUNS + 1}
    recipe = Recipe(formula_of("product-v1"), ARMS["exec-only-averaged"].weights, Options())
    assert recipe.needs == {"uplift"}  # its end_to_end is the mean of those runs
