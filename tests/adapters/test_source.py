"""One source a place; unmeasured rewards are asked for again, then raised or replaced in the open."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest

from rm.adapters.client import ServerReward
from rm.adapters.source import ASKS, open_source, parts_of, score_all
from rm.errors import ConfigError, RunError
from rm.reward.parts import Parts, RewardResult, UpliftPart
from rm.reward.scorer import TraceLiftReward

LOST = RewardResult(None, "tracelift-math-v1", Parts(rm=0.5), failures=("uplift: connection",))
FOUND = RewardResult(0.25, "tracelift-math-v1", Parts(rm=0.5))


class Source:
    """Gives these results in turn, one list a call."""

    def __init__(self, *calls: list[RewardResult]) -> None:
        self.calls, self.asked = list(calls), []

    async def score(self, items):
        self.asked.append(list(items))
        return self.calls[min(len(self.asked), len(self.calls)) - 1]

    def score_sync(self, items):
        return asyncio.run(self.score(items))

    def close(self):
        pass


def test_a_place_is_opened_once(bundle):
    first = open_source(bundle)
    assert isinstance(first, TraceLiftReward)
    assert open_source(str(bundle)) is first
    assert isinstance(open_source("http://127.0.0.1:9"), ServerReward)
    assert open_source("http://127.0.0.1:9", retries=1) is not open_source("http://127.0.0.1:9")
    assert open_source(first) is first


@pytest.mark.parametrize(
    ("where", "options", "told"),
    [
        ("", {}, "No reward given"),
        ("http://127.0.0.1:9", {"device": "cpu"}, "unexpected keyword argument 'device'"),
        ("no/such/bundle", {}, "no/such/bundle"),
    ],
)
def test_a_source_that_cannot_be_had_is_told(where, options, told):
    with pytest.raises(ConfigError, match=told):
        open_source(where, **options)


def test_only_what_is_missing_is_asked_for_again():
    source = Source([FOUND, LOST], [FOUND])
    results, rewards = asyncio.run(score_all(source, [{"problem": "a"}, {"problem": "b"}]))
    assert (rewards, results[1]) == ([0.25, 0.25], FOUND)
    assert source.asked[1:] == [[{"problem": "b"}]]


def test_what_stays_unmeasured_is_an_error():
    source = Source([LOST])
    with pytest.raises(RunError, match=r"1 of 1 rewards could not be measured in 3 attempts \(uplift: connection\)"):
        asyncio.run(score_all(source, [{"problem": "a"}]))
    assert len(source.asked) == ASKS


def test_a_substitute_is_logged(caplog):
    with caplog.at_level(logging.WARNING, "rm.adapters"):
        results, rewards = asyncio.run(score_all(Source([LOST]), [{"problem": "a"}], substitute=-1.0))
    assert (rewards, results) == ([-1.0], [LOST])
    assert "-1 takes their place" in caplog.text


def test_parts_have_the_same_names_whatever_was_measured():
    uplift = UpliftPart(0.5, 0.1, 0.9, 3.0, 4, 1.0, 4)
    full = parts_of(RewardResult(0.3, "f", Parts(1.0, 0.6, {}, uplift, 0.5)))
    assert full == {"rm": 0.6, "uplift": 0.5, "end_to_end": 1.0, "coefficient": 0.5}
    bare = parts_of(RewardResult(None, "f", Parts()))
    assert bare.keys() == full.keys()
    assert all(math.isnan(value) for value in bare.values())
