"""Texts of many requests become few batches of one model.

    async with Batcher(scorer, limits, metrics) as batcher:
        results = await batcher.score(rows, max_length)

A text goes through two queues, each with a thread of its own behind it: one tokenizes what has arrived, all of it at
once; the other runs the model on as much as fits into a batch. Texts of one problem go together, so that what they
share is computed once, and problems take turns in the order in which they came. A text that is already on its way is
computed once for all who ask. When all who asked have gone, it leaves the queues.

What is *not* here: fairness between clients. One client with many texts delays the others, up to the queue's length.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from rm.errors import TraceLiftError
from rm.evaluate.score import Scorer
from rm.model.layout import PackedLayout
from rm.model.scoring import Scores
from rm.prefix.forest import shared_length
from rm.serve.limits import Limits
from rm.serve.memo import Memo, digest
from rm.serve.metrics import Metrics
from rm.text import Encoded, Encoder, Row

LOG = logging.getLogger("rm.serve")
ENCODED_AT_ONCE = 512
LONGEST_RETRY_S = 30
T = TypeVar("T")


class Busy(Exception):
    """The queue is full. `retry_after`: seconds, a whole number, after which there should be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class Closing(Exception):
    """The server takes nothing more, and why."""


@dataclass(frozen=True)
class TextScore:
    """What became of one text.

    Args:
        score: in [0, 1]; None where there is none.
        levels: the expected level of each dimension, in the rubric's order; empty where there is no score.
        truncated: the problem or the tests were cut to fit.
        unscorable: why there is no score; empty where there is one.
        failed: whether another attempt might succeed, where there is no score.
    """

    score: float | None
    levels: tuple[float, ...] = ()
    truncated: bool = False
    unscorable: str = ""
    failed: bool = False


@dataclass(eq=False)
class _Job:
    """One distinct text on its way. `queue` is where it waits, None while a thread has it and afterwards."""

    key: bytes
    row: Row
    max_length: int
    done: asyncio.Future[TextScore]
    waiters: int = 0
    encoded: Encoded | None = None
    queue: dict[_Job, None] | None = field(default=None, repr=False)

    @property
    def problem(self) -> tuple[str, ...]:
        return (self.row.task_name, self.row.task_type, self.row.problem, self.row.tests, str(self.max_length))

    @property
    def size(self) -> int:
        return len(self.row.problem) + len(self.row.reasoning) + len(self.row.tests)

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.encoded.input_ids if self.encoded else ()


