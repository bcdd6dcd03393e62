"""The formulas, by name and version: parts in, reward out. Pure, and free of models, executors and configuration.

    combine("tracelift-math-v1", Parts(end_to_end=1.0, rm=0.8, uplift=UpliftPart(0.5, ...)))    # 0.5 + 0.5 * 0.8 * 0.5

A formula is a sum of terms; a term is a weight times the product of one or two parts. A released formula never
changes: another one gets another version, so that a bundle gives the same rewards for as long as it can be loaded.

**A part that was not measured is not 0.** By default the whole reward is None then: trainers leave such a row out,
while any number in its place would be learned from. `on_unmeasured="skip"` sums the terms that are there, for trainers
that have no place for None; such rewards are on another scale than those of the same problem beside them.

**`rubric_floor`** is a gate: below it a trace earns nothing by its success, only what it loses by harm. Off (0) by
default, since the product already scales by the rubric and the official formulas have no gate. Worth turning on where
traces begin to help by telling the answer, which a rubric sees and an executor does not.

**`prior`** shrinks both success rates towards what is usual over many problems (`rm.uplift.estimate.fit_prior`). Off by
default: the raw difference is unbiased, and advantages average its noise away. Worth turning on where traces get
different numbers of runs (adaptive plans) or the reward is compared between problems. The prior is stated, never
fitted to the batch at hand: else a reward would depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from rm.errors import ConfigError
from rm.reward.parts import Parts, RewardResult, UpliftPart

Part = Literal["end_to_end", "rm", "uplift"]
"""What is measured. A term's factor `coefficient` is made of the part `uplift`."""
Factor = Literal["end_to_end", "rm", "coefficient"]

TIES_OF_THREE = (0.0, 0.5, 2 / 3, 1.0)
"""Coefficient by passes with the trace, where 3 runs pass as often as the baseline's: the official table."""


@dataclass(frozen=True)
class BetaRuns:
    """A Beta prior of one arm's success rate, in runs.

    Args:
        successes, failures: > 0, its two parameters; their sum is the number of runs that it is worth.
    """

    successes: float
    failures: float

    def __post_init__(self) -> None:
        if not (0 < self.successes < math.inf and 0 < self.failures < math.inf):
            raise ConfigError(
                f"prior: expected finite successes and failures above 0, found {self.successes} and {self.failures}."
            )

    def rate(self, successes: float, runs: int) -> float:
        """Posterior mean of the rate after these runs."""
        return (successes + self.successes) / (runs + self.successes + self.failures)


@dataclass(frozen=True)
class Prior:
    """What is usual over problems: of the runs with a trace, and of those without."""

    with_trace: BetaRuns
    baseline: BetaRuns

    def uplift(self, part: UpliftPart) -> float:
        """The shrunken uplift in [-1, 1]: difference of the posterior means."""
        with_trace = self.with_trace.rate(part.successes, part.runs)
        return with_trace - self.baseline.rate(part.baseline_successes, part.baseline_runs)


@dataclass(frozen=True)
class Options:
    """How a formula is applied; see the module for the reasons.

    Args:
        rubric_floor: in [0, 1]; below it every term above 0 counts as 0. 0 for no gate.
        prior: shrinks the uplift; None leaves it raw.
        on_unmeasured: `none` makes the reward None where a part is missing, `skip` leaves that part's terms out.

    Raises:
        ConfigError: a value out of its range.
    """

    rubric_floor: float = 0.0
    prior: Prior | None = None
    on_unmeasured: Literal["none", "skip"] = "none"

    def __post_init__(self) -> None:
        if not 0 <= self.rubric_floor <= 1:
            raise ConfigError(f"rubric_floor = {self.rubric_floor}, expected a number from 0 to 1.")
        if self.on_unmeasured not in ("none", "skip"):
            raise ConfigError(f"on_unmeasured = {self.on_unmeasured!r}, expected none or skip.")


def difference(part: UpliftPart, prior: Prior | None) -> float | None:
    """The uplift itself, shrunken under a prior; None where it was not measured."""
    if part.value is None:
        return None
    return part.value if prior is None else prior.uplift(part)


def passes(part: UpliftPart, prior: Prior | None = None) -> float | None:
    """The official coefficient for code: +1 where more runs pass with the trace than without, -1 where fewer do.

    On a tie the share that pass, so that a trace on a problem that is solved anyway keeps its credit: for 3 runs 0,
    0.5, 2/3, 1; for other numbers passes / runs. Where the arms differ in their numbers of runs the rates are compared.

    Args:
        part: a run is a success where every test passed.
        prior: not used; see `Formula.shrinks`.
    """
    if part.value is None:
        return None
    with_trace, baseline = part.successes * part.baseline_runs, part.baseline_successes * part.runs
    if with_trace != baseline:
        return 1.0 if with_trace > baseline else -1.0
    if part.runs == 3 and part.successes in (0, 1, 2, 3):
        return TIES_OF_THREE[int(part.successes)]
    return part.successes / part.runs


