"""`planner rows`: the reward reads of verl's rows what it reads of the problems; verl itself reads rows and config."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from rm import text
from rm.adapters.verl import row_of_sample
from rm.cli.main import main
from rm.planner.config import PromptConfig
from rm.planner.prompts import planner_prompt
from rm.uplift.read import load_problems, parse_problem

PROJECT = Path(__file__).resolve().parents[2]


def read_by_reward(row: Any) -> tuple[str, str]:
    """What the reward model's text is made of, besides the problem."""
    return text.task_type_of(row), text.tests_of(row)


@pytest.fixture
def mixed(write: Any, problems: Path) -> Path:
    """Math and code, tests as text and as lists, metadata of any form."""
    rows = [json.loads(line) for line in problems.read_text().splitlines()]
    code = {"problem_id": "c", "problem": "Double.", "tests": [{"input": "1", "output": "2"}], "source": "here"}
    asserts = {"problem_id": 7, "problem": "Twice.", "task_type": "code", "tests": ["assert f(1) == 2"]}
    return write(*rows, code, asserts)


def test_the_reward_reads_the_same_of_verls_rows(mixed, tmp_path, run):
    out = tmp_path / "rows.parquet"
    assert run("planner", "rows", "--data.train", mixed, "--out", out).code == 0
    problems = load_problems(str(mixed))
    for problem, row in zip(problems, parquet.read_table(out).to_pylist(), strict=True):
        item = row_of_sample(row["reward_model"]["ground_truth"], row["extra_info"])
        read, wrong = parse_problem(item, "row")
        assert not wrong
        assert (read.problem, read.answer, read.io_tests, read.asserts, read.task) == (
            problem.problem,
            problem.answer,
            problem.io_tests,
            problem.asserts,
            problem.task,
        )
        assert read_by_reward(item) == read_by_reward(problem.raw)
        prompt = planner_prompt(problem, PromptConfig())
        assert [message["content"] for message in row["prompt"]] == [prompt.system, prompt.user]
    again = run("planner", "rows", "--data.train", mixed, "--out", out)
    assert again.code == 2
    assert "exists already" in again.err


def test_verl_and_trl_get_the_same_job():
    ours, verls = (
        yaml.safe_load((PROJECT / "configs" / f"planner-{name}.yaml").read_text()) for name in ("qwen7b", "verl")
    )
    grpo, actor = ours["grpo"], verls["actor_rollout_ref"]
    assert ours["planner"]["base"] == actor["model"]["path"]
    assert (ours["lora"]["rank"], ours["lora"]["alpha"]) == (actor["model"]["lora_rank"], actor["model"]["lora_alpha"])
    assert grpo["learning_rate"] == actor["actor"]["optim"]["lr"]
    assert grpo["num_generations"] == actor["rollout"]["n"]
    assert grpo["temperature"] == actor["rollout"]["temperature"]
    assert grpo["max_completion_length"] == verls["data"]["max_response_length"]
    assert grpo["steps"] == verls["trainer"]["total_training_steps"]
    completions = 8 * grpo["per_device_batch_size"] * grpo["gradient_accumulation"]
    assert completions == verls["data"]["train_batch_size"] * actor["rollout"]["n"]
    assert ours["reward"]["source"] == verls["reward"]["custom_reward_function"]["reward_kwargs"]["server"]


@pytest.mark.skipif(not os.environ.get("VERL_PYTHON"), reason="VERL_PYTHON names no Python that has verl")
def test_verl_itself_reads_config_and_rows(mixed, problems, tmp_path):
    rows = tmp_path / "rows.parquet"
    assert main(["planner", "rows", "--data.train", str(mixed), "--out", str(rows)]) == 0
    script = Path(__file__).with_name("verl_config.py")
    done = subprocess.run(
        [os.environ["VERL_PYTHON"], str(script), str(PROJECT / "configs"), str(rows)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    first = json.loads(problems.read_text().splitlines()[0])
    assert (found["lr"], found["n"], found["steps"], found["completions"]) == (5e-6, 4, 600, 128)
    assert found["reward"]["name"] == "compute_score"
    assert found["rows"] == 6
    assert found["extra_info"]["problem"] == first["problem"]
    assert found["prompt"][1]["content"].startswith(f"Problem:\n{first['problem']}")
