"""POST /reward and /get_reward: the facade's rewards over HTTP, and an executor that is down."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rm.config import load_config
from rm.reward.config import RewardConfig
from rm.reward.judge import RewardScorer
from rm.reward.scorer import TraceLiftReward
from rm.serve.messages import OpenRLHFRequest
from rm.serve.openrlhf import rows_of_request

Row = dict[str, Any]
PROBLEM = {"problem": "What is 2 + 3 * 4?", "task_type": "math", "reference_solution": "14"}
TRACES = ("2 + 3 * 4 = 14", "2 + 3 = 5", "3 * 4 = 12\n2 + 12 = 14")


def completions(*traces: str) -> list[Row]:
    return [{**PROBLEM, "completion": f"<reasoning>{trace}</reasoning>"} for trace in traces]


def queries(*labels: Any) -> Row:
    prompt = "<|user|>What is 2 + 3 * 4?<|assistant|>"
    query = f"<|pad|>{prompt}<reasoning>{TRACES[0]}</reasoning><|end|></s>"
    return {"query": [query] * len(labels), "prompts": [prompt] * len(labels), "labels": list(labels)}


@pytest.fixture
def config() -> RewardConfig:
    return load_config(RewardConfig, "configs/reward-arithmetic.yaml", {"uplift.plan.runs": ["4"]})


@pytest.fixture
def facade(loaded, config) -> Callable[[], TraceLiftReward]:
    return lambda: TraceLiftReward(config, RewardScorer(loaded))


class Executor(ThreadingHTTPServer):
    """Answers every completion with 14; can be taken down and put up again on the same port."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.calls = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(inner) -> None:
                body = json.loads(inner.rfile.read(int(inner.headers["Content-Length"])))
                self.calls += 1
                choices = [{"index": i, "text": " 14", "finish_reason": "stop"} for i in range(body.get("n", 1))]
                content = json.dumps({"choices": choices}).encode()
                inner.send_response(200)
                inner.send_header("Content-Length", str(len(content)))
                inner.end_headers()
                inner.wfile.write(content)

            def log_message(inner, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def remote(loaded, port) -> Callable[[], TraceLiftReward]:
    """A reward whose executor is a server, which is asked without patience."""
    texts = {
        "uplift.executor.kind": ["openai"],
        "uplift.executor.endpoints": [f"http://127.0.0.1:{port}/v1"],
        "uplift.executor.model": ["m"],
        "uplift.executor.probe": ["false"],
        "uplift.executor.retries": ["0"],
        "uplift.executor.breaker_pause_s": ["0.01"],
        "uplift.attempts": ["1"],
        "uplift.cache": ["none"],
        "uplift.plan.kind": ["official"],
    }
    config = load_config(RewardConfig, None, texts)
    return lambda: TraceLiftReward(config, RewardScorer(loaded))


def test_rewards_are_those_of_the_facade(start, facade):
    items = completions(*TRACES, "")
    with facade() as reward:
        expected = reward.score_sync(items)
    answer = start(reward=facade()).client.post("/reward", json={"items": items})
    assert answer.status_code == 200
    for found, result in zip(answer.json()["rewards"], expected, strict=True):
        assert found["reward"] == pytest.approx(result.reward, abs=1e-5)
        assert found["formula"] == "tracelift-math-v1"
        assert found["parts"]["uplift"] == result.as_row()["parts"]["uplift"]
        assert found["parts"]["rm"] == pytest.approx(result.parts.rm, abs=1e-5)
        assert found["notes"] == list(result.notes)
        assert found["failures"] == []


MONSTERS = {
    "text": "3 * 4 = 12. " * 400_000,
    "blanks": "a" + " " * 5_000_000 + "b",
    "one word": "x" * 5_000_000,
    "tags": "<reasoning>" * 200_000,
}


@pytest.mark.parametrize("name", MONSTERS)
def test_a_monstrous_completion_costs_the_others_nothing_and_gets_what_it_gets_in_process(start, facade, name):
    items = completions(TRACES[0], MONSTERS[name], TRACES[1])
    with facade() as reward:
        expected = reward.score_sync(items)
    server = start(reward=facade())
    answer = server.client.post("/reward", json={"items": items})
    assert answer.status_code == 200, answer.text
    found = answer.json()["rewards"]
    assert [each["reward"] for each in found] == [pytest.approx(result.reward, abs=1e-5) for result in expected]
    assert [tuple(each["notes"]) for each in found] == [result.notes for result in expected]
    assert found[1]["parts"]["rm"] == 0
    assert "end_to_end: prompt too long" in found[1]["notes"]

    prompt = PROBLEM["problem"]
    body = {"query": [prompt + item["completion"] for item in items], "prompts": [prompt] * 3, "labels": [PROBLEM] * 3}
    assert server.client.post("/get_reward", json=body).json()["rewards"] == [each["reward"] for each in found]


def test_a_task_type_that_names_no_task_is_noted(start, facade):
    items = [{**completions(TRACES[0])[0], "task_type": name} for name in ("math", "physics")]
    [named, guessed] = start(reward=facade()).client.post("/reward", json={"items": items}).json()["rewards"]
    assert named["notes"] == []
    assert "task_type = 'physics' names neither math nor code: taken as math" in guessed["notes"][0]


def test_no_items_no_rewards(start, facade):
    server = start(reward=facade())
    assert server.client.get("/health").json()["formula"] == "tracelift-math-v1"
    assert server.client.post("/reward", json={"items": []}).json() == {"rewards": []}
    empty = server.client.post("/get_reward", json={"query": [], "prompts": [], "labels": []})
    assert empty.status_code == 200
    assert empty.json()["rewards"] == empty.json()["scores"] == []


def test_requests_share_the_batches_of_the_reward_model_and_equal_items_their_measurement(start, facade):
    server = start(reward=facade(), wait_ms=20.0)
    bodies = [{"items": completions(trace)} for trace in TRACES] * 6
    with ThreadPoolExecutor(18) as pool:
        answers = list(pool.map(lambda body: server.client.post("/reward", json=body).json()["rewards"][0], bodies))
    assert answers == answers[:3] * 6
    assert server.metric('texts_total{source="computed"}') == 3
    assert server.metric('rewards_total{result="measured"}') == 18
    assert server.metric("rewards_under_way") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"completion": None}, "items[1].completion"),
        ({"problem": ""}, "items[1].problem"),
        ({"reference_solution": None}, "items[1].reference_solution"),
        ({"reference_solution": "a\nb"}, "items[1].reference_solution"),
        ({"task_type": 3}, "items[1].task_type"),
        ({"problem": "x" * 2001}, "items[1].problem"),
        ({"task_type": None, "metadata": {"task_type": "math" * 501}}, "items[1].task_type"),
    ],
)
def test_a_wrong_row_is_refused_with_its_field(start, facade, change, field):
    server = start(reward=facade(), text=2000)
    rows = [*completions(TRACES[0]), {**completions(TRACES[1])[0], **change}]
    answer = server.client.post("/reward", json={"items": rows})
    assert answer.status_code == 422, answer.text
    assert answer.json()["fields"][0]["field"] == field
    assert server.client.post("/reward", json={"items": rows[:1]}).status_code == 200


