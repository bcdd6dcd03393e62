"""Seeds to groups: whatever the number of processes, and after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rm.build.config import AuditConfig, BuildConfig, GatesConfig, GroupConfig, RebalanceConfig, SeedsConfig
from rm.build.draft import Rules
from rm.build.pipeline import build_groups, distinct_seeds
from rm.build.read_seeds import file_rows
from rm.build.seed import Seed
from rm.errors import ConfigError, DataError, RunError
from rm.groups import load_groups
from rm.groups.checks import check_groups
from rm.rubric import Rubric

QUICK = BuildConfig(workers=1, audit=AuditConfig(groups=0))


def build(config, path, out, **options):
    return build_groups(config, lambda refused: file_rows([path], refused), out, files=[path], **options)


@pytest.fixture
def seeds(problems, write):
    return write(*problems(24))


def test_groups_pass_the_check_and_hold_what_they_say(seeds, tmp_path):
    out = tmp_path / "groups.jsonl"
    report = build(QUICK, seeds, out)
    assert check_groups(out, Rubric.load("math")).ok
    groups = load_groups(out, Rubric.load("math"))
    assert len(groups) == report.card.tally.groups == 24
    for group in groups:
        assert 3 <= len(group.negatives) <= 6
        assert 1 <= len(group.positives) <= 2
        assert len({each.kind for each in group.negatives}) == len(group.negatives)
        assert len({each.reasoning for each in group.candidates}) == len(group.candidates)
        for each in group.candidates:
            assert "<<" not in each.reasoning
            assert each.rubric is not None
            if not each.positive:
                steps = len(each.reasoning.splitlines())
                assert 0 <= each.metadata["first_wrong_step"] < steps
                assert each.metadata["why"]
                kept = each.metadata.get("answer") == group.reference_solution
                assert each.metadata["answer_kept"] == kept
                assert each.total < min(positive.total for positive in group.positives)


def test_the_number_of_processes_changes_nothing_and_the_seed_does(seeds, tmp_path):
    for name, config in (
        ("one", QUICK),
        ("three", BuildConfig(workers=3, audit=QUICK.audit)),
        ("other", BuildConfig(seed=19, workers=1, audit=QUICK.audit)),
    ):
        build(config, seeds, tmp_path / f"{name}.jsonl")
    one, three, other = ((tmp_path / f"{name}.jsonl").read_bytes() for name in ("one", "three", "other"))
    assert one == three != other


def test_an_outcome_depends_on_its_own_seed_alone(problems, write, tmp_path):
    rows = [{**row, "id": f"p{number}"} for number, row in enumerate(problems(6))]
    build(QUICK, write(*rows), tmp_path / "all.jsonl")
    build(QUICK, write(*rows[:3:-1], name="few-seeds.jsonl"), tmp_path / "few.jsonl")
    whole, few = (
        {row["problem_id"]: row["negative_bank"] for row in map(json.loads, (tmp_path / name).read_text().splitlines())}
        for name in ("all.jsonl", "few.jsonl")
    )
    assert few == {problem_id: whole[problem_id] for problem_id in ("p5", "p4")}


SCRIPT = """
import sys, time
from rm.build.config import AuditConfig, BuildConfig
from rm.build.draft import Rules
from rm.build.pipeline import build_groups
from rm.build.read_seeds import file_rows

def slowly(refused):
    for row in file_rows([sys.argv[1]], refused):
        time.sleep(float(sys.argv[3]))
        yield row

if __name__ == "__main__":
    config = BuildConfig(workers=int(sys.argv[4]), audit=AuditConfig(groups=0))
    build_groups(config, slowly, sys.argv[2], files=[sys.argv[1]])
