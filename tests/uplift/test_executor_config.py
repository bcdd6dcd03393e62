from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from rm.config import build_config, load_config
from rm.errors import ConfigError, MissingExtra
from rm.uplift.config import UpliftConfig
from rm.uplift.executors.arithmetic import ArithmeticExecutor
from rm.uplift.executors.config import (
    ArithmeticConfig,
    ExecutorConfig,
    OpenAIConfig,
    TransformersConfig,
    VllmConfig,
    make_executor,
)
from rm.uplift.executors.openai import OpenAIExecutor

HERE = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoints": []},
        {"model": ""},
        {"concurrency": 0},
        {"concurrency": True},
        {"timeout_s": 0.0},
        {"timeout_s": float("inf")},
        {"retries": -1},
        {"api": "responses"},
        {"budget_calls": -5},
        {"unknown": 1},
        {"kind": "vllm"},
    ],
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ConfigError):
        build_config(OpenAIConfig, {"endpoints": [HERE], "model": "m", **wrong})


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8000", "ftp://host/v1", "http://", "http:///v1", "http://host:port/v1", "http://ho st/v1", "host", ""],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match=r"endpoints: .*http://HOST:PORT/v1"):
        OpenAIConfig([HERE, address], "m")


@pytest.mark.parametrize("address", [HERE, "https://api.host.org/v1/", "http://[::1]:8000", "http://host"])
def test_addresses(address):
    OpenAIConfig([address], "m")


@pytest.mark.parametrize("address", ["https://me:hush@host/v1", "https://host/v1?key=hush", "https://host/v1#hush"])
def test_a_key_in_an_address_is_refused_and_not_shown(address):
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        build_config(OpenAIConfig, {"endpoints": [address], "model": "m"})
    assert "hush" not in str(caught.value)


def test_extra_parameters_go_by_name_and_all_problems_are_told():
    OpenAIConfig([HERE], "m", extra_body={"top_k": 20, "generation_config": '{"do_sample": true}'})
    with pytest.raises(ConfigError) as caught:
        OpenAIConfig(["nowhere"], "m", extra_body={"n": 4, "seed": 1})
    assert [problem.split(" ")[0] for problem in caught.value.problems] == ["endpoints:", "extra_body:", "extra_body:"]


def test_models_bring_no_code():
    with pytest.raises(ConfigError, match="trust_remote_code"):
        VllmConfig("model", options={"trust_remote_code": True})


def test_configurations_are_frozen():
    with pytest.raises(AttributeError):
        OpenAIConfig([HERE], "m").model = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"kind": "arithmetic", "error_rate": 0.5}, ArithmeticConfig(error_rate=0.5)),
        ({"kind": "transformers", "path": "hub/model"}, TransformersConfig("hub/model")),
        ({"kind": "vllm", "path": "hub/model"}, VllmConfig("hub/model")),
        ({"kind": "openai", "endpoints": [HERE], "model": "m"}, OpenAIConfig([HERE], "m")),
    ],
)
def test_kind_tells_them_apart(tree, expected):
    from pydantic import TypeAdapter

    assert TypeAdapter(ExecutorConfig).validate_python(tree) == expected
    with pytest.raises(ValidationError):
        TypeAdapter(ExecutorConfig).validate_python({**tree, "kind": "other"})


def test_a_fingerprint_knows_the_model_and_neither_address_nor_key():
    plain = OpenAIConfig([HERE], "m").fingerprint()
    same = OpenAIConfig(["http://other/v1", HERE], "m", api_key_env="KEY", concurrency=2, retries=9, budget_calls=5)
    assert same.fingerprint() == plain
    others = [
        OpenAIConfig([HERE], "m2"),
        OpenAIConfig([HERE], "m", revision="q4"),
        OpenAIConfig([HERE], "m", api="chat"),
        OpenAIConfig([HERE], "m", extra_body={"top_k": 1}),
    ]
    assert len({plain, *(other.fingerprint() for other in others)}) == 5


def test_fingerprints_are_the_same_in_every_process():
    code = (
        "from rm.uplift.executors.config import *;"
        f"print(OpenAIConfig([{HERE!r}], 'm', extra_body={{'top_k': 1, 'min_p': 0.5}}).fingerprint())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert found == OpenAIConfig([HERE], "m", extra_body={"min_p": 0.5, "top_k": 1}).fingerprint()


def test_a_directory_counts_by_its_content(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    a, b = TransformersConfig(str(tmp_path / "a")), TransformersConfig(str(tmp_path / "b"))
    before = a.fingerprint()
    assert before == b.fingerprint()
    (tmp_path / "a" / "model.safetensors").write_bytes(b"other weights")
    assert a.fingerprint() != before
    assert a.fingerprint() != VllmConfig(str(tmp_path / "a")).fingerprint()
    assert before == b.fingerprint()


def test_what_changes_the_text_changes_the_fingerprint():
    plain = TransformersConfig("hub/model")
    assert plain.fingerprint() == TransformersConfig("hub/model", device="cuda:1", batch_tokens=5).fingerprint()
    changed = [
        TransformersConfig("hub/model", revision="x").fingerprint(),
        TransformersConfig("hub/model", dtype="float32").fingerprint(),
        TransformersConfig("hub/model", template="plain").fingerprint(),
        TransformersConfig("hub/other").fingerprint(),
    ]
    assert len({plain.fingerprint(), *changed}) == 5
    assert plain.fingerprint("float32") == changed[1]


def test_make_executor():
    assert isinstance(make_executor(ArithmeticConfig()), ArithmeticExecutor)
    assert isinstance(make_executor(OpenAIConfig([HERE], "m")), OpenAIExecutor)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.delitem(sys.modules, "rm.uplift.executors.vllm", raising=False)
    with pytest.raises(MissingExtra, match=r"tracelift-rm\[vllm\]"):
        make_executor(VllmConfig("model"))
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "rm.uplift.executors.openai", raising=False)
    monkeypatch.delitem(sys.modules, "rm.uplift.executors.client", raising=False)
    with pytest.raises(MissingExtra, match=r"tracelift-rm\[uplift\]"):
        make_executor(OpenAIConfig([HERE], "m"))


def test_the_configuration_loads_no_engine():
    code = (
        "import sys, rm.uplift.executors.config, rm.uplift.prompts, rm.uplift.executors.arithmetic; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "httpx", "vllm", "numpy"} & set(loaded)


def test_a_field_of_another_kind_and_a_missing_one_are_told():
    with pytest.raises(ConfigError) as caught:
        load_config(UpliftConfig, None, {"executor.kind": "openai", "executor.error_rate": "0.1"})
    told = str(caught.value)
    assert "executor.model is missing." in told
    assert "--executor.error_rate: unknown key. It belongs to another executor.kind (openai, arithmetic" in told