def test_openrlhf_gets_the_full_reward(start, facade):
    server = start(reward=facade())
    direct = server.client.post("/reward", json={"items": completions(TRACES[0])}).json()["rewards"][0]
    answer = server.client.post("/get_reward", json=queries(json.dumps(PROBLEM), PROBLEM)).json()
    assert answer["rewards"] == [direct["reward"]] * 2
    assert answer["scores"] == [min(max(direct["reward"], 0.0), 1.0)] * 2
    assert answer["extra_logs"]["rm"] == [direct["parts"]["rm"]] * 2


@pytest.mark.parametrize("ends", ["", "</s>", " \n<|im_end|> <pad><pad>\n", "<pad>" * 100_000, " " * 1_000_000])
def test_special_tokens_at_the_end_of_a_query_are_no_part_of_the_completion(ends):
    asked = OpenRLHFRequest(query=[f"P?A <pad> B{ends}"], prompts=["P?"])
    assert rows_of_request(asked) == [{"problem": "P?", "completion": "A <pad> B"}]


def test_a_model_alone_serves_openrlhf_by_its_score(start):
    server = start()
    scored = server.score([{"problem": "What is 2 + 3 * 4?", "reasoning": TRACES[0]}]).json()["scores"][0]
    named = server.client.post("/get_reward", json=queries('{"problem": "What is 2 + 3 * 4?"}')).json()
    assert named["rewards"] == named["scores"] == [pytest.approx(scored["score"], abs=1e-6)]
    for label in (None, "14", "not {json", 14):
        assert server.client.post("/get_reward", json=queries(label)).status_code == 200  # the prompt is the problem
    assert server.client.post("/get_reward", json={**queries(None), "labels": None}).status_code == 200