class Batcher:
    """See the module. Lives in one event loop, from `async with` to its end, which finishes what was taken.

    Args:
        scorer: the model; nothing else may use it meanwhile.
        limits: queue, batch and cache.
        metrics: told what happens.
    """

    def __init__(self, scorer: Scorer, limits: Limits, metrics: Metrics) -> None:
        self._scorer = scorer
        self._limits = limits
        self._metrics = metrics
        self._encoders = {scorer.encoder.max_length: scorer.encoder}
        self._shares = isinstance(scorer.layout, PackedLayout)
        self._memo: Memo[TextScore] = Memo(limits.cache)
        self._in_flight: dict[bytes, _Job] = {}
        self._arrived: dict[_Job, None] = {}
        self._encoding: dict[_Job, None] = {}
        self._problems: dict[tuple[str, ...], dict[_Job, None]] = {}
        self._waiting = self._waiting_text = 0
        self._texts_a_second = 0.0
        self._wake_encoder, self._wake_model = asyncio.Event(), asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._threads = [ThreadPoolExecutor(1, f"tracelift-{name}") for name in ("encoder", "model")]
        self._loops: list[asyncio.Task[None]] = []
        metrics.gauge("queued_texts", "distinct texts that wait", lambda: self._waiting)
        metrics.gauge("texts_in_flight", "distinct texts that wait or are being computed", lambda: len(self._in_flight))
        metrics.gauge("kept_results", "results kept for identical texts", lambda: len(self._memo))

    async def __aenter__(self) -> Batcher:
        self._loops = [asyncio.create_task(self._encode_forever()), asyncio.create_task(self._score_forever())]
        for task in self._loops:
            task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closing = True
        await self._idle.wait()
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for thread in self._threads:
            thread.shutdown()

    @property
    def failure(self) -> str:
        """Why nothing can be scored; empty while all is well."""
        if self._closing:
            return "the server is shutting down"
        return "the batching loop has ended" if any(task.done() for task in self._loops) else ""

    @property
    def max_length(self) -> int:
        """Tokens that a text may have."""
        return self._scorer.encoder.max_length

    async def score(
        self, rows: Sequence[Row], max_length: int | None = None, *, admitted: bool = False
    ) -> list[TextScore]:
        """Scores of rows, in order. When cancelled, what nobody else waits for leaves the queue.

        Args:
            rows: any number.
            max_length: token limit; one above that of the model counts as that.
            admitted: these belong to a request that was taken: a full queue takes them, too.

        Raises:
            Busy: the queue has no room for all of them; none was taken.
            Closing: the server is shutting down.
        """
        limit = min(max_length or self.max_length, self.max_length)
        entered = self._enter(rows, limit, admitted)
        jobs = {each for each in entered if isinstance(each, _Job)}
        try:
            if jobs:
                await asyncio.wait([job.done for job in jobs])  # which leaves them alone when it is cancelled
        finally:
            for job in jobs:
                self._leave(job)
        return [each.done.result() if isinstance(each, _Job) else each for each in entered]

    def _enter(self, rows: Sequence[Row], limit: int, admitted: bool) -> list[_Job | TextScore]:
        """A result or a job for each row, all of them or none."""
        if self.failure:
            raise Closing(self.failure)
        entered: list[_Job | TextScore] = []
        new: dict[bytes, _Job] = {}
        kept = joined = 0
        for row in rows:
            key = digest(row, limit)
            known = self._memo.get(key)
            if known is not None:
                kept += 1
                entered.append(known)
                continue
            job = self._in_flight.get(key) or new.get(key)
            if job is None:
                job = new[key] = _Job(key, row, limit, asyncio.get_running_loop().create_future())
            else:
                joined += 1
            entered.append(job)
        size = sum(job.size for job in new.values())
        full = self._waiting + len(new) > self._limits.queue or self._waiting_text + size > self._limits.queue_text
        if new and full and self._waiting and not admitted:  # what fits into an empty queue is taken some day
            self._metrics.add("refused_total", len(rows))
            raise Busy(self._retry_after())
        self._metrics.add("texts_total", kept, source="kept")
        self._metrics.add("texts_total", joined, source="joined")
        for job in {each for each in entered if isinstance(each, _Job)}:
            job.waiters += 1
        for job in new.values():
            self._in_flight[job.key] = job
            self._put(job, self._arrived)
        if new:
            self._idle.clear()
            self._wake_encoder.set()
        return entered

    def _leave(self, job: _Job) -> None:
        """One who waited is gone, served or not."""
        job.waiters -= 1
        if not job.waiters and not job.done.done():
            self._metrics.add("dropped_total")
            if job.queue is not None:
                self._remove(job)
            self._forget(job)

    def _put(self, job: _Job, queue: dict[_Job, None]) -> None:
        queue[job] = None
        job.queue = queue
        self._waiting += 1
        self._waiting_text += job.size

    def _remove(self, job: _Job) -> None:
        """Take a job out of the queue that it waits in."""
        queue, job.queue = job.queue, None
        if queue is None:
            return
        del queue[job]
        self._waiting -= 1
        self._waiting_text -= job.size
        if not queue and self._problems.get(job.problem) is queue:
            del self._problems[job.problem]

    def _forget(self, job: _Job) -> None:
        if self._in_flight.get(job.key) is job:
            del self._in_flight[job.key]
        if not self._in_flight:
            self._idle.set()

    def _finish(self, job: _Job, result: TextScore, source: str) -> None:
        if not job.done.done():
            job.done.set_result(result)
        self._metrics.add("texts_total", source=source)
        if not result.failed:
            self._memo.put(job.key, result)
        self._forget(job)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A loop that ends by itself is a defect; nobody shall wait for it."""
        if not task.cancelled():
            LOG.error("A batching loop has ended", exc_info=task.exception())
            for job in list(self._in_flight.values()):
                self._remove(job)
                self._finish(
                    job, TextScore(None, unscorable="the server has failed; see its log", failed=True), "failed"
                )

    async def _encode_forever(self) -> None:
        while True:
            await self._wake_encoder.wait()
            self._wake_encoder.clear()
            while self._arrived:
                jobs = list(self._arrived)[:ENCODED_AT_ONCE]
                for job in jobs:  # which wait on, so that the queue does not look emptier than it is
                    self._remove(job)
                    self._put(job, self._encoding)
                encoded = await self._attempt(self._threads[0], self._encode, jobs)
                for job, found in zip(jobs, encoded, strict=True):
                    self._remove(job)
                    self._take_encoded(job, found)
                self._wake_model.set()

    def _take_encoded(self, job: _Job, found: Encoded | BaseException) -> None:
        if isinstance(found, BaseException):
            self._finish(job, _failure(found), "failed")
        elif not found.fits:
            why = f"needs {found.overlong} tokens, more than {job.max_length}"
            self._finish(job, TextScore(None, unscorable=why), "unscorable")
        elif job.waiters:
            job.encoded = found
            self._put(job, self._problems.setdefault(job.problem, {}))

    async def _score_forever(self) -> None:
        while True:
            await self._wake_model.wait()
            self._wake_model.clear()
            while self._problems:
                if self._limits.wait_ms and not self._batch_is_full():
                    await asyncio.sleep(self._limits.wait_ms / 1000)
                jobs = self._take_batch()
                if jobs:
                    await self._score_batch(jobs)

    def _batch_is_full(self) -> bool:
        """Whether waiting for company could bring nothing more into the next batch."""
        free = self._limits.tokens_per_batch
        for queue in self._problems.values():
            for job in queue:
                free -= len(job.tokens)
                if free <= 0:
                    return True
        return False

    def _take_batch(self) -> list[_Job]:
        """Problems in the order in which they came, each with all of its texts, while they fit into a batch."""
        taken: list[_Job] = []
        free = self._limits.tokens_per_batch
        for problem in list(self._problems):
            queue = self._problems[problem]
            first: tuple[int, ...] = ()
            for job in list(queue):
                cost = len(job.tokens) - (shared_length(first, job.tokens) if self._shares else 0)
                if taken and cost > free:
                    if problem in self._problems and first:  # what is left of it waits for another turn
                        self._problems[problem] = self._problems.pop(problem)
                    return taken
                self._remove(job)
                taken.append(job)
                free -= cost
                first = first or job.tokens
        return taken

    async def _score_batch(self, jobs: list[_Job]) -> None:
        started = time.monotonic()
        found = await self._attempt(self._threads[1], self._score, jobs)
        seconds = time.monotonic() - started
        self._metrics.add("batches_total")
        self._metrics.add("tokens_total", sum(len(job.tokens) for job in jobs))
        self._metrics.observe("batch_texts", len(jobs))
        self._metrics.observe("batch_seconds", seconds)
        speed = len(jobs) / max(seconds, 1e-6)
        self._texts_a_second = 0.8 * self._texts_a_second + 0.2 * speed if self._texts_a_second else speed
        for job, result in zip(jobs, found, strict=True):
            if isinstance(result, BaseException):
                self._finish(job, _failure(result), "failed")
            else:
                self._finish(job, result, "failed" if result.failed else "computed")

    async def _attempt(
        self, thread: ThreadPoolExecutor, work: Callable[[Sequence[_Job]], list[T]], jobs: list[_Job]
    ) -> list[T | BaseException]:
        """Work on jobs together; where that fails, one by one, so that only those fail that make it fail."""
        loop = asyncio.get_running_loop()
        try:
            return list(await loop.run_in_executor(thread, work, jobs))
        except Exception as error:  # whatever it is, the server goes on with the next batch
            if len(jobs) == 1:
                if not isinstance(error, TraceLiftError):
                    LOG.error("A text could not be scored", exc_info=error)
                return [error]
        return [result for job in jobs for result in await self._attempt(thread, work, [job])]

    def _encode(self, jobs: Sequence[_Job]) -> list[Encoded]:
        """In the encoder's thread."""
        found: dict[_Job, Encoded] = {}
        for limit in {job.max_length for job in jobs}:
            own = [job for job in jobs if job.max_length == limit]
            found.update(zip(own, self._encoder(limit).encode([job.row for job in own]), strict=True))
        return [found[job] for job in jobs]

    def _encoder(self, limit: int) -> Encoder:
        usual = self._scorer.encoder
        return usual if limit == usual.max_length else Encoder(usual.tokenizer, limit, usual.include_tests)

    def _score(self, jobs: Sequence[_Job]) -> list[TextScore]:
        """In the model's thread."""
        encoded = [job.encoded for job in jobs if job.encoded is not None]
        return _text_scores(self._scorer.scores(encoded), encoded)

    def _retry_after(self) -> int:
        """Seconds in which the queue should be half empty."""
        seconds = self._waiting / 2 / self._texts_a_second if self._texts_a_second else 1.0
        return max(1, min(LONGEST_RETRY_S, math.ceil(seconds)))


def _text_scores(table: Scores, encoded: Sequence[Encoded]) -> list[TextScore]:
    results = []
    for score, levels, item in zip(table.score.tolist(), table.expected_levels.tolist(), encoded, strict=True):
        if math.isfinite(score):
            results.append(TextScore(score, tuple(levels), item.truncated))
        else:
            results.append(TextScore(None, unscorable="the model gives no finite score for this text", failed=True))
    return results


def _failure(error: BaseException) -> TextScore:
    why = str(error) if isinstance(error, TraceLiftError) else "an unexpected failure; see the server's log"
    return TextScore(None, unscorable=why, failed=True)