@dataclass(frozen=True)
class Formula:
    """One way to make a reward of parts.

    Args:
        name: with its version.
        text: as a user reads it.
        terms: term -> the parts that are multiplied. Its weight has the term's name.
        weights: term -> default weight, >= 0.
        coefficient: what is made of the uplift; None where the formula has none.
        bounds: the sum is clamped to; None leaves it.
        separate_run: whether `end_to_end` is a run of its own, as officially; else it is the success rate of the runs
            with the trace, which costs nothing more and varies less.
        whole_passes: whether a success must be all tests passed, not a share of them.
    """

    name: str
    text: str
    terms: Mapping[str, tuple[Factor, ...]]
    weights: Mapping[str, float]
    coefficient: Callable[[UpliftPart, Prior | None], float | None] | None = difference
    bounds: tuple[float, float] | None = None
    separate_run: bool = True
    whole_passes: bool = False

    @property
    def shrinks(self) -> bool:
        """Whether a prior makes a difference."""
        return self.coefficient is difference

    def needs(self, weights: Mapping[str, float], options: Options = Options()) -> frozenset[Part]:
        """What must be measured; what a weight of 0 multiplies need not be."""
        factors = {factor for term, parts in self.terms.items() if weights[term] for factor in parts}
        if options.rubric_floor:
            factors.add("rm")
        found: set[Part] = {"uplift" if factor == "coefficient" else factor for factor in factors}
        if "end_to_end" in found and not self.separate_run:
            found = found - {"end_to_end"} | {"uplift"}
        return frozenset(found)

    def checked_weights(self, given: Mapping[str, float] | None = None) -> dict[str, float]:
        """The default weights with the given ones in their place.

        Raises:
            ConfigError: an unknown name, a weight that is negative or no finite number, all weights 0.
        """
        problems = []
        for name, weight in (given or {}).items():
            if name not in self.weights:
                problems.append(f"weights.{name}: {self.name} has no such weight. It has: {', '.join(self.weights)}.")
            elif isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                problems.append(f"weights.{name} = {weight!r}, expected a finite number of at least 0.")
        weights = {**self.weights, **(given or {})}
        if not problems and not any(weights.values()):
            problems.append(f"weights: all weights of {self.name} are 0, so every reward would be 0.")
        if problems:
            raise ConfigError(problems)
        return {name: float(weight) for name, weight in weights.items()}


_RM_UPLIFT: tuple[Factor, ...] = ("rm", "coefficient")

FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {
        formula.name: formula
        for formula in (
            Formula(
                name="tracelift-math-v1",
                text="0.5 * end_to_end + 0.5 * rm * uplift",
                terms={"end_to_end": ("end_to_end",), "rm_uplift": _RM_UPLIFT},
                weights={"end_to_end": 0.5, "rm_uplift": 0.5},
            ),
            Formula(
                name="tracelift-code-v1",
                text="end_to_end + 0.2 * rm * coefficient, within [0, 1]",
                terms={"end_to_end": ("end_to_end",), "rm_uplift": _RM_UPLIFT},
                weights={"end_to_end": 1.0, "rm_uplift": 0.2},
                coefficient=passes,
                bounds=(0.0, 1.0),
                whole_passes=True,
            ),
            Formula(
                name="exec-only-v1",
                text="end_to_end",
                terms={"end_to_end": ("end_to_end",)},
                weights={"end_to_end": 1.0},
                coefficient=None,
            ),
            Formula(name="rm-only-v1", text="rm", terms={"rm": ("rm",)}, weights={"rm": 1.0}, coefficient=None),
            Formula(
                name="uplift-only-v1",
                text="uplift",
                terms={"uplift": ("coefficient",)},
                weights={"uplift": 1.0},
            ),
            Formula(
                name="product-v1",
                text="rm * uplift + w * end_to_end, w = 0 unless set; end_to_end: success rate with the trace",
                terms={"rm_uplift": _RM_UPLIFT, "end_to_end": ("end_to_end",)},
                weights={"rm_uplift": 1.0, "end_to_end": 0.0},
                separate_run=False,
            ),
            Formula(
                name="sum-v1",
                text="0.5 * end_to_end + 0.25 * rm + 0.25 * uplift",
                terms={"end_to_end": ("end_to_end",), "rm": ("rm",), "uplift": ("coefficient",)},
                weights={"end_to_end": 0.5, "rm": 0.25, "uplift": 0.25},
            ),
        )
    }
)
"""Name -> formula. The first three are the official ones (arXiv 2605.03862, github MasaiahHan/TraceLift at 69b7ba5)."""


