"""The shipped executor: it writes what a trace arrives at, guesses alone, and so tells good traces from bad ones."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from rm.build.math.flaws import FLAWS
from rm.build.math.traces import NUMBER, number_value
from rm.cli.main import main
from rm.lab import SAMPLE_DEV, TINY_EXECUTOR, pretrain_executor
from rm.lab.pretrain_executor import accuracy, last_result, question
from rm.lab.stories import story
from rm.sources import TINY_EXECUTOR as FOLDER
from rm.sources import find_source
from rm.text.tokenizer import load_tokenizer
from rm.uplift.executors.base import Prompt
from rm.uplift.executors.chat import shown_text
from rm.uplift.executors.fingerprint import name_weights

KEEPS_THE_END = "dropped_step"
"""The one kind of flaw that always leaves the last line as it is."""


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(TINY_EXECUTOR, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return load_tokenizer(find_source("tiny", "executor.path", tiny=FOLDER))


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Of a run over the sample groups, one greedy answer an arm."""
    out = tmp_path_factory.mktemp("uplift") / "uplift.jsonl"
    executor = ["--executor.kind", "transformers", "--executor.path", "tiny", "--executor.dtype", "float32"]
    settings = ["--plan.kind", "sampled", "--sampling.temperature", "0.0", "--sampling.max_tokens", "12"]
    assert main(["uplift", str(SAMPLE_DEV), *executor, *settings, "--cache", "none", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {"rows": rows, **json.loads(out.with_suffix(".summary.json").read_text(encoding="utf-8"))}


def test_it_is_small_and_safe() -> None:
    assert sum(file.stat().st_size for file in TINY_EXECUTOR.iterdir()) < 4_000_000
    assert not list(TINY_EXECUTOR.glob("*.bin")) + list(TINY_EXECUTOR.glob("*.py"))
    assert "/" not in json.dumps(json.loads((TINY_EXECUTOR / "recipe.json").read_text())["recipe"])


def test_tiny_names_it_where_an_executor_is_meant() -> None:
    assert name_weights("tiny", "") == name_weights(str(TINY_EXECUTOR), "")
    assert find_source("tiny", "executor.path", tiny=FOLDER).path == str(TINY_EXECUTOR)


@pytest.mark.parametrize("prompt", [Prompt("You add.", "1 + 1\n\nAnswer:"), Prompt("", "  two\n lines ")])
def test_chat_and_plain_text_are_the_same(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> None:
    assert shown_text(prompt, tokenizer, chat=True) == prompt.text


def test_it_reads_fresh_traces_of_every_kind(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    rng = random.Random("not a seed of the recipe")
    found = accuracy(model, tokenizer, [question(rng) for _ in range(200)])
    assert found.pop("alone") < 0.15
    assert set(found) == {"sound", *FLAWS}
    assert found["sound"] > 0.95
    assert min(found.values()) > 0.85


def test_a_good_trace_lifts_by_all_that_is_missing(summary: dict) -> None:
    baseline, lifted = summary["baseline"]["mean"], summary["positives"]["mean"]
    assert baseline < 0.12
    assert lifted == pytest.approx(1 - baseline, abs=0.05)


@pytest.mark.parametrize("kind", sorted(set(FLAWS) - {KEEPS_THE_END}))
def test_a_flaw_that_changes_the_answer_lifts_clearly_less(kind: str, summary: dict) -> None:
    groups = {row["problem_id"]: row for row in map(json.loads, SAMPLE_DEV.read_text(encoding="utf-8").splitlines())}
    lifts = defaultdict(list)
    for row in summary["rows"]:
        group = groups[row["problem_id"]]
        traces = [each["reasoning"] for each in (*group["positive_pool"], *group["negative_bank"])]
        last = NUMBER.findall(traces[row["trace"]].splitlines()[-1])
        changed = number_value(group["reference_solution"]) not in map(number_value, last)
        lifts[row["kind"], changed].append(row["value"])
    assert sum(lifts[kind, True]) / len(lifts[kind, True]) < 0.15


def test_a_dropped_step_lifts_too_for_the_answer_is_still_there(summary: dict) -> None:
    assert summary["by_kind"][KEEPS_THE_END]["mean"] > 0.85


def test_what_a_trace_arrives_at_is_its_last_result() -> None:
    for seed in range(30):
        told = story(random.Random(seed))
        assert last_result(told.lines) == told.answer


def test_a_run_of_two_steps_writes_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain_executor, "TOKENIZER_DOCUMENTS", 20)
    monkeypatch.setattr(pretrain_executor, "HELD_OUT", 6)
    small = "--vocabulary 400 --hidden 16 --layers 1 --heads 2 --key-value-heads 1 --intermediate 16 --chunk 8"
    out = tmp_path / "executor"
    assert pretrain_executor.main(["--out", str(out), "--steps", "2", "--device", "cpu", *small.split()]) == 0
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16
    recipe = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["done"]["step"] == 2
    assert str(tmp_path) not in json.dumps(recipe)


def test_a_wrong_recipe_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain_executor.main(["--out", str(tmp_path / "a"), "--steps", "0", "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
