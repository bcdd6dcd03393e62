"""`groups build` with language models, from the command line: one that does well, and ones that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rm.cli.main import main
from rm.lab import SAMPLE_TRAIN

SEEDS = 8
GROUP = {"negatives_least": 2, "negatives_most": 3, "positives": 1}
OWN_KINDS = {
    "wrong_total": "The last number is not what the calculation gives.",
    "wrong_copy": "A number of the problem is copied wrongly into the last step.",
    "wrong_sign": "The last step adds where it has to subtract, or the other way round.",
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first groups of the shipped sample, whose first sound traces are the solutions."""
    path = tmp_path_factory.mktemp("seeds") / "seeds.jsonl"
    path.write_text("".join(f"{line}\n" for line in SAMPLE_TRAIN.read_text().splitlines()[:SEEDS]))
    return path


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
        config.write_text(yaml.safe_dump({"group": GROUP, "audit": {"groups": 0}, "llm": settings}))
        words = ["--config", config, "--seeds", seeds, "--out", tmp_path / "groups.jsonl", *options]
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
    assert "judge served-1" in card()["rubric"]


def test_a_rerun_asks_nothing_and_gives_the_same_bytes(serve, build, tmp_path):
    server = serve()
    assert build(server)[0] == 0
    before, asked = (tmp_path / "groups.jsonl").read_bytes(), len(server.bodies)
    first_card = json.loads((tmp_path / "groups.card.json").read_text())
    assert build(server, "--force")[0] == 0
    assert (tmp_path / "groups.jsonl").read_bytes() == before
    assert len(server.bodies) == asked
    assert json.loads((tmp_path / "groups.card.json").read_text()) == first_card
