"""Rubrics: the shipped ones, new ones, and what is wrong with bad ones."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rm.cli import rubric as verb
from rm.errors import ConfigError
from rm.rubric import Rubric, shipped_rubrics

MINIMAL = {"name": "proof", "dimensions": [{"name": "rigour"}, {"name": "clarity"}]}


def problems_of(data: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        Rubric.from_dict(data, "r.yaml")
    return raised.value.problems


def fields_of(data: Any) -> list[str]:
    """What stands between the file and the sign of equality in each problem."""
    return [problem.removeprefix("r.yaml: ").split(" = ")[0] for problem in problems_of(data)]


def with_dimension(**fields: Any) -> dict[str, Any]:
    return {"name": "proof", "dimensions": [{"name": "rigour", **fields}]}


# The official names and weights: TraceLift, arXiv 2605.03862.
@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("code", "task_understanding plan_quality step_coherence action_support non_leakage"),
        (
            "math",
            "problem_understanding solution_strategy step_coherence calculation_correctness answer_support",
        ),
    ],
)
def test_shipped_rubrics_are_official_and_fully_described(name: str, dimensions: str) -> None:
    rubric = Rubric.load(name)
    assert rubric.name == name
    assert rubric.dimension_names == tuple(dimensions.split())
    assert rubric.weights == (0.2,) * 5
    assert rubric.num_levels == 5
    assert rubric.judge_instructions
    for dimension in rubric.dimensions:
        assert dimension.description
        assert len(set(dimension.levels)) == 5


def test_shipped_rubrics_are_found_by_name() -> None:
    assert shipped_rubrics() == ("code", "math")


@pytest.mark.parametrize("rubric", [*map(Rubric.load, shipped_rubrics()), Rubric.from_dict(MINIMAL)])
def test_the_plain_form_survives_json(rubric: Rubric) -> None:
    again = Rubric.from_dict(json.loads(json.dumps(rubric.to_dict())))
    assert again == rubric
    assert again.fingerprint == rubric.fingerprint


def test_a_new_rubric_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "proof.yaml"
    path.write_text(
        "name: proof\nlevels: 3\ndimensions:\n"
        "  - {name: rigour, weight: 7.5e-1, levels: [none, some, full]}\n"
        "  - {name: clarity, weight: 25e-2}\n"  # PyYAML reads this one as text
    )
    rubric = Rubric.load(path)
    assert rubric == Rubric.load(str(path))
    assert (rubric.name, rubric.num_levels, rubric.weights) == ("proof", 3, (0.75, 0.25))
    assert rubric.dimensions[0].levels == ("none", "some", "full")
    assert rubric.dimensions[1].levels == ()


def test_without_weights_all_weigh_the_same() -> None:
    assert Rubric.from_dict(MINIMAL).weights == (0.5, 0.5)
    assert Rubric.from_dict(MINIMAL).num_levels == 5


def test_the_fingerprint_changes_with_any_word() -> None:
    base = Rubric.from_dict(MINIMAL)
    for change in ({"levels": 4}, {"description": "x"}, {"judge_instructions": "x"}, {"name": "other"}):
        assert Rubric.from_dict({**MINIMAL, **change}).fingerprint != base.fingerprint


# min(4, max(0, floor(score / 2))), worked out by hand.
@pytest.mark.parametrize(
    ("score", "level"),
    [
        (0, 0),
        (1.99, 0),
        (2, 1),
        (3.9, 1),
        (4, 2),
        (5.5, 2),
        (6, 3),
        (8, 4),
        (9.7, 4),
        (10, 4),
        (-3, 0),
        (12, 4),
    ],
)
def test_official_levels(score: float, level: int) -> None:
    assert Rubric.load("math").level_of(score) == level


@pytest.mark.parametrize(
    ("levels", "score", "level"), [(2, 4.9, 0), (2, 5, 1), (10, 3, 3), (10, 10, 9), (3, 6.6, 1), (3, 6.7, 2)]
)
def test_other_numbers_of_levels(levels: int, score: float, level: int) -> None:
    assert Rubric.from_dict({**MINIMAL, "levels": levels}).level_of(score) == level


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_none(score: float) -> None:
    with pytest.raises(ValueError, match="judge_score"):
        Rubric.load("math").level_of(score)


@pytest.mark.parametrize("data", [None, [], "math", 3, [MINIMAL]])
def test_no_mapping(data: Any) -> None:
    assert len(problems_of(data)) == 1


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({}, ["name", "dimensions"]),
        ({**MINIMAL, "name": "two words"}, ["name"]),
        ({**MINIMAL, "name": True}, ["name"]),
        ({**MINIMAL, "levels": 1}, ["levels"]),
        ({**MINIMAL, "levels": "5"}, ["levels"]),
        ({**MINIMAL, "levels": True}, ["levels"]),
        ({**MINIMAL, "judge_instructions": ["a"]}, ["judge_instructions"]),
        ({**MINIMAL, "dimensions": []}, ["dimensions"]),
        ({**MINIMAL, "dimensions": {"rigour": 1}}, ["dimensions"]),
        ({**MINIMAL, "dimensions": ["rigour", {"name": "a"}]}, ["dimensions[0]"]),
        ({**MINIMAL, "dimensions": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}, ["dimensions[2].name"]),
        ({**MINIMAL, "dimensions": [{"name": "a", "weight": 0.5}, {"name": "b"}]}, ["dimensions"]),
        (
            {**MINIMAL, "dimensions": [{"name": "a", "weight": 0.5}, {"name": "b", "weight": 0.4}]},
            ["dimensions"],
        ),
        (with_dimension(name=None), ["dimensions[0].name"]),
        (with_dimension(name="no identifier"), ["dimensions[0].name"]),
        (with_dimension(name="total"), ["dimensions[0].name"]),
        (with_dimension(weight=0), ["dimensions[0].weight"]),
        (with_dimension(weight=-1), ["dimensions[0].weight"]),
        (with_dimension(weight=True), ["dimensions[0].weight"]),
        (with_dimension(weight="heavy"), ["dimensions[0].weight"]),
        (with_dimension(weight=float("nan")), ["dimensions[0].weight"]),
        (with_dimension(description=3), ["dimensions[0].description"]),
        (with_dimension(levels=["a", "b"]), ["dimensions[0].levels"]),
        (with_dimension(levels="a"), ["dimensions[0].levels"]),
        (
            with_dimension(levels=["a", "b", {"c": "d"}, "", "e"]),
            ["dimensions[0].levels[2]", "dimensions[0].levels[3]"],
        ),
        (with_dimension(wieght=1), ["dimensions[0].wieght"]),
    ],
)
def test_what_is_wrong_is_told_by_field(data: Any, fields: list[str]) -> None:
    assert fields_of(data) == fields


def test_all_problems_come_at_once_with_a_fix() -> None:
    data = {
        "nmae": "x",
        "levels": 3,
        "dimensions": [{"name": "a", "weight": 0.3}, {"name": "b", "weight": 0.3}],
    }
    assert problems_of(data) == (
        "r.yaml: nmae = an unknown key, expected one of the keys name, description, levels, dimensions, "
        "judge_instructions. Did you mean name?",
        "r.yaml: name = nothing, expected some text.",
        "r.yaml: dimensions = weights that sum to 0.6, expected weights that sum to 1. "
        "In the same proportions: 0.5, 0.5.",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: a: b\n", ":1: "),
        (b"name: x\ndimensions: [\n", "expected YAML"),
        (b"name: caf\xe9\n", "expected UTF-8 text"),
        (b"name: \x00\n", "expected YAML"),
        (b"", "expected a mapping"),
        (b"name: x\n", "dimensions"),
    ],
)
def test_files_that_hold_no_rubric(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        Rubric.load(path)
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"one of code, math, .* Did you mean math\?"):
        Rubric.load("maths")


def test_a_directory_is_no_rubric(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Rubric.load(tmp_path)


def test_importing_rubrics_loads_no_torch() -> None:
    code = "import sys, rm.rubric, rm.groups; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers(required=True))
    args = parser.parse_args(["rubric", *map(str, argv)])
    code: int = args.run(args)
    return code


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "code") == 0
    page = capsys.readouterr().out
    for dimension in Rubric.load("code").dimensions:
        assert f"{dimension.name}  (weight 0.2)" in page
    assert run("show", "code", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("fingerprint") == Rubric.load("code").fingerprint
    assert Rubric.from_dict(shown) == Rubric.load("code")


def test_check_tells_every_problem_of_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("name: x y\n")
    second.write_text("levels: 0\n")
    assert run("check", "math") == 0
    assert capsys.readouterr().out == "math: rubric math, 5 dimensions, levels 0-4\n"
    with pytest.raises(ConfigError) as raised:
        run("check", first, "math", second)
    assert [problem.split(" = ")[0] for problem in raised.value.problems] == [
        f"{first}: name",
        f"{first}: dimensions",
        f"{second}: name",
        f"{second}: levels",
        f"{second}: dimensions",
    ]
    assert "math: rubric math" in capsys.readouterr().out
