"""What a measurement has cost so far, where its time went, and when too much of it is lost to go on."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rm.errors import RunError


@dataclass(frozen=True)
class FailureLimit:
    """When a measurement stops because too much comes to nothing. Holds for completions and for verdicts, apart.

    Args:
        rate: share in (0, 1] above which it stops; 1 never stops.
        window: the rate is taken over this many latest ones.
        least: no stop before this many.
    """

    rate: float = 0.5
    window: int = 200
    least: int = 50


class Watch:
    """The latest completions or verdicts, and whether too many of them came to nothing.

    Args:
        what: is watched, in the plural, for the message.
        limit: when it is too many.
    """

    def __init__(self, what: str, limit: FailureLimit) -> None:
        self._what = what
        self._limit = limit
        self._latest: deque[str] = deque(maxlen=limit.window)  # the reason of each that came to nothing, else ""
        self._details: dict[str, str] = {}

    def came(self) -> None:
        """Notes one that is there."""
        self._latest.append("")

    def came_to_nothing(self, reason: str, detail: str = "") -> None:
        """Notes one that is not.

        Raises:
            RunError: too many are not; it says how many and why.
        """
        self._latest.append(reason)
        self._details.setdefault(reason, f" ({detail})" if detail else "")
        reasons = Counter(filter(None, self._latest))
        seen, failed = len(self._latest), reasons.total()
        if seen < self._limit.least or failed <= self._limit.rate * seen:
            return
        told = "; ".join(f"{count} {each}{self._details[each]}" for each, count in reasons.most_common(5))
        raise RunError(
            f"{failed} of the last {seen} {self._what}, more than the limit of {self._limit.rate:.0%}: {told}."
        )


class Phase:
    """One kind of work: how long it took in sum, and for how long at least one piece of it was under way."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.busy_seconds = 0.0
        self._open = 0
        self._since = 0.0

    @contextmanager
    def piece(self) -> Iterator[None]:
        """Counts the block as one piece of this phase."""
        start = time.monotonic()
        if self._open == 0:
            self._since = start
        self._open += 1
        try:
            yield
        finally:
            end = time.monotonic()
            self.seconds += end - start
            self._open -= 1
            if self._open == 0:
                self.busy_seconds += end - self._since


@dataclass(frozen=True)
class Totals:
    """What a measurement did in this process. Work done before it was resumed is not in it, but for `resumed_runs`.

    Args:
        seconds: of wall clock.
        calls: of the executor; one asks for one or more completions, or for a log-likelihood.
        samples: completions asked for, lost ones included.
        samples_with_trace, samples_baseline: the same by arm.
        likelihoods: log-likelihoods asked for, lost ones included.
        cache_hits: baseline runs that came from the cache.
        resumed_runs: runs and log-likelihoods taken over from an interrupted measurement.
        lost: reason -> completions that did not come; each was asked for again, up to a bound.
        unjudged: reason -> completions that could not be judged.
        failed: reason -> completions judged a failure.
        executor_seconds, verifier_seconds: in sum over calls, which run at the same time.
        executor_busy_seconds, verifier_busy_seconds: while at least one was under way; where they add up to more
            than `seconds`, the phases have overlapped.
    """

    seconds: float
    calls: int
    samples: int
    samples_with_trace: int
    samples_baseline: int
    cache_hits: int
    resumed_runs: int
    likelihoods: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    unjudged: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    executor_seconds: float = 0.0
    executor_busy_seconds: float = 0.0
    verifier_seconds: float = 0.0
    verifier_busy_seconds: float = 0.0

    @property
    def samples_per_second(self) -> float:
        """Completions asked for a second of wall clock."""
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def likelihoods_per_second(self) -> float:
        """Log-likelihoods asked for a second of wall clock."""
        return self.likelihoods / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Progress:
    """How far it is: traces done of all, and what that took so far."""

    done: int
    of: int
    totals: Totals


class Meter:
    """Counts while a measurement runs. For one event loop."""

    def __init__(self, limit: FailureLimit) -> None:
        self.executing = Phase()
        self.verifying = Phase()
        self.calls = 0
        self.samples = {"with_trace": 0, "baseline": 0}
        self.likelihoods = 0
        self.cache_hits = 0
        self.resumed_runs = 0
        self.lost: Counter[str] = Counter()
        self.unjudged: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.completions = Watch("completions were lost", limit)
        self.verdicts = Watch("completions could not be judged", limit)
        self._start = time.monotonic()

    def totals(self) -> Totals:
        """So far."""
        return Totals(
            seconds=time.monotonic() - self._start,
            calls=self.calls,
            samples=sum(self.samples.values()),
            samples_with_trace=self.samples["with_trace"],
            samples_baseline=self.samples["baseline"],
            cache_hits=self.cache_hits,
            resumed_runs=self.resumed_runs,
            likelihoods=self.likelihoods,
            lost=dict(self.lost),
            unjudged=dict(self.unjudged),
            failed=dict(self.failed),
            executor_seconds=self.executing.seconds,
            executor_busy_seconds=self.executing.busy_seconds,
            verifier_seconds=self.verifying.seconds,
            verifier_busy_seconds=self.verifying.busy_seconds,
        )


class Tally:
    """Counts traces, and tells whoever wants to know. A trace that is both scored and sampled counts as two.

    Args:
        meter: has the rest of what is told.
        on_progress: called in the event loop; None for nobody.
    """

    def __init__(self, meter: Meter, on_progress: Callable[[Progress], None] | None) -> None:
        self._meter = meter
        self._on_progress = on_progress
        self._done = self._of = 0

    def expect(self, count: int) -> None:
        """So many more are to be done."""
        self._of += count

    def one_more(self) -> None:
        """One of them is."""
        self._done += 1
        self.tell()

    def tell(self) -> None:
        """How far it is."""
        if self._on_progress:
            self._on_progress(Progress(self._done, self._of, self._meter.totals()))
