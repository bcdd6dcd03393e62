"""The real command trains a tiny planner: rewards are the scorer's, everything is logged, and a kill costs nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rm.cli.main import main
from rm.reward.scorer import TraceLiftReward
from rm.rubric import Rubric

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("default")

Row = dict[str, Any]
Argv = Callable[..., list[str]]
Lines = Callable[[Path], list[Row]]
CLOCKS = {"seconds", "step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}


@pytest.fixture(scope="module")
def whole(train_argv: Argv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that was left in peace."""
    output = tmp_path_factory.mktemp("whole") / "run"
    assert main(train_argv(output, "--json")) == 0
    return output


def steps_of(lines: list[Row]) -> list[Row]:
    """The lines of steps, without what a clock says."""
    return [{key: value for key, value in row.items() if key not in CLOCKS} for row in lines if "reward" in row]


def test_the_trainers_rewards_are_the_scorers(whole, bundle, lines):
    samples = lines(whole / "samples.jsonl")
    assert len(samples) == 4 * 8
    with TraceLiftReward.from_pretrained(bundle) as reward:
        again = reward.score_sync([row["item"] for row in samples])
    for row, result in zip(samples, again, strict=True):
        assert row["result"]["reward"] == pytest.approx(result.reward, abs=1e-5)
        assert row["result"]["parts"]["end_to_end"] == result.parts.end_to_end
    rewards = [row["result"]["reward"] for row in samples]
    assert len({round(each, 6) for each in rewards}) > 2
    for step in steps_of(lines(whole / "log.jsonl")):
        own = [row["result"]["reward"] for row in samples if row["step"] == step["step"]]
        assert step["reward"] == pytest.approx(sum(own) / len(own), abs=1e-5)


def test_every_part_is_logged(whole, lines):
    steps = steps_of(lines(whole / "log.jsonl"))
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    for row in steps:
        for part in ("rm", "uplift", "end_to_end", "coefficient"):
            assert math.isfinite(row[f"tracelift/{part}"])
        assert all(0 <= row[f"tracelift/dimensions/{name}"] <= 4 for name in Rubric.load("math").dimension_names)
        assert row["tracelift/unmeasured"] == row["tracelift/failures"] == row["groups/unmeasured"] == 0
        assert {"groups/dead", "completions/untagged", "completions/empty", "loss", "grad_norm"} <= row.keys()


def test_groups_stand_together_in_the_samples(whole, lines):
    for step in range(1, 5):
        rows = [row for row in lines(whole / "samples.jsonl") if row["step"] == step]
        assert [(row["group"], row["member"]) for row in rows] == [(g, m) for g in range(2) for m in range(4)]
        assert [len({row["item"]["problem"] for row in rows if row["group"] == g}) for g in range(2)] == [1, 1]


def test_rows_of_mixed_form_arrive_whole(whole, problems, lines):
    known = {row["problem_id"]: row for row in lines(problems)}
    for row in lines(whole / "samples.jsonl"):
        item = dict(row["item"])
        del item["completion"]
        assert item == known[item["problem_id"]]


def test_the_planner_loads_and_says_what_it_comes_from(whole, planner, bundle):
    model = AutoModelForCausalLM.from_pretrained(whole / "model", dtype=torch.float32)
    before = load_file(planner / "model.safetensors")
    after = model.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    facts = json.loads((whole / "model" / "training.json").read_text())
    assert facts["steps"] == 4
    assert facts["reward"]["formula"]["name"] == "tracelift-math-v1"
    assert facts["reward"]["bundle"] == json.loads((bundle / "bundle.json").read_text())["sha256"]
    assert len(facts["data"][0]["sha256"]) == 64
    assert "trl" in facts["versions"]
    card = (whole / "model" / "README.md").read_text()
    assert "tracelift-math-v1: 0.5 * end_to_end" in card
    assert str(planner.parent) not in card
    assert not list(whole.rglob("*.bin"))  # nothing pickled


def test_the_page_shows_curves_and_traces(whole, lines):
    page = (whole / "samples.html").read_text()
    last = lines(whole / "samples.jsonl")[-1]
    assert page.count("<svg") >= 8
    assert last["item"]["problem"].split("\n")[0][:30] in page
    assert "calculation_correctness" in page
    assert "<script" not in page


def test_a_finished_run_is_not_trained_again(whole, train_argv, lines):
    before = (whole / "log.jsonl").read_bytes()
    assert main(train_argv(whole, "--resume")) == 0
    assert (whole / "log.jsonl").read_bytes() == before


def test_another_formula_of_the_same_parts(train_argv, whole, tmp_path, lines):
    """exec-only measures what it needs, and with all parts what the bundle does; the rewards are the same."""
    few, all_parts = tmp_path / "few", tmp_path / "all"
    quick = ("--reward.name", "exec-only", "--grpo.steps", "1")
    assert main(train_argv(few, *quick)) == 0
    assert main(train_argv(all_parts, *quick, "--reward.all_parts", "true")) == 0
    first, second = lines(few / "samples.jsonl"), lines(all_parts / "samples.jsonl")
    assert [row["result"]["reward"] for row in first] == [row["result"]["reward"] for row in second]
    assert [row["item"] for row in first] == [row["item"] for row in lines(whole / "samples.jsonl")[:8]]
    for one, both in zip(first, second, strict=True):
        assert one["result"]["parts"]["rm"] is one["result"]["parts"]["uplift"] is None
        assert 0 < both["result"]["parts"]["rm"] < 1
        assert one["result"]["reward"] == both["result"]["parts"]["end_to_end"]
        assert one["result"]["formula"] == both["result"]["formula"] == "exec-only-v1"
    logged = steps_of(lines(all_parts / "log.jsonl"))[0]
    assert "tracelift/uplift" in logged


def test_lora_is_merged_or_kept(train_argv, planner, tmp_path, lines):
    lora = ("--lora.rank", "4", "--lora.alpha", "8", "--grpo.steps", "2", "--grpo.learning_rate", "1e-2")
    merged, adapter = tmp_path / "merged", tmp_path / "adapter"
    assert main(train_argv(merged, *lora)) == 0
    assert main(train_argv(adapter, *lora, "--save", "adapter")) == 0
    assert (adapter / "model" / "adapter_model.safetensors").is_file()
    assert not list((merged / "model").glob("adapter_*"))
    one = AutoModelForCausalLM.from_pretrained(merged / "model", dtype=torch.float32).eval()
    two = AutoModelForCausalLM.from_pretrained(adapter / "model", dtype=torch.float32).eval()
    base = AutoModelForCausalLM.from_pretrained(planner, dtype=torch.float32).eval()
    tokens = torch.arange(5, 25)[None]
    with torch.no_grad():
        torch.testing.assert_close(one(tokens).logits, two(tokens).logits, rtol=0, atol=1e-4)
        assert not torch.allclose(one(tokens).logits, base(tokens).logits, atol=1e-3)
