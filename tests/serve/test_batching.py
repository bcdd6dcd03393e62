"""The batcher against a real model: what is computed, when, with whom, and for whom no longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from rm.evaluate.score import Scorer, row_of
from rm.rubric import Rubric
from rm.serve.batching import Batcher, Busy, Closing
from rm.serve.limits import Limits
from rm.serve.metrics import Metrics
from rm.text import Encoded


class Watched(Scorer):
    """A scorer that notes its batches, and waits before each for `gate` where that is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches: list[list[tuple[int, ...]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()

    def scores(self, encoded: Sequence[Encoded], *args: Any) -> Any:
        self.batches.append([item.input_ids for item in encoded])
        self.started.set()
        if not self.gate.wait(60):
            raise TimeoutError
        return super().scores(encoded, *args)


@pytest.fixture
def scorer(loaded):
    return Watched(loaded)


@pytest.fixture
def texts(rows):
    rubric = Rubric.load("math")
    return [row_of(row, rubric) for row in rows]


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.002)


def batcher_of(scorer, **limits: Any) -> Batcher:
    return Batcher(scorer, Limits(**limits), Metrics())


def test_an_equal_text_is_computed_once_in_flight_and_once_more_never(scorer, texts):
    async def work():
        async with batcher_of(scorer) as batcher:
            together = await asyncio.gather(*(batcher.score(texts[:2]) for _ in range(5)))
            later = await batcher.score([texts[1], texts[0]])
            return together, later

    together, later = asyncio.run(work())
    assert all(answer == together[0] for answer in together)
    assert later == together[0][::-1]
    assert sum(map(len, scorer.batches)) == 2


def test_an_equal_text_under_another_limit_is_another_text(scorer, texts):
    async def work():
        async with batcher_of(scorer) as batcher:
            return await batcher.score(texts[:1]), await batcher.score(texts[:1], 10)

    usual, short = asyncio.run(work())
    assert usual[0].score is not None
    assert "more than 10" in short[0].unscorable


def test_texts_of_one_problem_share_a_batch_though_they_come_in_turns(scorer, texts):
    problems = {text.problem: [each for each in texts if each.problem == text.problem] for text in texts}
    first, second = list(problems.values())[:2]
    in_turns = [text for pair in zip(first[:4], second[:4], strict=True) for text in pair]
    alone = scorer.encoder.encode(first[:4])
    budget = scorer.layout.group_cost([item.input_ids for item in alone]) + 30

    async def work():
        async with batcher_of(scorer, tokens_per_batch=budget, wait_ms=20.0) as batcher:
            await batcher.score(in_turns)

    asyncio.run(work())
    assert set(scorer.batches[0]) == {item.input_ids for item in alone}


def test_batches_keep_within_their_tokens(scorer, texts):
    async def work():
        async with batcher_of(scorer, tokens_per_batch=400) as batcher:
            await batcher.score(texts)

    asyncio.run(work())
    assert sum(map(len, scorer.batches)) == len({item.input_ids for item in scorer.encoder.encode(texts)})
    for batch in scorer.batches:
        assert len(batch) == 1 or scorer.layout.group_cost(batch) <= 400


def test_a_full_queue_refuses_a_request_as_a_whole(scorer, texts):
    async def work():
        async with batcher_of(scorer, queue=10, items=10, wait_ms=0) as batcher:
            scorer.gate.clear()
            first = asyncio.ensure_future(batcher.score(texts[:1]))
            await until(scorer.started.is_set)
            waiting = asyncio.ensure_future(batcher.score(texts[1:9]))
            await asyncio.sleep(0)
            with pytest.raises(Busy) as busy:
                await batcher.score(texts[9:13])
            known = asyncio.ensure_future(batcher.score(texts[:9]))  # nothing new
            fits = asyncio.ensure_future(batcher.score(texts[9:11]))
            admitted = asyncio.ensure_future(batcher.score(texts[11:13], admitted=True))
            await asyncio.sleep(0)
            scorer.gate.set()
            return busy.value.retry_after, await asyncio.gather(first, waiting, known, fits, admitted)

    retry_after, answers = asyncio.run(work())
    assert 1 <= retry_after <= 30
    assert all(each.score is not None for answer in answers for each in answer)
    assert sum(map(len, scorer.batches)) == 13


def test_texts_that_are_too_much_together_are_refused(scorer, texts):
    async def work():
        async with batcher_of(scorer, text=1000, queue_text=2000, wait_ms=0) as batcher:
            scorer.gate.clear()
            taken = asyncio.ensure_future(batcher.score(texts[:8]))  # the first may be larger: it will get its turn
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await batcher.score(texts[8:16])
            scorer.gate.set()
            await taken

    asyncio.run(work())


def test_what_nobody_waits_for_leaves_the_queue(scorer, texts):
    async def work():
        async with batcher_of(scorer, wait_ms=0) as batcher:
            scorer.gate.clear()
            first = asyncio.ensure_future(batcher.score(texts[:1]))
            await until(scorer.started.is_set)
            gone = asyncio.ensure_future(batcher.score(texts[1:5]))
            also = asyncio.ensure_future(batcher.score(texts[4:6]))
            just_arrived = asyncio.ensure_future(batcher.score(texts[6:9]))
            await asyncio.sleep(0.05)
            gone.cancel()
            just_arrived.cancel()
            await asyncio.wait([gone, just_arrived])
            scorer.gate.set()
            await asyncio.gather(first, also)
            assert (await batcher.score(texts[1:2]))[0].score is not None  # and comes back when asked for

    asyncio.run(work())
    computed = [ids for batch in scorer.batches for ids in batch]
    encoded = [item.input_ids for item in scorer.encoder.encode(texts[:9])]
    assert set(computed) == {encoded[index] for index in (0, 4, 5, 1)}


def test_closing_finishes_what_was_taken_and_takes_no_more(scorer, texts):
    async def work():
        async with batcher_of(scorer) as batcher:
            scorer.gate.clear()
            taken = asyncio.ensure_future(batcher.score(texts))
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(batcher.__aexit__(None, None, None))
            await asyncio.sleep(0.05)
            with pytest.raises(Closing, match="shutting down"):
                await batcher.score(texts[:1])
            assert not closing.done()
            scorer.gate.set()
            answer = await taken
            await closing
            return answer

    assert all(each.score is not None for each in asyncio.run(work()))


def test_one_text_that_breaks_the_model_breaks_no_other(scorer, texts, monkeypatch, caplog):
    poison = scorer.encoder.encode(texts[:1])[0].input_ids
    score = Scorer.scores

    def breaking(self, encoded, *args):
        if any(item.input_ids == poison for item in encoded):
            raise RuntimeError("a broken kernel")
        return score(self, encoded, *args)

    monkeypatch.setattr(Scorer, "scores", breaking)

    async def work():
        async with batcher_of(scorer) as batcher:
            return await batcher.score(texts[:5])

    first, *others = asyncio.run(work())
    assert first.failed
    assert "kernel" not in first.unscorable
    assert "a broken kernel" in caplog.text
    assert all(each.score is not None for each in others)


def test_a_score_that_is_no_number_is_none(scorer, texts, loaded):
    head = loaded.model.total_head
    kept = head.bias.detach().clone()

    async def work():
        async with batcher_of(scorer) as batcher:
            with torch.no_grad():
                head.bias.fill_(float("nan"))
            broken = await batcher.score(texts[:1])
            with torch.no_grad():
                head.bias.copy_(kept)
            return broken, await batcher.score(texts[:1])

    broken, mended = asyncio.run(work())
    assert broken[0].score is None
    assert "finite" in broken[0].unscorable
    assert mended[0].score is not None  # a failure is not kept


def test_a_loop_that_ends_leaves_nobody_waiting(scorer, texts, monkeypatch, caplog):
    monkeypatch.setattr(Batcher, "_take_batch", lambda self: 1 / 0)

    async def work():
        async with batcher_of(scorer) as batcher:
            answer = await batcher.score(texts[:3])
            return answer, batcher.failure

    answer, failure = asyncio.run(work())
    assert all(each.failed for each in answer)
    assert "ended" in failure
    assert "ZeroDivisionError" in caplog.text
