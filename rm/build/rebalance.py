"""Choosing among tellings and flaws so that the surface of a trace says little about whether it is sound.

A pool holds sound traces in several wordings, and flaws put into each of them. Groups are chosen one after another,
each flaw so that the pairs of its kind, a sound trace and a flawed one, stay even under every judge there is: the
running sum of each judge's margins near zero (minimisation, Pocock and Simon 1975), and the share of pairs that it
ranks right below a bound. A kind that has no trace to offer under that bound gets none in this group (AFLite, Le Bras
et al. 2020, within a kind).

The judges are length, and classifiers by bag of words. The first is learnt on the whole pools of a sample; groups of
the sample are chosen with it as a judge; the next is learnt on those; and so on for some rounds, as in adversarial
filtering (Zellers et al. 2018, SWAG), but that no judge is dismissed. A group is judged by what was learnt on the other
half of the sample. scikit-learn is loaded on use.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rm.build.choose import Entry, Pools, draw_sound, generator, kinds_in_order, row_of
from rm.build.config import BuildConfig
from rm.evaluate.surface import linear_classifier

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Array = NDArray[np.float64]
LEARNT_ON = 600
"""Groups at most that the classifiers are learnt on."""
_BATCH = 128
_KEPT = 0.98
"""How much of a running sum is kept from one pair to the next."""
_FREE = 10
"""Pairs of a kind that are taken without a bound: a share of fewer says nothing."""


@dataclass(frozen=True)
class Judges:
    """What tells sound traces from flawed ones by their words, learnt on each half of a sample.

    Args:
        vectorizer: of the traces' words.
        weights: for groups of each half (2), R classifiers: (2, R, vocabulary), learnt on the other half.
    """

    vectorizer: TfidfVectorizer
    weights: Array

    def scores(self, pools: Sequence[Pools]) -> list[dict[str, Array]]:
        """For each group: text of a trace -> (R + 1,) how much its words speak for its being sound, and its length."""
        texts = [sorted({entry["reasoning"] for entry in (*each["sound"], *each["flawed"])}) for each in pools]
        flat = [text for own in texts for text in own]
        halves = np.repeat([half_of(str(each["id"])) for each in pools], [len(own) for own in texts])
        words = self.vectorizer.transform(flat)
        scores = np.where(halves[:, None] == 0, words @ self.weights[0].T, words @ self.weights[1].T)
        lengths = np.array([[len(text.split())] for text in flat])
        found = iter(np.hstack([scores, lengths]))
        return [{text: next(found) for text in own} for own in texts]


def half_of(problem_id: str) -> int:
    """0 or 1."""
    return zlib.crc32(problem_id.encode()) & 1


def learn_judges(sample: Sequence[Pools], config: BuildConfig) -> Judges:
    """The classifiers of some rounds of choosing and learning.

    Args:
        sample: pools of some hundred groups, of both halves.
        config: sizes of groups, rounds, seed.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2))
    vectorizer.fit([entry["reasoning"] for pools in sample for entry in (*pools["sound"], *pools["flawed"])])
    judges = Judges(vectorizer, np.zeros((2, 0, len(vectorizer.vocabulary_))))
    chosen = [(half_of(str(pools["id"])), pools["sound"], pools["flawed"]) for pools in sample]  # at first, all
    for _ in range(config.rebalance.rounds):
        learnt = [_learnt(vectorizer, [each[1:] for each in chosen if each[0] != half]) for half in (0, 1)]
        judges = Judges(vectorizer, np.concatenate([judges.weights, np.stack(learnt)[:, None]], axis=1))
        rows = [row for row in Balancer(judges, config).rows(sample) if row is not None]
        chosen = [(half_of(row["problem_id"]), row["positive_pool"], row["negative_bank"]) for row in rows]
    return judges


