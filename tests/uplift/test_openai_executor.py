"""The executor against a server on loopback that misbehaves in every way that servers do."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import math
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rm.errors import ConfigError, RunError
from rm.uplift.executors.base import Completion, Executor, LikelihoodExecutor, Lost, Prompt, Sampling
from rm.uplift.executors.config import OpenAIConfig
from rm.uplift.executors.openai import OpenAIExecutor

spec = importlib.util.spec_from_file_location("openai_server", Path(__file__).with_name("openai_server.py"))
serving = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serving)
Answer, Server = serving.Answer, serving.Server
always, as_json, first = serving.always, serving.as_json, serving.first

KEY = "sk-very-secret-0123456789"
ASK = Prompt("You add.", "1 + 1\n\nAnswer:")
WARM = Sampling(temperature=0.7, max_tokens=8)


def config(*servers: Server | str, **settings: Any) -> OpenAIConfig:
    quick: dict[str, Any] = {
        "model": "served-1",
        "probe": False,
        "backoff_s": 0.001,
        "backoff_max_s": 0.05,
        "breaker_pause_s": 0.02,
        "retries": 3,
        "timeout_s": 5.0,
    }
    return OpenAIConfig([s if isinstance(s, str) else s.address for s in servers], **(quick | settings))


Use = Callable[[OpenAIExecutor], Awaitable[Any]]


def run(use: Use, *servers: Server, **settings: Any) -> Any:
    """What `use` makes of an executor in front of the servers."""

    async def main() -> Any:
        async with AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
            executor = OpenAIExecutor(config(*servers, **settings))
            try:
                return await use(executor)
            finally:
                await executor.close()

    return asyncio.run(main())


def draw(n: int = 4, sampling: Sampling = WARM, seed: int = 5, prompt: Prompt = ASK) -> Use:
    return lambda executor: executor.sample(prompt, n, sampling, seed)


def texts(completions: list[Completion | Lost]) -> list[str]:
    assert all(isinstance(each, Completion) for each in completions), completions
    return [each.text for each in completions if isinstance(each, Completion)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# What is asked


def test_samples_are_asked_for_at_once():
    server = Server()
    got = run(draw(4, Sampling(0.7, 0.9, 8, ("\n",)), seed=5), server, extra_body={"top_k": 20})
    assert len(set(texts(got))) == 4
    assert server.bodies == [
        {
            "model": "served-1",
            "prompt": "You add.\n\n1 + 1\n\nAnswer:",
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 8,
            "seed": 5,
            "n": 4,
            "stop": ["\n"],
            "top_k": 20,
        }
    ]
    assert server.paths == ["/v1/completions"]


def test_chat_sends_messages():
    server = Server()
    got = run(draw(2), server, api="chat", max_tokens_field="max_completion_tokens")
    assert len(set(texts(got))) == 2
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies[0]["messages"] == [
        {"role": "system", "content": "You add."},
        {"role": "user", "content": "1 + 1\n\nAnswer:"},
    ]
    assert server.bodies[0]["max_completion_tokens"] == 8
    assert not {"prompt", "max_tokens"} & set(server.bodies[0])


def test_the_same_seed_brings_the_same_samples_whether_n_is_honoured_or_not():
    assert texts(run(draw(3), Server())) == texts(run(draw(3), Server(ignores=("n",))))
    assert texts(run(draw(3), Server())) != texts(run(draw(3, seed=9), Server()))


def test_greedy_samples_are_one_request():
    server = Server()
    got = run(draw(4, Sampling(temperature=0.0)), server)
    assert len(got) == 4
    assert len(set(texts(got))) == 1
    assert len(server.bodies) == 1


def test_none_asked_none_given():
    server = Server()
    assert run(draw(0), server) == []
    assert not server.bodies


@pytest.mark.parametrize(("most", "seeds"), [(3, [5, 8, 9]), (1, [5, 6, 7, 8, 9])])
def test_what_is_left_out_is_asked_for_again_with_seeds_of_its_own(most, seeds):
    server = Server(most=most)
    got = run(draw(5), server)
    assert len(set(texts(got))) == 5
    assert sorted(body["seed"] for body in server.bodies) == seeds


def test_a_server_that_gives_one_is_not_asked_for_many_again():
    async def twice(executor: OpenAIExecutor) -> list[Completion | Lost]:
        await executor.sample(ASK, 4, WARM, 0)
        return await executor.sample(ASK, 4, WARM, 10)

    server = Server(ignores=("n",))
    assert len(set(texts(run(twice, server)))) == 4
    assert ["n" in body for body in server.bodies] == [True, *[False] * 7]


def test_more_than_was_asked_for_is_cut():
    extra = as_json({"choices": [{"text": str(i)} for i in range(9)]})
    assert texts(run(draw(2), Server(always(extra)))) == ["0", "1"]


def test_a_cut_off_and_an_empty_completion_are_completions():
    (cut,) = run(draw(1), Server(finish="length"))
    assert (cut.finished, cut.tokens) == (False, 3)
    assert run(draw(1), Server(text="")) == [Completion("", True, 3)]
    nothing = as_json({"choices": [{"message": {"content": None}, "finish_reason": "length"}]})
    assert run(draw(1), Server(always(nothing)), api="chat") == [Completion("", False, None)]


def test_usage_counts():
    async def use(executor: OpenAIExecutor) -> Any:
        await executor.sample(ASK, 4, WARM, 0)
        return executor.usage

    usage = run(use, Server(first(Answer(500))))
    assert (usage.calls, usage.retries, usage.samples) == (2, 1, 4)
    assert (usage.prompt_tokens, usage.completion_tokens) == (10, 12)


def test_it_is_an_executor():
    executor = OpenAIExecutor(config("http://127.0.0.1:1/v1"))
    assert isinstance(executor, Executor)
    assert isinstance(executor, LikelihoodExecutor)
    assert executor.fingerprint == executor._config.fingerprint()
    asyncio.run(executor.close())


# What goes wrong for a while, or for good

HTML = Answer(body=b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>")
WRONG = {
    "http 500": Answer(500, b"Internal Server Error"),
    "http 503": Answer(503, b'{"error": {"message": "loading model"}}'),
    "http 429": Answer(429, b'{"error": {"message": "slow down"}}'),
    "connection": Answer(body=b'{"choices": [{"text": "1"}]}', cut=9),
    "broken json": Answer(body=b'{"choices": [{"text": "1"'),
    "html page": HTML,
    "timeout": Answer(hang=True),
    "no choices": as_json({"choices": []}),
    "error in reply": as_json({"error": {"message": "CUDA error"}}),
    "broken reply": as_json({"object": "text_completion"}),
    "aborted": as_json({"choices": [{"text": "4", "finish_reason": "abort"}]}),
}


def limit(reason: str, seconds: float = 0.5) -> float:
    """A time limit that only a server that hangs exceeds."""
    return seconds if reason == "timeout" else 10.0


@pytest.mark.parametrize("reason", WRONG)
def test_what_goes_wrong_once_is_sent_again(reason):
    server = Server(first(WRONG[reason]))
    assert len(set(texts(run(draw(3), server, timeout_s=limit(reason))))) == 3
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize("reason", WRONG)
def test_what_goes_wrong_for_good_is_lost_with_its_reason(reason):
    server = Server(always(WRONG[reason]))
    lost = run(draw(2), server, timeout_s=limit(reason, 0.05), retries=2)
    assert [each.reason for each in lost] == [reason, reason]
    assert server.address in lost[0].detail
    assert len(server.bodies) == 3


def test_a_server_that_drips_is_not_waited_for():
    server = Server(always(Answer(body=b"x" * 100, drip=0.05)))
    started = time.monotonic()
    (lost,) = run(draw(1), server, timeout_s=0.15, retries=0)
    assert lost.reason == "timeout"
    assert time.monotonic() - started < 2


def test_an_endless_reply_is_lost(monkeypatch):
    monkeypatch.setattr("rm.uplift.executors.client.MAX_REPLY_BYTES", 1000)
    (lost,) = run(draw(1), Server(always(Answer(body=b"x" * 5000))), retries=0)
    assert (lost.reason, "more than 1000 bytes" in lost.detail) == ("broken reply", True)


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (400, "temperature must be positive", "http 400"),
        (400, "This model's maximum context length is 2048 tokens", "prompt too long"),  # OpenAI, vLLM
        (400, "The input (3000 tokens) is longer than the model's context length (2048 tokens).", "prompt too long"),
        (400, "the request exceeds the available context size (2048 tokens)", "prompt too long"),  # llama.cpp
        (400, "The decoder prompt (length 3000) is longer than the maximum model length of 2048.", "prompt too long"),
        (413, "payload too large", "prompt too long"),
    ],
)
def test_a_refused_request_is_lost_at_once(status, words, reason):
    server = Server(always(Answer(status, json.dumps({"error": {"message": words}}).encode())))
    (lost,) = run(draw(1), server)
    assert lost.reason == reason
    assert words.removesuffix(".") in lost.detail
    assert len(server.bodies) == 1


def test_retry_after_is_honoured_by_all_calls():
    busy = Answer(429, headers=(("Retry-After", "0.15"),))

    async def use(executor: OpenAIExecutor) -> float:
        await executor.sample(ASK, 1, WARM, 0)
        return time.monotonic() - started

    started = time.monotonic()
    assert run(use, Server(first(busy))) >= 0.15


def test_a_random_third_of_faults_loses_nothing():
    rng = random.Random(3)
    faults = [WRONG[reason] for reason in WRONG if reason != "timeout"]
    server = Server(lambda number, body: rng.choice(faults) if rng.random() < 0.3 else None)

    async def use(executor: OpenAIExecutor) -> list[list[Completion | Lost]]:
        prompts = [Prompt("", f"{i} + 1 =") for i in range(40)]
        return await asyncio.gather(*(executor.sample(prompt, 3, WARM, 0) for prompt in prompts))

    got = run(use, server, retries=12)
    assert all(len(set(texts(each))) == 3 for each in got)


# What only a person can mend


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_at_once_and_is_not_shown(status, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    refused = as_json({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status)
    server = Server(always(refused))
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        run(draw(1), server, api_key_env="MY_KEY")
    assert "Incorrect API key provided: ***" in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.bodies) == 1


def test_a_server_that_wants_a_key_and_gets_none():
    with pytest.raises(ConfigError, match="api_key_env"):
        run(draw(1), Server(always(Answer(401))))


def test_a_key_that_is_not_there(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY"):
        OpenAIExecutor(config("http://127.0.0.1:1/v1", api_key_env="MY_KEY"))


def test_a_key_with_a_line_break_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("MY_KEY", f"{KEY}\nX-Other: 1")
    with pytest.raises(ConfigError) as caught:
        OpenAIExecutor(config("http://127.0.0.1:1/v1", api_key_env="MY_KEY"))
    assert KEY not in str(caught.value)


def test_a_wrong_model_name_lists_the_right_ones():
    missing = as_json({"error": {"message": "The model `x` does not exist."}}, 404)
    with pytest.raises(ConfigError, match=r"does not exist.*served-1, served-2"):
        run(draw(1), Server(always(missing)), model="x")


def test_spent_means_stop_the_run():
    broke = as_json({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429)
    with pytest.raises(RunError, match="You exceeded your quota"):
        run(draw(1), Server(always(broke)))


def test_a_redirect_is_not_followed(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    other = Server()

    async def main() -> None:
        async with other:
            moved = Answer(307, headers=(("Location", f"{other.address}/completions?key=1"),))
            async with Server(always(moved)) as server:
                executor = OpenAIExecutor(config(server, api_key_env="MY_KEY"))
                try:
                    with pytest.raises(ConfigError, match=f"redirects to {other.address}/completions, ") as caught:
                        await executor.sample(ASK, 1, WARM, 0)
                finally:
                    await executor.close()
                assert "key=1" not in str(caught.value)

    asyncio.run(main())
    assert not other.paths


def test_the_key_is_sent_and_shown_nowhere(monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server = Server(first(Answer(500, KEY.encode()), 2))
    seen: list[Any] = []

    async def use(executor: OpenAIExecutor) -> None:
        seen.append(await executor.sample(ASK, 2, WARM, 0))
        server.fault = always(Answer(500, KEY.encode()))
        seen.append(await executor.sample(ASK, 1, WARM, 0))
        seen.extend([executor, executor._config, executor._client, executor._client._key, executor.fingerprint])
        seen.extend([vars(executor), executor.notes, executor.usage])

    run(use, server, api_key_env="MY_KEY")
    assert all(f"Authorization: Bearer {KEY}" in head for head in server.headers)
    assert "http 500" in repr(seen)
    assert KEY not in repr(seen)
    assert KEY not in caplog.text


# Several servers


def test_nobody_listens():
    address = f"http://127.0.0.1:{free_port()}/v1"

    async def use() -> tuple[list[Completion | Lost], OpenAIExecutor]:
        plain = OpenAIExecutor(config(address, retries=1))
        lost = await plain.sample(ASK, 2, WARM, 0)
        await plain.close()
        probing = OpenAIExecutor(config(address, retries=1, probe=True))
        for _ in range(2):  # the second is told the same without waiting
            with pytest.raises(RunError, match=f"No endpoint answers: connection: {address}"):
                await probing.sample(ASK, 2, WARM, 0)
        await probing.close()
        return lost, probing

    lost, probing = asyncio.run(use())
    assert [each.reason for each in lost] == ["connection", "connection"]
    assert probing.usage.calls == 2


@pytest.mark.parametrize("probe", [False, True])
def test_one_of_two_endpoints_is_dead(probe):
    dead = f"http://127.0.0.1:{free_port()}/v1"

    async def main() -> tuple[Any, tuple[str, ...], int]:
        async with Server() as server:
            executor = OpenAIExecutor(config(dead, server, probe=probe, breaker_failures=2, breaker_pause_s=60))
            prompts = [Prompt("", str(i)) for i in range(30)]
            got = await asyncio.gather(*(executor.sample(prompt, 2, WARM, 0) for prompt in prompts))
            await executor.close()
            return got, executor.notes, executor.usage.retries

    got, notes, retries = asyncio.run(main())
    assert all(len(set(texts(each))) == 2 for each in got)
    assert retries <= 16  # only what was under way there when the breaker opened
    assert any(dead in note for note in notes) is probe


def test_a_retry_goes_to_the_other_endpoint():
    async def use(executor: OpenAIExecutor) -> Any:
        return [await executor.sample(Prompt("", str(i)), 1, WARM, 0) for i in range(5)]

    got = run(use, Server(always(Answer(500))), Server(), retries=1, breaker_failures=100)
    assert all(texts(each) for each in got)


def test_load_is_shared_and_the_limit_never_exceeded():
    servers = [Server(delay=0.01), Server(delay=0.01)]

    async def use(executor: OpenAIExecutor) -> Any:
        return await asyncio.gather(*(executor.sample(Prompt("", str(i)), 1, WARM, 0) for i in range(40)))

    run(use, *servers, concurrency=3)
    assert [server.peak for server in servers] == [3, 3]
    assert all(15 <= len(server.bodies) <= 25 for server in servers)


def test_the_breaker_leaves_a_broken_server_alone_and_tries_again():
    server = Server(always(Answer(500)))

    async def use(executor: OpenAIExecutor) -> tuple[int, Any]:
        calls = [asyncio.create_task(executor.sample(Prompt("", str(i)), 1, WARM, 0)) for i in range(20)]
        await asyncio.sleep(0.1)
        asked = len(server.bodies)
        server.fault = lambda number, body: None
        return asked, await asyncio.gather(*calls)

    asked, got = run(use, server, concurrency=4, breaker_failures=4, breaker_pause_s=0.6, retries=50)
    assert 4 <= asked <= 7  # those under way when it opened
    assert all(texts(each) for each in got)


def test_a_server_that_stays_broken_loses_every_call_in_the_end():
    async def use(executor: OpenAIExecutor) -> Any:
        return await asyncio.gather(*(executor.sample(Prompt("", str(i)), 1, WARM, 0) for i in range(20)))

    server = Server(always(Answer(500)))
    got = run(use, server, concurrency=4, breaker_failures=4, breaker_pause_s=0.01, retries=4)
    assert {lost.reason for (lost,) in got} == {"http 500"}
    assert len(server.bodies) < 40


def test_a_cancelled_call_gives_its_slot_back():
    server = Server(first(Answer(hang=True)))

    async def use(executor: OpenAIExecutor) -> Any:
        stuck = asyncio.create_task(executor.sample(ASK, 1, WARM, 0))
        waiting = asyncio.create_task(executor.sample(ASK, 1, WARM, 1))
        await asyncio.sleep(0.05)
        stuck.cancel()
        return await waiting

    assert texts(run(use, server, concurrency=1))


# Budgets


def test_the_budget_of_calls():
    server = Server(first(Answer(500), 2))

    async def use(executor: OpenAIExecutor) -> None:
        await executor.sample(ASK, 1, WARM, 0)
        await executor.sample(ASK, 1, WARM, 0)

    with pytest.raises(RunError, match=r"budget of 3 calls is spent \(2 of them were retries\)"):
        run(use, server, budget_calls=3)
    assert len(server.bodies) == 3


def test_the_budget_of_tokens():
    server = Server()

    async def use(executor: OpenAIExecutor) -> None:
        for _ in range(9):
            await executor.sample(ASK, 1, WARM, 0)

    with pytest.raises(RunError, match=r"budget of 20 tokens is spent \(26 used in 2 calls\)"):
        run(use, server, budget_tokens=20)
    assert len(server.bodies) == 2


# What servers ignore


def notes_of(server: Server, **settings: Any) -> tuple[str, ...]:
    async def use(executor: OpenAIExecutor) -> tuple[str, ...]:
        got = texts(await executor.sample(ASK, 4, WARM, 0))
        assert len(set(got)) == 4
        return executor.notes

    return run(use, server, probe=True, **settings)


def test_a_server_that_honours_all_gets_no_note():
    server = Server()
    assert notes_of(server) == ()
    assert len(server.bodies) == 5


@pytest.mark.parametrize(
    ("ignored", "note"),
    [("n", "ignores n"), ("seed", "ignores seed")],
)
def test_what_is_ignored_is_told(ignored, note):
    (told,) = notes_of(Server(ignores=(ignored,)))
    assert note in told


def test_a_server_that_refuses_n_is_asked_one_by_one():
    server = Server(lambda number, body: Answer(400, b"n must be 1") if "n" in body else None)
    (told,) = notes_of(server)
    assert "ignores n" in told


def test_a_server_that_gives_copies_for_n_is_asked_one_by_one():
    def copies(number: int, body: dict[str, Any]) -> Answer | None:
        return as_json({"choices": [{"text": "7"}] * body["n"]}) if "n" in body else None

    notes = notes_of(Server(copies))
    assert any("ignores n" in note for note in notes)


@pytest.mark.parametrize(("ignored", "what"), [("temperature", "ignores temperature"), ("freshness", "ignores seed")])
def test_copies_of_one_sample_are_refused(ignored, what):
    with pytest.raises(ConfigError, match=what):
        notes_of(Server(ignores=(ignored,)))


def test_a_greedy_run_needs_no_probe():
    server = Server(ignores=("temperature",))
    assert len(texts(run(draw(3, Sampling(temperature=0.0)), server, probe=True))) == 3
    assert len(server.bodies) == 1


def test_a_model_that_is_sure_of_one_prompt_only_is_not_refused():
    server = Server()
    server.fault = lambda number, body: as_json({"choices": [{"text": "0"}] * body.get("n", 1)}) if number < 4 else None
    assert any("token counts" in note for note in notes_of(server))


def test_a_budget_of_tokens_needs_token_counts():
    with pytest.raises(ConfigError, match="budget_calls"):
        notes_of(Server(usage=False), budget_tokens=1000)


def test_a_request_that_is_always_refused_is_a_matter_of_configuration():
    server = Server(always(Answer(422, b'{"detail": "Unexpected fields: top_k"}')))
    with pytest.raises(ConfigError, match="Unexpected fields: top_k"):
        notes_of(server, extra_body={"top_k": 5})


# Likelihoods


def likelihood(prompt: str, answer: str) -> Use:
    return lambda executor: executor.log_likelihood(Prompt("", prompt), answer)


@pytest.mark.parametrize("way", ["echo", "prompt_logprobs"])
def test_likelihood_sums_over_the_answer(way):
    # "1 + 1 =" has words 0 to 3, so " 2 ." has 4 and 5: -4/4 - 5/4
    assert run(likelihood("1 + 1 =", " 2 ."), Server(scores=way)) == pytest.approx(-9 / 4)


def test_a_token_over_the_boundary_counts_whole():
    # the word "=2" has index 3 and ends in the answer
    assert run(likelihood("1 + 1 =", "2"), Server(scores="echo")) == pytest.approx(-3 / 4)


def test_a_server_without_logprobs_is_refused():
    with pytest.raises(ConfigError, match="log probabilities"):
        run(likelihood("1 + 1 =", " 2"), Server())


def test_a_server_that_refuses_logprobs_is_refused():
    fault = lambda number, body: Answer(400) if {"echo", "prompt_logprobs"} & set(body) else None  # noqa: E731
    with pytest.raises(ConfigError, match="log probabilities"):
        run(likelihood("1 + 1 =", " 2"), Server(fault))


def test_likelihoods_that_cannot_be_had_are_refused_at_the_start():
    def start(executor: OpenAIExecutor) -> Any:
        return executor.start(samples=False, likelihoods=True)

    with pytest.raises(ConfigError, match="log probabilities"):
        run(start, Server())
    with pytest.raises(ConfigError, match="completions"):
        run(start, Server(scores="echo"), api="chat")


def test_a_server_that_draws_copies_still_gives_likelihoods():
    """Fresh samples are not asked for where nothing is sampled."""

    async def use(executor: OpenAIExecutor) -> Any:
        await executor.start(samples=False, likelihoods=True)
        return await executor.log_likelihood(Prompt("", "1 + 1 ="), " 2 .")

    assert run(use, Server(scores="echo", ignores=("temperature",))) == pytest.approx(-9 / 4)


def test_chat_has_no_likelihood():
    with pytest.raises(ConfigError, match="completions"):
        run(likelihood("1 + 1 =", " 2"), Server(scores="echo"), api="chat")


def test_a_lost_likelihood_has_its_reason():
    async def use(executor: OpenAIExecutor) -> Any:
        value = await executor.log_likelihood(Prompt("", "a b"), " c")
        server.fault = always(Answer(500))
        return value, await executor.log_likelihood(Prompt("", "a b"), " c")

    server = Server(scores="echo")
    value, lost = run(use, server)
    assert math.isclose(value, -2 / 4)
    assert lost.reason == "http 500"
