"""`bench`: every way that works does the same work, and the figures fit together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rm.cli.main import main
from rm.config import TrainConfig
from rm.errors import ConfigError
from rm.train.bench import BenchReport, bench

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def report(config: MakeConfig) -> BenchReport:
    return bench(config(), groups=4, repeats=1)


def test_every_way_of_a_decoder_is_measured_in_training_and_in_scoring(report: BenchReport) -> None:
    ways = ["plain", "segments", "tree_mask"]
    assert [row.way for row in report.train] == [row.way for row in report.score] == ways
    assert list(report.refused) == ["flex"]
    assert "CPU" in report.refused["flex"]


def test_the_plain_way_is_the_measure_of_the_others(report: BenchReport) -> None:
    for rows in (report.train, report.score):
        assert rows[0].ratio == rows[0].flop_ratio == 1.0
        for row in rows:
            assert row.ratio == pytest.approx(rows[0].seconds / row.seconds)


def test_sharing_computes_fewer_tokens_and_pads_none(report: BenchReport) -> None:
    for rows in (report.train, report.score):
        plain, segments = rows[0], rows[1]
        assert segments.computed_tokens < report.tokens <= plain.computed_tokens
        assert segments.padding_share == 0
        assert plain.padding_share == pytest.approx(1 - report.tokens / plain.computed_tokens)
        assert segments.flop_ratio > 1


def test_rates_are_of_the_data_not_of_what_is_computed(report: BenchReport) -> None:
    for row in report.train:
        assert row.tokens_per_second == pytest.approx(report.tokens / row.seconds)
        assert row.groups_per_second == pytest.approx(report.groups / row.seconds)


def test_without_data_it_says_what_to_give(config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"--data\.train"):
        bench(config(**{"data.train": []}))


@pytest.fixture
def command(base: Path, train_file: Path) -> list[str]:
    data = ["--data.train", str(train_file), "--model.backbone", str(base), "--train.tokens_per_microbatch", "2048"]
    return ["bench", "--groups", "2", "--repeats", "1", *data]


def test_the_command_prints_a_table_and_what_to_set(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    page = capsys.readouterr().out
    assert "Training" in page
    assert "Scoring" in page
    assert "model.prefix_sharing: " in page.splitlines()[-1]


def test_the_command_prints_json_for_scripts(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["groups"] == 2
    assert {row["way"] for row in found["train"]} == {"plain", "segments", "tree_mask"}


def test_what_was_not_as_asked_is_told(config: MakeConfig) -> None:
    report = bench(config(**{"model.prefix_sharing": "plain"}), groups=99, repeats=1)
    assert any("fewer than the 99 asked for" in note for note in report.notes)
    assert any("prefix_sharing is not read" in note for note in report.notes)
