"""`groups build` with language models, from the command line: one that does well, and ones that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rm.build.math.table import KINDS
from rm.cli.main import main
from rm.rubric import Rubric

SEEDS = 8
GROUP = {"negatives_least": 2, "negatives_most": 3, "positives": 1, "tellings": 0}
AS_IT_CAME = {name: 0 for name, kind in KINDS.items() if kind.sound}
"""No sound traces in other words: the scripted model reads plain calculations only."""
GATES = {"near_duplicate": 1.0}
"""The problems are made of few words."""
SETTINGS = {"group": GROUP, "gates": GATES, "audit": {"groups": 0}}
OWN_KINDS = {
    "wrong_total": "The last number is not what the calculation gives.",
    "wrong_copy": "A number of the problem is copied wrongly into the last step.",
    "wrong_sign": "The last step adds where it has to subtract, or the other way round.",
}


@pytest.fixture
def build(
    seeds: Path, section: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run the command with one server as perturber and judge; gives the exit code and what stood on stderr."""

    def run(server: Any, *options: str, **llm: Any) -> tuple[int, str]:
        asked = {"server": section(server)}
        settings = {
            "perturber": {**asked, "own_kinds": OWN_KINDS, "flaws": 3},
            "judges": [asked],
            "rules": False,
            "cache": str(tmp_path / "cache.sqlite"),
            **llm,
        }
        config = tmp_path / "build.yaml"
        config.write_text(
            yaml.safe_dump({**SETTINGS, "kinds": {} if "code" in options else AS_IT_CAME, "llm": settings})
        )
        words = ["--config", config, "--out", tmp_path / "groups.jsonl", *options]
        words += [] if "--seeds" in options else ["--seeds", seeds]
        code = main(["groups", "build", *map(str, words)])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def card(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """The card that was written."""
    return lambda: json.loads((tmp_path / "groups.card.json").read_text())


@pytest.fixture
def groups(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """The groups that were written."""
    return lambda: [json.loads(line) for line in (tmp_path / "groups.jsonl").read_text().splitlines()]


def test_a_model_that_does_well_gives_groups_that_pass_the_check(serve, build, groups, card, tmp_path):
    code, told = build(serve())
    assert code == 0, told
    assert main(["groups", "check", str(tmp_path / "groups.jsonl"), "--rubric", "math"]) == 0
    assert len(groups()) == SEEDS
    for group in groups():
        (positive,) = group["positive_pool"]
        assert positive["rubric"]["total"] == 1.0
        assert {entry["negative_kind"] for entry in group["negative_bank"]} == {f"llm_{name}" for name in OWN_KINDS}
        for entry in group["negative_bank"]:
            assert entry["rubric"]["total"] < 1.0
            assert entry["metadata"]["first_wrong_step"] == len(entry["reasoning"].splitlines()) - 1
            assert entry["metadata"]["judged"]["judges"]["judge served-1"]["comment"] == "1 wrong."
    llm = card()["llm"]
    assert llm["models"]["perturber served-1"]["replies"] == 3 * SEEDS
    assert llm["models"]["judge served-1"]["replies"] == 4 * SEEDS
    assert llm["tokens"] == 120 * 7 * SEEDS
    assert llm["judges"]["flawed_judged_no_worse_than_the_best_sound"] == {"traces": 0, "of": 3 * SEEDS}
    assert "judge served-1" in card()["labels"]
    page = (tmp_path / "groups.card.md").read_text()
    assert "| judge served-1 | 32 | 3,200 | 640 | 0 | 0.0 |" in page
    assert "0 of 24 flawed ones no worse than the best sound one" in page


def test_a_rerun_asks_nothing_and_gives_the_same_bytes(serve, build, tmp_path):
    server = serve()
    assert build(server)[0] == 0
    before, asked = (tmp_path / "groups.jsonl").read_bytes(), len(server.bodies)
    first_card = json.loads((tmp_path / "groups.card.json").read_text())
    assert build(server, "--force")[0] == 0
    assert (tmp_path / "groups.jsonl").read_bytes() == before
    assert len(server.bodies) == asked
    assert json.loads((tmp_path / "groups.card.json").read_text()) == first_card


NONSENSE = {
    "prose": "The steps look fine to me, so there is little to change.",
    "refusal": "I'm sorry, but I can't help with writing misleading solutions.",
    "cut JSON": '{"reasoning": "3 * 4 = 12, so',
    "an essay": json.dumps(
        {
            "reasoning": "Mathematics is the queen of the sciences.\nIt teaches us 5 things.",
            "changed_step": 1,
            "explanation": "All of it.",
            "final_answer": "5",
        }
    ),
    "wrong types": '{"reasoning": ["a"], "changed_step": "one", "explanation": null, "final_answer": []}',
    "nothing": "",
}


@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_gives_not_one_group_and_says_why(reply, serve, build, tmp_path):
    code, told = build(serve(lambda number, body: reply))
    assert code == 1
    assert "Not one group came out" in told
    assert "24 traces: llm_" in " ".join(told.split()) or told.count("traces: llm_") >= 3
    assert not (tmp_path / "groups.jsonl").exists()


def test_a_judge_who_talks_nonsense_labels_nothing(serve, build, scripted):
    def fault(number, body):
        return "7/10" if "The rubric:" in body["messages"][-1]["content"] else None

    code, told = build(serve(fault))
    assert code == 1
    assert "8 seeds: no sound trace that could be judged" in told


def test_faults_that_pass_change_nothing(serve, build, serving, tmp_path):
    assert build(serve())[0] == 0
    well = (tmp_path / "groups.jsonl").read_bytes()
    answers = (
        serving.Answer(500, b"Internal Server Error"),
        serving.Answer(503, b"busy", (("retry-after", "0.01"),)),
        serving.Answer(body=b'{"choices": [', cut=9),
        serving.Answer(body=b"<html>502</html>"),
    )

    def fault(number, body):
        return answers[number // 4 % 4] if number % 4 == 0 else None

    code, told = build(serve(fault), "--force", cache=str(tmp_path / "other.sqlite"))
    assert code == 0, told
    assert (tmp_path / "groups.jsonl").read_bytes() == well


def test_bad_replies_cost_their_trace_and_are_counted(serve, build, groups, card):
    """Every third flaw is prose, twice; every fifth judgement is out of range, twice."""
    spoilt: dict[str, Any] = {}

    def fault(number, body):
        question = body["messages"][-1]["content"].partition("Your reply to this was")[0].rstrip()
        judging = "The rubric:" in question
        bad = spoilt.setdefault(question, sum(map(ord, question)) % (5 if judging else 3) == 0)
        return None if not bad else '{"comment": "", "scores": {}, "overall": 70}' if judging else "No."

    code, told = build(serve(fault))
    assert code == 0, told
    lost = {kind: sum(bad for text, bad in spoilt.items() if ("The rubric:" in text) == kind) for kind in (True, False)}
    models = card()["llm"]["models"]
    assert models["perturber served-1"]["dropped"] == {"no JSON": lost[False]}
    assert models["judge served-1"]["dropped"] == {"missing keys": lost[True]}
    assert models["perturber served-1"]["again"] == lost[False]
    dropped = card()["dropped"]
    assert sum(count for why, count in dropped.items() if "no JSON" in why) == lost[False]
    assert sum(count for why, count in dropped.items() if "too few judgements" in why) == lost[True]
    assert all(len(entry["rubric"]) == 6 for group in groups() for entry in group["negative_bank"])


def test_a_server_that_goes_down_stops_the_build_which_goes_on_elsewhere(serve, build, serving, tmp_path):
    assert build(serve())[0] == 0
    well = (tmp_path / "groups.jsonl").read_bytes()
    (tmp_path / "groups.jsonl").unlink()
    fresh = {"cache": str(tmp_path / "other.sqlite")}
    down = serve(lambda number, body: None if number < 30 else serving.Answer(503, b"down"))
    code, told = build(down, **fresh)
    assert code == 1
    assert "were lost" in told
    assert "the same command goes on from there" in told
    assert (tmp_path / ".groups.jsonl.partial").exists()
    server = serve()
    code, told = build(server, **fresh)
    assert code == 0, told
    assert (tmp_path / "groups.jsonl").read_bytes() == well
    assert 0 < len(server.bodies) <= 56 - 30 + 4


def test_nobody_there_is_told(build, serve, serving):
    server = serve()
    server.port = 9  # nothing listens
    code, told = build(server)
    assert code == 1
    assert "connection" in told
    assert "llm.perturber.server" in told


def test_a_budget_stops_it_and_the_same_command_goes_on(serve, build, section, tmp_path, card):
    server = serve()
    assert build(server)[0] == 0
    well, asked = (tmp_path / "groups.jsonl").read_bytes(), len(server.bodies)
    whole = card()
    (tmp_path / "groups.jsonl").unlink()
    server, stops = serve(), 0
    one_by_one = {**section(server), "concurrency": 1}
    options = {
        "perturber": {"server": one_by_one, "own_kinds": OWN_KINDS, "flaws": 3},
        "judges": [{"server": one_by_one}],
        "cache": str(tmp_path / "other.sqlite"),
        "max_tokens_total": 2500,
    }
    while True:
        code, told = build(server, **options)
        if code == 0:
            break
        assert "llm.max_tokens_total = 2,500 is reached" in told
        stops += 1
        assert stops < 5
    assert stops == 2  # 56 questions of 120 tokens; a run stops after 21 of them and what is under way
    assert len(server.bodies) == asked
    assert (tmp_path / "groups.jsonl").read_bytes() == well
    assert card() == whole


def test_several_judges_agree_so_and_so(serve, build, section, scripted, groups, card):
    """One judge well, one sampled twice who is two points milder, one who is ill."""
    good = serve()

    def mild(number, body):
        scores = dict.fromkeys(json.loads(scripted.write(body))["scores"], 9)
        return json.dumps({"comment": "", "scores": scores, "overall": 9})

    judges = [
        {"server": section(good)},
        {"server": section(serve(mild), model="mild"), "temperature": 0.7, "samples": 2},
        {"server": section(serve(lambda number, body: "Ugh."), model="ill")},
    ]
    code, told = build(good, judges=judges, least_judgements=3)
    assert code == 0, told
    found = card()["llm"]["judges"]
    assert found["judges"] == ["judge served-1", "judge mild#1", "judge mild#2", "judge ill"]
    # Flawed traces: 6, 7, 8, 9, 10 from the good judge and 9 from the others; sound ones 10 and 9: level 4 throughout
    assert found["agreement"]["step_coherence"]["exact"] == 1.0
    assert found["agreement"]["problem_understanding"]["exact"] == pytest.approx((24 * 1 + 8 * 3) / (32 * 3), abs=1e-4)
    entry = groups()[0]["negative_bank"][0]
    assert entry["rubric"]["total"] == 0.9  # the median of 6, 9, 9
    assert entry["metadata"]["judged"]["spread"]["overall"] == 3
    assert list(entry["metadata"]["judged"]["judges"]) == found["judges"][:3]
    assert build(good, "--force", judges=judges)[0] == 1  # all four are wanted


def test_judges_alone_grade_what_rules_make(serve, build, groups, card):
    code, told = build(serve(), perturber=None)
    assert code == 0, told
    entries = [entry for group in groups() for entry in group["negative_bank"]]
    assert entries
    assert not any(entry["negative_kind"].startswith("llm_") for entry in entries)
    assert all(entry["metadata"]["rule_rubric"].keys() >= entry["rubric"].keys() - {"total"} for entry in entries)
    found = card()["llm"]["judges"]["with_rules"]["calculation_correctness"]
    assert found["n"] >= len(entries)
    assert 0 <= found["exact"] <= 1


def test_rules_and_a_model_side_by_side(serve, build, section, groups):
    server = serve()
    perturber = {"server": section(server), "kinds": [], "flaws": 2, "rewordings": 0}
    code, told = build(server, "--group.negatives_most", "12", perturber=perturber, rules=True, judges=[])
    assert code == 0, told
    kinds = {entry["negative_kind"].startswith("llm_") for group in groups() for entry in group["negative_bank"]}
    assert kinds == {True, False}


def plan(words: str) -> str:
    return f"1. Read the list.\n2. Go through it once and {words}.\n3. Return the result."


def test_plans_for_programs(serve, build, section, tmp_path, groups, card):
    """A flaw in a plan has no answer that would tell: it stays only where the judge sees it."""
    seeds = tmp_path / "plans.jsonl"
    tasks = ("add up", "count", "join", "negate")
    rows = [
        {
            "task_id": f"t{index}",
            "text": f"Write a function that is given numbers and has to {task} those above {index}.",
            "plan": plan(f"{task} each number above {index}"),
            "code": "def f(x):\n    return x",
            "test_list": ["assert f(1) == 1"],
        }
        for index, task in enumerate(tasks)
    ]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def fault(number, body):
        prompt = body["messages"][-1]["content"]
        if "The rubric:" in prompt:
            level = 3 if "below" in prompt.partition("<reasoning>")[2] else 9
            scores = dict.fromkeys(Rubric.load("code").dimension_names, level)
            return json.dumps({"comment": "", "scores": scores, "overall": level})
        wrong = "below" if "wrong_side" in prompt else "beyond"
        written = prompt.partition("numbered:\n")[2].partition("\n\n")[0].replace("above", wrong)
        return json.dumps({"reasoning": written, "changed_step": 2, "explanation": "It.", "final_answer": None})

    kinds = {"wrong_side": "Takes the numbers on the wrong side.", "other_word": "Says it in a word that is vague."}
    perturber = {"server": section(serve(fault)), "own_kinds": kinds, "flaws": 2}
    judge = [{"server": perturber["server"]}]
    options = ("--task", "code", "--group.negatives_least", "1", "--seeds", str(seeds))
    code, told = build(serve(fault), *options, perturber=perturber, judges=judge)
    assert code == 0, told
    assert len(groups()) == len(tasks)
    for group in groups():
        assert [entry["negative_kind"] for entry in group["negative_bank"]] == ["llm_wrong_side"]
        assert group["negative_bank"][0]["metadata"]["first_wrong_step"] == 1
    assert card()["dropped"] == {"llm_other_word: a flaw that the judges do not see": len(tasks)}


@pytest.mark.parametrize(
    ("llm", "words"),
    [
        ({"perturber": {"kinds": ["nonsense"]}}, "llm.perturber.kinds: there is no kind of flaw 'nonsense'"),
        ({"perturber": {"own_kinds": {"two words": "x"}}}, "llm.perturber.own_kinds.two words"),
        ({"perturber": {"flaw": 3}}, "unknown key llm.perturber.flaw"),
        ({"judge": []}, "unknown key llm.judge"),
    ],
)
def test_a_wrong_configuration_is_told_before_anything_is_asked(llm, words, serve, build, section):
    server = serve()
    if "perturber" in llm:
        llm["perturber"] = {"server": section(server), **llm["perturber"]}
    code, told = build(server, **llm)
    assert code == 2
    assert words in told
    assert not server.bodies


def test_tests_are_run_before_models_are_asked(serve, build, card, groups, write):
    program = (
        "def count_small(numbers, limit):\n    total = 0\n    for number in numbers:\n"
        "        if number < limit:\n            total += 1\n    return total\n"
    )
    row = {"prompt": "Count the numbers below a limit.", "code": program, "entry_point": "count_small"}
    sound = {**row, "tests": "assert count_small([1, 2, 3], 3) == 2\nassert count_small([], 3) == 0"}
    wrong = {**row, "prompt": "How many of some amounts are small?", "tests": "assert count_small([1], 3) == 2"}
    options = ("--task", "code", "--seeds", str(write(sound, wrong)), "--gates.run_tests", "true")
    server = serve()
    for unsafe in ((), ("--gates.unsafe_subprocess", "true")):  # where this machine carries no sandbox
        code, told = build(server, *options, *unsafe, perturber=None)
        if code != 2:
            break
    assert code == 0, told
    assert card()["seeds"]["unusable"] == {"its reference program fails a test of its own": 1}
    assert card()["tally"]["tested"]
    [group] = groups()
    assert len(server.bodies) == len(group["positive_pool"]) + len(group["negative_bank"])
    assert not any("some amounts" in json.dumps(body) for body in server.bodies)
