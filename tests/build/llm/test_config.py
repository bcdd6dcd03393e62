"""The section `llm`: the shipped configuration, names, what decides a result and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rm.build.config import BuildConfig
from rm.build.llm.config import LlmConfig
from rm.build.seed import Seed
from rm.build.write import deciding
from rm.config import build_config, load_config
from rm.errors import ConfigError

FILE = Path(__file__).parents[3] / "configs" / "build-llm.yaml"
SERVER = {"endpoints": ["http://10.0.0.1:8000/v1"], "model": "m", "api_key_env": "MY_KEY"}


def llm(**settings) -> LlmConfig:
    return build_config(LlmConfig, settings)


def test_the_shipped_file_opens_with_its_command_and_is_valid():
    text = FILE.read_text()
    assert "groups build --config configs/build-llm.yaml" in text.split("\ntask:")[0]
    config = load_config(BuildConfig, FILE).llm
    assert config.perturber is not None
    assert len(config.raters) == 3


def test_servers_are_chat_servers_that_are_not_probed():
    server = llm(judges=[{"server": SERVER}]).judges[0].server
    assert (server.api, server.probe) == ("chat", False)


def test_judges_have_names_of_their_own():
    config = llm(
        judges=[
            {"server": SERVER},
            {"server": SERVER, "temperature": 1.0, "samples": 2},
            {"server": {**SERVER, "model": "n"}},
        ]
    )
    assert config.raters == ("judge m 1", "judge m 2#1", "judge m 2#2", "judge n")
    assert set(config.prices) == {"judge m 1", "judge m 2", "judge n"}


def test_a_result_does_not_depend_on_where_servers_are_and_what_they_cost():
    def identity(**settings):
        return deciding(build_config(BuildConfig, {"llm": {"judges": [{"server": SERVER}], **settings}}))

    plain = identity()
    moved = {**SERVER, "endpoints": ["http://10.0.0.2:9000/v1"], "concurrency": 3, "retries": 0}
    assert identity(judges=[{"server": moved, "prompt_price": 2.0}], cache="x", max_tokens_total=5) == plain
    assert identity(judges=[{"server": {**SERVER, "model": "n"}}]) != plain
    assert identity(judges=[{"server": SERVER, "temperature": 0.1}]) != plain
    assert "10.0.0.1" not in json.dumps(plain)
    assert "MY_KEY" not in json.dumps(plain)


def test_without_models_the_section_is_not_there():
    assert not llm().used
    assert "llm" not in deciding(BuildConfig())


def test_judges_see_what_is_asked_of_the_solution():
    seed = Seed("p", "How many?", "3 + 4 = 7", answer="7")
    assert [llm(reference=what).reference_of(seed) for what in ("solution", "answer", "none")] == ["3 + 4 = 7", "7", ""]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"perturber": {}}, "perturber.server is missing"),
        ({"perturber": {"server": {**SERVER, "endpoints": ["ftp://x"]}}}, "not of the form http://HOST"),
        ({"reference": "all"}, "reference"),
        ({"max_tokens_total": -1}, "max_tokens_total"),
        ({"judges": [{"server": SERVER, "samples": 2}]}, "copied"),
    ],
)
def test_mistakes_are_told(settings, words):
    with pytest.raises(ConfigError, match=words):
        llm(**settings)
