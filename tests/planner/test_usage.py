"""Wrong usage of `planner train`: a message that says what to do, before anything is trained or written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rm.reward.scorer import TraceLiftReward

pytestmark = pytest.mark.filterwarnings("default")

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reward.source", "./no-bundle"), "no such directory: ./no-bundle"),
        (("--reward.source", ""), "reward.source: no reward. Name a bundle's directory"),
        (("--reward.name", "exec_only"), "there is no reward 'exec_only'. Choose one of: tracelift, exec-only"),
        (("--reward.weights", "{rm: 2}"), "reward.weights: the source's own formula has its own"),
        (("--reward.name", "rm-only", "--reward.weights", "{uplift: 2}"), "rm-only-v1 has no such weight"),
        (("--planner.base", ""), "planner.base: no model"),
        (("--planner.base", "./no-planner"), "planner.base: no such directory: ./no-planner"),
        (("--grpo.num_generations", "3"), "must be divisible by num_generations"),
        (("--grpo.options", "{bata: 1}"), "grpo.options.bata: trl's GRPOConfig has no such field"),
        (("--grpo.options", "{max_steps: 1}"), "grpo.options.max_steps: is set by a key of grpo or by this package"),
        (("--grpo.options", "{num_iterations: 3}"), "Save after a whole number of them"),
        (("--prompt.user", "nothing"), "prompt.user: no {problem} in it"),
        (("--prompt.format", "chat"), "prompt.format: chat, but the tokenizer has no chat template"),
        (("--grpo.max_completion_length", "4090"), "prompts leave no room for a completion"),
        (("--lora.rank", "4", "--lora.targets", "q_prof"), "lora"),
        (("--grpo.stepz", "3"), "--grpo.stepz: no such option. Did you mean --grpo.steps?"),
        (("--grpo.vllm", "colocate"), "vllm"),
        (("--resume", "--force"), "give one of them"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_the_message_says_what_to_do(run, train_argv, tmp_path, options, told):
    output = tmp_path / "run"
    ran = run(*train_argv(output, *options))
    assert ran.code == 2, ran.err
    assert told in ran.err
    assert not (output / "log.jsonl").exists()


def test_a_reward_model_is_no_planner(run, train_argv, bundle, tmp_path):
    for check in ((), ("--check",)):
        ran = run(*train_argv(tmp_path / "run", "--planner.base", bundle / "model", *check))
        assert ran.code == 2
        assert "planner.base: " in ran.err
        assert "RewardModel, which writes nothing. Name a language model." in ran.err
    run_like = tmp_path / "reward-run"
    run_like.mkdir()
    (run_like / "model").symlink_to(bundle / "model", target_is_directory=True)
    ran = run(*train_argv(tmp_path / "run", "--planner.base", run_like))
    assert "holds no model (config.json)." in ran.err
    assert "Did you mean" not in ran.err  # a run of the reward model


def test_all_mistakes_of_the_configuration_come_at_once(run):
    ran = run("planner", "train")
    assert ran.code == 2
    for key in ("planner.base", "data.train", "output", "reward.source"):
        assert f"{key}: no" in ran.err


def test_wrong_rows_are_told_with_their_lines(run, train_argv, write, tmp_path):
    good = {"problem_id": "a", "problem": "1 + 1?", "reference_solution": "2"}
    file = write(good, {**good, "problem_id": "b", "reference_solution": None}, {**good, "problem": ""}, "{")
    ran = run(*train_argv(tmp_path / "run", "--data.train", file))
    assert ran.code == 1
    assert f"{file}:2: reference_solution" in ran.err
    assert f"{file}:3" in ran.err
    assert f"{file}:4" in ran.err


def test_an_executor_that_is_down_is_found_before_the_first_step(run, train_argv, tmp_path):
    overrides = {
        "uplift.executor": {"kind": "openai", "endpoints": ["http://127.0.0.1:9/v1"], "model": "m", "retries": 0}
    }
    output = tmp_path / "run"
    ran = run(*train_argv(output, "--reward.overrides", json.dumps(overrides)))
    assert ran.code == 1
    assert "127.0.0.1:9" in ran.err
    assert not output.exists()


def test_a_server_that_is_down_is_told(run, train_argv, tmp_path):
    ran = run(*train_argv(tmp_path / "run", "--reward.source", "http://127.0.0.1:9", "--reward.retries", "0"))
    assert ran.code == 1
    assert "http://127.0.0.1:9/reward: no rewards after 1 attempts" in ran.err


def test_an_output_that_exists_is_kept(run, train_argv, tmp_path):
    """Another's files always; an earlier run unless it is to be replaced or gone on with, unchanged."""
    output = tmp_path / "run"
    output.mkdir()
    (output / "mine.txt").write_text("mine")
    for option in ((), ("--force",), ("--resume",)):
        ran = run(*train_argv(output, *option))
        assert ran.code == 2
        assert "holds something else than a run" in ran.err
    (output / "mine.txt").unlink()
    assert run(*train_argv(output, "--grpo.steps", "1")).code == 0
    log = (output / "log.jsonl").read_bytes()
    again = run(*train_argv(output, "--grpo.steps", "1"))
    assert again.code == 2
    assert "holds a run. Add --resume" in again.err
    changed = run(*train_argv(output, "--grpo.steps", "1", "--reward.name", "rm-only", "--resume"))
    assert changed.code == 2
    assert "reward.name was 'tracelift' and is now 'rm-only'" in changed.err
    assert (output / "log.jsonl").read_bytes() == log
    assert run(*train_argv(output, "--grpo.steps", "1", "--force", "--seed", "4")).code == 0
    assert (output / "log.jsonl").read_bytes() != log


