"""Choosing among tellings and flaws so that the surface of a trace says little about whether it is sound.

A pool holds sound traces in several wordings, and flaws put into each of them. Three steps:

1. On a sample a bag-of-words classifier is learnt, the sample is chosen anew so that the pairs of each kind are ranked
   right as often as wrong, and so on for some rounds; what is chosen against is the classifiers' mean. Such rounds are
   fictitious play (Brown 1951), and adversarial filtering (Zellers et al. 2018, SWAG).
2. Groups are chosen one after another, each flaw so that the running sums of its kind's margins, in words and in
   length, stay near zero (minimisation, Pocock and Simon 1975).
3. A kind whose pairs are told apart too often all the same loses traces: one more is taken only while the share of
   pairs that words, or length, rank right stays below a bound (AFLite, Le Bras et al. 2020, within a kind).

A group is scored by what was learnt on the other half of the sample, so that no classifier is chosen against where it
was learnt. scikit-learn is loaded on use.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rm.build.choose import Entry, Pools, draw_sound, generator, kinds_in_order, row_of
from rm.build.config import BuildConfig
from rm.evaluate.surface import linear_classifier

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Scores = NDArray[np.float64]
LEARNT_ON = 600
"""Groups at most that the classifiers are learnt on."""
_BATCH = 128
_KEPT = 0.98
"""How much of a running sum is kept from one pair to the next."""
_FREE = 20
"""Pairs of a kind that are taken without a bound: a share of fewer says nothing."""


@dataclass(frozen=True)
class Surface:
    """What tells sound traces from flawed ones by their words, learnt on each half of a sample.

    Args:
        vectorizer: of the traces' words.
        weights: (2, vocabulary) of the classifier for groups of the halves 0 and 1, learnt on the other one.
    """

    vectorizer: TfidfVectorizer
    weights: Scores

    def scores(self, pools: Sequence[Pools]) -> list[dict[str, float]]:
        """For each group: text of a trace -> how much its words speak for its being sound."""
        texts = [sorted({entry["reasoning"] for entry in (*each["sound"], *each["flawed"])}) for each in pools]
        flat = self.vectorizer.transform([text for own in texts for text in own]) @ self.weights.T
        ends = np.cumsum([len(own) for own in texts])[:-1]
        columns = [half_of(each) for each in pools]
        split = zip(texts, np.split(flat, ends), columns, strict=True)
        return [dict(zip(own, part[:, column].tolist(), strict=True)) for own, part, column in split]


def half_of(pools: Pools) -> int:
    """0 or 1, by the problem's id."""
    return zlib.crc32(str(pools["id"]).encode()) & 1


