"""Counters, gauges and histograms in the Prometheus text format (version 0.0.4). For one event loop."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
COUNTERS = {
    "requests_total": "requests by path and status",
    "texts_total": "texts by how they got their score: computed, joined (one in flight), kept, unscorable or failed",
    "refused_total": "texts refused because the queue was full",
    "dropped_total": "queued texts dropped because every client that asked had gone",
    "batches_total": "batches that the model computed",
    "tokens_total": "tokens of the texts that the model computed, before sharing",
    "rewards_total": "full rewards by result: measured or unmeasured",
}
HISTOGRAMS = {
    "request_seconds": ("time from a request's head to its answer, by path", SECONDS),
    "batch_texts": ("texts of a batch", SIZES),
    "batch_seconds": ("time that the model took for a batch", SECONDS),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What a server has done. Names get the prefix `tracelift_`."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Labels]] = {name: Counter() for name in COUNTERS}
        self._buckets: dict[tuple[str, Labels], list[int]] = {}
        self._sums: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def add(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""
        self._counts[name][tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        key = (name, tuple(sorted(labels.items())))
        bounds = HISTOGRAMS[name][1]
        counts = self._buckets.setdefault(key, [0] * (len(bounds) + 1))
        counts[bisect_left(bounds, value)] += 1
        self._sums[key] += value

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Show a value that is read when somebody asks."""
        self._gauges[name] = (about, read)

    def count(self, name: str, **labels: str) -> int:
        """A counter's value."""
        return self._counts[name][tuple(sorted(labels.items()))]

    def page(self) -> str:
        """Everything, as text."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for name, about in COUNTERS.items():
            yield from _head(name, "counter", about)
            yield from (_line(name, labels, value) for labels, value in sorted(self._counts[name].items()))
        for name, (about, bounds) in HISTOGRAMS.items():
            yield from _head(name, "histogram", about)
            for (own, labels), counts in sorted(self._buckets.items()):
                if own != name:
                    continue
                total = 0
                for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
                    total += count
                    yield _line(f"{name}_bucket", (*labels, ("le", bound)), total)
                yield _line(f"{name}_sum", labels, self._sums[own, labels])
                yield _line(f"{name}_count", labels, total)
        for name, (about, read) in self._gauges.items():
            yield from _head(name, "gauge", about)
            yield _line(name, (), read())


def resident_bytes() -> float:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return float(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")) if statm.exists() else 0.0


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP tracelift_{name} {about}", f"# TYPE tracelift_{name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels)
    return f"tracelift_{name}{{{inside}}} {value}" if inside else f"tracelift_{name} {value}"
