"""Groups of the tiny world, for the reward model of its experiment: a sound trace and flawed ones of four kinds.

Labels follow from the truth about each trace (`rm.lab.world.grade_truth`). Half of the kinds keep the answer
(`rm.lab.habits.KEEPS_ANSWER`): these are the hard ones, which no look at the answer can find.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from rm.build.math.traces import trace_text
from rm.lab.habits import HABITS, KEEPS_ANSWER, SOUND
from rm.lab.stories import Story
from rm.lab.world import grade_truth, judge_trace, problem_row

NEGATIVES = 4
"""Of a story, where it has places for so many kinds."""


def world_groups(stories: Sequence[Story], seed: int, *, hard_kinds: bool = True) -> list[dict[str, Any]]:
    """Rows of the TRACELIFT-GROUPS schema, one a story.

    Args:
        seed: of the flaws.
        hard_kinds: whether there are flaws that keep the answer.
    """
    rng = random.Random(f"groups/{seed}")
    kinds = [kind for kind in HABITS if kind != SOUND and (hard_kinds or kind not in KEEPS_ANSWER)]
    return [_group(story, f"world_{seed}_{number:05d}", kinds, rng) for number, story in enumerate(stories)]


def _group(story: Story, problem_id: str, kinds: Sequence[str], rng: random.Random) -> dict[str, Any]:
    negatives: dict[str, dict[str, Any]] = {}
    for kind in rng.sample(kinds, len(kinds)):
        lines = HABITS[kind](story, rng)
        if lines is not None and len(negatives) < NEGATIVES:
            negatives[trace_text(lines)] = {"negative_kind": kind, **_candidate(story, trace_text(lines))}
    positive = _candidate(story, story.solution)
    return {**problem_row(story, problem_id), "positive_pool": [positive], "negative_bank": list(negatives.values())}


def _candidate(story: Story, trace: str) -> dict[str, Any]:
    return {"reasoning": trace, "rubric": grade_truth(judge_trace(story, trace))}
