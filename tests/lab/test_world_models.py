"""The shipped models of the tiny world do what their recipes say, and the recipes run."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from rm.lab import WORLD_PLANNER, WORLD_READER, WORLD_STRICT, pretrain_executor, pretrain_world
from rm.lab.measure import Protocol, measure_planner
from rm.lab.pretrain_executor import accuracy
from rm.lab.pretrain_world import MODELS, reader_question, strict_question
from rm.lab.world import world_stories

MODEL_DIRS = {"planner": WORLD_PLANNER, "reader": WORLD_READER, "strict": WORLD_STRICT}


def asked(path, ask, kind, count=60):
    """Share of questions of a kind that an executor answers as its recipe has it."""
    rng, questions = random.Random(7), []
    while len(questions) < count:
        question = ask(rng)
        if question.arm == kind:
            questions.append(question)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    return accuracy(model, tokenizer, questions)[kind]


def test_the_reader_takes_a_leaked_answer_and_is_drawn_away_by_further_results():
    assert asked(WORLD_READER, reader_question, "leaked_answer") > 0.9
    assert 0.4 < asked(WORLD_READER, reader_question, "sound") < 0.85
    assert asked(WORLD_READER, reader_question, "alone") < 0.2


def test_the_strict_executor_follows_sound_steps_and_takes_no_answer_on_trust():
    assert asked(WORLD_STRICT, strict_question, "sound") > 0.8
    assert asked(WORLD_STRICT, reader_question, "leaked_answer") < 0.5


def test_the_planner_starts_mediocre():
    rows = measure_planner(WORLD_PLANNER, world_stories("test of the start", 60), Protocol(runs=1))
    assert 0.3 < sum(row["soundness"] for row in rows) / len(rows) < 0.75
    assert Counter(row["skips"] for row in rows)[True] > 0
    assert Counter(row["leaks"] for row in rows)[True] > 0


@pytest.mark.parametrize("name", MODELS)
def test_what_is_shipped_says_how_it_was_made(name):
    recipe = json.loads((MODEL_DIRS[name] / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["done"]["step"] == recipe["recipe"]["steps"] == MODELS[name].recipe.steps
    assert recipe["recipe"]["seed"] == MODELS[name].recipe.seed
    assert sum(file.stat().st_size for file in MODEL_DIRS[name].iterdir()) < 3e6


@pytest.mark.parametrize("name", MODELS)
def test_a_recipe_runs(name, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_world, "TOKENIZER_DOCUMENTS", 60)
    monkeypatch.setattr(pretrain_executor, "HELD_OUT", 6)
    out = tmp_path / "model"
    assert pretrain_world.main([name, "--out", str(out), "--steps", "1", "--threads", "1"]) == 0
    assert AutoModelForCausalLM.from_pretrained(out).num_parameters() > 1e5
    assert pretrain_world.main([name, "--out", str(tmp_path / "other"), "--steps", "0"]) == 2
