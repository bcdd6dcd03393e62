"""The client against real servers, good and bad."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rm.adapters.client import ITEMS_A_REQUEST, BrokenAnswer, ServerReward, read_rewards, requests_of
from rm.adapters.source import open_source
from rm.errors import ConfigError, RunError
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
from rm.reward.parts import RewardResult
from rm.reward.scorer import TraceLiftReward

GOOD = {"reward": 0.5, "formula": "rm-only-v1", "parts": {"rm": 0.5}, "failures": [], "notes": [], "news": 1}
Answer = tuple[int, dict[str, str], Any]


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives these answers in turn, the last one ever after; and the bodies that it got."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers, value = answers[min(len(asked), len(answers)) - 1]
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}", asked
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def client(url: str, **options: Any) -> Iterator[ServerReward]:
    reward = ServerReward(url, **{"backoff_s": 0.001, **options})
    try:
        yield reward
    finally:
        reward.close()


def test_the_server_gives_the_rewards_of_the_bundle(server, reward, items):
    with client(server) as remote:
        found = remote.score_sync(items)
    expected = reward.score_sync(items)
    assert [each.reward for each in found] == pytest.approx([each.reward for each in expected], abs=1e-5)
    assert [each.parts.uplift for each in found] == [each.parts.uplift for each in expected]
    assert found[0].parts.dimensions == pytest.approx(expected[0].parts.dimensions, abs=1e-5)
    assert len({each.reward for each in found}) > 3


def test_no_items_are_no_rewards(server):
    with client(server) as remote:
        assert remote.score_sync([]) == []


@pytest.mark.parametrize(
    "passing",
    [(503, {}, {"error": "busy"}), (429, {"Retry-After": "0"}, {}), (200, {}, b"<html>"), (200, {}, {"rewards": []})],
    ids=["503", "429", "no JSON", "too few"],
)
def test_what_passes_is_asked_again(passing, items):
    with answering(passing, passing, (200, {}, {"rewards": [GOOD]})) as (url, asked), client(url) as remote:
        [result] = remote.score_sync(items[:1])
    assert (result.reward, result.parts.rm, len(asked)) == (0.5, 0.5, 3)
    assert asked[0] == {"items": items[:1]}


def test_what_does_not_pass_is_told_after_all_attempts(items):
    with answering((503, {}, {"error": "the executor is down"})) as (url, asked), client(url, retries=2) as remote:
        with pytest.raises(RunError, match=r"no rewards after 3 attempts.*the executor is down"):
            remote.score_sync(items[:1])
        assert len(asked) == 3


def test_a_server_that_is_not_there_is_told():
    with client("http://127.0.0.1:9", retries=1) as remote, pytest.raises(RunError, match="ConnectError"):
        remote.score_sync([{"problem": "1 + 1?", "completion": "2"}])


@pytest.mark.parametrize(
    ("status", "told"), [(401, "refuses the key"), (404, "tracelift-rm serve BUNDLE"), (422, r"items\[0\]: no")]
)
def test_what_a_person_must_mend_is_told_at_once(status, told, items):
    with answering((status, {}, {"error": "items[0]: no"})) as (url, asked), client(url) as remote:
        with pytest.raises(ConfigError, match=told):
            remote.score_sync(items[:1])
        assert len(asked) == 1


def test_wrong_items_are_told_in_the_servers_words(server):
    with client(server) as remote, pytest.raises(ConfigError, match=r"items\[0\]\.completion"):
        remote.score_sync([{"problem": "1 + 1?", "reference_solution": "2"}])


def test_a_reward_model_served_alone_is_told(serve, bundle, items):
    judge = RewardScorer.from_pretrained(bundle / "model", device="cpu")
    with serve(judge) as url, client(url) as remote, pytest.raises(ConfigError, match="tracelift-rm reward export"):
        remote.score_sync(items[:1])


def test_another_formula_than_expected_is_told(server, bundle, items, caplog):
    with caplog.at_level(logging.INFO, "rm.adapters"), client(server, formula="tracelift-math-v1") as remote:
        assert remote.score_sync(items[:2])[0].formula == "tracelift-math-v1"
        remote.score_sync(items[:1])
    assert [line for line in caplog.messages if "rewards by" in line] == [f"{server} rewards by tracelift-math-v1"]
    told = "rewards by tracelift-math-v1, expected product-v1"
    with client(server, formula="product-v1") as remote, pytest.raises(ConfigError, match=told):
        remote.score_sync(items[:1])
    with pytest.raises(ConfigError, match=told):
        open_source(bundle, formula="product-v1")


def test_a_key_goes_along_and_stays_hidden(serve: Callable[..., Any], items, monkeypatch):
    monkeypatch.setenv("REWARD_KEY", "s3cret")
    open_reward = TraceLiftReward(RewardConfig("exec-only-v1", uplift=arithmetic()))
    with serve(open_reward, key="REWARD_KEY") as url:
        with client(url, api_key_env="REWARD_KEY") as remote:
            assert remote.score_sync(items[:1])[0].reward == 1.0
        with client(url) as remote, pytest.raises(ConfigError, match="refuses the key"):
            remote.score_sync(items[:1])
    assert "s3cret" not in repr(remote)


def arithmetic() -> Any:
    from rm.config import build_config
    from rm.uplift.config import UpliftConfig

    return build_config(UpliftConfig, {"executor": {"kind": "arithmetic", "error_rate": 0.0}, "cache": "none"})


def test_a_key_that_is_not_set_is_told_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("REWARD_KEY", raising=False)
    with pytest.raises(ConfigError, match="REWARD_KEY"):
        ServerReward("http://127.0.0.1:9", api_key_env="REWARD_KEY")


def test_an_address_is_needed():
    with pytest.raises(ConfigError, match="expected an address"):
        ServerReward("localhost:8001")


def test_problems_stay_together_in_requests():
    items = [{"problem": name} for name in "abcabcab"]
    sizes = [10] * len(items)
    assert requests_of(items, sizes, 4) == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert requests_of(items, sizes, 100) == [[0, 3, 6, 1, 4, 7, 2, 5]]
    assert [len(each) for each in requests_of([{"problem": "a"}] * 5, [10] * 5, 2)] == [2, 2, 1]


def test_large_items_go_as_several_requests():
    items = [{"problem": name} for name in "aababb"]
    assert requests_of(items, [10] * 6, most_bytes=60) == [[0, 1, 3, 2, 4, 5]]
    assert requests_of(items, [10] * 6, most_bytes=50) == [[0, 1, 3], [2, 4, 5]]
    assert requests_of(items, [10, 10, 10, 99, 10, 10], most_bytes=50) == [[0, 1], [3], [2, 4, 5]]


def test_many_items_come_back_in_their_order():
    def reply(row: dict[str, Any]) -> dict[str, Any]:
        return {**GOOD, "reward": row["number"]}

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"rewards": [reply(row) for row in asked["items"]]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    rows = [{"problem": str(i % 7), "completion": "", "number": float(i)} for i in range(3 * ITEMS_A_REQUEST + 5)]
    try:
        with client(f"http://127.0.0.1:{httpd.server_address[1]}") as remote:
            assert [each.reward for each in remote.score_sync(rows)] == [row["number"] for row in rows]
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def test_an_unmeasured_reward_is_none_with_its_reason():
    row = {**GOOD, "reward": None, "failures": ["uplift: connection"]}
    [result] = read_rewards(json.dumps({"rewards": [row]}).encode(), 1)
    assert isinstance(result, RewardResult)
    assert (result.reward, result.failures) == (None, ("uplift: connection",))


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"rewards": [{}]}', b'{"rewards": [3]}', b"\xff"])
def test_an_answer_of_another_form_is_broken(content):
    with pytest.raises(BrokenAnswer):
        read_rewards(content, 1)
