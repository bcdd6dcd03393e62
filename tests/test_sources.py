"""Names of models: directories, the shipped base, hub names; and no waiting where there is no network."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import pytest

from rm import sources
from rm.errors import ConfigError, RunError
from rm.sources import HubUnreachable, Source, find_source, hub_reachable


@pytest.fixture(autouse=True)
def _ask_anew():
    hub_reachable.cache_clear()
    yield
    hub_reachable.cache_clear()


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(sources.urllib.request, "urlopen", refuse)


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(sources, "hub_reachable", lambda: True)


def test_a_directory_is_found(tmp_path):
    assert find_source(str(tmp_path), "model") == Source(str(tmp_path), "", True)


def test_a_directory_wins_over_a_hub_name(tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_source("org/name", "model").is_local


def test_the_home_directory_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert find_source("~/model", "model").path == str(tmp_path / "model")


def test_tiny_is_the_shipped_base():
    assert find_source("tiny", "model").read_json("config.json")["model_type"] == "qwen2"


@pytest.mark.parametrize(
    ("name", "path", "subfolder"),
    [("org/name", "org/name", ""), ("org/name:sub/folder", "org/name", "sub/folder"), ("a.b/c-d_e", "a.b/c-d_e", "")],
)
def test_a_hub_name_may_have_a_subfolder(name, path, subfolder, online):
    source = find_source(name, "model", revision="v1")
    assert (source.path, source.subfolder, source.is_local) == (path, subfolder, False)
    assert source.hub_kwargs == {"revision": "v1"} | ({"subfolder": subfolder} if subfolder else {})
    assert str(source) == name


@pytest.mark.parametrize("name", ["word", "a/b/c", "a b/c", "./a/b", "../a", "/a", "~/a", "a/b:"])
def test_what_can_be_neither_is_refused_without_asking_the_hub(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "hub_reachable", lambda: pytest.fail("asked the hub"))
    with pytest.raises(ConfigError, match=r"model.backbone: no such directory"):
        find_source(name, "model.backbone")


def test_a_hub_name_out_of_reach_says_what_to_do(offline):
    with pytest.raises(HubUnreachable, match=r"model.backbone: org/name is neither .* give its directory"):
        find_source("org/name", "model.backbone")


def test_the_hub_is_asked_once(monkeypatch):
    asked = []

    def refuse(*args, **kwargs):
        asked.append(1)
        raise TimeoutError

    monkeypatch.setattr(sources.urllib.request, "urlopen", refuse)
    assert [hub_reachable(), hub_reachable()] == [False, False]
    assert len(asked) == 1


def test_an_error_page_is_an_answer(monkeypatch):
    def answer(*args, **kwargs):
        raise urllib.error.HTTPError("url", 405, "method", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(sources.urllib.request, "urlopen", answer)
    assert hub_reachable()


def test_hub_offline_by_environment_asks_nobody(monkeypatch):
    monkeypatch.setattr(sources.huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sources.urllib.request, "urlopen", lambda *args, **kwargs: pytest.fail("asked the hub"))
    assert not hub_reachable()


def test_a_local_source_passes_nothing_on(tmp_path):
    assert Source(str(tmp_path), "", True, revision="v1").hub_kwargs == {}


def test_a_missing_file_reads_as_empty(tmp_path):
    assert Source(str(tmp_path), "", True).read_json("config.json") == {}


@pytest.mark.parametrize("content", ["{", "[1]", "7"])
def test_a_broken_file_is_named(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        Source(str(tmp_path), "", True).read_json("config.json")


def test_a_subfolder_of_a_model_repository(reachable_hub):
    reachable_hub.files["org/models"] = {
        "README.md": b"",
        "math/config.json": b'{"model_type": "qwen2"}',
        "math/model.safetensors": b"weights",
        "code/config.json": b"{}",
    }
    source = find_source("org/models:math", "model.backbone")
    assert source.read_json("config.json") == {"model_type": "qwen2"}
    assert source.read_json("rm_metadata.json") == {}
    folder = Path(source.local_directory())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    asked = " ".join(path for _, path in reachable_hub.asked)
    assert "code/config.json" not in asked


@pytest.mark.parametrize("read", [lambda s: s.read_json("config.json"), Source.local_directory])
def test_a_model_repository_that_is_not_there_or_fails(reachable_hub, read):
    with pytest.raises(ConfigError, match="org/absent: no such repository on the hub, or a private one"):
        read(find_source("org/absent", "model"))
    reachable_hub.refuses = 403
    with pytest.raises(RunError, match="org/name: could not be read from the hub"):
        read(find_source("org/name", "model"))