def test_check_scores_a_completion_and_trains_nothing(run, train_argv, tmp_path):
    output = tmp_path / "run"
    ran = run(*train_argv(output, "--check", "--lora.rank", "4"))
    assert ran.code == 0, ran.err
    assert "reward           tracelift: tracelift-math-v1 = 0.5 * end_to_end" in ran.out
    assert "a first reward   0.000" in ran.out
    assert "longest prompt   " in ran.out
    assert "The configuration is sound." in ran.out
    assert not output.exists()
    report = json.loads(run(*train_argv(output, "--check", "--json", "--lora.rank", "4")).out)
    assert report["problems"] == 4
    assert report["completions_a_step"] == 8
    assert report["problems_a_step"] == 2
    assert 0 < report["trainable"] < report["parameters"] / 2


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot reach the hub, and does not wait to find out."""
    monkeypatch.setattr("rm.sources.hub_reachable", lambda: False)


@pytest.mark.usefixtures("offline")
def test_the_config_for_eight_gpus_is_sound(run, bundle, problems, serve, tmp_path):
    """All of it but what needs the hub or a GPU, which it names."""
    file = PROJECT / "configs" / "planner-qwen7b.yaml"
    with serve(TraceLiftReward.from_pretrained(bundle)) as url:
        argv = ("--reward.source", url, "--data.train", problems, "--output", tmp_path / "run")
        ran = run("planner", "train", "--config", file, "--check", *argv)
    assert ran.code == 0, ran.err
    assert "not checked      Planner and prompts: planner.base: Qwen/Qwen2.5-7B-Instruct" in ran.out
    assert "not checked      grpo.vllm: colocate: there is no GPU here." in ran.out
    assert "tracelift-math-v1" in ran.out


def test_the_tiny_config_is_sound(run, bundle, problems, tmp_path, monkeypatch):
    """With another bundle and other problems than those that the demo makes."""
    monkeypatch.chdir(PROJECT)
    argv = ("--reward.source", bundle, "--data.train", problems, "--output", tmp_path / "run")
    ran = run("planner", "train", "--config", "configs/planner-tiny.yaml", "--check", *argv)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("name", ["planner-tiny", "planner-qwen7b", "planner-evaluate", "planner-tiny-evaluate"])
def test_a_config_opens_with_its_command(name):
    text = (PROJECT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert "planner " in text.split("\n\n")[0]
    assert f"configs/{name}.yaml" in text
    assert isinstance(yaml.safe_load(text), dict)
