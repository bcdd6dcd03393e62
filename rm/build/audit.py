"""The artifact audit: how far wording and length alone tell the flawed traces of a set from the sound ones.

Words: the bag of words of `rm.evaluate.surface`, one classifier for all kinds, 5-fold by problem. Length: for each
kind, whether the longer or the shorter trace is the sound one, learnt on four folds and tried on the fifth. Both give
the pair accuracy of a kind: the share of (sound, flawed) pairs of a group that they rank right, ties counting half;
.5 is chance. scikit-learn is loaded on use.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rm.build.config import AuditConfig
from rm.evaluate.surface import FOLDS, surface_baseline
from rm.groups.parse import RowParser
from rm.groups.schema import Group


class Sample:
    """Rows drawn evenly from a stream of unknown length, the same whatever the order: those whose ids have the
    smallest hashes.

    Args:
        size: of the sample at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, str, str]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """A group, or pools, with an id of its own; kept as text, which takes a quarter of the memory."""
        name = str(row.get("problem_id", row.get("id")))
        place = -int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]), name
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (*place, json.dumps(row)))
        elif self._size and place > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*place, json.dumps(row)))

    @property
    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows drawn, in the order of their ids."""
        return (json.loads(text) for _, _, text in sorted(self._heap, key=lambda entry: entry[1]))


@dataclass(frozen=True)
class Pair:
    """A sound and a flawed trace of one group, as two surfaces see them.

    Args:
        kind: of the flaw.
        group: number of the group.
        words: how much more the words speak for the sound one.
        length: by how much the sound one is longer, in words.
    """

    kind: str
    group: int
    words: float
    length: int


def audit(rows: Iterable[Mapping[str, Any]], config: AuditConfig) -> dict[str, Any]:
    """Pair accuracies by kind of rows of groups, JSON-able.

    Returns:
        {groups, protocol, flag, kinds {kind: {pairs, words, length, flagged}}, macro {words, length}}; where the groups
        are too few to learn from, words is .5 and the protocol says why.
    """
    parser = RowParser()
    groups = [group for i, row in enumerate(rows) if (group := parser.parse("", i + 1, row)) is not None]
    surface = surface_baseline(groups)
    scores = surface.scores or tuple(np.zeros(len(group.candidates)) for group in groups)
    pairs = [pair for i, group in enumerate(groups) for pair in _pairs(i, group, scores[i])]
    kinds = {}
    for kind in sorted({pair.kind for pair in pairs}):
        own = [pair for pair in pairs if pair.kind == kind]
        words, length = _share(np.array([pair.words for pair in own])), _by_length(own)
        flagged = max(words, length) > config.flag
        kinds[kind] = {"pairs": len(own), "words": words, "length": length, "flagged": flagged}
    macro = {name: float(np.mean([kind[name] for kind in kinds.values()])) for name in ("words", "length")}
    return {
        "groups": len(groups),
        "protocol": surface.protocol,
        "flag": config.flag,
        "kinds": kinds,
        "macro": {name: round(value, 4) for name, value in macro.items()},
    }


def _pairs(number: int, group: Group, scores: np.ndarray) -> list[Pair]:
    lengths = [len(candidate.reasoning.split()) for candidate in group.candidates]
    first = len(group.positives)
    return [
        Pair(group.candidates[n].kind, number, float(scores[p] - scores[n]), lengths[p] - lengths[n])
        for p in range(first)
        for n in range(first, len(group.candidates))
    ]


def _by_length(pairs: Sequence[Pair]) -> float:
    """Pair accuracy of length, its direction learnt on the other folds."""
    fold = np.array([pair.group % FOLDS for pair in pairs])
    longer = np.array([np.sign(pair.length) for pair in pairs], dtype=float)
    signed = np.zeros(len(pairs))
    for number in range(FOLDS):
        direction = np.sign(longer[fold != number].sum())
        signed[fold == number] = direction * longer[fold == number]
    return _share(signed)


def _share(margins: np.ndarray) -> float:
    """Share of positive margins, ties half."""
    return round(float((margins > 0).mean() + (margins == 0).mean() / 2), 4)
