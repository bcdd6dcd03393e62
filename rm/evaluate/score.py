"""Groups and rows through a reward model: the only step of an evaluation that needs the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rm.errors import DataError, Problem
from rm.evaluate.scored import BatchDrift, ScoredGroup
from rm.groups import Group
from rm.groups.rows import surrogate_problem
from rm.model import LoadedModel, RewardModel, as_loaded
from rm.model.layout import PackedLayout, choose_layout
from rm.model.scoring import Forward, Scores, encoder_of, score_tokens
from rm.prefix import Choice, HotPrefixes
from rm.rubric import Rubric
from rm.text import Encoded, Row, task_type_of, tests_of

DRIFT_GROUPS = 16
HOT_PREFIX_BYTES = 256 * 2**20
Progress = Callable[[int], object]


def rows_of(group: Group, rubric: Rubric) -> list[Row]:
    """The rows of a group's candidates, in their order."""
    tests = tests_of({"tests": group.tests})
    return [
        Row(group.problem, candidate.reasoning, rubric.name, group.task_type, tests) for candidate in group.candidates
    ]


def row_of(fields: Mapping[str, Any], rubric: Rubric) -> Row:
    """The row of a score row: `task_name` defaults to the rubric's name, and is the type where nothing else is."""
    task_name = fields.get("task_name") or rubric.name
    return Row(
        problem=fields["problem"],
        reasoning=fields["reasoning"],
        task_name=task_name,
        task_type=task_type_of({**fields, "source": fields.get("source") or task_name}),
        tests=tests_of(fields),
    )


