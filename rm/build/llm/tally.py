"""How well judges agree over a file of groups: with each other, with the rules, and with which traces are flawed."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rm.build.llm.ledger import Account, Bill
from rm.metrics.agreement import dimension_agreement
from rm.metrics.raters import rater_agreement
from rm.rubric import Rubric

if TYPE_CHECKING:
    from rm.build.config import BuildConfig

BILL = "llm"
"""Key of a line of the work file under which the seed's bill stands."""
OVERALL = "overall"
"""A judge's score beside those of the dimensions."""
JUDGED = "judged"
"""Key of a trace's metadata under which its judgements stand."""
BY_RULE = "rule_rubric"
"""Key of a trace's metadata under which the rule's labels stand."""


class Asked:
    """What language models were asked for a set, whenever that was, and what judges said.

    Args:
        config: of the build.
    """

    def __init__(self, config: BuildConfig) -> None:
        self._llm = config.llm
        self._bill: Bill = {}
        rubric = Rubric.load(config.rubric or config.task)
        self._judges = JudgeTally(rubric, config.llm.raters) if config.llm.judges else None

    def line(self, row: Mapping[str, Any]) -> None:
        """A line of the work file."""
        for name, counted in row.get(BILL, {}).items():
            self._bill.setdefault(name, Account()).add(counted)

    def group(self, row: Mapping[str, Any]) -> None:
        """A group as it is written."""
        if self._judges is not None:
            self._judges.add(row)

    def to_dict(self) -> dict[str, Any] | None:
        """For the card; None where no model was to be asked."""
        if not self._llm.used:
            return None
        prices = self._llm.prices
        models = {
            name: {**account.to_dict(), "cost": round(account.cost(prices[name]), 6)}
            for name, account in sorted(self._bill.items())
        }
        return {
            "tokens": sum(account.tokens for account in self._bill.values()),
            "cost": round(sum(each["cost"] for each in models.values()), 6),
            "models": models,
            "judges": None if self._judges is None else self._judges.to_dict(),
        }


class JudgeTally:
    """Takes groups, gives figures. Memory: 8 bytes a score.

    Args:
        rubric: by which was judged.
        raters: names, one for each judge and sample.
    """

    def __init__(self, rubric: Rubric, raters: Sequence[str]) -> None:
        self._rubric = rubric
        self._raters = tuple(raters)
        self._scores = {name: array("d") for name in (*rubric.dimension_names, OVERALL)}
        self._by_rule = {name: array("d") for name in rubric.dimension_names}  # pairs: the verdict, the rule
        self._traces = self._flawed = self._unseen = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """A group's row."""
        best = max((entry["rubric"]["total"] for entry in row["positive_pool"] if _is_judged(entry)), default=math.nan)
        for entry in (*row["positive_pool"], *row["negative_bank"]):
            if _is_judged(entry):
                self._entry(entry)
        judged = [entry for entry in row["negative_bank"] if _is_judged(entry)]
        self._flawed += len(judged)
        self._unseen += sum(entry["rubric"]["total"] >= best for entry in judged)

    def to_dict(self) -> dict[str, Any]:
        """For the card; a figure that is not defined is None."""
        found: dict[str, Any] = {
            "judges": list(self._raters),
            "traces": self._traces,
            "flawed_judged_no_worse_than_the_best_sound": {"traces": self._unseen, "of": self._flawed},
        }
        if len(self._raters) > 1:
            found["agreement"] = {name: self._agreement(name) for name in self._scores}
        if any(self._by_rule.values()):
            found["with_rules"] = {name: self._with_rules(name) for name in self._by_rule}
        return found

    def _entry(self, entry: Mapping[str, Any]) -> None:
        self._traces += 1
        said = entry["metadata"][JUDGED]["judges"]
        for rater in self._raters:
            scores = {**said[rater]["scores"], OVERALL: said[rater][OVERALL]} if rater in said else {}
            for name, column in self._scores.items():
                column.append(scores.get(name, math.nan))
        by_rule = entry["metadata"].get(BY_RULE)
        if by_rule is not None:
            for name, column in self._by_rule.items():
                column.extend((entry["rubric"][name], by_rule[name]))

    def _agreement(self, name: str) -> dict[str, Any]:
        scores = _table(self._scores[name], len(self._raters))
        levels = np.full(scores.shape, -1)
        given = ~np.isnan(scores)
        levels[given] = [self._rubric.level_of(score) for score in scores[given]]
        return _defined(asdict(rater_agreement(scores, levels, self._rubric.num_levels)))

    def _with_rules(self, name: str) -> dict[str, Any]:
        pairs = _table(self._by_rule[name], 2).astype(int)
        found = dimension_agreement(pairs[:, 0], pairs[:, 0], pairs[:, 1], self._rubric.num_levels)
        return _defined({"n": found.n, "exact": found.accuracy, "mae": found.mae, "kappa": found.kappa})


def _is_judged(entry: Mapping[str, Any]) -> bool:
    return JUDGED in entry["metadata"]


def _table(column: array[float], width: int) -> NDArray[np.float64]:
    return np.asarray(column, dtype=np.float64).reshape(-1, width)


def _defined(figures: Mapping[str, float]) -> dict[str, Any]:
    return {name: None if math.isnan(value) else value if name == "n" else round(value, 4)
            for name, value in figures.items()}  # fmt: skip
