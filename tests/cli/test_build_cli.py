"""`groups build` on the command line: options, messages, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.build.llm.cache import Question, Replied, ReplyCache
from rm.groups.checks import check_groups
from rm.rubric import Rubric
from rm.uplift.executors.base import Prompt, Sampling

WORKED = (
    "Ann has 7*16=<<7*16=112>>112 shells.\nShe keeps 112-35=<<112-35=77>>77 of them.\n"
    "Each friend gets 77/11=<<77/11=7>>7.\nThat makes 7+40=<<7+40=47>>47 shells for Bob.\n#### 47"
)
QUESTION = (
    "Ann fills 16 boxes with 7 shells each, gives 35 away, and shares the rest among 11 friends. Bob, one of them, "
    "had 40 before. How many has he now?"
)


@pytest.fixture
def seeds(write: Callable[..., Path]) -> Path:
    return write({"question": QUESTION, "answer": WORKED}, {"question": "Why?", "answer": "7"}, name="seeds.jsonl")


def test_groups_card_and_summary(run: Callable[..., Any], seeds: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "groups.jsonl"
    ran = run("groups", "build", "--seeds", seeds, "--out", out, "--workers", 1)
    assert ran.code == 0
    assert check_groups(out, Rubric.load("math")).ok
    lines = dict(line.split("  ", 1) for line in ran.out.splitlines())
    assert lines["groups"].strip() == f"1 in {out}"
    assert lines["card"].strip() == str(tmp_path / "runs" / "groups.card.md")
    assert f"{seeds}:2: solution = missing, expected a worked solution." in ran.err
    assert "1 rows refused and left out." in ran.err
    card = json.loads((tmp_path / "runs" / "groups.card.json").read_text())
    assert card["tally"]["groups"] == 1
    assert card["seeds"]["refused"] == {"solution: a worked solution": 1}
    assert card["data"]["files"][0]["file"] == "seeds.jsonl"
    assert card["config"]["seed"] == 18
    assert "# groups.jsonl\n\n1 groups, " in (tmp_path / "runs" / "groups.card.md").read_text()


def test_it_prints_the_card_and_takes_a_configuration(run: Callable[..., Any], seeds: Path, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text("seed: 5\naudit: {groups: 0}\nseeds: {licence: MIT}\n")
    out = tmp_path / "groups.jsonl"
    options = ["--config", config, "--group.negatives_most", 3, "--workers", 1, "--json"]
    ran = run("groups", "build", "--seeds", seeds, "--out", out, *options)
    card = json.loads(ran.out)
    assert (card["config"]["seed"], card["data"]["licence"], card["audit"]) == (5, "MIT", None)
    assert card["tally"]["negatives"] == {"3": 1}
    again = run("groups", "build", "--seeds", seeds, "--out", out, *options)
    assert (again.code, again.err) == (
        2,
        f"{out} exists already. Choose another place, or add --force to replace it.\n",
    )
    assert run("groups", "build", "--seeds", seeds, "--out", out, *options, "--seed", 6, "--force").code == 0


def test_check_reads_the_seeds_and_writes_nothing(run: Callable[..., Any], seeds: Path, tmp_path: Path) -> None:
    ran = run("groups", "build", "--seeds", seeds, "--check")
    assert ran.code == 0
    assert ran.out.startswith("1 seeds, 0 repeated problems, 0 held out, 1 rows refused. Labels: of the rubric math")
    own = run("groups", "build", "--seeds", seeds, "--check", "--rubric", "code")
    assert "Labels: none: rules grade by math alone" in own.out
    twice = run("groups", "build", "--seeds", seeds, "--seeds", seeds, "--check", "--json")
    assert json.loads(twice.out)["refused"] or json.loads(twice.out)["repeated"]
    for name in ("groups.parquet", "groups.jsonl.gz"):
        assert "plain JSON Lines" in run("groups", "build", "--seeds", seeds, "--out", tmp_path / name).err
    empty = run("groups", "build", "--seeds", "", "--check")
    assert (empty.code, "an empty name" in empty.err) == (1, True)
    assert json.loads(run("groups", "build", "--seeds", seeds, "--check", "--json").out)["seeds"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seeds.jsonl"]


def test_fields_are_named(run: Callable[..., Any], write: Callable[..., Path]) -> None:
    path = write({"task": QUESTION, "steps": WORKED})
    options = ["--field", "problem=task", "--field", "solution=steps"]
    assert run("groups", "build", "--seeds", path, *options, "--check").code == 0
    ran = run("groups", "build", "--seeds", path, "--check")
    assert ran.code == 1
    assert "problem = missing, expected text that is not blank. Name the key that holds it" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "o.jsonl", "--field", "problem"], "--field problem: expected WHAT=KEY"),
        (["--out", "o.jsonl", "--field", "text=a"], "a seed has no 'text'"),
        (["--out", "o.jsonl", "--group.negative_most", "3"], "Did you mean --group.negatives_most?"),
        (["--out", "o.jsonl", "--rebalance.bound", "2"], "rebalance.bound"),
        (["--out", "o.jsonl", "--seed", "x"], "--seed: expected a whole number"),
        ([], "--out: no file. Say where the groups go"),
    ],
)
def test_wrong_usage(run: Callable[..., Any], seeds: Path, options: list[str], message: str) -> None:
    ran = run("groups", "build", "--seeds", seeds, *options)
    assert ran.code == 2
    assert message in ran.err


BAD = {
    "answer = missing, expected an answer": {"question": QUESTION, "solution": WORKED.replace("#### 47", "Done.")},
    "the solution does not end in the answer (": {"question": QUESTION, "answer": WORKED.replace("#### 47", "#### 48")},
    "a calculation of the solution is wrong (": {"question": QUESTION, "answer": WORKED.replace("77", "78")},
    "solution = missing, expected a worked solution": {"question": QUESTION, "solution": "", "answer": "47"},
    "'hello', expected a JSON object": '"hello"',
    "no JSON (": "hello",
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_seed_alone_is_told_with_its_place_and_nothing_is_written(
    run: Callable[..., Any], write: Callable[..., Path], tmp_path: Path, message: str
) -> None:
    path = write(BAD[message])  # type: ignore[arg-type]
    ran = run("groups", "build", "--seeds", path, "--out", tmp_path / "groups.jsonl", "--workers", 1)
    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err
    assert f"{path}:1" in ran.err
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_bad_seeds_among_good_ones_are_told_with_their_places(
    run: Callable[..., Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    contradicting = {"question": "Another one?", "answer": WORKED.replace("77", "78")}
    path = write({"question": QUESTION, "answer": WORKED}, contradicting)
    ran = run("groups", "build", "--seeds", path, "--out", tmp_path / "groups.jsonl", "--workers", 1)
    assert (ran.code, ran.err) == (0, f"{path}:2: no group: a calculation of the solution is wrong (1 in all).\n")
    card = (tmp_path / "groups.card.md").read_text()
    assert "| a calculation of the solution is wrong | 1 |" in card
    assert "A step is missing whose result a later step uses." in card
    assert str(tmp_path) not in card + (tmp_path / "groups.card.json").read_text()


@pytest.mark.parametrize("check", [["--check"], []])
def test_a_file_that_is_not_there(run: Callable[..., Any], seeds: Path, tmp_path: Path, check: list[str]) -> None:
    absent = tmp_path / "none.jsonl"
    ran = run("groups", "build", "--seeds", seeds, absent, "--out", tmp_path / "groups.jsonl", *check)
    assert (ran.code, ran.err) == (1, f"{absent}: no such file, expected a file of problems.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["seeds.jsonl"]


def test_no_group_is_a_failure(run: Callable[..., Any], write: Callable[..., Path], tmp_path: Path) -> None:
    ran = run("groups", "build", "--seeds", write("nonsense"), "--out", tmp_path / "groups.jsonl", "--workers", 1)
    assert ran.code == 1
    assert ran.err.startswith("Not one group came out.")


def test_stored_replies_are_looked_after(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with ReplyCache(path) as cache:
        question = Question("openai-1", "v1", Prompt("", "p"), Sampling(0.0, 1.0, 8), 5)
        cache.put(question, Replied("text", True, 10, 2))
    assert json.loads(run("groups", "cache", "info", "--cache", path, "--json").out)["replies"] == 1
    assert "  openai-1: 1 replies, 12 tokens" in run("groups", "cache", "info", "--cache", path).out
    ran = run("groups", "cache", "prune", "--cache", path)
    assert (ran.code, ran.err) == (
        2,
        "groups cache prune: say what: --older-than DAYS, --model NAME, or --all.\n",
    )
    assert run("groups", "cache", "prune", "--cache", path, "--model", "openai-1").out == "1 replies removed.\n"
    assert "there are no stored replies" in run("groups", "cache", "info", "--cache", tmp_path / "nowhere").err