def formula_of(name: str) -> Formula:
    """The formula of a name. Raises: ConfigError naming the choices."""
    if name not in FORMULAS:
        raise ConfigError(f"There is no formula {name!r}. Choose one of: {', '.join(FORMULAS)}.")
    return FORMULAS[name]


@dataclass(frozen=True)
class Recipe:
    """A formula with its weights and options, checked together.

    Args:
        formula: what is summed.
        weights: of every term.
        options: how it is applied.

    Raises:
        ConfigError: an unknown weight, a weight out of range, or an option that the formula has no use for.
    """

    formula: Formula
    weights: Mapping[str, float] = field(default_factory=dict)
    options: Options = Options()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", self.formula.checked_weights(self.weights))
        if self.options.prior is not None and not self.formula.shrinks:
            raise ConfigError(f"prior: {self.formula.name} uses no uplift that could be shrunken. Leave it out.")

    @property
    def needs(self) -> frozenset[Part]:
        """What must be measured."""
        return self.formula.needs(self.weights, self.options)

    @property
    def executes(self) -> bool:
        """Whether the executor is needed."""
        return bool(self.needs & {"end_to_end", "uplift"})

    def combine(self, parts: Parts, failures: Iterable[str] = (), notes: Iterable[str] = ()) -> RewardResult:
        """The reward of measured parts.

        Args:
            parts: `rm` is clamped to [0, 1], NaN is not measured; `coefficient` is computed here.
            failures: `part: reason` for each part that could not be measured.
            notes: passed on.
        """
        parts = _completed(self, parts)
        terms = {name: _term(self, name, parts) for name in self.formula.terms if self.weights[name]}
        told = list(failures)
        told += [
            f"{part}: not measured" for part in self._missing(parts) if not any(x.startswith(f"{part}:") for x in told)
        ]
        gate_unknown = bool(self.options.rubric_floor) and parts.rm is None
        known = [value for value in terms.values() if value is not None]
        incomplete = len(known) < len(terms) and self.options.on_unmeasured == "none"
        if gate_unknown or incomplete or not known:
            return RewardResult(None, self.formula.name, parts, terms, tuple(told), tuple(notes))
        if parts.rm is not None and parts.rm < self.options.rubric_floor:
            terms = {name: value if value is None else min(value, 0.0) for name, value in terms.items()}
            notes = (*notes, f"gate: rm {parts.rm:.3f} lies below the floor of {self.options.rubric_floor:g}")
        reward = math.fsum(value for value in terms.values() if value is not None)
        if self.formula.bounds is not None:
            low, high = self.formula.bounds
            reward = min(high, max(low, reward))
        return RewardResult(reward, self.formula.name, parts, terms, tuple(told), tuple(notes))

    def _missing(self, parts: Parts) -> list[str]:
        measured = {"end_to_end": parts.end_to_end, "rm": parts.rm, "uplift": parts.uplift and parts.uplift.value}
        return [part for part in sorted(self.needs) if measured[part] is None]


def combine(
    formula: str, parts: Parts, weights: Mapping[str, float] | None = None, options: Options = Options()
) -> RewardResult:
    """The reward of measured parts by a formula's name. Raises: ConfigError as `Recipe` and `formula_of`."""
    return Recipe(formula_of(formula), weights or {}, options).combine(parts)


def _completed(recipe: Recipe, parts: Parts) -> Parts:
    """With the clamped score, the coefficient, and the success rate where that is the formula's `end_to_end`."""
    formula, uplift = recipe.formula, parts.uplift
    coefficient = formula.coefficient(uplift, recipe.options.prior) if formula.coefficient and uplift else None
    end_to_end = parts.end_to_end
    if not formula.separate_run:
        end_to_end = uplift.successes / uplift.runs if uplift and uplift.runs else None
    rm = None if parts.rm is None or math.isnan(parts.rm) else min(1.0, max(0.0, parts.rm))
    return replace(parts, end_to_end=end_to_end, rm=rm, coefficient=coefficient)


def _term(recipe: Recipe, name: str, parts: Parts) -> float | None:
    values = [getattr(parts, factor) for factor in recipe.formula.terms[name]]
    return None if None in values else math.prod([recipe.weights[name], *values])
