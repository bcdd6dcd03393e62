"""Configuration: numbers as YAML 1.2 writes them, every problem at once, nothing unknown let through."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rm.config import TrainConfig, build_config, config_keys, config_to_dict, load_config, read_yaml
from rm.errors import ConfigError
from rm.reward.config import RewardConfig

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("train-*.yaml"))


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., TrainConfig]:
    def from_text(text: str, **overrides: Any) -> TrainConfig:
        file = tmp_path / "train.yaml"
        file.write_text(text, encoding="utf-8")
        return load_config(TrainConfig, file, {key.replace("__", "."): value for key, value in overrides.items()})

    return from_text


def problems_of(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        call()
    return list(caught.value.problems)


@pytest.mark.parametrize("number", ["1e-4", "1E-4", "1.0e-4", "0.0001", ".0001", "+1e-4", "10.e-5"])
def test_every_way_to_write_a_number_is_a_number(read, number):
    assert read(f"train: {{learning_rate: {number}}}").train.learning_rate == 1e-4


@pytest.mark.parametrize("text", ["1e-4x", "e4", "1e", "12:30:45", "v1.5"])
def test_what_only_looks_like_a_number_is_none(read, text):
    (problem,) = problems_of(lambda: read(f"train: {{learning_rate: '{text}'}}"))
    assert "train.learning_rate" in problem


def test_a_quoted_number_is_text_and_refused(read):
    (problem,) = problems_of(lambda: read('train: {learning_rate: "1e-4"}'))
    assert "train.learning_rate = '1e-4'" in problem


def test_a_whole_number_will_do_where_a_fraction_is_asked(read):
    assert read("train: {epochs: 2}").train.epochs == 2.0


def test_an_empty_file_gives_the_defaults(read):
    assert read("") == TrainConfig()


def test_no_file_gives_the_defaults():
    assert load_config(TrainConfig) == TrainConfig()


def test_a_key_written_twice_names_its_line(read):
    (problem,) = problems_of(lambda: read("rubric: math\ntrain:\n  seed: 1\n  seed: 2\n"))
    assert "train.yaml:4:" in problem
    assert "'seed' is written twice" in problem


def test_broken_yaml_names_its_line(read):
    (problem,) = problems_of(lambda: read("rubric: math\ntrain: {seed: 1\n"))
    assert "train.yaml:3: not valid YAML" in problem


def test_a_tag_that_would_build_an_object_is_refused(read):
    (problem,) = problems_of(lambda: read("rubric: !!python/object/apply:os.getcwd []"))
    assert "not valid YAML" in problem


def test_a_file_that_is_no_mapping_is_refused(read):
    assert "expected a mapping" in problems_of(lambda: read("- a\n- b\n"))[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("none.yaml", None, "no such configuration file"), ("latin.yaml", b"rubric: caf\xe9", "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (problem,) = problems_of(lambda: load_config(TrainConfig, tmp_path / name))
    assert name in problem
    assert message in problem


def test_a_directory_is_no_configuration_file(tmp_path):
    assert "is a directory" in problems_of(lambda: load_config(TrainConfig, tmp_path))[0]


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("train: {learning_rat: 1e-4}", "unknown key train.learning_rat. Did you mean train.learning_rate?"),
        ("trian: {seed: 1}", "unknown key trian. Did you mean train?"),
        ("seed: 1", "unknown key seed. Did you mean train.seed?"),
        ("lora: {bananas: 1}", "unknown key lora.bananas. Known here: rank, alpha, dropout, targets, options."),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_probably_meant(read, text, suggestion):
    (problem,) = problems_of(lambda: read(text))
    assert suggestion in problem


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("train: {max_steps: 2.5}", "train.max_steps"),
        ("train: {max_steps: true}", "train.max_steps"),
        ("train: {seed: '18'}", "train.seed"),
        ("train: 3", "train"),
        ("model: {gradient_checkpointing: 1}", "model.gradient_checkpointing"),
        ("model: {backbone: 7}", "model.backbone"),
        ("data: {train: one.jsonl}", "data.train"),
        ("data: {train: [1, 2]}", "data.train"),
        ("lora: {options: [a]}", "lora.options"),
        ("loss: {weights: {ranking: much}}", "loss.weights.ranking"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_key(read, text, key):
    assert all(f" {key} = " in problem for problem in problems_of(lambda: read(text)))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("train: {learning_rate: 0}", "train.learning_rate"),
        ("train: {learning_rate: .inf}", "train.learning_rate"),
        ("train: {learning_rate: .nan}", "train.learning_rate"),
        ("train: {max_steps: -1}", "train.max_steps"),
        ("train: {groups_per_step: 0}", "train.groups_per_step"),
        ("train: {warmup_ratio: 1.0}", "train.warmup_ratio"),
        ("lora: {dropout: -0.1}", "lora.dropout"),
        ("lora: {rank: -1}", "lora.rank"),
        ("text: {max_length: 8}", "text.max_length"),
        ("text: {on_overflow: ignore}", "text.on_overflow"),
        ("quantization: fp4", "quantization"),
        ("loss: {weights: {total: -1}}", "loss.weights.total"),
        ("loss: {temperature: 0}", "loss.temperature"),
    ],
)
def test_a_value_out_of_range_names_its_key(read, text, key):
    (problem,) = problems_of(lambda: read(text))
    assert f" {key} = " in problem


@pytest.mark.parametrize("value", ["all", 3])
def test_negatives_per_group_is_a_word_or_a_number(read, value):
    assert read(f"data: {{negatives_per_group: {value}}}").data.negatives_per_group == value


@pytest.mark.parametrize("value", ["some", "0", "-1", "1.5"])
def test_what_is_neither_is_one_problem_under_the_key_itself(read, value):
    (problem,) = problems_of(lambda: read(f"data: {{negatives_per_group: {value}}}"))
    assert " data.negatives_per_group = " in problem


@pytest.mark.parametrize("value", ["all-linear", ["q_proj", "v_proj"]])
def test_targets_are_a_word_or_a_list(read, value):
    assert read(f"lora: {{targets: {value}}}").lora.targets == value


@pytest.mark.parametrize("value", [None, 0.0, 0.5])
def test_dropout_may_be_null(read, value):
    assert read(f"model: {{dropout: {'null' if value is None else value}}}").model.dropout == value


def test_every_problem_is_told_at_once(read):
    found = problems_of(lambda: read("train: {learning_rate: x, sed: 1}\nlora: {rank: -3}\nrubrik: math\n"))
    assert len(found) == 4
    for key in ("train.learning_rate", "train.sed", "lora.rank", "rubrik"):
        assert sum(f" {key}" in problem for problem in found) == 1


def test_an_override_wins_over_the_file(read):
    assert read("train: {seed: 1, max_steps: 5}", train__seed="2").train.seed == 2


def test_an_override_leaves_its_neighbours(read):
    assert read("train: {seed: 1, max_steps: 5}", train__seed="2").train.max_steps == 5


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.learning_rate", "1e-4", 1e-4),
        ("train.max_steps", "7", 7),
        ("model.gradient_checkpointing", "true", True),
        ("model.dropout", "null", None),
        ("model.backbone", "123", "123"),
        ("model.backbone", "a: b", "a: b"),
        ("data.negatives_per_group", "2", 2),
        ("data.negatives_per_group", "all", "all"),
        ("data.train", "a.jsonl", ["a.jsonl"]),
        ("data.train", ["a.jsonl", "b.jsonl"], ["a.jsonl", "b.jsonl"]),
        ("data.train", "[a.jsonl, b.jsonl]", ["a.jsonl", "b.jsonl"]),
        ("lora.targets", "all-linear", "all-linear"),
        ("lora.targets", ["q_proj", "v_proj"], ["q_proj", "v_proj"]),
        ("loss.options", "{target_temperature: 0.5}", {"target_temperature": 0.5}),
        ("lora.options", "{use_dora: true}", {"use_dora": True}),
        ("loss.options.target_temperature", "1e-1", {"target_temperature": 0.1}),
        ("loss.weights.total", "0", 0.0),
    ],
)
def test_an_override_is_read_by_the_type_of_its_key(key, text, expected):
    value: Any = load_config(TrainConfig, None, {key: text})
    for part in key.split(".")[:2] if "options." in key else key.split("."):
        value = getattr(value, part)
    assert value == expected


def test_a_file_name_in_an_override_is_text_whatever_it_looks_like():
    assert load_config(TrainConfig, None, {"data.train": ["1", "true"]}).data.train == ["1", "true"]


def test_one_file_name_in_an_override_is_text_whatever_it_looks_like():
    assert load_config(TrainConfig, None, {"data.train": "2024"}).data.train == ["2024"]


def test_two_values_for_one_key_are_refused():
    assert (
        "expected one value, found 2" in problems_of(lambda: load_config(TrainConfig, None, {"rubric": ["a", "b"]}))[0]
    )


def test_an_unknown_override_is_refused_with_what_was_probably_meant():
    (problem,) = problems_of(lambda: load_config(TrainConfig, None, {"train.lerning_rate": "1"}))
    assert "Did you mean train.learning_rate?" in problem


def test_an_override_below_a_value_is_refused():
    (problem,) = problems_of(lambda: load_config(TrainConfig, None, {"rubric.name": "math"}))
    assert "rubric" in problem


def test_an_override_below_a_value_of_the_file_is_refused(read):
    assert "not a section" in problems_of(lambda: read("train: 3", train__seed="1"))[0]


def test_a_config_reads_back_from_its_plain_form():
    config = load_config(
        TrainConfig,
        None,
        {"lora.targets": ["q_proj"], "model.dropout": "0.1", "data.negatives_per_group": "3", "loss.options": "{k: 1}"},
    )
    assert build_config(TrainConfig, config_to_dict(config)) == config


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().rubric = "code"  # type: ignore[misc]


def test_the_keys_are_dotted_to_the_leaves():
    keys = config_keys(TrainConfig)
    assert {"train.learning_rate", "loss.weights.ranking", "rubric", "lora.targets", "quantization"} <= set(keys)
    assert not {"train", "loss.weights"} & set(keys)


def test_the_keys_are_those_that_the_interfaces_name():
    promised = (
        "model.backbone model.init_from model.dtype model.attn_implementation lora.rank lora.alpha lora.dropout "
        "lora.targets quantization text.max_length text.on_overflow text.include_tests data.train data.dev "
        "data.negatives_per_group rubric loss.ranking train.max_steps train.epochs train.groups_per_step "
        "train.tokens_per_microbatch train.learning_rate train.seed output"
    )
    assert set(promised.split()) <= set(config_keys(TrainConfig))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_every_shipped_configuration_is_valid(file):
    assert load_config(TrainConfig, file)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_every_shipped_configuration_opens_with_its_command(file):
    opening = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines()[:12] if line.startswith("#"))
    assert f"train --config configs/{file.name}" in opening


def test_what_is_wrong_with_an_option_names_the_option_and_not_the_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("train: {seed: -1}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(TrainConfig, file, {"train.learning_rate": "x", "train.max_steps": "2"})
    of_option, of_file = sorted(refused.value.problems)
    assert of_option.startswith("--train.learning_rate = 'x': ")
    assert of_file.startswith(f"{file}: train.seed = -1: ")
    with pytest.raises(ConfigError) as refused:
        load_config(RewardConfig, None, {"uplift.executor.kind": "magic"})
    assert refused.value.problems[0].startswith("--uplift.executor.kind = 'magic': choose one of ")
    with pytest.raises(ConfigError) as refused:
        load_config(RewardConfig, None, {"uplift.executor.kind": "arithmetic", "uplift.executor.model": "m"})
    assert refused.value.problems[0].startswith("--uplift.executor.model: unknown key. It belongs to another")


def test_yaml_outside_a_file_names_its_source():
    (problem,) = problems_of(lambda: read_yaml("{a: 1", "--train.seed"))
    assert problem.startswith("--train.seed:1: not valid YAML")


def test_a_dotted_key_in_a_file_is_told_how_to_be_written(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("data.train: [a.jsonl]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"write sections: data: \{train: \.\.\.\}"):
        load_config(TrainConfig, file)