class Scorer:
    """A loaded reward model, ready to score rows and groups.

    Args:
        loaded: the model and its tokenizer.
        max_length: token limit; default: that of the model's training (see `encoder_of`).
        tokens_per_batch: memory bound, in tokens that the network computes.
        prefix_sharing: whether rows share prefixes, see `rm.model.layout.choose_layout`.
        hot_prefix_bytes: memory for prefixes that come again in later calls; 0 keeps none.

    Raises:
        ConfigError: a way of sharing that the backbone cannot run.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        max_length: int | None = None,
        tokens_per_batch: int = 16384,
        prefix_sharing: Choice = "auto",
        hot_prefix_bytes: int = HOT_PREFIX_BYTES,
    ) -> None:
        self.rubric = loaded.rubric
        self.encoder = encoder_of(loaded, max_length)
        self.layout, note = choose_layout(
            loaded.model, prefix_sharing, pad_id=self.encoder.pad_id, longest=self.encoder.max_length
        )
        self.notes = (note,) if note else ()
        by_segments = self.layout == PackedLayout("segments")
        self._hot = HotPrefixes(hot_prefix_bytes) if hot_prefix_bytes and by_segments else None
        self._weights: int | None = None
        self._model = loaded.model
        self.tokens_per_batch = tokens_per_batch
        self.forward: Forward = loaded.model.eval()

    @property
    def device(self) -> torch.device:
        """Where the model lies now."""
        return next(self._model.parameters()).device

    def scores(self, encoded: Sequence[Encoded], on_batch: Progress = lambda rows: None) -> Scores:
        """Scores of encoded rows, in order; NaN where a row does not fit."""
        fitting = [index for index, item in enumerate(encoded) if item.fits]
        self._forget_old_weights()
        found = self._score([encoded[index].input_ids for index in fitting], self._hot, on_batch)
        if len(fitting) == len(encoded):
            return found
        table = Scores.unscored(len(encoded), len(self.rubric.dimensions))
        for name, values in vars(found).items():
            getattr(table, name)[fitting] = values
        return table

    def rows(self, rows: Sequence[Row], on_batch: Progress = lambda rows: None) -> tuple[Scores, list[Encoded]]:
        """Scores of rows, and how each was encoded."""
        encoded = self.encoder.encode(rows)
        return self.scores(encoded, on_batch), encoded

    def groups(self, groups: Sequence[Group], on_batch: Progress = lambda rows: None) -> list[ScoredGroup]:
        """Every candidate of every group."""
        encoded = self.encoder.encode([row for group in groups for row in rows_of(group, self.rubric)])
        table = self.scores(encoded, on_batch)
        scored, start = [], 0
        for group in groups:
            part = slice(start, start + len(group.candidates))
            start = part.stop
            scored.append(
                ScoredGroup(
                    group,
                    table.score[part],
                    table.logit[part],
                    table.expected_levels[part],
                    table.predicted_levels[part],
                    np.array([item.truncated for item in encoded[part]], dtype=bool),
                )
            )
        return scored

    def results(
        self, rows: Sequence[Mapping[str, Any]], on_batch: Progress = lambda rows: None
    ) -> list[dict[str, Any]]:
        """Score results (see `score_rows`) of rows that `check_score_rows` has let pass."""
        table, encoded = self.rows([row_of(row, self.rubric) for row in rows], on_batch)
        names = self.rubric.dimension_names
        results = []
        for index, (row, item) in enumerate(zip(rows, encoded, strict=True)):
            if item.fits:
                levels = dict(zip(names, table.expected_levels[index].tolist(), strict=True))
                results.append({**row, "score": float(table.score[index]), "dimensions": levels})
            else:
                why = f"needs {item.overlong} tokens, more than {self.encoder.max_length}"
                results.append({**row, "score": None, "dimensions": None, "unscorable": why})
        return results

    def drift(self, groups: Sequence[Group]) -> BatchDrift | None:
        """Scores of up to 16 groups, each candidate alone against all in one batch; None where nothing fits."""
        rows = [row for group in groups[:DRIFT_GROUPS] for row in rows_of(group, self.rubric)]
        sequences = [item.input_ids for item in self.encoder.encode(rows) if item.fits]
        if not sequences:
            return None
        together = self._score(sequences, hot=None)
        alone = [self._score([sequence], hot=None) for sequence in sequences]
        scores = np.array([one.score[0] for one in alone])
        difference = np.abs(scores - together.score)
        return BatchDrift(
            candidates=len(sequences),
            largest=float(difference.max()),
            mean=float(difference.mean()),
            order_changes=_order_changes(np.array([one.logit[0] for one in alone]), together.logit),
        )

    def forget_prefixes(self) -> None:
        """Empty the store of kept prefixes."""
        if self._hot is not None:
            self._hot.clear()

    def _forget_old_weights(self) -> None:
        """What was computed before weights changed in place (as in training), moved or were replaced counts no longer.

        Not noticed: what is written through `parameter.data`, which tells nobody.
        """
        if self._hot is None:
            return
        weights = hash(tuple((each.data_ptr(), each.dtype, each._version) for each in self._model.parameters()))
        if weights != self._weights:
            self._hot.clear()
            self._weights = weights

    def _score(
        self, sequences: Sequence[Sequence[int]], hot: HotPrefixes | None, on_batch: Progress = lambda rows: None
    ) -> Scores:
        return score_tokens(
            self.forward,
            sequences,
            layout=self.layout,
            num_dimensions=len(self.rubric.dimensions),
            device=self.device,
            tokens_per_batch=self.tokens_per_batch,
            hot=hot,
            on_batch=on_batch,
        )


def score_rows(
    model: str | Path | RewardModel | LoadedModel, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Scores of plain rows, in their order.

    Args:
        model: a reward model, or its directory.
        rows: `problem` and `reasoning`; optionally `task_name`, `task_type`, `source`, `metadata`, `tests`.

    Returns:
        the rows with `score` in [0, 1] and `dimensions` {name: expected level}; for a row that cannot fit both
        are None, and `unscorable` says why.

    Raises:
        DataError: every row that lacks a problem or a reasoning.
    """
    scorer = Scorer(as_loaded(model))
    return scorer.results(check_score_rows(list(enumerate(rows, 1)), "rows"))


def check_score_rows(rows: Sequence[tuple[int, Any]], file: str) -> list[Mapping[str, Any]]:
    """Score rows as read, with their lines. Raises: DataError with every problem."""
    problems: list[Problem] = []
    good: list[Mapping[str, Any]] = []
    for line, row in rows:
        if not isinstance(row, dict):
            problems.append(Problem(file, line, "", "a JSON object", type(row).__name__))
            continue
        before = len(problems)
        for key in ("problem", "reasoning"):
            value = row.get(key)
            if not isinstance(value, str) or not value.strip():
                found = "missing" if key not in row else repr(value)[:60]
                problems.append(Problem(file, line, key, "text", found, "Give every row a problem and a reasoning."))
        for key in ("task_name", "task_type", "source"):
            if row.get(key) is not None and not isinstance(row[key], str):
                problems.append(Problem(file, line, key, "text", repr(row[key])[:60]))
        for key, value in row.items():
            problem = surrogate_problem(file, line, ascii(key)[1:-1], [key, value])
            if problem is not None:
                problems.append(problem)
        if len(problems) == before:
            good.append(row)
    if problems:
        raise DataError(problems)
    return good


def _order_changes(a: np.ndarray, b: np.ndarray) -> int:
    """How many pairs stand in the opposite order."""
    signs = np.sign(a[:, None] - a[None, :]) * np.sign(b[:, None] - b[None, :])
    return int((np.triu(signs, 1) < 0).sum())