def learn_surface(sample: Sequence[Pools], config: BuildConfig) -> Surface:
    """The mean classifier of some rounds of choosing and learning.

    Args:
        sample: pools of some hundred groups, of both halves.
        config: sizes of groups, rounds, seed.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2))
    vectorizer.fit([entry["reasoning"] for pools in sample for entry in (*pools["sound"], *pools["flawed"])])
    summed = np.zeros((2, len(vectorizer.vocabulary_)))
    mean = Surface(vectorizer, summed)
    for number in range(config.rebalance.rounds):
        mean = Surface(vectorizer, summed / max(1, number))
        rows = [row for row in Balancer(mean, config, bounded=False).rows(sample) if row is not None]
        for half in (0, 1):
            summed[half] += _learnt(vectorizer, [row for row in rows if half_of({"id": row["problem_id"]}) != half])
    return Surface(vectorizer, summed / config.rebalance.rounds)


def _learnt(vectorizer: TfidfVectorizer, rows: Sequence[Mapping[str, Any]]) -> Scores:
    """(vocabulary,) weights; all 0 where there is nothing to learn from."""
    pools = [(row["positive_pool"], row["negative_bank"]) for row in rows]
    texts = [entry["reasoning"] for sound, flawed in pools for entry in (*sound, *flawed)]
    labels = [label for sound, flawed in pools for label in [1] * len(sound) + [0] * len(flawed)]
    if len(set(labels)) < 2:
        return np.zeros(len(vectorizer.vocabulary_))
    return linear_classifier().fit(vectorizer.transform(texts), labels).coef_[0]


class Balancer:
    """Chooses groups one after another, and remembers by kind how its pairs came out.

    Args:
        surface: what the words of traces say.
        config: sizes of groups, bounds, seed.
        bounded: whether a kind loses traces that would bring it above the bound.
    """

    def __init__(self, surface: Surface, config: BuildConfig, *, bounded: bool = True) -> None:
        self._surface = surface
        self._config = config
        self._bound = config.rebalance.bound if bounded else 1.0
        self._kinds: dict[str, _Kind] = {}

    def rows(self, pools: Iterable[Pools]) -> Iterator[dict[str, Any] | None]:
        """The group of each, in order; None where too few flaws are left of it."""
        waiting = iter(pools)
        while batch := list(islice(waiting, _BATCH)):
            for each, scores in zip(batch, self._surface.scores(batch), strict=True):
                yield self._row(each, scores)

    def _row(self, pools: Pools, scores: Mapping[str, float]) -> dict[str, Any] | None:
        rng = generator(pools, self._config)
        sound = draw_sound(pools, self._config, rng)
        flawed: list[Entry] = []
        for kind, entries in kinds_in_order(pools, self._config, rng).items():
            entry = self._best(kind, entries, sound, scores, rng)
            if entry is not None:
                flawed.append(entry)
            if len(flawed) == self._config.group.negatives_most:
                break
        return row_of(pools, sound, flawed) if len(flawed) >= self._config.group.negatives_least else None

    def _best(
        self,
        kind: str,
        entries: Sequence[Entry],
        sound: Sequence[Entry],
        scores: Mapping[str, float],
        rng: random.Random,
    ) -> Entry | None:
        own = self._kinds.setdefault(kind, _Kind())
        best: tuple[float, Entry, list[tuple[float, float]]] | None = None
        for entry in rng.sample(entries, len(entries)):
            pairs = [_margins(each, entry, scores) for each in sound]
            if own.allows(pairs, self._bound) and (best is None or own.cost(pairs) < best[0]):
                best = own.cost(pairs), entry, pairs
        if best is None:
            return None
        own.add(best[2])
        return best[1]


@dataclass
class _Kind:
    """How the pairs of one kind came out so far: running sums of their margins, and how many were ranked right."""

    words: float = 0.0
    length: float = 0.0
    right: float = 0.0
    longer: float = 0.0
    pairs: int = 0

    def cost(self, pairs: Sequence[tuple[float, float]]) -> float:
        """How far from even these pairs would leave the kind."""
        words, length = np.mean(pairs, axis=0)
        return float((self.words + words) ** 2 + (self.length + length) ** 2)

    def allows(self, pairs: Sequence[tuple[float, float]], bound: float) -> bool:
        """Whether with these pairs the shares ranked right, by words and by length, are below the bound or fall."""
        if bound >= 1 or self.pairs < _FREE:
            return True
        count = self.pairs + len(pairs)
        right = self.right + sum(map(_won, (words for words, _ in pairs)))
        longer = self.longer + sum(map(_won, (length for _, length in pairs)))
        now = right / count, max(longer / count, 1 - longer / count)
        before = self.right / self.pairs, max(self.longer / self.pairs, 1 - self.longer / self.pairs)
        return all(share <= bound or share < last for share, last in zip(now, before, strict=True))

    def add(self, pairs: Sequence[tuple[float, float]]) -> None:
        words, length = np.mean(pairs, axis=0)
        self.words = _KEPT * self.words + float(words)
        self.length = _KEPT * self.length + float(length)
        self.right += sum(map(_won, (each for each, _ in pairs)))
        self.longer += sum(map(_won, (each for _, each in pairs)))
        self.pairs += len(pairs)


def _margins(sound: Entry, flawed: Entry, scores: Mapping[str, float]) -> tuple[float, float]:
    """By words, in (-1, 1), and by length, -1, 0 or 1: above 0 where the sound trace looks the better, or is longer."""
    words = np.tanh(scores[sound["reasoning"]] - scores[flawed["reasoning"]])
    longer = len(sound["reasoning"].split()) - len(flawed["reasoning"].split())
    return float(words), float(np.sign(longer))


def _won(margin: float) -> float:
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0
