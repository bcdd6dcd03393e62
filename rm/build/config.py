"""Configuration of `tracelift-rm groups build`: which kinds, how many traces a group, what is thrown out."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from rm.build.llm.config import LlmConfig
from rm.config import CLOSED, Bool, NonNegativeFloat, NonNegativeInt, PositiveInt

Share = Annotated[float, Field(strict=True, ge=0, le=1)]


@dataclass(frozen=True, config=CLOSED)
class SeedsConfig:
    """How rows become seeds; the forms of row are told in `rm.build.read_seeds`.

    Args:
        fields: which key of a row holds what, for rows of another form: `{problem: task_text, answer: gold}`.
        source: name of the data, where rows name none.
        licence: of the seed problems, told in the data card; empty where it is not known.
        limit: only so many seeds, the first; 0 for all.
    """

    fields: dict[str, str] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    limit: NonNegativeInt = 0


@dataclass(frozen=True, config=CLOSED)
class GroupConfig:
    """The shape of a group.

    Args:
        positives: sound traces at most; the solution that the seed came with, and ones in other words.
        tellings: sound traces in other words that flaws are put into as well as into the seed's own.
        negatives_least: a problem that gives fewer kinds of flaw gives no group.
        negatives_most: of more kinds so many are drawn, one trace each.
    """

    positives: PositiveInt = 2
    tellings: NonNegativeInt = 2
    negatives_least: PositiveInt = 3
    negatives_most: PositiveInt = 6


@dataclass(frozen=True, config=CLOSED)
class GatesConfig:
    """What no trace of a group may be; see `rm.build.gates`.

    Args:
        off: names of gates that are not to be asked.
        tell_tales: words that give a flaw away, besides the usual ones: regular expressions in lower case.
        new_lines: share of a flawed trace's lines that may differ from the sound trace by more than their numbers;
            two may in any case.
        near_duplicate: estimated Jaccard similarity from which on a problem counts as one that was there before;
            1 keeps all but equal ones, 0 those too.
        held_out: files of groups or problems to be kept apart from what is built, such as a dev set: a seed with one of
            their problems, or nearly, gives no group.
        run_tests: code: run the program that a flawed plan describes on the tests of its seed, in the sandbox, and drop
            flaws that pass; see `rm.build.code.checks.confirmed`. It runs the seeds' programs: off unless asked for.
        unsafe_subprocess: run them without a sandbox: they can do what you can.
    """

    off: list[str] = field(default_factory=list)
    tell_tales: list[str] = field(default_factory=list)
    new_lines: Share = 0.5
    near_duplicate: Share = 0.8
    held_out: list[str] = field(default_factory=list)
    run_tests: Bool = False
    unsafe_subprocess: Bool = False


@dataclass(frozen=True, config=CLOSED)
class AuditConfig:
    """The artifact audit: what wording and length alone give away.

    Args:
        groups: so many groups are looked at, drawn evenly over the set; 0 leaves the audit out.
        flag: pair accuracy of a kind above which the card flags it.
    """

    groups: NonNegativeInt = 1500
    flag: Share = 0.7


@dataclass(frozen=True, config=CLOSED)
class RebalanceConfig:
    """Choosing among several tellings and flaws of a problem so that its surface gives less away.

    Args:
        enabled: whether to.
        draws: tries of each kind on each telling.
        rounds: of learning a classifier and choosing against it.
        bound: share of a kind's pairs that words or length may rank right; a kind that would come above loses traces.
    """

    enabled: Bool = False
    draws: PositiveInt = 1
    rounds: PositiveInt = 3
    bound: Share = 0.65


@dataclass(frozen=True, config=CLOSED)
class BuildConfig:
    """All of `tracelift-rm groups build`.

    Args:
        task: what is built: solutions to mathematical problems, or plans for programs.
        rubric: whose labels the traces get: a shipped rubric's name, a YAML file, or empty for that of the task. Rules
            grade by the shipped rubrics alone; see `rm.build.rows`.
        seed: another seed, other flaws.
        kinds: name of a kind -> how often it is drawn, against 1 for those not named; 0 leaves it out.
        workers: processes; 0 for one a core. The result does not depend on it.
    """

    task: Literal["math", "code"] = "math"
    rubric: str = ""
    seed: NonNegativeInt = 18
    kinds: dict[str, NonNegativeFloat] = field(default_factory=dict)
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    group: GroupConfig = field(default_factory=GroupConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    rebalance: RebalanceConfig = field(default_factory=RebalanceConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    workers: NonNegativeInt = 0