def _learnt(vectorizer: TfidfVectorizer, pools: Sequence[tuple[Sequence[Entry], Sequence[Entry]]]) -> Array:
    """(vocabulary,) weights of what tells sound entries from flawed ones; all 0 where there are none."""
    texts = [entry["reasoning"] for sound, flawed in pools for entry in (*sound, *flawed)]
    labels = [label for sound, flawed in pools for label in [1] * len(sound) + [0] * len(flawed)]
    if not texts:
        return np.zeros(len(vectorizer.vocabulary_))
    weights: Array = linear_classifier().fit(vectorizer.transform(texts), labels).coef_[0]
    return weights


class Balancer:
    """Chooses groups one after another, and remembers by kind how its pairs came out.

    Args:
        judges: by words; length is one more.
        config: sizes of groups, bound, seed.
    """

    def __init__(self, judges: Judges, config: BuildConfig) -> None:
        self._judges = judges
        self._config = config
        self._kinds: dict[str, _Kind] = {}

    def rows(self, pools: Iterable[Pools]) -> Iterator[dict[str, Any] | None]:
        """The group of each, in order; None where too few flaws are left of it."""
        waiting = iter(pools)
        while batch := list(islice(waiting, _BATCH)):
            for each, scores in zip(batch, self._judges.scores(batch), strict=True):
                yield self._row(each, scores)

    def _row(self, pools: Pools, scores: Mapping[str, Array]) -> dict[str, Any] | None:
        rng = generator(pools, self._config)
        sound = draw_sound(pools, self._config, rng)
        sound_scores = np.array([scores[entry["reasoning"]] for entry in sound])
        chosen: list[Entry] = []
        for kind, entries in kinds_in_order(pools, self._config, rng).items():
            if len(chosen) == self._config.group.negatives_most:
                break
            shuffled = rng.sample(entries, len(entries))
            own = np.array([scores[entry["reasoning"]] for entry in shuffled])
            margins = _margins(sound_scores[None] - own[:, None])  # (E, P, R + 1)
            best = self._kinds.setdefault(kind, _Kind()).best(margins, self._config.rebalance.bound)
            if best is not None:
                chosen.append(shuffled[best])
        return row_of(pools, sound, chosen) if len(chosen) >= self._config.group.negatives_least else None


@dataclass
class _Kind:
    """How the pairs of one kind came out so far, for each judge: sums of margins, and how many it ranked right."""

    sums: Array = field(default_factory=lambda: np.zeros(1))
    right: Array = field(default_factory=lambda: np.zeros(1))
    pairs: int = 0

    def best(self, margins: Array, bound: float) -> int | None:
        """The trace that leaves the kind most even, which is added; None where none stays below the bound.

        Args:
            margins: (E, P, R + 1) of E traces against P sound ones.
            bound: share of pairs that a judge may rank right.
        """
        means = margins.mean(axis=1)
        won = ((margins > 0) + 0.5 * (margins == 0)).sum(axis=1)
        count = self.pairs + margins.shape[1]
        shares, before = _two_sided((self.right + won) / count), _two_sided(self.right / max(1, self.pairs))
        allowed = ((shares <= bound) | (shares < before)).all(axis=1) | (self.pairs < _FREE)
        if not allowed.any():
            return None
        costs = np.where(allowed, ((self.sums + means) ** 2).sum(axis=1), np.inf)
        chosen = int(costs.argmin())
        self.sums = _KEPT * self.sums + means[chosen]
        self.right = self.right + won[chosen]
        self.pairs = count
        return chosen


def _margins(differences: Array) -> Array:
    """Of words in (-1, 1), of length -1, 0 or 1: above 0 where the sound trace looks the better, or is longer."""
    return np.concatenate([np.tanh(differences[..., :-1]), np.sign(differences[..., -1:])], axis=-1)


def _two_sided(shares: Array) -> Array:
    """Shares of pairs ranked right; for length, whichever of the longer and the shorter is right more often."""
    return np.concatenate([shares[..., :-1], np.maximum(shares[..., -1:], 1 - shares[..., -1:])], axis=-1)
