"""OpenRLHF's contract by the Python function and over HTTP, loaded as OpenRLHF loads a reward file."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import httpx
import pytest
import torch

from rm.adapters.openrlhf import make_reward_func
from rm.errors import ConfigError, RunError
from rm.reward.parts import Parts, RewardResult

PROMPT = "Plan it.\n"


@pytest.fixture
def call(items):
    """queries, prompts, labels of the items, as OpenRLHF has them: with the end of text still on."""
    queries = [f"{PROMPT}{item['completion']}<|endoftext|>" for item in items]
    labels = [json.dumps({key: value for key, value in item.items() if key != "completion"}) for item in items]
    return queries, [PROMPT] * len(items), labels


@pytest.fixture
def expected(reward, items):
    return [each.reward for each in reward.score_sync(items)]


@pytest.mark.parametrize("where", ["server", "bundle"])
def test_the_function_gives_the_rewards_of_the_bundle(where, call, expected, request):
    found = make_reward_func(request.getfixturevalue(where))(*call, extra="ignored")
    assert found["rewards"].tolist() == pytest.approx(expected, abs=1e-5)
    assert found["scores"].tolist() == pytest.approx([min(max(each, 0), 1) for each in expected], abs=1e-5)
    assert set(found["extra_logs"]) == {"rm", "uplift", "end_to_end", "coefficient"}
    assert all(values.shape == (len(expected),) for values in found["extra_logs"].values())


def test_the_server_gives_the_same_over_http(call, expected, server):
    queries, prompts, labels = call
    reply = httpx.post(
        f"{server}/get_reward", json={"query": queries, "prompts": prompts, "labels": labels}, timeout=60
    )
    assert reply.json()["rewards"] == pytest.approx(expected, abs=1e-5)


def test_one_at_a_time_and_none_at_all(call, expected, server):
    function = make_reward_func(server)
    alone = [function([query], [prompt], [label]) for query, prompt, label in zip(*call, strict=True)]
    assert [each["rewards"][0].item() for each in alone] == pytest.approx(expected, abs=1e-5)
    # As OpenRLHF 0.11 puts one into its batch: a tensor of one value is a number there.
    assert torch.tensor([alone[0]["rewards"]]).shape == (1,)
    empty = function([], [], [])
    assert (empty["rewards"].shape, empty["extra_logs"]) == ((0,), {})
    assert httpx.post(f"{server}/get_reward", json={"query": [], "prompts": [], "labels": []}).status_code == 200


def test_a_reward_file_of_two_lines(call, expected, server, tmp_path: Path):
    file = tmp_path / "reward.py"
    file.write_text(f"from rm.adapters.openrlhf import make_reward_func\nreward_func = make_reward_func({server!r})\n")
    spec = importlib.util.spec_from_file_location("reward_func", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.reward_func(*call)["rewards"].tolist() == pytest.approx(expected, abs=1e-5)


class Source:
    """Measures nothing."""

    async def score(self, items):
        return [RewardResult(None, "f", Parts(), failures=("rm: none",))] * len(items)


def test_what_cannot_be_measured_is_an_error_or_the_substitute(call):
    with pytest.raises(RunError, match="rm: none"):
        make_reward_func(Source())(*call)
    assert set(make_reward_func(Source(), substitute=-0.5)(*call)["rewards"].tolist()) == {-0.5}


def test_a_query_without_its_prompt_is_refused():
    with pytest.raises(ConfigError, match=r"query\[0\]"):
        make_reward_func(Source())(["something else"], [PROMPT], ["{}"])