"""


def test_killed_and_repeated_it_goes_on_and_gives_the_same_bytes(seeds, tmp_path):
    script, whole, out = tmp_path / "script.py", tmp_path / "whole.jsonl", tmp_path / "groups.jsonl"
    script.write_text(SCRIPT)
    build(QUICK, seeds, whole)
    process = subprocess.Popen([sys.executable, str(script), str(seeds), str(out), "0.1", "1"])
    work = tmp_path / ".groups.jsonl.partial"
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and (not work.exists() or work.read_bytes().count(b"\n") < 5):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    done = work.read_bytes().count(b"\n") - 1
    assert 4 <= done < 24
    with work.open("ab") as file:
        file.write(b'{"half a li')
    made = []
    build(QUICK, seeds, out, on_progress=made.append)
    assert sum(made) == 24
    assert out.read_bytes() == whole.read_bytes()
    assert not work.exists()
    cards = [json.loads(path.with_name(f"{path.stem}.card.json").read_text()) for path in (whole, out)]
    assert cards[0]["tally"] == cards[1]["tally"]


def test_a_run_of_something_else_is_not_gone_on_with(seeds, tmp_path):
    out = tmp_path / "groups.jsonl"

    def stops(refused):
        yield from list(file_rows([seeds], refused))[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_groups(QUICK, stops, out, files=[seeds])
    with pytest.raises(ConfigError, match=r"unfinished work on something else:\n  config.seed: 18 then, 19 now"):
        build(BuildConfig(seed=19, workers=1, audit=QUICK.audit), seeds, out)
    build(BuildConfig(workers=2, audit=QUICK.audit), seeds, out)  # which is the same


def test_bad_seeds_are_counted_never_silently_kept(problems, write, tmp_path):
    good, wrong, marks, bare = problems(4)
    wrong["answer"] = wrong["answer"].replace("#### ", "#### 1")
    marks["answer"] = "It is clear.\n#### 7"
    bare["answer"] = "7"
    again = {**good, "id": "again", "question": good["question"].upper()}
    out = tmp_path / "groups.jsonl"
    report = build(QUICK, write(good, wrong, marks, bare, again, "nonsense"), out)
    seeds = report.card.seeds
    assert (report.card.tally.groups, seeds["read"], seeds["repeated"]) == (1, 4, 1)
    assert sum(seeds["unusable"].values()) == 2
    assert sorted(place.rpartition(":")[2] for places in report.card.places.values() for place in places) == ["2", "3"]
    assert sum(seeds["refused"].values()) == report.refused.total == 2
    assert {problem.line for problem in report.refused.first} == {4, 6}


def test_a_rule_that_breaks_on_a_seed_costs_that_seed_alone(problems, write, tmp_path, monkeypatch):
    rows = problems(4)
    kinds = Rules.of("math").kinds
    slip = kinds["arithmetic_slip"]

    def breaks(solution, rng):
        if solution.problem == rows[1]["question"]:
            raise ZeroDivisionError
        return slip.make(solution, rng)

    monkeypatch.setitem(kinds, "arithmetic_slip", replace(slip, make=breaks))
    config = BuildConfig(workers=1, audit=QUICK.audit, kinds={"arithmetic_slip": 1000.0})
    card = build(config, write(*rows), tmp_path / "groups.jsonl").card
    assert (card.tally.groups, card.seeds["unusable"]) == (3, {"a rule broke on it (ZeroDivisionError)": 1})


def test_where_no_group_comes_out_the_reasons_are_told_and_nothing_is_written(write, tmp_path):
    out = tmp_path / "groups.jsonl"
    with pytest.raises(RunError) as caught:
        build(QUICK, write({"question": "p", "answer": "7"}), out)
    first, count, place = str(caught.value).splitlines()
    assert first == "Not one group came out."
    assert count == "  1 rows refused, expected solution: a worked solution"
    assert place.startswith(
        f"{tmp_path / 'rows.jsonl'}:1: solution = missing, expected a worked solution. Flaws are put"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_run_that_gave_nothing_leaves_nothing_in_the_way_of_the_next(problems, write, tmp_path):
    out = tmp_path / "groups.jsonl"
    strict = BuildConfig(workers=1, audit=QUICK.audit, group=GroupConfig(negatives_least=40, negatives_most=40))
    with pytest.raises(RunError, match="3 seeds: too few kinds of flaw"):
        build(strict, write(*problems(3)), out)
    assert build(QUICK, write(*problems(3)), out).card.tally.groups == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BuildConfig(kinds={"arithmetic_slips": 0.0}), "there is no kind 'arithmetic_slips'. Choose among: "),
        (BuildConfig(gates=GatesConfig(off=["locl"])), "there is no gate 'locl'"),
        (BuildConfig(seeds=SeedsConfig(fields={"text": "a"})), "a seed has no 'text'"),
        (
            BuildConfig(group=GroupConfig(negatives_least=9)),
            "negatives_least = 9 is more than group.negatives_most = 6",
        ),
        (BuildConfig(rubric="maths"), "maths"),
    ],
)
def test_what_cannot_be_is_told_before_any_seed_is_read(config, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        build_groups(config, lambda refused: pytest.fail("read"), tmp_path / "groups.jsonl")
    with pytest.raises(ConfigError, match="plain JSON Lines"):
        build_groups(QUICK, lambda refused: pytest.fail("read"), tmp_path / "groups.jsonl.gz")


def test_kinds_are_drawn_by_their_weights(seeds, tmp_path):
    kinds = {"wrong_target": 0.0, "arithmetic_slip": 50.0}
    group = GroupConfig(negatives_least=1, negatives_most=2)
    config = BuildConfig(workers=1, audit=QUICK.audit, kinds=kinds, group=group)
    tally = build(config, seeds, tmp_path / "groups.jsonl").card.tally
    assert tally.kinds["arithmetic_slip"] > 20
    assert "wrong_target" not in tally.kinds
    assert tally.negatives == Counter({2: 24})


def test_with_a_rubric_of_ones_own_rules_give_no_labels_and_say_so(seeds, tmp_path):
    rubric = tmp_path / "own.yaml"
    rubric.write_text("name: own\nlevels: 3\ndimensions:\n  - name: clarity\n  - name: honesty\n  - name: brevity\n")
    out = tmp_path / "groups.jsonl"
    report = build(BuildConfig(workers=1, audit=QUICK.audit, rubric=str(rubric)), seeds, out)
    assert check_groups(out, Rubric.load(rubric)).ok
    groups = load_groups(out, Rubric.load(rubric))
    assert all(candidate.rubric is None for group in groups for candidate in group.candidates)
    assert all(0 <= candidate.metadata["total"] < 1 for group in groups for candidate in group.negatives)
    assert report.card.labels.startswith("none: rules grade by math alone")


def test_a_rubric_whose_dimensions_are_official_ones_is_graded(seeds, tmp_path):
    out = tmp_path / "groups.jsonl"
    build(BuildConfig(workers=1, audit=QUICK.audit, rubric="configs/rubric-arithmetic.yaml"), seeds, out)
    arithmetic = Rubric.load("configs/rubric-arithmetic.yaml")
    assert {tuple(c.rubric) for g in load_groups(out, arithmetic) for c in g.candidates} == {arithmetic.dimension_names}


def test_repeated_problems_are_left_out_and_counted():
    seeds = [Seed(str(number), problem, "") for number, problem in enumerate(["How many?", "Why?", "how  MANY?"])]
    repeated = Counter()
    assert [seed.problem_id for seed in distinct_seeds(seeds, 0.8, repeated)] == ["0", "1"]
    assert repeated == {"problems": 1}
    assert len(list(distinct_seeds(seeds, 0.0, repeated))) == 3


@pytest.mark.parametrize("threshold", [0.0, 0.8, 1.0])
def test_held_out_problems_are_counted_apart(threshold):
    seeds = [Seed(str(number), problem, "") for number, problem in enumerate(["How many?", "Why?", "how  MANY?"])]
    repeated = Counter()
    kept = distinct_seeds(seeds, threshold, repeated, ["what?", "how many?"])
    assert [seed.problem_id for seed in kept] == ["1"]
    assert repeated == {"held_out": 2}


def test_no_problem_of_a_held_out_file_gives_a_group(seeds, tmp_path, write):
    everything = tmp_path / "all.jsonl"
    build(QUICK, seeds, everything)
    first, *others = load_groups(everything)
    dev = write({"question": f"  {first.problem.upper()} "}, name="dev.jsonl")
    out = tmp_path / "groups.jsonl"
    report = build(replace(QUICK, gates=replace(QUICK.gates, held_out=[str(dev)])), seeds, out)
    assert [group.problem for group in load_groups(out)] == [group.problem for group in others]
    assert report.card.seeds["held_out"] == 1
    assert report.card.data["held_out"][0]["file"].endswith("dev.jsonl")


def test_a_held_out_file_without_problems_stops_the_build(seeds, tmp_path, write):
    dev = write({"text": "no problem"}, name="dev.jsonl")
    with pytest.raises(DataError, match=r"dev\.jsonl:1"):
        build(replace(QUICK, gates=replace(QUICK.gates, held_out=[str(dev)])), seeds, tmp_path / "groups.jsonl")


def test_seeds_of_the_hub_give_the_groups_that_files_give(problems, write, reachable_hub, tmp_path):
    path = write(*problems(3))
    reachable_hub.files["datasets/org/seeds"] = {"math/rows.jsonl": path.read_bytes()}
    build(QUICK, path, tmp_path / "local.jsonl")
    card = build(QUICK, "org/seeds:math", tmp_path / "hub.jsonl").card
    assert (tmp_path / "hub.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    assert [each["file"] for each in card.data["files"]] == ["org/seeds:math/rows.jsonl"]


def test_plans_of_programs(write, tmp_path):
    program = (
        "def count_small(numbers, limit):\n    total = 0\n    for number in numbers:\n"
        "        if number < limit:\n            total += 1\n    return total\n"
    )
    row = {
        "prompt": "Count the numbers below a limit.",
        "code": program,
        "test_list": ["assert count_small([1], 2) == 1"],
    }
    out = tmp_path / "groups.jsonl"
    build(BuildConfig(task="code", workers=1, audit=QUICK.audit), write(row), out)
    (group,) = load_groups(out, Rubric.load("code"))
    assert group.reference_solution == program
    assert (group.task_type, group.tests, group.raw["entry_point"]) == (
        "code",
        "assert count_small([1], 2) == 1",
        "count_small",
    )


def test_rebalanced_groups_hide_what_length_gives_away(problems, write, tmp_path):
    """Dropped steps are shorter, repeated ones longer. Words take more groups than a test has time for."""
    path = write(*problems(60))
    group = GroupConfig(negatives_least=2)
    plain = BuildConfig(workers=1, group=group, audit=AuditConfig(groups=60))
    even = BuildConfig(workers=1, group=group, audit=plain.audit, rebalance=RebalanceConfig(enabled=True, rounds=2))
    build(plain, path, tmp_path / "plain.jsonl")
    card = build(even, path, tmp_path / "even.jsonl").card
    assert check_groups(tmp_path / "even.jsonl", Rubric.load("math")).ok
    assert card.before["macro"]["length"] - card.audit["macro"]["length"] > 0.05
    assert "Rebalanced; before: words" in Path(tmp_path / "even.card.md").read_text()
