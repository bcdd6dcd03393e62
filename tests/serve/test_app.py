"""Pages beside the scores: documentation, metrics; clients that hang up; and the limits themselves."""

from __future__ import annotations

import json
import re
import socket
import threading
import time

import pytest

from rm.config import load_config
from rm.errors import ConfigError
from rm.evaluate.score import Scorer
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
from rm.reward.scorer import TraceLiftReward
from rm.serve.access import KeyCheck, check_exposure, is_loopback
from rm.serve.limits import Limits
from rm.serve.memo import Memo, digest
from rm.text import Encoder, Row

GOOD = {"problem": "What is 2 + 3?", "reasoning": "2 + 3 = 5"}


def test_the_examples_of_the_documentation_work(start, loaded):
    config = load_config(RewardConfig, "configs/reward-arithmetic.yaml")
    server = start(reward=TraceLiftReward(config, RewardScorer(loaded)))
    page = server.client.get("/openapi.json").json()
    for path in ("/score", "/get_reward", "/reward"):
        reference = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        [example] = page["components"]["schemas"][reference.split("/")[-1]]["examples"]
        assert server.client.post(path, json=example).status_code == 200
    names = set(page["components"]["schemas"])
    assert {part.split("/")[-1] for part in re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(page))} <= names


def test_the_page_of_documentation_needs_no_network_and_no_key(start, monkeypatch):
    monkeypatch.setenv("SERVE_KEY", "k")
    server = start(key="SERVE_KEY")
    page = server.client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) == 3
    assert "://" not in "".join(loaded)
    for path in loaded:
        assert server.client.get(path).raise_for_status().content
    assert "swagger-ui-bundle.js" in page
    assert server.client.get("/openapi.json").json()["security"] == [{"key": []}]


def test_metrics_count_what_happens(start):
    server = start()
    server.score([GOOD, GOOD])
    server.score([GOOD])
    server.score([{**GOOD, "reasoning": ""}] * 2, max_length=5)
    server.client.get("/nothing/in/particular")
    assert server.metric('requests_total{path="/score",status="200"}') == 3
    assert server.metric('requests_total{path="other",status="404"}') == 1
    assert server.metric('texts_total{source="computed"}') == 1
    assert server.metric('texts_total{source="joined"}') == 2
    assert server.metric('texts_total{source="kept"}') == 1
    assert server.metric('texts_total{source="unscorable"}') == 1
    assert server.metric('request_seconds_count{path="/score"}') == 3
    assert server.metric("queued_texts") == server.metric("texts_in_flight") == 0
    assert server.metric("resident_bytes") > 1e7


def test_every_line_of_the_metrics_has_the_prometheus_form(start):
    server = start()
    server.score([GOOD])
    answer = server.client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    sample = r'[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? [0-9.e+-]+'
    for line in answer.text.splitlines():
        assert re.fullmatch(rf"# (HELP|TYPE) [a-z_]+ .+|{sample}", line), line


@pytest.fixture
def gate(monkeypatch):
    """A model that waits until it is told to go on."""
    opened, started = threading.Event(), threading.Event()
    score = Scorer.scores

    def scores(self, *args):
        started.set()
        assert opened.wait(60)
        return score(self, *args)

    monkeypatch.setattr(Scorer, "scores", scores)
    yield opened, started
    opened.set()


def ask(url: str, *items: object) -> socket.socket:
    """A request under way."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"items": items}).encode()
    client = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def until(true):
    while not true():
        time.sleep(0.01)


def test_work_of_a_client_that_hangs_up_is_dropped(start, gate):
    opened, started = gate
    server = start(wait_ms=0)
    stays = ask(server.url, GOOD)
    assert started.wait(60)
    goes = ask(server.url, *({**GOOD, "reasoning": str(n)} for n in range(5)))
    until(lambda: server.metric("queued_texts") == 5)
    goes.close()
    until(lambda: server.metric("queued_texts") == 0)
    assert server.metric("dropped_total") == 5
    opened.set()
    assert b" 200 " in stays.recv(1000)
    stays.close()
    assert server.metric('texts_total{source="computed"}') == 1
    assert server.metric('requests_total{path="/score",status="499"}') == 1


def test_a_full_queue_answers_429_and_when_to_come_again(start, gate):
    opened, started = gate
    server = start(wait_ms=0, queue=4, items=4)
    first = ask(server.url, GOOD)
    assert started.wait(60)
    waiting = ask(server.url, *({**GOOD, "reasoning": str(n)} for n in range(3)))
    until(lambda: server.metric("queued_texts") == 3)
    refused = server.score([{**GOOD, "reasoning": f"other {n}"} for n in range(2)])
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert server.client.get("/health").status_code == 200
    opened.set()
    for client in (first, waiting):
        assert b" 200 " in client.recv(1000)
        client.close()
    assert server.metric("refused_total") == 2


def test_texts_that_are_being_tokenized_count_as_waiting(start, monkeypatch):
    opened, started = threading.Event(), threading.Event()
    encode = Encoder.encode

    def slowly(self, rows):
        started.set()
        assert opened.wait(60)
        return encode(self, rows)

    server = start(wait_ms=0, queue=4, items=4)
    monkeypatch.setattr(Encoder, "encode", slowly)
    waiting = ask(server.url, *({**GOOD, "reasoning": str(n)} for n in range(3)))
    try:
        assert started.wait(60)
        assert server.metric("queued_texts") == 3
        assert server.score([{**GOOD, "reasoning": f"other {n}"} for n in range(2)]).status_code == 429
    finally:
        opened.set()
    assert b" 200 " in waiting.recv(1000)
    waiting.close()
    assert server.metric("queued_texts") == 0


def test_limits_that_cannot_be_are_refused_together():
    with pytest.raises(ConfigError) as refused:
        Limits(items=5000, queue=10, text=0, wait_ms=-1.0)
    assert len(refused.value.problems) == 3
    assert "--queue" in str(refused.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "a-name", "")],
    ],
)
def test_an_open_address_needs_a_key_or_force(monkeypatch, host, loopback):
    monkeypatch.setenv("SERVE_KEY", "k")
    assert is_loopback(host) is loopback
    check_exposure(host, KeyCheck("SERVE_KEY"), False)
    check_exposure(host, KeyCheck(), True)
    if not loopback:
        with pytest.raises(ConfigError, match="--api-key-env"):
            check_exposure(host, KeyCheck(), False)


def test_an_empty_key_is_no_key(monkeypatch):
    monkeypatch.setenv("SERVE_KEY", " ")
    with pytest.raises(ConfigError, match="SERVE_KEY"):
        KeyCheck("SERVE_KEY")


def test_the_least_recently_used_result_goes_first():
    memo = Memo[int](2)
    for key in (b"a", b"b"):
        memo.put(key, 1)
    memo.get(b"a")
    memo.put(b"c", 1)
    assert [memo.get(key) for key in (b"a", b"b", b"c")] == [1, None, 1]
    assert len(memo) == 2
    nothing = Memo[int](0)
    nothing.put(b"a", 1)
    assert nothing.get(b"a") is None


def test_a_digest_tells_rows_apart_whose_texts_run_together():
    rows = [Row("ab", "c", "t"), Row("a", "bc", "t"), Row("a", "b", "ct"), Row("a", "b", "t", "c")]
    rows += [Row("a", "b", "t", tests="c"), Row("a|1|b", "", "t"), Row("a", "b", "t")]
    assert len({digest(row, 8) for row in rows} | {digest(rows[0], 9)}) == len(rows) + 1