def test_a_model_alone_has_no_full_rewards_and_says_what_has(start):
    server = start()
    refused = server.client.post("/reward", json={"items": completions(TRACES[0])})
    assert refused.status_code == 404
    assert "tracelift-rm reward export" in refused.json()["error"]
    assert server.client.get("/health").json()["formula"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"query": ["a", "b"]}, "prompts"),
        ({"labels": []}, "labels"),
        ({"query": ["another text"]}, "query[0]"),
        ({"query": "text"}, "query"),
        ({"prompts": [None]}, "prompts[0]"),
        ({"labels": ['{"problem": 3}']}, "labels[0].problem"),
    ],
)
def test_a_wrong_query_is_refused_with_its_field(start, change, field):
    answer = start().client.post("/get_reward", json={**queries(PROBLEM), **change})
    assert answer.status_code == 422
    assert field in [each["field"] for each in answer.json()["fields"]]


def test_an_executor_that_is_down_at_the_start_is_told_and_nothing_is_made_up(start, remote, port, monkeypatch):
    monkeypatch.setattr("rm.serve.rewarding.CHECK_S", 0.2)
    server = start(reward=remote())
    ready = server.client.get("/ready")
    assert ready.status_code == 503
    assert "executor" in ready.json()["reasons"][0]
    lost = server.client.post("/reward", json={"items": completions(TRACES[0])}).json()["rewards"][0]
    assert lost["reward"] is None
    assert lost["failures"]
    assert lost["parts"]["rm"] is not None  # what could be measured is there
    assert server.score([{"problem": "p", "reasoning": "r"}]).status_code == 200
    refused = server.client.post("/get_reward", json=queries(PROBLEM))
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "query[0]" in refused.json()["error"]

    executor = Executor(port)
    while server.client.get("/ready").status_code != 200:
        pass
    found = server.client.post("/reward", json={"items": completions(TRACES[0])}).json()["rewards"][0]
    assert found["reward"] == 0.5  # right each time, with the trace and without it
    executor.shutdown()
    executor.server_close()


def test_a_substitute_is_given_only_when_asked_for(start, remote):
    server = start(reward=remote(), substitute=-0.25)
    answer = server.client.post("/get_reward", json=queries(PROBLEM)).json()
    assert answer["rewards"] == [-0.25]
    assert answer["scores"] == [0.0]
    assert answer["extra_logs"]["unmeasured"] == [1.0]


def test_a_reward_without_a_model_has_no_scores(start, loaded, config):
    server = start(reward=TraceLiftReward(replace(config, formula="exec-only-v1")))
    assert server.score([{"problem": "p", "reasoning": "r"}]).status_code == 404
    found = server.client.post("/reward", json={"items": completions(TRACES[0])}).json()["rewards"][0]
    assert found["reward"] in (0.0, 1.0)
