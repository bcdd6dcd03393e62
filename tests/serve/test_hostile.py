"""Whatever is sent, the answer is a 4xx that names the field, and the server scores the next request as before."""

from __future__ import annotations

import json
import socket
import threading

import httpx
import pytest

KEY = "sk-loopback-0123456789"
GOOD = {"problem": "What is 2 + 3?", "reasoning": "2 + 3 = 5"}


def body(*items: object, **fields: object) -> bytes:
    return json.dumps({"items": list(items), **fields}).encode()


BAD_BODIES = {
    "no JSON": (b"{", 400, "body"),
    "empty": (b"", 400, "body"),
    "NaN": (b'{"items": [], "max_length": NaN}', 400, "body"),
    "invalid UTF-8": (b'{"items": [{"problem": "\xff", "reasoning": "x"}]}', 400, "body"),
    "a lone surrogate": (b'{"items": [{"problem": "\\ud83d", "reasoning": "x"}]}', 400, "body"),
    "UTF-16": ('{"items": []}'.encode("utf-16"), 400, "body"),
    "too deep": (b"[" * 100_000, 400, "body"),
    "a huge number": (b'{"items": [], "max_length": ' + b"9" * 6000 + b"}", 400, "body"),
    "a number": (b"7", 422, "body"),
    "null": (b"null", 422, "body"),
    "no items": (b"{}", 422, "items"),
    "items that are no list": (b'{"items": {"problem": "x"}}', 422, "items"),
    "an item that is no object": (body(GOOD, "text"), 422, "items[1]"),
    "no problem": (body({"reasoning": "x"}), 422, "items[0].problem"),
    "a problem of blanks": (body(GOOD, {"problem": " \n", "reasoning": "x"}), 422, "items[1].problem"),
    "no reasoning": (body({"problem": "x"}), 422, "items[0].reasoning"),
    "a reasoning of null": (body({"problem": "x", "reasoning": None}), 422, "items[0].reasoning"),
    "a number for text": (body({"problem": 3, "reasoning": "x"}), 422, "items[0].problem"),
    "a list for text": (body({**GOOD, "task_type": ["math"]}), 422, "items[0].task_type"),
    "metadata of text": (body({**GOOD, "metadata": "math"}), 422, "items[0].metadata"),
    "max_length 0": (body(GOOD, max_length=0), 422, "max_length"),
    "max_length true": (body(GOOD, max_length=True), 422, "max_length"),
    "max_length of text": (body(GOOD, max_length="512"), 422, "max_length"),
    "max_length 1.5": (body(GOOD, max_length=1.5), 422, "max_length"),
    "batch_size -1": (body(GOOD, batch_size=-1), 422, "batch_size"),
    "a long problem": (body({**GOOD, "problem": "x" * 5001}), 422, "items[0].problem"),
    "long tests": (body({**GOOD, "tests": ["x" * 3000] * 2}), 422, "items[0].tests"),
    "a long type in metadata": (body({**GOOD, "metadata": {"task_type": "x" * 6000}}), 422, "items[0].task_type"),
    "thousands of items": (body(*[GOOD] * 5000), 413, "items"),
    "thousands of items, bare": (json.dumps([GOOD] * 5000).encode(), 413, "items"),
    "10 MB of text": (body({**GOOD, "reasoning": "x" * 10_000_000}), 413, "body"),
}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(start):
    return start(text=5000, items=100, body_bytes=2**20)


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_refused_with_its_field(server, name):
    content, status, field = BAD_BODIES[name]
    answer = server.client.post("/score", content=content, headers=JSON)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["fields"][0]["field"] == field
    assert told["error"].startswith(f"{field}: ")
    assert len(answer.content) < 4000
    assert "Traceback" not in answer.text
    assert server.score([GOOD]).status_code == 200


def test_every_wrong_item_is_named(server):
    answer = server.score([{**GOOD, "problem": ""}, GOOD, {**GOOD, "problem": " "}])
    assert [each["field"] for each in answer.json()["fields"]] == ["items[0].problem", "items[2].problem"]


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Content-Type": "text/plain"}, "Content-Type"),
        ({}, "Content-Type"),
        ({**JSON, "Content-Encoding": "gzip"}, "Content-Encoding"),
    ],
)
def test_another_kind_of_body_is_refused(server, headers, field):
    answer = server.client.post("/score", content=body(GOOD), headers=headers)
    assert answer.status_code == 415
    assert answer.json()["fields"][0]["field"] == field


def test_a_body_without_a_length_is_measured_as_it_comes(server):
    answer = server.client.post("/score", content=(b" " * 2**16 for _ in range(100)), headers=JSON)
    assert answer.status_code == 413
    assert server.score([GOOD]).status_code == 200


def test_a_body_that_does_not_come_is_given_up(start):
    server = start(body_seconds=1)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_bodies_held_at_the_same_time_are_bounded(start):
    server = start(body_bytes=1000, bodies_bytes=1500)
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as half:
        half.sendall(head + b" " * 800)
        while (answer := server.client.post("/score", content=b" " * 800, headers=JSON)).status_code == 400:
            pass  # the other body has not arrived yet
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"
    while server.client.post("/score", content=b" " * 800, headers=JSON).status_code == 429:
        pass  # the connection's end has not arrived yet
    assert server.score([GOOD]).status_code == 200


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer \xff"]
)
def test_without_the_key_nothing_is_scored(start, monkeypatch, authorization):
    monkeypatch.setenv("SERVE_KEY", KEY)
    server = start(key="SERVE_KEY")
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    for method, path in (("POST", "/score"), ("POST", "/get_reward"), ("GET", "/metrics"), ("GET", "/nothing")):
        answer = server.client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert KEY not in answer.text


def test_with_the_key_it_is(start, monkeypatch):
    monkeypatch.setenv("SERVE_KEY", KEY)
    server = start(key="SERVE_KEY")
    for scheme in ("Bearer", "bearer"):
        answer = httpx.post(
            f"{server.url}/score", json={"items": [GOOD]}, headers={"Authorization": f"{scheme} {KEY}"}
        )
        assert answer.status_code == 200


def test_the_key_is_checked_before_the_body_is_read(start, monkeypatch):
    monkeypatch.setenv("SERVE_KEY", KEY)
    host, port = start(key="SERVE_KEY").url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 401")


def test_health_and_readiness_need_no_key(start, monkeypatch):
    monkeypatch.setenv("SERVE_KEY", KEY)
    server = start(key="SERVE_KEY")
    assert server.client.get("/health").json()["status"] == "ok"
    assert server.client.get("/ready").json() == {"ready": True, "reasons": []}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/score", 405)])
def test_other_paths_and_methods_have_the_same_form_of_answer(server, method, path, status):
    answer = server.client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_garbage_on_the_wire_does_no_harm(server):
    host, port = server.url.removeprefix("http://").split(":")
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000, b"POST /score HTTP/1.1\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(garbage)
    assert server.score([GOOD]).status_code == 200


def test_many_hostile_clients_at_once_cost_no_good_one(server):
    codes: list[int] = []

    def attack(name: str) -> None:
        for _ in range(5):
            codes.append(server.client.post("/score", content=BAD_BODIES[name][0], headers=JSON).status_code)

    threads = [threading.Thread(target=attack, args=(name,)) for name in BAD_BODIES]
    for thread in threads:
        thread.start()
    good = [server.score([{**GOOD, "reasoning": f"2 + 3 = {n}"}]).status_code for n in range(20)]
    for thread in threads:
        thread.join()
    assert good == [200] * 20
    assert len(codes) == 5 * len(BAD_BODIES)
    assert all(400 <= code < 500 for code in codes)
