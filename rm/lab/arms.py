"""The arms of the experiment: what each planner is rewarded by. Everything else is equal.

An arm names a reward as `planner train` knows it, changes to the bundle's configuration, and which reward model the
bundle holds. The bundle's own reward is TraceLift: `0.5 * end_to_end + 0.5 * rm * uplift`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from rm.errors import ConfigError

RUNS, BASELINE_RUNS = 3, 8
"""Executor runs of the bundle's uplift: with each trace (one more is `end_to_end`), and of each problem alone."""
MANY_SEEDS, FEW_SEEDS = 8, 3
BASE = "base"
"""The planner before training; no arm of its own."""


@dataclass(frozen=True)
class Judge:
    """A reward model of the experiment.

    Args:
        what: for the report.
        ranking: its ranking loss, a name of `rm.losses.LOSSES`.
        hard_kinds: whether its groups hold flaws that keep the answer.
    """

    what: str
    ranking: str = "list_net"
    hard_kinds: bool = True


JUDGES: Mapping[str, Judge] = MappingProxyType(
    {
        "listwise": Judge("listwise loss, all kinds of flaws"),
        "official-loss": Judge("the official bounded pairwise loss", ranking="pairwise_bounded"),
        "easy-kinds": Judge("no flaws that keep the answer among its groups", hard_kinds=False),
    }
)


@dataclass(frozen=True)
class Arm:
    """One way to reward.

    Args:
        what: a planner's reward, in words.
        reward: `reward.name` of `planner train`.
        weights: of its terms, where it is another formula than the bundle's.
        overrides: dotted keys of the bundle's configuration.
        judge: a key of JUDGES.
        seeds: how many runs the full experiment has.
        part: the comparison itself; an ablation that the full experiment has in its table; or one that runs where
            it is asked for.
    """

    what: str
    reward: str = "tracelift"
    weights: Mapping[str, float] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    judge: str = "listwise"
    seeds: int = FEW_SEEDS
    part: Literal["main", "ablation", "extra"] = "main"


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "exec-only": Arm("one run of the executor", "exec-only", seeds=MANY_SEEDS),
        "exec-only-averaged": Arm(
            f"mean of {RUNS + 1} runs of the executor, as many as TraceLift spends on a trace",
            "product-v1",
            weights={"rm_uplift": 0.0, "end_to_end": 1.0},
            overrides={"uplift.plan.runs": RUNS + 1},
        ),
        "rm-only": Arm("score of the reward model", "rm-only"),
        "uplift-only": Arm("uplift", "uplift-only"),
        "tracelift": Arm("0.5 end_to_end + 0.5 rm x uplift", seeds=MANY_SEEDS),
        "sum": Arm("0.5 end_to_end + 0.25 rm + 0.25 uplift: a sum in place of the product", "sum-v1", part="ablation"),
        "shrunken": Arm(
            "TraceLift with both success rates drawn towards what is usual",
            overrides={"prior": {"with_trace": [1.0, 1.0], "baseline": [0.1, 1.9]}},
            part="ablation",
        ),
        "likelihood": Arm(
            "TraceLift, the uplift in probability of the known answer: no runs beside the one of end_to_end",
            overrides={"uplift.plan.kind": "likelihood"},
            part="extra",
        ),
        "official-loss": Arm(
            "TraceLift, the judge trained with the official loss", judge="official-loss", part="extra"
        ),
        "easy-kinds": Arm("TraceLift, the judge trained without the hard kinds", judge="easy-kinds", part="extra"),
    }
)


def chosen_runs(arms: Sequence[str], seeds: int | None) -> list[tuple[str, int]]:
    """The runs of the experiment, (arm, seed): the first seeds of every arm first, so that a stopped one has a table.

    Args:
        arms: names; empty for all but the extra ones.
        seeds: the first so many of each arm; None for the arm's own number.

    Raises:
        ConfigError: an unknown name, with the choices.
    """
    unknown = [name for name in arms if name not in ARMS]
    if unknown:
        raise ConfigError(f"--arms: there is no arm {', '.join(unknown)}. Choose of: {', '.join(ARMS)}.")
    names = list(dict.fromkeys(arms)) or [name for name, arm in ARMS.items() if arm.part != "extra"]
    counts = {name: ARMS[name].seeds if seeds is None else seeds for name in names}
    return [(name, seed) for seed in range(max(counts.values())) for name in names if seed < counts[name]]
