"""One model over real HTTP: cache, second try, losses, budget, accounts."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

from rm.build.llm.asking import Dropped, Model
from rm.build.llm.cache import Question, Replied, ReplyCache
from rm.build.llm.config import JudgeConfig, LlmConfig, ModelConfig
from rm.build.llm.ledger import BudgetSpent, Ledger, Prices
from rm.build.llm.objects import number_of, read_object
from rm.config import build_config
from rm.errors import ConfigError, RunError
from rm.uplift.executors.base import Prompt, Sampling

GOOD = '{"n": 7}'


def read(text):
    return number_of(read_object(text, ["n"]), "n", 0, 10)


@pytest.fixture
def ask(serve, section, tmp_path):
    """Ask several prompts of one server, all at once; gives the results, what was asked, what was paid, the server."""

    def run(fault, *prompts, budget=0, server=None, patient=False, **settings):
        server = server or serve(fault)
        config = build_config(ModelConfig, {"server": section(server), **settings})
        ledger, bill = Ledger(budget), {}

        async def go():
            with ReplyCache(tmp_path / "cache.sqlite") as cache:
                model = Model("judge", "llm.judges[0]", config, cache, ledger)
                jobs = [model.ask(Prompt("", text), "v1", 5, read, bill) for text in prompts]
                try:
                    return [await job for job in jobs] if patient else await asyncio.gather(*jobs)
                finally:
                    for job in jobs:
                        job.close()
                    await model.close()

        return asyncio.run(go()), bill.get("judge"), ledger, server

    return run


def test_a_rerun_asks_nothing(ask):
    prices = {"prompt_price": 2.0, "completion_price": 10.0}
    first, bill, ledger, server = ask(lambda number, body: GOOD, "a", "b", **prices)
    again, same_bill, later, _ = ask(None, "a", "b", server=server, **prices)
    assert first == again == [7, 7]
    assert len(server.bodies) == 2
    assert bill == same_bill
    assert (bill.replies, bill.tokens) == (2, 240)
    # 200 prompt tokens at 2 and 40 completion tokens at 10 a million
    assert bill.cost(ledger.prices["judge"]) == pytest.approx(0.0008)
    assert (ledger.tokens, ledger.cached) == (240, 0)
    assert (later.tokens, later.cached) == (0, 2)


def test_other_sampling_is_another_question(ask):
    *_, server = ask(lambda number, body: GOOD, "a")
    ask(None, "a", server=server, temperature=0.5)
    assert [body["temperature"] for body in server.bodies] == [0.0, 0.5]


def test_what_is_wrong_is_told_once(ask):
    def fault(number, body):
        return GOOD if "It cannot be used" in body["messages"][-1]["content"] else '{"n": "7"}'

    found, bill, _, server = ask(fault, "a")
    assert found == [7]
    shown = server.bodies[1]["messages"][-1]["content"]
    assert '{"n": "7"}' in shown
    assert "n has to be a number from 0 to 10" in shown
    assert bill.again == 1
    assert not bill.dropped


def test_twice_wrong_is_dropped_and_counted(ask):
    found, bill, _, server = ask(lambda number, body: '{"n": 70}', "a")
    assert found == [Dropped("wrong type", "n has to be a number from 0 to 10, without quotes.")]
    assert len(server.bodies) == 2
    assert bill.to_dict()["dropped"] == {"wrong type": 1}


@pytest.mark.parametrize(
    ("reply", "reason"), [("I'm sorry, I can't do that.", "refusal"), ("  ", "empty reply")], ids=["refusal", "empty"]
)
def test_a_model_that_declines_is_asked_once(ask, reply, reason):
    found, *_, server = ask(lambda number, body: reply, "a")
    assert found[0].reason == reason
    assert len(server.bodies) == 1


def test_a_reply_that_was_cut_off_is_not_read(ask, serving, scripted):
    whole = serving.as_json(scripted.completion(GOOD, finish="length"))
    found, bill, *_ = ask(lambda number, body: whole, "a")
    assert found[0].reason == "cut off"
    assert bill.tokens == 120


def test_a_passing_error_costs_a_retry_and_nothing_else(ask, serving):
    found, bill, *_ = ask(lambda number, body: serving.Answer(500, b"oops") if number == 0 else GOOD, "a")
    assert found == [7]
    assert not bill.dropped


def test_what_is_lost_is_asked_for_again(ask, serving):
    found, bill, _, server = ask(lambda number, body: serving.Answer(503, b"oops") if number < 5 else GOOD, "a")
    assert found == [7]
    assert len(server.bodies) == 6
    assert (bill.replies, bill.dropped) == (1, {})


@pytest.mark.parametrize(
    ("said", "reason"), [("context length exceeded", "prompt too long"), ("unknown parameter: seed", "http 400")]
)
def test_a_question_that_the_server_refuses_is_counted_and_not_kept(ask, serving, said, reason):
    refusal = serving.Answer(400, json.dumps({"error": {"message": said}}).encode())
    found, bill, _, server = ask(lambda number, body: refusal if number == 0 else GOOD, "a")
    assert (found[0].reason, len(server.bodies)) == (f"lost: {reason}", 1)
    assert said in found[0].detail
    assert (bill.replies, bill.dropped) == (0, {f"lost: {reason}": 1})
    assert ask(None, "a", server=server)[0] == [7]


def test_a_server_that_is_down_stops_the_build_with_what_to_do(ask, serving, tmp_path):
    with pytest.raises(RunError, match=r"lost.*4 http 503.*llm\.judges\[0\]\.server.*same command goes on") as error:
        ask(lambda number, body: serving.Answer(503, b"oops"), *"abcdefgh")
    assert str(tmp_path / "cache.sqlite") in str(error.value)


def test_a_refused_key_is_told_at_once(ask, serving):
    with pytest.raises(ConfigError, match="refuses access"):
        ask(lambda number, body: serving.Answer(401, b"no"), "a")


def test_the_budget_stops_before_the_next_question_and_cached_ones_are_free(ask):
    *_, server = ask(lambda number, body: GOOD, "a")
    with pytest.raises(BudgetSpent, match=r"120 is reached: 120 tokens.*same command goes on"):
        ask(None, "b", "a", "c", server=server, budget=120, patient=True)
    assert len(server.bodies) == 2
    assert ask(None, "a", "b", server=server, budget=1)[0] == [7, 7]


def test_a_budget_needs_a_server_that_counts(ask, serving, scripted):
    silent = serving.as_json(scripted.completion(GOOD, usage=None))
    with pytest.raises(ConfigError, match="budget_calls"):
        ask(lambda number, body: silent, "a", "b", budget=1000, patient=True)


def test_the_progress_line_says_what_it_costs():
    ledger = Ledger()
    account = ledger.open("judge", Prices(1.0, 1.0))
    account.replies, account.prompt_tokens, ledger.dropped, ledger.cached = 3, 2_000_000, 2, 5
    assert ledger.line() == "3 asked, 5 cached, 2,000,000 tokens, cost 2.00, 2 dropped"


def test_copies_of_one_judgement_are_refused(section):
    server = {"endpoints": ["http://127.0.0.1:9/v1"], "model": "m"}
    with pytest.raises(ConfigError, match="copied"):
        build_config(JudgeConfig, {"server": server, "samples": 3})
    with pytest.raises(ConfigError, match="judges give 1 for each"):
        build_config(LlmConfig, {"judges": [{"server": server}], "least_judgements": 2})


def test_the_cache_is_a_file_of_its_own_kind(tmp_path):
    (tmp_path / "other.sqlite").write_text(json.dumps({"not": "sqlite"}) * 100)
    with pytest.raises(RunError, match="cache of replies"):
        ReplyCache(tmp_path / "other.sqlite")


def test_what_is_stored_is_told_and_removed_by_all_conditions(tmp_path):
    first = Question("one", "v1", Prompt("", "p"), Sampling(0.0, 1.0, 8), 5)
    with ReplyCache(tmp_path / "cache.sqlite") as cache:
        for seed in range(3):
            cache.put(replace(first, seed=seed), Replied("text", True, 10, 2))
        cache.put(replace(first, model="two"), Replied("text", True, None, None))
        info = cache.info()
        assert (info.replies, info.size_bytes > 0) == (4, True)
        assert [(each.model, each.replies, each.tokens) for each in info.models] == [("one", 3, 36), ("two", 1, 0)]
        assert info.models[0].oldest <= info.models[0].newest <= time.time()
        assert (cache.prune(older_than=3600), cache.prune(older_than=0, model="three")) == (0, 0)
        assert cache.prune(model="one") == 3
        assert [each.model for each in cache.info().models] == ["two"]
        assert (cache.prune(), cache.info().replies) == (1, 0)
