"""The shipped sample groups: what `groups build` makes of generated stories, valid in the official schema."""

import json
from pathlib import Path

import pytest

from rm.build.math.table import KINDS
from rm.lab import SAMPLE_DEV, SAMPLE_TRAIN
from rm.lab.sample_groups import MAX_SIMILARITY, main
from rm.rubric import Rubric

FLAWED = {name for name, kind in KINDS.items() if not kind.sound}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def groups() -> list[dict]:
    return rows(SAMPLE_TRAIN) + rows(SAMPLE_DEV)


def test_the_shipped_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), "--seed", "18"]) == 0
    assert (tmp_path / "groups_train.jsonl").read_bytes() == SAMPLE_TRAIN.read_bytes()
    assert (tmp_path / "groups_dev.jsonl").read_bytes() == SAMPLE_DEV.read_bytes()


def test_sizes() -> None:
    assert (len(rows(SAMPLE_TRAIN)), len(rows(SAMPLE_DEV))) == (320, 80)
    assert max(SAMPLE_TRAIN.stat().st_size, SAMPLE_DEV.stat().st_size) < 1_500_000


def test_rows_are_in_the_official_schema(groups: list[dict]) -> None:
    assert len({row["problem_id"] for row in groups}) == len(groups)
    for row in groups:
        assert row["task_type"] == "math"
        assert row["problem"].strip()
        assert row["reference_solution"]
        assert 1 <= len(row["positive_pool"]) <= 2
        assert 3 <= len(row["negative_bank"]) <= 5
        candidates = row["positive_pool"] + row["negative_bank"]
        assert len({candidate["reasoning"] for candidate in candidates}) == len(candidates)
        for candidate in candidates:
            labels = dict(candidate["rubric"])
            assert 0 <= labels.pop("total") <= 1
            assert set(labels) == set(Rubric.load("math").dimension_names)
            assert all(type(level) is int and 0 <= level <= 4 for level in labels.values())


def test_positives_are_on_top_and_some_groups_have_two(groups: list[dict]) -> None:
    assert all(positive["rubric"]["total"] == 1.0 for row in groups for positive in row["positive_pool"])
    assert all(negative["rubric"]["total"] < 1.0 for row in groups for negative in row["negative_bank"])
    assert sum(len(row["positive_pool"]) == 2 for row in groups) > len(groups) / 5


def test_negatives_name_their_kind_and_first_wrong_step(groups: list[dict]) -> None:
    assert {negative["negative_kind"] for row in groups for negative in row["negative_bank"]} == FLAWED
    for row in groups:
        for negative in row["negative_bank"]:
            assert 0 <= negative["metadata"]["first_wrong_step"] < len(negative["reasoning"].splitlines())
            assert negative["metadata"]["why"]


def test_every_kind_has_several_label_vectors(groups: list[dict]) -> None:
    for kind in FLAWED:
        vectors = {
            tuple(negative["rubric"].values())
            for row in groups
            for negative in row["negative_bank"]
            if negative["negative_kind"] == kind
        }
        assert len(vectors) >= 3


def test_no_dev_problem_is_near_a_training_problem() -> None:
    """Jaccard similarity of word 3-grams, computed here afresh."""

    def grams(text: str) -> set[str]:
        words = text.lower().split()
        return {" ".join(words[start : start + 3]) for start in range(len(words) - 2)}

    train = [grams(row["problem"]) for row in rows(SAMPLE_TRAIN)]
    for row in rows(SAMPLE_DEV):
        mine = grams(row["problem"])
        assert max(len(mine & other) / len(mine | other) for other in train) <= MAX_SIMILARITY
